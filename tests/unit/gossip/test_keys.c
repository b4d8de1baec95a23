/* tests/unit/gossip/test_keys.c: rotations of the key, with crashes, partitions and loss. */
#include "tests/unit/gossip/bench.h"

#include "base/hash.h"

#define OLD 0 /* the key that all nodes of a net start with */
#define TTL 5 /* seconds */

static void assert_nobody_was_hurt(const struct net *net)
{
    assert_int_equal(net_suspects(net), 0);
    assert_int_equal(net_unopened(net), 0);
}

static enum key_stage stage(const struct net *net, uint32_t asked, uint32_t of)
{
    struct key_holder holders[NET_NODES_MAX];
    const uint32_t count = gossip_stages(net->nodes[asked].gossip, holders, NET_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(holders[i].node, net->nodes[of].id)) {
            return holders[i].stage;
        }
    }
    fail_msg("a member that is not known");
    return KEY_STAGE_NONE;
}

/* The cluster goes on to another key, and has retired the last one. */
static void rotate_whole(struct net *net, uint32_t at, uint8_t byte)
{
    net_rotate(net, at, byte, TTL, false);
    assert_true(net_wait_key(net, byte, 1, SEC(60)) != USEC_NEVER);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void a_rotation_goes_through_its_steps_everywhere(void **state)
{
    (void)state;
    struct net *net = net_started(3, 1);
    net_rotate(net, 1, 2, TTL, false);
    assert_false(net->nodes[1].rotated); /* the others do not have it yet */
    assert_int_equal(net_key_used(net, 1), OLD);
    assert_true(net_wait_key(net, 2, 2, SEC(5)) != USEC_NEVER);
    assert_true(net->nodes[1].rotated);
    assert_int_equal(net->nodes[1].rotated_err, ERR_OK);
    net_run(net, SEC(TTL) - SEC(1));
    assert_true(net_all_use(net, 2, 2)); /* the old one opens as long as it was said to */
    assert_true(net_wait_key(net, 2, 1, SEC(5)) != USEC_NEVER);
    assert_nobody_was_hurt(net);
    net_free(&net);
}

static void a_node_that_is_alone_rotates_too(void **state)
{
    (void)state;
    struct net *net = net_started(1, 2);
    rotate_whole(net, 0, 2);
    net_free(&net);
}

static void rotations_under_loss_hurt_nobody(void **state)
{
    (void)state;
    static const uint32_t losses[] = { 0, 50, 200 }; /* per mille */
    for (uint32_t i = 0; i < ARRAY_COUNT(losses); i++) {
        for (uint64_t seed = 0; seed < 10; seed++) {
            static const uint32_t counts[] = { 2, 3, 9, 24 };
            struct net *net = net_started(counts[seed % 4], seed);
            net->loss_permille = losses[i];
            net_run(net, SEC(20));
            const uint32_t suspects = net_suspects(net); /* of a lost packet alone */
            net_rotate(net, (uint32_t)seed % net->count, 2, TTL, false);
            const usec_t used_us = net_wait_key(net, 2, 2, SEC(30));
            assert_true(used_us <= SEC(15));
            assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
            net_run(net, SEC(10));
            assert_int_equal(net_unopened(net), 0);
            assert_int_equal(net->false_deaths, 0);
            assert_true(losses[i] > 50 || net_suspects(net) == suspects);
            net_free(&net);
        }
    }
}

static void an_insecure_cluster_has_no_key_to_rotate(void **state)
{
    (void)state;
    struct net *net = net_new(1, 3);
    net->nodes[0].is_insecure = true;
    net_start(net, 0);
    net_rotate(net, 0, 2, TTL, false);
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_UNSUPPORTED);
    net_free(&net);
}

static void a_rotation_while_another_is_under_way_is_refused(void **state)
{
    (void)state;
    struct net *net = net_started(3, 4);
    net_rotate(net, 0, 2, TTL, false);
    net_rotate(net, 0, 3, TTL, false);
    assert_int_equal(net->nodes[0].rotated_err, ERR_BUSY); /* the first one is not answered yet */
    assert_true(net_wait_key(net, 2, 2, SEC(5)) != USEC_NEVER);
    net_rotate(net, 0, 3, TTL, false);
    assert_int_equal(net->nodes[0].rotated_err, ERR_ROTATING);
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    net_free(&net);
}

static void force(struct net *net, uint32_t node, uint8_t byte, uint32_t ttl_s)
{
    struct key_rotation rotation = { .key = { .ttl_s = ttl_s },
                                     .revokes = true,
                                     .is_forced = true };
    memset(rotation.key.gossip, byte, sizeof rotation.key.gossip);
    memset(rotation.key.sign_secret, byte, sizeof rotation.key.sign_secret);
    net_ask_rotation(net, node, &rotation);
    net_run(net, SEC(1));
    assert_true(net->nodes[node].rotated);
    assert_int_equal(net->nodes[node].rotated_err, ERR_OK);
}

