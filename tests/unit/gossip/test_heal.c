#include "tests/unit/gossip/net.h"

static struct net *settled(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    return net;
}

static void halves_that_lost_each_other_are_one_within_10_s_of_the_repair(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 2, 3, 4, 5, 8, 24 };
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint32_t count = counts[seed % ARRAY_COUNT(counts)];
        struct net *net = settled(count, seed);
        net_partition(net, count / 2, true);
        net_run(net, SEC(60));
        assert_false(net_is_settled(net));
        net_forget_rings(net);
        net_partition(net, count / 2, false);
        assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
        assert_true(net_rings(net) <= 2);
        net_run(net, SEC(20));
        assert_true(net_is_settled(net));
        net_free(&net);
    }
}

static void a_partition_of_a_day_heals_as_well(void **state)
{
    (void)state;
    struct net *net = settled(4, 1);
    net_partition(net, 2, true);
    net_run(net, SEC(3600) * 20);
    net_partition(net, 2, false);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    net_free(&net);
}

/* The first side has no seed of its own any more, and the other never was one. */
static void halves_meet_again_without_a_common_seed(void **state)
{
    (void)state;
    struct net *net = settled(4, 2);
    net->seed_count = 0; /* the name resolves to nothing now */
    net_partition(net, 2, true);
    net_run(net, SEC(200));
    net_partition(net, 2, false);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    net_free(&net);
}

/* The first node of a cluster was given no seed, and nobody's is any more. */
static void who_left_and_starts_again_without_a_seed_is_found(void **state)
{
    (void)state;
    struct net *net = settled(4, 5);
    net->seed_count = 0;
    net_run(net, SEC(200));
    net_leave(net, 0, true);
    net_run(net, SEC(3));
    assert_null(net->nodes[0].gossip);
    net_start(net, 0);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    net_free(&net);
}

static void two_clusters_of_one_name_grow_together_through_a_seed(void **state)
{
    (void)state;
    struct net *net = net_new(4, 3);
    net->seeds[1] = net->nodes[2].port;
    net->seed_count = 2;
    net_partition(net, 2, true);
    net_start_all(net);
    net_run(net, SEC(20));
    assert_null(net_sees(net, 0, 2));
    net_partition(net, 2, false);
    assert_true(net_settle(net, SEC(12)) != USEC_NEVER);
    net_free(&net);
}

static void restart_at_the_same_address_counts_at_once(void **state)
{
    (void)state;
    struct net *net = settled(4, 4);
    net_crash(net, 2);
    net_run(net, MSEC(300));
    net_start(net, 2);
    net_run(net, MSEC(300));
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(net_sees(net, i, 2)->incarnation == net->nodes[2].persisted);
        assert_int_equal(net_sees(net, i, 2)->state, MEMBER_WARMING);
    }
    assert_true(net_settle(net, SEC(3)) != USEC_NEVER);
    assert_int_equal(net_deaths(net), 0);
    net_free(&net);
}

static void restart_at_a_new_address_works(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint32_t count = 2 + (uint32_t)seed % 4;
        struct net *net = settled(count, seed);
        net_crash(net, count - 1);
        net_run(net, rng_between(&net->rng, 0, SEC(10)));
        net->nodes[count - 1].port = 4000;
        net_start(net, count - 1);
        assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
        assert_int_equal(net_sees(net, 0, count - 1)->endpoints[0].address.port, 4000);
        net_free(&net);
    }
}

static void a_node_that_lost_its_disk_and_its_clock_comes_back(void **state)
{
    (void)state;
    struct net *net = settled(3, 7);
    net_crash(net, 2);
    net->nodes[2].persisted = 0;
    net->nodes[2].clock_behind_us = SEC(86400) * 365;
    uint64_t before = net_sees(net, 0, 2)->incarnation;
    net_start(net, 2);
    assert_true(net_settle(net, SEC(10)) != USEC_NEVER);
    assert_true(net_sees(net, 0, 2)->incarnation > before);
    net_free(&net);
}

static void tombstones_are_forgotten_after_a_day(void **state)
{
    (void)state;
    struct net *net = settled(3, 8);
    net_crash(net, 2);
    net_run(net, SEC(3600) * 23);
    assert_int_equal(net_sees(net, 0, 2)->state, MEMBER_DEAD);
    net_run(net, SEC(3600) * 2);
    assert_null(net_sees(net, 0, 2));
    assert_true(net_is_settled(net));
    net_free(&net);
}

/* One node after the other lives and dies: the table holds the living and the last dead. */
static void tombstones_make_room_for_the_living(void **state)
{
    (void)state;
    struct net *net = net_new(12, 9);
    net->members_max = 4;
    net_start(net, 0);
    for (uint32_t i = 1; i < net->count; i++) {
        net_start(net, i);
        net_run(net, SEC(6));
        assert_int_equal(net_sees(net, 0, i)->state, MEMBER_OWNING);
        net_crash(net, i);
        net_run(net, SEC(10));
    }
    assert_true(marks_count(&net->marks, "gossip.roster.tombstone_made_room") > 0);
    net_free(&net);
}

