#include "tests/unit/gossip/net.h"

/* Members with bad links, and what becomes of who was removed while it lived. */

static struct net *settled(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    net_run(net, SEC(20));
    net_forget_rings(net);
    return net;
}

/* It goes on sending, and hears nothing. */
static void make_deaf(struct net *net, uint32_t node, bool is_deaf)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (i != node) {
            net_block(net, i, node, is_deaf);
        }
    }
}

static void cut_off(struct net *net, uint32_t node, bool is_cut)
{
    make_deaf(net, node, is_cut);
    for (uint32_t i = 0; i < net->count; i++) {
        if (i != node) {
            net_block(net, node, i, is_cut);
        }
    }
}

/* The most rings that any but this node saw. */
static uint32_t rings_of_others(const struct net *net, uint32_t node)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        most = i != node && net->nodes[i].rings > most ? net->nodes[i].rings : most;
    }
    return most;
}

/* Dead, or warming: it owns nothing to any other. */
static bool is_out_of_the_ring(const struct net *net, uint32_t node)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const struct member *seen = i == node ? NULL : net_sees(net, i, node);
        if (seen != NULL && seen->state == MEMBER_OWNING) {
            return false;
        }
    }
    return true;
}

static usec_t wait_out_of_the_ring(struct net *net, uint32_t node, usec_t most_us)
{
    const usec_t began_us = net->now_us;
    while (!is_out_of_the_ring(net, node)) {
        if (net->now_us - began_us >= most_us) {
            return USEC_NEVER;
        }
        net_run(net, MSEC(10));
    }
    return net->now_us - began_us;
}

/* 80 % of what it sends is lost, so that it answers every second round: that is not enough. */
static void a_member_whose_packets_get_lost_is_out_within_20_s_and_stays_out(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 4, 5, 9, 12, 24 };
    for (uint64_t seed = 0; seed < 24; seed++) {
        const uint32_t count = counts[seed % ARRAY_COUNT(counts)];
        struct net *net = settled(count, seed);
        net->nodes[1].loss_out_permille = 800;
        assert_true(wait_out_of_the_ring(net, 1, SEC(20)) != USEC_NEVER);
        net_run(net, SEC(300));
        assert_int_equal(rings_of_others(net, 1), 1);
        assert_int_equal(net->nodes[1].deaths, 0);
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_WARMING);
        net_free(&net);
    }
}

/* Both ways: it answers one question in 25, and is missed more often than found lossy. */
static void a_member_with_hardly_any_link_is_out_within_20_s_and_stays_out(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 5, 9, 24 };
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct net *net = settled(counts[seed % ARRAY_COUNT(counts)], 30 + seed);
        net->nodes[1].loss_out_permille = 800;
        net->nodes[1].loss_in_permille = 800;
        assert_true(wait_out_of_the_ring(net, 1, SEC(20)) != USEC_NEVER);
        net_run(net, SEC(300));
        assert_int_equal(rings_of_others(net, 1), 1);
        net_free(&net);
    }
}

/* Each outage is too short for a death, and both together are most of the window. */
static void who_answers_again_is_not_removed_for_what_it_missed_before(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 5, 6, 9 };
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct net *net = settled(counts[seed % ARRAY_COUNT(counts)], 200 + seed);
        for (uint32_t times = 0; times < 2; times++) {
            cut_off(net, 1, true);
            net_run(net, MSEC(1900));
            cut_off(net, 1, false);
            net_run(net, SEC(1));
        }
        net_run(net, SEC(60));
        assert_int_equal(rings_of_others(net, 1), 0);
        net_free(&net);
    }
}

static void when_its_link_is_well_again_it_owns_again(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 24 };
    for (uint64_t seed = 0; seed < 9; seed++) {
        struct net *net = settled(counts[seed % ARRAY_COUNT(counts)], 50 + seed);
        net->nodes[1].loss_out_permille = 800;
        assert_true(wait_out_of_the_ring(net, 1, SEC(20)) != USEC_NEVER);
        net_run(net, SEC(5));
        assert_true(net_is_held(net, 1));
        net->nodes[1].loss_out_permille = 0;
        net_run(net, SEC(20));
        assert_int_equal(rings_of_others(net, 1), 1); /* not before its time */
        net_run(net, SEC(40));
        assert_false(net_is_held(net, 1));
        assert_true(net_is_settled(net));
        assert_int_equal(rings_of_others(net, 1), 2);
        net_free(&net);
    }
}

