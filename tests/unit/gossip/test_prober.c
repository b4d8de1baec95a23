#include "tests/unit/gossip/net.h"

static struct net *settled(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    return net;
}

static void a_pause_of_2_s_removes_nobody(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 4, 5, 24 };
    for (uint64_t seed = 0; seed < 50; seed++) {
        uint32_t count = counts[seed % ARRAY_COUNT(counts)];
        struct net *net = settled(count, seed);
        net_run(net, SEC(2) + rng_between(&net->rng, 0, SEC(2)));
        net_forget_rings(net);
        net_pause(net, count - 1, SEC(2));
        net_run(net, SEC(12));
        assert_int_equal(net_deaths(net), 0);
        assert_int_equal(net_rings(net), 0);
        assert_true(net_is_settled(net));
        net_free(&net);
    }
}

static void a_process_that_stood_still_accuses_nobody(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 5, 24 };
    static const usec_t pauses_us[] = { MSEC(700), SEC(3), SEC(20), SEC(600) };
    for (uint32_t i = 0; i < 16; i++) {
        struct net *net = settled(counts[i % 4], i);
        net->loss_permille = 50;
        net_pause(net, 0, pauses_us[i / 4]);
        net_run(net, pauses_us[i / 4] + SEC(15));
        assert_int_equal(net->nodes[0].deaths, 0);
        assert_int_equal(net->nodes[0].suspects, 0);
        assert_true(net_is_settled(net));
        net_free(&net);
    }
}

/* It was about to cut out the third when it fell asleep; that one is well when it wakes. */
static void a_process_that_stood_still_looks_again_before_it_cuts(void **state)
{
    (void)state;
    uint32_t close = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct net *net = settled(3, seed);
        net_run(net, SEC(2) + rng_between(&net->rng, 0, SEC(1)));
        net_pause(net, 2, SEC(2));
        net_run(net, MSEC(1900));
        close += net->nodes[0].suspects;
        net_pause(net, 0, SEC(5));
        net_run(net, SEC(15));
        assert_int_equal(net->nodes[0].deaths, 0);
        net_free(&net);
    }
    assert_true(close > 5);
}

static void a_paused_member_is_removed_and_comes_back_by_itself(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 4, 12 };
    for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct net *net = settled(counts[i], i);
        net_forget_rings(net);
        net_pause(net, 1, SEC(20));
        net_run(net, SEC(15));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_DEAD);
        net_run(net, SEC(10));
        assert_true(net_is_settled(net));
        assert_int_equal(net->nodes[0].rings, 2); /* out, and in */
        assert_int_equal(net->nodes[1].rings, 0);
        net_free(&net);
    }
}

/* Being late is found out by comparing with our own deadline: that must be the true one. */
static void nobody_thinks_it_stood_still_when_it_did_not(void **state)
{
    (void)state;
    struct net *net = settled(6, 3);
    net->loss_permille = 200;
    net_run(net, SEC(60));
    net_crash(net, 5);
    net_run(net, SEC(60));
    net_partition(net, 2, true);
    net_run(net, SEC(60));
    net_partition(net, 2, false);
    net_run(net, SEC(60));
    assert_true(marks_count(&net->marks, "gossip.health.nack_missing") > 0);
    assert_int_equal(marks_count(&net->marks, "gossip.health.stalled"), 0);
    net_free(&net);
}

/* All of them pause at times, for up to 32 s, at random (G5 of the goals, in small). */
static void starved_members_do_not_remove_the_healthy(void **state)
{
    (void)state;
    enum { COUNT = 12, STARVED = 4 };
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct net *net = settled(COUNT, seed);
        for (uint32_t round = 0; round < 60; round++) {
            uint32_t starved = (uint32_t)rng_below(&net->rng, STARVED);
            net_pause(net, starved, MSEC(100) + rng_between(&net->rng, 0, SEC(8)));
            net_run(net, SEC(1) + rng_between(&net->rng, 0, SEC(3)));
        }
        for (uint32_t i = STARVED; i < COUNT; i++) {
            for (uint32_t j = STARVED; j < COUNT; j++) {
                assert_int_equal(net_sees(net, i, j)->state, MEMBER_OWNING);
                assert_true(net_sees(net, i, j)->incarnation == net->nodes[j].persisted);
            }
        }
        net_free(&net);
    }
}

static void a_black_hole_between_two_members_evicts_nobody(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        static const uint32_t counts[] = { 3, 4, 8, 24 };
        struct net *net = settled(counts[i / 2], i);
        net_block(net, 0, 1, true);
        net_block(net, 1, 0, i % 2 == 0); /* one way, or both */
        net_run(net, SEC(300));
        assert_int_equal(net_deaths(net), 0);
        assert_int_equal(net_suspects(net), 0);
        net_free(&net);
    }
}

