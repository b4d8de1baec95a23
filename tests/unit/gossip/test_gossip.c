#include "tests/unit/gossip/net.h"

static struct net *settled(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    return net;
}

static void every_number_of_nodes_from_1_to_24_settles(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 24; count++) {
        struct net *net = net_new(count, count);
        net_start_all(net);
        assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
        net_run(net, SEC(30));
        assert_true(net_is_settled(net));
        assert_int_equal(net_suspects(net), 0);
        net_free(&net);
    }
}

static void nodes_that_start_one_after_the_other_settle(void **state)
{
    (void)state;
    struct net *net = net_new(12, 3);
    for (uint32_t i = 0; i < net->count; i++) {
        net_start(net, i);
        net_run(net, MSEC(700));
    }
    assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
    net_free(&net);
}

/* Joins of one second are one cut: they move the ring once. */
static void joins_that_come_together_move_the_ring_once(void **state)
{
    (void)state;
    struct net *net = net_new(9, 5);
    for (uint32_t i = 0; i < 4; i++) {
        net_start(net, i);
    }
    net_run(net, SEC(10));
    net_forget_rings(net);
    for (uint32_t i = 4; i < 9; i++) {
        net_start(net, i);
        net_run(net, MSEC(100));
    }
    assert_true(net_settle(net, SEC(5)) != USEC_NEVER);
    assert_int_equal(net->nodes[0].rings, 1);
    net_free(&net);
}

static void a_crashed_node_is_out_of_all_rings_within_5_s(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        static const uint32_t counts[] = { 3, 4, 5, 24 };
        uint32_t count = counts[seed % ARRAY_COUNT(counts)];
        struct net *net = settled(count, seed);
        net->loss_permille = seed % 2 == 0 ? 0 : 100;
        net_run(net, SEC(5) + rng_between(&net->rng, 0, SEC(2)));
        net_crash(net, count - 1);
        assert_true(net_wait_out(net, count - 1, SEC(5)) != USEC_NEVER);
        net_free(&net);
    }
}

/* The only observer is all there is to ask, so it takes its time. */
static void of_two_the_survivor_removes_the_other_within_8_s(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct net *net = settled(2, seed);
        net_crash(net, 1);
        usec_t took_us = net_wait_out(net, 1, SEC(8));
        assert_true(took_us != USEC_NEVER && took_us > SEC(4));
        net_free(&net);
    }
}

static void crashes_that_come_together_are_one_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = settled(8, seed);
        net_forget_rings(net);
        net_crash(net, 5);
        net_crash(net, 6);
        net_crash(net, 7);
        assert_true(net_wait_out(net, 7, SEC(8)) != USEC_NEVER);
        net_run(net, SEC(10));
        assert_true(net_is_settled(net));
        assert_int_equal(net_rings(net), 1);
        net_free(&net);
    }
}

static void the_last_survivor_removes_everybody(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 9, 16 };
    for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct net *net = settled(counts[i], i);
        for (uint32_t j = 1; j < counts[i]; j++) {
            net_crash(net, j);
        }
        assert_true(net_settle(net, SEC(40)) != USEC_NEVER);
        /* Where it did not probe all observers of a member itself, it has asked them first. */
        bool has_asked = marks_count(&net->marks, "gossip.votes.observer_asked") > 0;
        assert_true(has_asked || counts[i] < 10);
        net_free(&net);
    }
}

/* The more is lost, the more must be missed: 4 rounds in a row would be a daily thing. */
static void loss_does_not_make_suspicions_common(void **state)
{
    (void)state;
    struct net *net = settled(2, 18);
    net->loss_permille = 300;
    net_run(net, SEC(60)); /* until it is measured */
    net->nodes[0].suspects = 0;
    net->nodes[1].suspects = 0;
    net_run(net, SEC(1200));
    print_message("%u suspicions\n", net_suspects(net));
    assert_true(net_suspects(net) < 40);
    net_free(&net);
}

static void an_hour_of_10_percent_loss_removes_nobody(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 4, 5, 12, 24 };
    for (uint32_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct net *net = net_new(counts[i], 100 + i);
        net->loss_permille = 100;
        net_start_all(net);
        assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
        net_run(net, SEC(3600));
        assert_true(net_is_settled(net));
        assert_int_equal(net_deaths(net), 0);
        assert_int_equal(net->false_deaths, 0);
        net_free(&net);
    }
}

