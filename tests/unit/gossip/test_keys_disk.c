/* tests/unit/gossip/test_keys_disk.c: on whose disks a new key is, and what an operator is told. */
#include "tests/unit/gossip/net.h"

#define OLD 0 /* the key that all nodes of a net start with */
#define TTL 5 /* seconds */

static void a_key_that_could_not_be_kept_was_never_there(void **state)
{
    (void)state;
    struct net *net = net_started(2, 6);
    net->nodes[0].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(9));
    assert_false(net->nodes[0].rotated);
    net_run(net, SEC(2));
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_SYSTEM);
    assert_int_equal(net_key_used(net, 1), OLD); /* it told nobody of a key it may lose */
    assert_int_equal(gossip_ring(net->nodes[1].gossip)->count, 1);
    net->nodes[0].disk_is_full = false;
    net_run(net, SEC(30));
    assert_true(net_all_use(net, OLD, 1));
    assert_int_equal(net->nodes[0].ring.count, 1); /* on its disk too */
    net_rotate(net, 0, 3, TTL, false);
    assert_true(net_wait_key(net, 3, 1, SEC(60)) != USEC_NEVER);
    net_free(&net);
}

/* It refused the first attempt and is busy with the second: that one may still end well. */
static void a_key_that_was_refused_once_and_is_being_written_is_not_taken_back(void **state)
{
    (void)state;
    struct net *net = net_started(2, 22);
    net->nodes[0].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(1));
    net->nodes[0].disk_is_full = false;
    net->nodes[0].disk_is_slow = true;
    net_run(net, SEC(10));
    assert_int_equal(net->nodes[0].rotated_err, ERR_TIMEOUT);
    assert_int_equal(gossip_ring(net->nodes[0].gossip)->count, 2);
    net->nodes[0].disk_is_slow = false;
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    net_free(&net);
}

/* Nobody knows yet what a restart would find: it stays, and is told to nobody before it is kept. */
static void a_key_that_is_still_being_written_is_not_taken_back(void **state)
{
    (void)state;
    struct net *net = net_started(2, 21);
    net->nodes[0].disk_is_slow = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(11));
    assert_int_equal(net->nodes[0].rotated_err, ERR_TIMEOUT);
    assert_int_equal(gossip_ring(net->nodes[0].gossip)->count, 2);
    assert_int_equal(gossip_ring(net->nodes[1].gossip)->count, 1);
    net->nodes[0].disk_is_slow = false;
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    assert_int_equal(net_suspects(net), 0);
    net_free(&net);
}

/* Until then it would wait for this node to come back, should that die. */
static void a_rotation_has_begun_when_another_disk_has_the_key(void **state)
{
    (void)state;
    struct net *net = net_started(3, 23);
    for (uint32_t i = 1; i < 3; i++) {
        net->nodes[i].disk_is_full = true;
    }
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(5));
    assert_int_equal(gossip_ring(net->nodes[1].gossip)->count, 2);
    assert_false(net->nodes[0].rotated);
    net->nodes[2].disk_is_full = false;
    net_run(net, SEC(4)); /* it tries again after one wait */
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_OK);
    net_crash(net, 0);
    net->nodes[1].disk_is_full = false;
    net_run(net, SEC(30));
    assert_int_equal(net_key_used(net, 1), 2);
    assert_int_equal(net_key_used(net, 2), 2);
    net_free(&net);
}

static void a_key_that_nobody_else_has_kept_is_not_said_to_be_on_its_way(void **state)
{
    (void)state;
    struct net *net = net_started(3, 24);
    for (uint32_t i = 1; i < 3; i++) {
        net->nodes[i].disk_is_full = true;
    }
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(11));
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_TIMEOUT);
    assert_int_equal(gossip_ring(net->nodes[0].gossip)->count, 2);
    for (uint32_t i = 1; i < 3; i++) {
        net->nodes[i].disk_is_full = false;
    }
    assert_true(net_wait_key(net, 2, 1, SEC(30)) != USEC_NEVER);
    assert_int_equal(net_suspects(net), 0);
    net_free(&net);
}

static void of_two_that_were_asked_at_once_the_one_that_gave_way_is_refused(void **state)
{
    (void)state;
    struct net *net = net_started(3, 25);
    net_rotate(net, 0, 2, TTL, false);
    net_rotate(net, 1, 3, TTL, false);
    net_run(net, SEC(3));
    const uint8_t used = net_key_used(net, 2);
    const uint32_t winner = used == 2 ? 0 : 1;
    assert_true(used == 2 || used == 3);
    assert_true(net->nodes[0].rotated && net->nodes[1].rotated);
    assert_int_equal(net->nodes[winner].rotated_err, ERR_OK);
    assert_int_equal(net->nodes[1 - winner].rotated_err, ERR_ROTATING);
    net_free(&net);
}