/* Each sees a bad link, and nobody can say whose it is. */
static void of_two_a_bad_link_removes_neither(void **state)
{
    (void)state;
    struct net *net = settled(2, 60);
    net->nodes[1].loss_out_permille = 600;
    net_run(net, SEC(600));
    assert_int_equal(net_deaths(net), 0);
    assert_false(net_is_held(net, 0) || net_is_held(net, 1));
    net_free(&net);
}

static void a_bad_network_makes_nobody_s_link_a_bad_one(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 5, 24 };
    for (uint32_t i = 0; i < 12; i++) {
        struct net *net = settled(counts[i % 4], 70 + i);
        net->loss_permille = 200 + i / 4 * 100;
        net_run(net, SEC(1200));
        assert_int_equal(net_deaths(net), 0);
        assert_int_equal(net_rings(net), 0);
        net_free(&net);
    }
}

static void a_deaf_member_comes_back_to_the_ring_only_after_a_while(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 24 };
    for (uint64_t seed = 0; seed < 9; seed++) {
        struct net *net = settled(counts[seed % ARRAY_COUNT(counts)], 80 + seed);
        make_deaf(net, 1, true);
        net_run(net, SEC(20));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_DEAD);
        make_deaf(net, 1, false);
        net_run(net, SEC(20));
        assert_true(net_is_held(net, 1));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_WARMING);
        net_run(net, SEC(25));
        assert_true(net_is_settled(net));
        assert_false(net_is_held(net, 1));
        assert_int_equal(rings_of_others(net, 1), 2);
        net_free(&net);
    }
}

static void a_member_that_hears_only_at_times_moves_the_ring_once(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 24 };
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct net *net = settled(counts[seed % ARRAY_COUNT(counts)], 90 + seed);
        for (uint32_t i = 0; i < 15; i++) {
            make_deaf(net, 1, i % 2 == 0);
            net_run(net, SEC(20));
        }
        assert_int_equal(rings_of_others(net, 1), 1);
        net_free(&net);
    }
}

/* Well for a minute and deaf for a minute, it would be in and out each time. */
static void who_is_removed_again_and_again_waits_longer_each_time(void **state)
{
    (void)state;
    struct net *net = settled(5, 100);
    uint32_t longest = 0;
    for (uint32_t times = 1; times <= 5; times++) {
        make_deaf(net, 1, true);
        net_run(net, SEC(20));
        make_deaf(net, 1, false);
        net_run(net, SEC(4));
        const uint32_t held = gossip_stats(net->nodes[1].gossip)->held_s;
        assert_true(held >= longest + (times <= 4 ? longest * 3 / 4 : 0));
        longest = held;
        while (net_is_held(net, 1)) {
            net_run(net, SEC(1));
        }
        net_run(net, SEC(10));
        assert_true(net_is_settled(net));
    }
    assert_true(longest > 200 && longest <= 240);
    net_run(net, SEC(1200)); /* forgotten */
    make_deaf(net, 1, true);
    net_run(net, SEC(20));
    make_deaf(net, 1, false);
    net_run(net, SEC(4));
    assert_true(gossip_stats(net->nodes[1].gossip)->held_s <= 30);
    net_free(&net);
}

/* It may be a part of the network that is missing: that heals at once, but not for ever. */
static void who_was_cut_off_comes_back_at_once_twice(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 24 };
    for (uint32_t i = 0; i < 3; i++) {
        struct net *net = settled(counts[i], 110 + i);
        for (uint32_t times = 1; times <= 3; times++) {
            cut_off(net, 1, true);
            net_run(net, SEC(20));
            assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_DEAD);
            cut_off(net, 1, false);
            net_run(net, SEC(12));
            assert_true(net_is_settled(net));
            assert_int_equal(net_is_held(net, 1), times == 3);
            net_run(net, SEC(10));
        }
        net_free(&net);
    }
}