static void more_members_than_the_table_holds_do_no_harm(void **state)
{
    (void)state;
    struct net *net = net_new(7, 10);
    net->members_max = 4;
    net_start_all(net);
    net_run(net, SEC(60));
    assert_int_equal(gossip_count(net->nodes[0].gossip), 4);
    assert_true(marks_count(&net->marks, "gossip.roster.full") > 0);
    net_free(&net);
}

/* Its own tombstone is the oldest one when the others push in. */
static void a_node_that_is_leaving_keeps_its_own_place_in_a_full_table(void **state)
{
    (void)state;
    struct net *net = net_new(7, 11);
    net->members_max = 4;
    net_start(net, 0);
    net_start(net, 1);
    net_run(net, SEC(3));
    net->seeds[0] = net->nodes[1].port;
    net_block(net, 0, 1, true); /* so that its farewell is not acknowledged at once */
    net_leave(net, 1, true);
    for (uint32_t i = 2; i < 7; i++) {
        net_start(net, i);
    }
    net_run(net, MSEC(100));
    assert_true(marks_count(&net->marks, "gossip.roster.full") > 0);
    assert_int_equal(gossip_self(net->nodes[1].gossip).state, MEMBER_LEFT);
    net_run(net, SEC(5));
    assert_true(net->nodes[1].has_left);
    net_free(&net);
}

/* ---- everything at once ---- */

static void restart_somewhere(struct net *net, uint32_t node, uint16_t *port)
{
    if (net->nodes[node].gossip != NULL) {
        net_crash(net, node);
    }
    if (node > 1 && rng_chance(&net->rng, 500000)) { /* 0 and 1 are the seeds */
        net->nodes[node].port = (*port)++;
    }
    net_start(net, node);
}

static void leave_in_order(struct net *net, uint32_t node)
{
    if (net->nodes[node].paused_until_us > net->now_us) {
        return;
    }
    net_leave(net, node, false);
    net_run(net, MSEC(300));
    if (net->nodes[node].gossip != NULL) {
        net_leave(net, node, true);
    }
}

static void do_some_harm(struct net *net, uint16_t *port)
{
    uint32_t victim = (uint32_t)rng_below(&net->rng, net->count);
    uint32_t other = (uint32_t)rng_below(&net->rng, net->count);
    bool is_running = net->nodes[victim].gossip != NULL;
    switch (rng_below(&net->rng, 7)) {
    case 0:
        net_crash(net, victim);
        return;
    case 1:
        restart_somewhere(net, victim, port);
        return;
    case 2:
        net_pause(net, victim, rng_between(&net->rng, MSEC(100), SEC(20)));
        return;
    case 3:
        net_block(net, victim, other, true);
        return;
    case 4:
        net_partition(net, victim, true);
        return;
    case 5:
        memset(net->is_blocked, 0, sizeof net->is_blocked);
        return;
    default:
        if (is_running) {
            leave_in_order(net, victim);
        }
        return;
    }
}

static bool is_anybody_held(const struct net *net)
{
    bool is_held = false;
    for (uint32_t i = 0; i < net->count; i++) {
        is_held = is_held || net_is_held(net, i);
    }
    return is_held;
}

static void whatever_happened_one_view_is_left_in_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct net *net = net_new(seed % 8 == 0 ? 20 : 2 + (uint32_t)seed % 6, seed);
        uint16_t port = 3000;
        net->seeds[1] = net->nodes[1].port;
        net->seed_count = 2;
        net->loss_permille = (uint32_t)(seed % 3) * 50;
        net->delay_max_us = MSEC(2) + rng_between(&net->rng, 0, MSEC(50));
        net_start_all(net);
        for (uint32_t i = 0; i < 12; i++) {
            do_some_harm(net, &port);
            net_run(net, rng_between(&net->rng, 0, SEC(8)));
        }
        memset(net->is_blocked, 0, sizeof net->is_blocked);
        net->loss_permille = 0;
        for (uint32_t i = 0; i < net->count; i++) {
            net->nodes[i].paused_until_us = 0;
            assert_false(net->nodes[i].in_use);
            if (net->nodes[i].gossip == NULL && i < net->count / 2 + 1) {
                net_start(net, i);
            }
        }
        assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
        while (is_anybody_held(net)) {
            net_run(net, SEC(1));
        }
        assert_true(net_settle(net, SEC(5)) != USEC_NEVER);
        net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_that_lost_each_other_are_one_within_10_s_of_the_repair),
        cmocka_unit_test(a_partition_of_a_day_heals_as_well),
        cmocka_unit_test(halves_meet_again_without_a_common_seed),
        cmocka_unit_test(who_left_and_starts_again_without_a_seed_is_found),
        cmocka_unit_test(two_clusters_of_one_name_grow_together_through_a_seed),
        cmocka_unit_test(restart_at_the_same_address_counts_at_once),
        cmocka_unit_test(restart_at_a_new_address_works),
        cmocka_unit_test(a_node_that_lost_its_disk_and_its_clock_comes_back),
        cmocka_unit_test(tombstones_are_forgotten_after_a_day),
        cmocka_unit_test(tombstones_make_room_for_the_living),
        cmocka_unit_test(more_members_than_the_table_holds_do_no_harm),
        cmocka_unit_test(a_node_that_is_leaving_keeps_its_own_place_in_a_full_table),
        cmocka_unit_test(whatever_happened_one_view_is_left_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