static void who_still_looks_for_others_does_not_take_itself_for_all(void **state)
{
    (void)state;
    struct net *net = net_new(2, 26);
    net_start(net, 1); /* its seed does not run */
    net_rotate(net, 1, 2, TTL, false);
    net_run(net, SEC(2));
    assert_false(net->nodes[1].rotated);
    net_run(net, SEC(7));
    assert_true(net->nodes[1].rotated);
    assert_int_equal(net->nodes[1].rotated_err, ERR_OK);
    net_free(&net);
}

static void who_forces_a_rotation_does_not_wait_for_another_answer(void **state)
{
    (void)state;
    struct net *net = net_started(3, 27);
    net->nodes[1].disk_is_full = true;
    net->nodes[2].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(1));
    assert_false(net->nodes[0].rotated);
    const struct key_rotation forced = { .key = { .ttl_s = 1, .gossip = { 3 } },
                                         .is_forced = true };
    net_event(net, 0,
              &(struct gossip_event){ .kind = GOSSIP_ROTATE,
                                      .rotate = { .id = 2, .rotation = &forced } });
    assert_true(net->nodes[0].rotated); /* the first one */
    assert_int_equal(net->nodes[0].rotated_err, ERR_ROTATING);
    net->nodes[0].rotated = false;
    net->nodes[1].disk_is_full = false;
    net_run(net, SEC(6));
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_OK);
    net_free(&net);
}

static void who_leaves_says_that_it_does_not_know(void **state)
{
    (void)state;
    struct net *net = net_started(2, 28);
    net->nodes[1].disk_is_full = true;
    net_rotate(net, 0, 2, TTL, false);
    net_run(net, SEC(1));
    for (uint32_t drained = 0; drained < 2; drained++) {
        assert_false(net->nodes[0].rotated);
        net_leave(net, 0, drained > 0);
    }
    net_run(net, MSEC(100));
    assert_true(net->nodes[0].rotated);
    assert_int_equal(net->nodes[0].rotated_err, ERR_TIMEOUT);
    net_free(&net);
}

/* It was not written, so it does not cut the time either. */
static void a_forced_key_that_could_not_be_kept_leaves_the_others_their_time(void **state)
{
    (void)state;
    struct net *net = net_started(3, 18);
    net_rotate(net, 0, 2, 60, false);
    assert_true(net_wait_key(net, 2, 2, SEC(5)) != USEC_NEVER);
    net_run(net, SEC(2));
    const usec_t end_us = gossip_keys_end(net->nodes[1].gossip);
    net->nodes[1].disk_is_full = true;
    net_ask_rotation(
        net, 1,
        &(struct key_rotation){ .key = { .ttl_s = 1, .gossip = { 3 } }, .is_forced = true });
    net_run(net, SEC(11));
    assert_int_equal(net->nodes[1].rotated_err, ERR_SYSTEM);
    net->nodes[1].disk_is_full = false;
    net_run(net, SEC(6));
    assert_true(net_all_use(net, 2, 2));
    assert_int_equal(gossip_keys_end(net->nodes[1].gossip), end_us);
    assert_true(net_wait_key(net, 2, 1, SEC(60)) != USEC_NEVER);
    assert_int_equal(net_suspects(net), 0);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_could_not_be_kept_was_never_there),
        cmocka_unit_test(a_key_that_was_refused_once_and_is_being_written_is_not_taken_back),
        cmocka_unit_test(a_key_that_is_still_being_written_is_not_taken_back),
        cmocka_unit_test(a_rotation_has_begun_when_another_disk_has_the_key),
        cmocka_unit_test(a_key_that_nobody_else_has_kept_is_not_said_to_be_on_its_way),
        cmocka_unit_test(of_two_that_were_asked_at_once_the_one_that_gave_way_is_refused),
        cmocka_unit_test(who_still_looks_for_others_does_not_take_itself_for_all),
        cmocka_unit_test(who_forces_a_rotation_does_not_wait_for_another_answer),
        cmocka_unit_test(who_leaves_says_that_it_does_not_know),
        cmocka_unit_test(a_forced_key_that_could_not_be_kept_leaves_the_others_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