static void no_rotation_cuts_the_time_that_an_older_key_was_promised(void **state)
{
    (void)state;
    struct net *net = net_started(3, 15);
    net_rotate(net, 0, 2, 60, true);
    assert_int_equal(gossip_keys_end(net->nodes[1].gossip), USEC_NEVER);
    assert_true(net_wait_key(net, 2, 2, SEC(5)) != USEC_NEVER);
    net_run(net, SEC(2));
    const usec_t end_us = gossip_keys_end(net->nodes[1].gossip);
    net_rotate(net, 1, 3, 1, false);
    assert_int_equal(net->nodes[1].rotated_err, ERR_ROTATING);
    assert_int_equal(gossip_keys_end(net->nodes[1].gossip), end_us);
    net_run(net, SEC(56));
    assert_true(net_all_use(net, 2, 2));
    assert_true(net_wait_key(net, 2, 1, SEC(5)) != USEC_NEVER);
    assert_int_equal(gossip_keys_end(net->nodes[1].gossip), USEC_NEVER);
    net_free(&net);
}

static void an_operator_may_end_an_older_key_before_its_time(void **state)
{
    (void)state;
    struct net *net = net_started(3, 16);
    net_rotate(net, 0, 2, 86400, true);
    assert_true(net_wait_key(net, 2, 2, SEC(5)) != USEC_NEVER);
    net_run(net, SEC(2));
    force(net, 1, 3, 2);
    assert_true(net_wait_key(net, 3, 1, SEC(10)) != USEC_NEVER);
    assert_nobody_was_hurt(net);
    net_free(&net);
}

/* Three keys are open when the last one comes, and the one that all seal with is not the newest. */
static void a_key_is_revoked_at_once_also_while_rotations_wait(void **state)
{
    (void)state;
    struct net *net = net_started(5, 17);
    net->nodes[3].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(5));
    force(net, 1, 3, TTL);
    net_run(net, SEC(5));
    force(net, 2, 4, TTL);
    net_run(net, SEC(5));
    assert_int_equal(net_key_used(net, 2), OLD);
    net->nodes[3].disk_is_full = false;
    assert_true(net_wait_key(net, 4, 1, SEC(30)) != USEC_NEVER);
    assert_nobody_was_hurt(net);
    net_free(&net);
}

static void rotations_begun_at_once_settle_on_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = net_started(9, seed);
        net_rotate(net, 1, 20, TTL, false);
        net_rotate(net, 5, 30, TTL, false);
        net_rotate(net, 7, 40, TTL, false);
        net_run(net, SEC(30));
        const uint8_t byte = net_key_used(net, 0);
        assert_true(byte == 20 || byte == 30 || byte == 40);
        assert_true(net_all_use(net, byte, 1));
        assert_nobody_was_hurt(net);
        net_free(&net);
    }
}

/* Whichever of the two it is that all take. */
static void of_rotations_begun_at_once_the_longer_time_counts_everywhere(void **state)
{
    (void)state;
    const struct keyring old = net_ring(OLD);
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = net_started(9, seed);
        net_rotate(net, 1, 20, seed % 2 == 0 ? 3 : 40, false);
        net_rotate(net, 5, 30, seed % 2 == 0 ? 40 : 3, false);
        net_run(net, SEC(35));
        for (uint32_t i = 0; i < net->count; i++) {
            assert_non_null(
                keyring_find(gossip_ring(net->nodes[i].gossip), cluster_key_id(&old.keys[0])));
        }
        const uint8_t byte = net_key_used(net, 0);
        assert_true(net_wait_key(net, byte, 1, SEC(20)) != USEC_NEVER);
        net_free(&net);
    }
}

/* ---- who does not follow --------------------------------------------------------------------- */

static void a_node_that_cannot_keep_the_key_holds_its_use_up_and_is_seen(void **state)
{
    (void)state;
    struct net *net = net_started(5, 5);
    net->nodes[3].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(60));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(net_key_used(net, i), OLD);
        assert_int_equal(stage(net, i, 3), KEY_STAGE_NONE);
        assert_int_equal(stage(net, i, i == 0 ? 1 : 0), KEY_STAGE_HAS);
    }
    net->nodes[3].disk_is_full = false;
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    assert_nobody_was_hurt(net);
    net_free(&net);
}