static void ten_minutes_of_30_percent_loss_remove_nobody(void **state)
{
    (void)state;
    struct net *net = settled(5, 8);
    net->loss_permille = 300;
    net_run(net, SEC(600));
    assert_int_equal(net_deaths(net), 0);
    assert_true(gossip_stats(net->nodes[0].gossip)->loss_permille > 300);
    net_free(&net);
}

static void idle_traffic_of_a_node_is_below_3_kb_a_second(void **state)
{
    (void)state;
    struct net *net = settled(24, 4);
    net_run(net, SEC(5));
    net->sent_bytes = 0;
    net_run(net, SEC(60));
    assert_true(net->sent_bytes / 60 / 24 < 3000);
    net_free(&net);
}

static void same_seed_sends_the_same_packets(void **state)
{
    (void)state;
    uint64_t trace[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct net *net = net_new(5, 77 + i / 2);
        net->loss_permille = 50;
        net_start_all(net);
        net_run(net, SEC(30));
        net_crash(net, 2);
        net_run(net, SEC(10));
        trace[i] = net->trace;
        net_free(&net);
    }
    assert_true(trace[0] == trace[1]);
    assert_true(trace[0] != trace[2]);
}

/* ---- warming ---- */

static void a_member_owns_only_after_it_said_that_it_is_ready(void **state)
{
    (void)state;
    struct net *net = net_new(4, 9);
    net->nodes[3].ready_at_once = false;
    for (uint32_t i = 0; i < 3; i++) {
        net_start(net, i);
    }
    net_run(net, SEC(5));
    net_start(net, 3);
    net_run(net, SEC(20));
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(net_sees(net, i, 3)->state, MEMBER_WARMING);
    }
    net_event(net, 3, &(struct gossip_event){ .kind = GOSSIP_READY });
    assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
    net_free(&net);
}

/* The first one alone would take everything from the others a moment later. */
static void in_a_young_cluster_nobody_owns_until_all_do(void **state)
{
    (void)state;
    struct net *net = net_new(3, 9);
    net->nodes[2].ready_at_once = false;
    net_start_all(net);
    net_run(net, SEC(4));
    assert_int_equal(net_sees(net, 0, 0)->state, MEMBER_WARMING);
    assert_int_equal(gossip_owners(net->nodes[0].gossip).count, 0);
    net_event(net, 2, &(struct gossip_event){ .kind = GOSSIP_READY });
    assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
    assert_int_equal(net_rings(net), 1);
    assert_int_equal(gossip_owners(net->nodes[0].gossip).count, 3);
    net_free(&net);
}

/* Each knows all as seeds, and most of them do not run when it asks. */
static void nodes_that_start_one_after_the_other_make_few_rings(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 20; seed++) {
        struct net *net = net_new(8, 100 + seed);
        net_all_are_seeds(net);
        for (uint32_t i = 0; i < 8; i++) {
            net_start(net, i);
            net_run(net, rng_between(&net->rng, 0, MSEC(500)));
        }
        assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
        assert_int_equal(net_rings(net), 1);
        net_free(&net);
    }
}

static void a_member_that_comes_back_makes_no_ring_of_itself(void **state)
{
    (void)state;
    struct net *net = net_new(5, 12);
    net_start_all(net);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    net_crash(net, 4);
    net_run(net, MSEC(500));
    net_start(net, 4);
    assert_true(gossip_is_gathering(net->nodes[4].gossip));
    while (gossip_is_gathering(net->nodes[4].gossip)) {
        assert_int_equal(gossip_owners(net->nodes[4].gossip).count, 0);
        net_run(net, MSEC(1));
    }
    assert_true(gossip_owners(net->nodes[4].gossip).count >= 4);
    net_free(&net);
}

static void a_node_without_seeds_owns_at_once(void **state)
{
    (void)state;
    struct net *net = net_new(1, 13);
    net->seed_count = 0;
    net_start(net, 0);
    net_run(net, MSEC(200));
    assert_int_equal(gossip_owners(net->nodes[0].gossip).count, 1);
    assert_int_equal(net_sees(net, 0, 0)->state, MEMBER_OWNING);
    net_free(&net);
}