static void two_nodes_and_a_one_way_partition_do_not_flap(void **state)
{
    (void)state;
    for (uint32_t from = 0; from < 2; from++) {
        struct net *net = settled(2, 20 + from);
        net_block(net, from, 1 - from, true);
        net_run(net, SEC(12));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_DEAD);
        assert_int_equal(net_sees(net, 1, 0)->state, MEMBER_DEAD);
        net_forget_rings(net);
        net_run(net, SEC(600));
        assert_int_equal(net_rings(net), 0);
        net_block(net, from, 1 - from, false);
        assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
        assert_int_equal(net_rings(net), 1);
        net_free(&net);
    }
}

/* Its votes reach everybody, its ears nobody: it accuses all others, and is the one to go. */
static void a_deaf_or_dumb_member_goes_and_takes_nobody_along(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        static const uint32_t counts[] = { 3, 4, 8, 24 };
        bool is_deaf = i % 2 == 0;
        struct net *net = settled(counts[i / 2], i);
        net_forget_rings(net);
        for (uint32_t j = 1; j < net->count; j++) {
            net_block(net, is_deaf ? j : 0, is_deaf ? 0 : j, true);
        }
        assert_true(net_wait_out(net, 0, SEC(5)) != USEC_NEVER);
        net_run(net, SEC(120));
        for (uint32_t j = 1; j < net->count; j++) {
            assert_int_equal(net->nodes[j].rings, 1);
            assert_int_equal(net->nodes[j].deaths, 1);
        }
        net_free(&net);
    }
}

static void two_deaf_members_of_six_go_and_take_nobody_along(void **state)
{
    (void)state;
    struct net *net = settled(6, 2);
    net_forget_rings(net);
    for (uint32_t j = 0; j < net->count; j++) {
        net_block(net, j, 0, true);
        net_block(net, j, 1, true);
    }
    net_run(net, SEC(60));
    for (uint32_t j = 2; j < net->count; j++) {
        assert_int_equal(net->nodes[j].deaths, 2);
        assert_int_equal(net->nodes[j].rings, 1);
    }
    net_free(&net);
}

/* Gossip's own packets are all lost between the two, but data flows. */
static void answers_on_the_data_path_keep_a_member_in(void **state)
{
    (void)state;
    struct net *net = settled(2, 31);
    net_partition(net, 1, true);
    for (uint32_t i = 0; i < 120; i++) {
        for (uint32_t node = 0; node < 2; node++) {
            net_event(net, node,
                      &(struct gossip_event){ .kind = GOSSIP_EVIDENCE,
                                              .evidence = { .node = net->nodes[1 - node].id } });
        }
        net_run(net, MSEC(500));
    }
    assert_int_equal(net_deaths(net), 0);
    net_run(net, SEC(9));
    assert_int_equal(net->nodes[0].deaths, 1); /* and nothing else did */
    net_free(&net);
}

static void answer_each_other(struct net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        for (uint32_t j = 0; j < net->count; j++) {
            struct gossip_event event = { .kind = GOSSIP_EVIDENCE };
            event.evidence.node = net->nodes[j].id;
            if (i != j) {
                net_event(net, i, &event);
            }
        }
    }
}

static void a_crash_under_load_is_noticed_as_soon(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct net *net = settled(4, seed);
        for (uint32_t i = 0; i < 100; i++) {
            answer_each_other(net);
            net_run(net, MSEC(70));
        }
        net_crash(net, 3);
        assert_true(net_wait_out(net, 3, SEC(5)) != USEC_NEVER);
        net_free(&net);
    }
}

static void evidence_spares_most_pings(void **state)
{
    (void)state;
    uint64_t sent[2];
    for (uint32_t with = 0; with < 2; with++) {
        struct net *net = settled(2, 32);
        net->sent_packets = 0;
        for (uint32_t i = 0; i < 400; i++) {
            for (uint32_t node = 0; node < 2 && with == 1; node++) {
                struct gossip_event event = { .kind = GOSSIP_EVIDENCE };
                event.evidence.node = net->nodes[1 - node].id;
                net_event(net, node, &event);
            }
            net_run(net, MSEC(250));
        }
        sent[with] = net->sent_packets;
        net_free(&net);
    }
    assert_true(sent[1] < sent[0] / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_of_2_s_removes_nobody),
        cmocka_unit_test(a_process_that_stood_still_accuses_nobody),
        cmocka_unit_test(a_process_that_stood_still_looks_again_before_it_cuts),
        cmocka_unit_test(a_paused_member_is_removed_and_comes_back_by_itself),
        cmocka_unit_test(nobody_thinks_it_stood_still_when_it_did_not),
        cmocka_unit_test(starved_members_do_not_remove_the_healthy),
        cmocka_unit_test(a_black_hole_between_two_members_evicts_nobody),
        cmocka_unit_test(two_nodes_and_a_one_way_partition_do_not_flap),
        cmocka_unit_test(a_deaf_or_dumb_member_goes_and_takes_nobody_along),
        cmocka_unit_test(two_deaf_members_of_six_go_and_take_nobody_along),
        cmocka_unit_test(answers_on_the_data_path_keep_a_member_in),
        cmocka_unit_test(a_crash_under_load_is_noticed_as_soon),
        cmocka_unit_test(evidence_spares_most_pings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