static void a_node_that_dies_does_not_hold_a_rotation_up(void **state)
{
    (void)state;
    struct net *net = net_started(5, 7);
    net->nodes[3].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(20));
    assert_int_equal(net_key_used(net, 0), OLD);
    net_crash(net, 3);
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    net_free(&net);
}

/* ---- crashes and partitions in the middle ------------------------------------------------------ */

static void a_rotation_goes_on_without_the_node_that_began_it(void **state)
{
    (void)state;
    struct net *net = net_started(5, 8);
    net_rotate(net, 0, 2, TTL, false);
    for (uint32_t i = 0; gossip_ring(net->nodes[1].gossip)->count == 1; i++) {
        assert_true(i < 1000);
        net_run(net, MSEC(1));
    }
    net_crash(net, 0);
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    net_start(net, 0);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    net_free(&net);
}

/* Whatever crashes whenever, with or without its disk: in the end all use the new key. */
static void crashes_at_any_step_do_not_stop_a_rotation(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct net *net = net_started(5, seed);
        struct rng rng;
        rng_init(&rng, seed, 9);
        net->loss_permille = (uint32_t)rng_below(&rng, 3) * 50;
        net_rotate(net, 0, 2, 1, false);
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t node = (uint32_t)rng_below(&rng, 5);
            net_run(net, rng_between(&rng, 0, MSEC(800)));
            net_crash(net, node);
            if (rng_below(&rng, 4) == 0) {
                net->nodes[node].ring.count = 0; /* its disk is empty; it has its cluster file */
            }
            net_run(net, rng_between(&rng, 0, SEC(2)));
            net_start(net, node);
        }
        net->loss_permille = 0;
        assert_true(net_settle(net, SEC(40)) != USEC_NEVER);
        net_run(net, SEC(10));
        const uint8_t byte = net_key_used(net, 0);
        assert_true(byte == 2 || byte == OLD); /* OLD: nobody but who crashed had it on disk */
        assert_true(net_wait_key(net, byte, 1, SEC(60)) != USEC_NEVER);
        net_free(&net);
    }
}

static void a_partition_in_the_middle_heals(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct net *net = net_started(8, seed);
        struct rng rng;
        rng_init(&rng, seed, 10);
        net_rotate(net, 0, 2, 2, false);
        net_run(net, rng_between(&rng, 0, SEC(1)));
        net_partition(net, 3, true);
        net_run(net, rng_between(&rng, 0, SEC(40)));
        net_partition(net, 3, false);
        assert_true(net_settle(net, SEC(40)) != USEC_NEVER);
        assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
        net_free(&net);
    }
}

static void halves_that_each_rotated_come_together(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct net *net = net_started(8, seed);
        net_partition(net, 3, true);
        net_run(net, SEC(20));
        net_rotate(net, 0, 20, 2, false);
        net_rotate(net, 7, 30, 2, false);
        net_run(net, SEC(20));
        assert_int_equal(net_key_used(net, 1), 20);
        assert_int_equal(net_key_used(net, 6), 30);
        net_partition(net, 3, false);
        assert_true(net_settle(net, SEC(40)) != USEC_NEVER);
        net_run(net, SEC(20));
        assert_true(net_all_use(net, net_key_used(net, 0), 1));
        net_free(&net);
    }
}

static void a_node_that_stood_still_over_a_rotation_follows(void **state)
{
    (void)state;
    struct net *net = net_started(5, 11);
    net_pause(net, 2, SEC(60));
    net_run(net, SEC(10)); /* it is dead for the others */
    net_rotate(net, 0, 2, 2, false);
    net_run(net, SEC(20));
    rotate_whole(net, 1, 3);
    net_run(net, SEC(60));
    assert_true(net_settle(net, SEC(40)) != USEC_NEVER);
    assert_true(net_wait_key(net, 3, 1, SEC(30)) != USEC_NEVER);
    net_free(&net);
}

/* ---- who was away ------------------------------------------------------------------------------ */

static void a_node_that_missed_two_rotations_rejoins(void **state)
{
    (void)state;
    for (uint8_t missed = 1; missed <= 2; missed++) {
        struct net *net = net_started(4, missed);
        net_crash(net, 3);
        net_run(net, SEC(10));
        for (uint8_t i = 0; i < missed; i++) {
            rotate_whole(net, i, (uint8_t)(10 + i));
        }
        net_start(net, 3);
        assert_true(net_settle(net, SEC(15)) != USEC_NEVER);
        assert_int_equal(net_key_used(net, 3), 9 + missed);
        net_run(net, SEC(20));
        assert_true(net_all_use(net, 9 + missed, 1));
        assert_int_equal(net_suspects(net), net_suspects(net));
        net_free(&net);
    }
}