static void a_young_cluster_does_not_wait_for_ever_for_one_that_is_not_ready(void **state)
{
    (void)state;
    struct net *net = net_new(3, 10);
    net->nodes[2].ready_at_once = false;
    net_start_all(net);
    net_run(net, SEC(14));
    assert_int_equal(net_sees(net, 2, 0)->state, MEMBER_OWNING);
    assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_OWNING);
    assert_int_equal(net_sees(net, 0, 2)->state, MEMBER_WARMING);
    net_free(&net);
}

static void a_node_whose_seeds_are_silent_owns_alone_only_after_a_while(void **state)
{
    (void)state;
    struct net *net = net_new(2, 11);
    net_start(net, 1);
    net_run(net, SEC(4));
    assert_int_equal(net_sees(net, 1, 1)->state, MEMBER_WARMING);
    net_run(net, SEC(4));
    assert_int_equal(net_sees(net, 1, 1)->state, MEMBER_OWNING);
    net_free(&net);
}

static void a_node_tries_its_seeds_for_ever(void **state)
{
    (void)state;
    struct net *net = net_new(2, 12);
    net_start(net, 1);
    net_run(net, SEC(7200));
    net_start(net, 0);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    net_free(&net);
}

/* ---- leaving ---- */

static void a_leaving_member_owns_nothing_at_once_and_is_left_when_drained(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 4, 12 };
    for (uint32_t k = 0; k < ARRAY_COUNT(counts); k++) {
        struct net *net = settled(counts[k], k);
        net_leave(net, 1, false);
        net_run(net, MSEC(500));
        for (uint32_t i = 0; i < counts[k]; i++) {
            assert_int_equal(net_sees(net, i, 1)->state, MEMBER_LEAVING);
        }
        net_run(net, SEC(20)); /* it may take long to drain: it is not forgotten meanwhile */
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_LEAVING);
        net_leave(net, 1, true);
        net_run(net, MSEC(700));
        assert_true(net->nodes[1].has_left);
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_LEFT);
        assert_true(net_is_settled(net));
        assert_int_equal(net_deaths(net), 0);
        net_free(&net);
    }
}

static void leaving_alone_is_over_at_once(void **state)
{
    (void)state;
    struct net *net = settled(1, 2);
    net_leave(net, 0, true);
    assert_true(net->nodes[0].has_left);
    net_free(&net);
}

static void leaving_ends_also_when_nobody_answers(void **state)
{
    (void)state;
    struct net *net = settled(3, 2);
    net_partition(net, 1, true);
    net_leave(net, 0, true);
    net_run(net, SEC(3));
    assert_true(net->nodes[0].has_left);
    net_free(&net);
}

static void a_member_that_left_may_come_back(void **state)
{
    (void)state;
    struct net *net = settled(3, 6);
    net_leave(net, 2, false);
    net_leave(net, 2, true);
    net_run(net, SEC(2));
    assert_true(net->nodes[2].has_left);
    net_start(net, 2);
    assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
    net_free(&net);
}

/* ---- what members tell of themselves ---- */

static void new_facts_reach_everybody(void **state)
{
    (void)state;
    struct net *net = settled(6, 14);
    struct gossip_event event = { .kind = GOSSIP_FACTS };
    event.facts.self = gossip_self(net->nodes[4].gossip);
    event.facts.self.weight = 77;
    strcpy(event.facts.self.credentials, "prod");
    net_event(net, 4, &event);
    net_run(net, SEC(1));
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(net_sees(net, i, 4)->weight, 77);
        assert_string_equal(net_sees(net, i, 4)->credentials, "prod");
        assert_int_equal(net_sees(net, i, 4)->state, MEMBER_OWNING);
    }
    assert_true(net_is_settled(net));
    net_free(&net);
}

static void a_catalog_that_differs_is_told_and_an_equal_one_is_not(void **state)
{
    (void)state;
    struct net *net = settled(3, 15);
    for (uint32_t i = 0; i < 3; i++) {
        net_event(net, i,
                  &(struct gossip_event){ .kind = GOSSIP_CATALOG, .catalog = { .digest = 5 } });
    }
    net_run(net, SEC(3));
    uint32_t before = net->nodes[0].peer_catalogs;
    net_run(net, SEC(10));
    assert_int_equal(net->nodes[0].peer_catalogs, before);
    net_event(net, 2, &(struct gossip_event){ .kind = GOSSIP_CATALOG, .catalog = { .digest = 6 } });
    net_run(net, SEC(2));
    assert_true(net->nodes[0].peer_catalogs > before);
    assert_int_equal(net->nodes[0].peer_catalog, 6);
    assert_int_equal(net->nodes[1].peer_catalog, 6);
    net_free(&net);
}