/* Its kernel looks for the others' cards and has kept what it asked them meanwhile. */
static void questions_that_arrive_all_at_once_are_no_sign_of_a_deaf_member(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 3, 5, 24 };
    for (uint32_t i = 0; i < 3; i++) {
        struct net *net = settled(counts[i], 160 + i);
        make_deaf(net, 1, true);
        net->nodes[1].sends_at_us = net->now_us + SEC(20);
        net_run(net, SEC(20));
        assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_DEAD);
        make_deaf(net, 1, false);
        net_run(net, SEC(12));
        assert_true(net_is_settled(net));
        assert_false(net_is_held(net, 1));
        net_free(&net);
    }
}

static void a_process_that_was_started_again_is_not_held_back(void **state)
{
    (void)state;
    struct net *net = settled(5, 120);
    make_deaf(net, 1, true);
    net_run(net, SEC(20));
    make_deaf(net, 1, false);
    net_run(net, SEC(4));
    assert_true(net_is_held(net, 1));
    net_crash(net, 1);
    net_run(net, SEC(2));
    net_start(net, 1);
    assert_true(net_settle(net, SEC(5)) != USEC_NEVER);
    assert_false(net_is_held(net, 1));
    assert_int_equal(net_sees(net, 0, 1)->state, MEMBER_OWNING);
    net_free(&net);
}

static void who_stood_still_is_not_held_back(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 5, 24 };
    for (uint32_t i = 0; i < 8; i++) {
        struct net *net = settled(counts[i % 4], 130 + i);
        for (uint32_t times = 0; times < 4; times++) {
            net_pause(net, 1, SEC(15));
            net_run(net, SEC(15));
            assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
            assert_false(net_is_held(net, 1));
        }
        net_free(&net);
    }
}

/* All at once are alone: nobody is better than another, and somebody has to own. */
static void when_the_whole_network_was_down_there_is_one_ring_soon(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 5, 24 };
    for (uint32_t i = 0; i < 4; i++) {
        struct net *net = settled(counts[i], 140 + i);
        for (uint32_t node = 0; node < counts[i]; node++) {
            cut_off(net, node, true);
        }
        net_run(net, SEC(60));
        memset(net->is_blocked, 0, sizeof net->is_blocked);
        assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
        for (uint32_t node = 0; node < counts[i]; node++) {
            assert_false(net_is_held(net, node));
        }
        net_free(&net);
    }
}

/* A deaf member finds all others dead, and says so: that they live need not be said. */
static void what_a_dead_member_says_of_others_is_not_believed(void **state)
{
    (void)state;
    struct net *net = settled(12, 150);
    make_deaf(net, 1, true);
    net_run(net, SEC(120));
    assert_true(net->nodes[1].deaths > 3);
    for (uint32_t i = 0; i < net->count; i++) {
        assert_int_equal(net->nodes[i].rings, i == 1 ? net->nodes[i].rings : 1);
        assert_true(i == 1 || gossip_stats(net->nodes[i].gossip)->refutations <= 2);
    }
    assert_true(marks_count(&net->marks, "gossip.dead.their_word") > 0);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_whose_packets_get_lost_is_out_within_20_s_and_stays_out),
        cmocka_unit_test(a_member_with_hardly_any_link_is_out_within_20_s_and_stays_out),
        cmocka_unit_test(who_answers_again_is_not_removed_for_what_it_missed_before),
        cmocka_unit_test(when_its_link_is_well_again_it_owns_again),
        cmocka_unit_test(of_two_a_bad_link_removes_neither),
        cmocka_unit_test(a_bad_network_makes_nobody_s_link_a_bad_one),
        cmocka_unit_test(a_deaf_member_comes_back_to_the_ring_only_after_a_while),
        cmocka_unit_test(a_member_that_hears_only_at_times_moves_the_ring_once),
        cmocka_unit_test(who_is_removed_again_and_again_waits_longer_each_time),
        cmocka_unit_test(who_was_cut_off_comes_back_at_once_twice),
        cmocka_unit_test(questions_that_arrive_all_at_once_are_no_sign_of_a_deaf_member),
        cmocka_unit_test(a_process_that_was_started_again_is_not_held_back),
        cmocka_unit_test(who_stood_still_is_not_held_back),
        cmocka_unit_test(when_the_whole_network_was_down_there_is_one_ring_soon),
        cmocka_unit_test(what_a_dead_member_says_of_others_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