static void a_new_node_with_an_old_cluster_file_joins(void **state)
{
    (void)state;
    struct net *net = net_new(4, 12);
    for (uint32_t i = 0; i < 3; i++) {
        net_start(net, i);
    }
    net_run(net, SEC(15));
    rotate_whole(net, 0, 10);
    rotate_whole(net, 1, 11);
    net_start(net, 3); /* it never was a member */
    assert_true(net_settle(net, SEC(15)) != USEC_NEVER);
    assert_int_equal(net_key_used(net, 3), 11);
    net_free(&net);
}

static void assert_stays_outside(struct net *net, uint32_t node, uint8_t its_key)
{
    net_run(net, SEC(60));
    assert_int_equal(net_key_used(net, node), its_key);
    assert_true(net_sees(net, 0, node) == NULL || !member_is_living(net_sees(net, 0, node)));
    assert_null(net_sees(net, node, 0));
}

static void a_node_that_missed_three_rotations_stays_outside(void **state)
{
    (void)state;
    struct net *net = net_started(4, 13);
    net_crash(net, 3);
    net_run(net, SEC(10));
    for (uint8_t i = 0; i < 3; i++) {
        rotate_whole(net, i, (uint8_t)(10 + i));
    }
    net_start(net, 3);
    assert_stays_outside(net, 3, OLD);
    net_free(&net);
}

static void a_node_that_missed_a_revocation_stays_outside(void **state)
{
    (void)state;
    struct net *net = net_started(4, 14);
    net_crash(net, 3);
    net_run(net, SEC(10));
    net_rotate(net, 0, 10, 2, true);
    assert_true(net_wait_key(net, 10, 1, SEC(30)) != USEC_NEVER);
    net_start(net, 3);
    assert_stays_outside(net, 3, OLD);
    net_free(&net);
}

static void a_whole_cluster_that_stops_during_a_rotation_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = net_started(5, seed);
        net_rotate(net, 0, 2, 2, false);
        net_run(net, MSEC(200) * (usec_t)seed);
        for (uint32_t i = 0; i < 5; i++) {
            net_crash(net, i);
        }
        net_run(net, SEC(5));
        net_start_all(net);
        assert_true(net_settle(net, SEC(30)) != USEC_NEVER);
        assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
        net_free(&net);
    }
}

static void a_node_joins_in_the_middle_of_a_rotation(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net *net = net_new(5, seed);
        for (uint32_t i = 0; i < 4; i++) {
            net_start(net, i);
        }
        net_run(net, SEC(15));
        net_rotate(net, 0, 2, 2, false);
        net_run(net, MSEC(150) * (usec_t)seed);
        net_start(net, 4);
        assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
        assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
        assert_int_equal(net_suspects(net), 0);
        net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rotation_goes_through_its_steps_everywhere),
        cmocka_unit_test(a_node_that_is_alone_rotates_too),
        cmocka_unit_test(rotations_under_loss_hurt_nobody),
        cmocka_unit_test(an_insecure_cluster_has_no_key_to_rotate),
        cmocka_unit_test(a_rotation_while_another_is_under_way_is_refused),
        cmocka_unit_test(no_rotation_cuts_the_time_that_an_older_key_was_promised),
        cmocka_unit_test(an_operator_may_end_an_older_key_before_its_time),
        cmocka_unit_test(a_key_is_revoked_at_once_also_while_rotations_wait),
        cmocka_unit_test(rotations_begun_at_once_settle_on_one),
        cmocka_unit_test(of_rotations_begun_at_once_the_longer_time_counts_everywhere),
        cmocka_unit_test(a_node_that_cannot_keep_the_key_holds_its_use_up_and_is_seen),
        cmocka_unit_test(a_node_that_dies_does_not_hold_a_rotation_up),
        cmocka_unit_test(a_rotation_goes_on_without_the_node_that_began_it),
        cmocka_unit_test(crashes_at_any_step_do_not_stop_a_rotation),
        cmocka_unit_test(a_partition_in_the_middle_heals),
        cmocka_unit_test(halves_that_each_rotated_come_together),
        cmocka_unit_test(a_node_that_stood_still_over_a_rotation_follows),
        cmocka_unit_test(a_node_that_missed_two_rotations_rejoins),
        cmocka_unit_test(a_new_node_with_an_old_cluster_file_joins),
        cmocka_unit_test(a_node_that_missed_three_rotations_stays_outside),
        cmocka_unit_test(a_node_that_missed_a_revocation_stays_outside),
        cmocka_unit_test(a_whole_cluster_that_stops_during_a_rotation_comes_back),
        cmocka_unit_test(a_node_joins_in_the_middle_of_a_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