/* ---- start ---- */

static void too_small_an_arena_is_an_error(void **state)
{
    (void)state;
    struct gossip_options options = { .cluster = span_text("atoll"), .members_max = 4 };
    struct gossip *gossip = NULL;
    struct arena mem;
    size_t size = gossip_memory(4, NULL);
    uint8_t *memory = malloc(size);
    options.insecure = true;
    options.self.id.b[0] = 1;
    options.self.endpoint_count = 1;
    options.self.endpoints[0].address.port = 1;
    uint32_t failures = 0;
    for (size_t room = 0; room < size; room += 64) {
        arena_init(&mem, memory, room);
        if (gossip_new(&mem, &options, &gossip) == ERR_OK) {
            break;
        }
        assert_null(gossip);
        failures++;
    }
    assert_true(failures > 100);
    arena_init(&mem, memory, size);
    assert_int_equal(gossip_new(&mem, &options, &gossip), ERR_OK);
    free(memory);
}

static void options_without_name_id_or_address_are_invalid(void **state)
{
    (void)state;
    struct gossip_options good = { .cluster = span_text("atoll"), .members_max = 4 };
    struct gossip *gossip = NULL;
    struct arena mem;
    size_t size = gossip_memory(4, NULL);
    uint8_t *memory = malloc(size);
    good.self.id.b[0] = 1;
    good.self.endpoint_count = 1;
    good.self.endpoints[0].address.port = 1;
    for (uint32_t i = 0; i < 4; i++) {
        struct gossip_options bad = good;
        bad.cluster = i == 0 ? span_text("") : bad.cluster;
        bad.self.id.b[0] = i == 1 ? 0 : 1;
        bad.self.endpoint_count = i == 2 ? 0 : 1;
        bad.self.endpoints[0].address.port = i == 3 ? 0 : 1;
        arena_init(&mem, memory, size);
        assert_int_equal(gossip_new(&mem, &bad, &gossip), ERR_INVALID);
    }
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_of_nodes_from_1_to_24_settles),
        cmocka_unit_test(nodes_that_start_one_after_the_other_settle),
        cmocka_unit_test(joins_that_come_together_move_the_ring_once),
        cmocka_unit_test(a_crashed_node_is_out_of_all_rings_within_5_s),
        cmocka_unit_test(of_two_the_survivor_removes_the_other_within_8_s),
        cmocka_unit_test(crashes_that_come_together_are_one_cut),
        cmocka_unit_test(the_last_survivor_removes_everybody),
        cmocka_unit_test(an_hour_of_10_percent_loss_removes_nobody),
        cmocka_unit_test(ten_minutes_of_30_percent_loss_remove_nobody),
        cmocka_unit_test(loss_does_not_make_suspicions_common),
        cmocka_unit_test(idle_traffic_of_a_node_is_below_3_kb_a_second),
        cmocka_unit_test(same_seed_sends_the_same_packets),
        cmocka_unit_test(a_member_owns_only_after_it_said_that_it_is_ready),
        cmocka_unit_test(in_a_young_cluster_nobody_owns_until_all_do),
        cmocka_unit_test(nodes_that_start_one_after_the_other_make_few_rings),
        cmocka_unit_test(a_member_that_comes_back_makes_no_ring_of_itself),
        cmocka_unit_test(a_node_without_seeds_owns_at_once),
        cmocka_unit_test(a_young_cluster_does_not_wait_for_ever_for_one_that_is_not_ready),
        cmocka_unit_test(a_node_whose_seeds_are_silent_owns_alone_only_after_a_while),
        cmocka_unit_test(a_node_tries_its_seeds_for_ever),
        cmocka_unit_test(a_leaving_member_owns_nothing_at_once_and_is_left_when_drained),
        cmocka_unit_test(leaving_alone_is_over_at_once),
        cmocka_unit_test(leaving_ends_also_when_nobody_answers),
        cmocka_unit_test(a_member_that_left_may_come_back),
        cmocka_unit_test(new_facts_reach_everybody),
        cmocka_unit_test(a_catalog_that_differs_is_told_and_an_equal_one_is_not),
        cmocka_unit_test(too_small_an_arena_is_an_error),
        cmocka_unit_test(options_without_name_id_or_address_are_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
