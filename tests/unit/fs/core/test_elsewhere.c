/* tests/unit/fs/core/test_elsewhere.c: an owner sends the mount to another node, which may do anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)
#define SIZE ((uint64_t)8 * MIB)

/* A world whose owner of the file's first block sends readers to the node of the last rank. */
struct desk {
    struct world *w;
    uint64_t ino;
    uint32_t owner;
    uint32_t other;
};

static struct desk settled(void)
{
    struct desk desk = { .w = world_make(3) };
    world_file(desk.w, "big", SIZE, "v1");
    world_begin(desk.w);
    desk.ino = world_ino(desk.w, "big");
    world_run(desk.w, MSEC(100));
    desk.owner = world_block_rank(desk.w, "big", 0, 0);
    desk.other = world_block_rank(desk.w, "big", 0, 2);
    desk.w->nodes[desk.owner].names = desk.other + 1;
    return desk;
}

static void read_right(struct desk *desk, usec_t most_us)
{
    struct mount_op op = { .kind = OP_READ, .ino = desk->ino, .offset = MIB, .size = 4096 };
    const struct world_reply *reply = world_wait(desk->w, world_op(desk->w, op), most_us);
    assert_true(reply->done);
    assert_true(world_is(reply, "big", "v1", MIB));
    assert_int_equal(reply->size, 4096);
}

/* The n-th GET went to that node, so. */
static void assert_asked(const struct desk *desk, uint32_t nth, uint32_t node, uint64_t mode,
                         bool elsewhere)
{
    const struct world_ask *ask = world_ask(desk->w, MESSAGE_GET, nth);
    assert_non_null(ask);
    assert_int_equal(ask->node, node);
    assert_int_equal(ask->mode, mode);
    assert_int_equal(ask->elsewhere, elsewhere);
    assert_int_equal(ask->silent, 0);
}

static void a_node_that_the_owner_names_is_asked_for_a_copy(void **state)
{
    (void)state;
    struct desk desk = settled();
    read_right(&desk, MSEC(20));
    assert_asked(&desk, 0, desk.owner, GET_PLAIN, true);
    assert_asked(&desk, 1, desk.other, GET_COPY, false);
    assert_int_equal(world_count(desk.w, MESSAGE_GET), 2);
    world_free(desk.w);
}

static void when_it_has_nothing_the_owner_is_asked_again_and_may_not_name_another(void **state)
{
    (void)state;
    struct desk desk = settled();
    desk.w->nodes[desk.other].fail = ERR_NOT_FOUND; /* final, had the owner said it */
    read_right(&desk, MSEC(20));
    assert_asked(&desk, 1, desk.other, GET_COPY, false);
    assert_asked(&desk, 2, desk.owner, GET_PLAIN, false);
    assert_int_equal(world_count(desk.w, MESSAGE_GET), 3);
    world_free(desk.w);
}

static void when_it_is_busy_or_lies_the_owner_is_asked_at_once(void **state)
{
    (void)state;
    struct desk desk = settled();
    desk.w->nodes[desk.other].busy = 1;
    read_right(&desk, MSEC(5));
    assert_asked(&desk, 2, desk.owner, GET_PLAIN, false);
    world_free(desk.w);
    desk = settled();
    desk.w->nodes[desk.other].lies = 1;
    read_right(&desk, MSEC(20));
    assert_asked(&desk, 2, desk.owner, GET_PLAIN, false);
    world_free(desk.w);
}

static void when_it_is_silent_the_owner_is_asked_after_400_ms(void **state)
{
    (void)state;
    struct desk desk = settled();
    desk.w->nodes[desk.other].silent = true;
    const usec_t began_us = desk.w->now_us;
    read_right(&desk, SEC(1));
    assert_in_range(desk.w->now_us - began_us, MSEC(400), MSEC(410));
    assert_asked(&desk, 2, desk.owner, GET_PLAIN, false);
    world_run(desk.w, MSEC(1));
    const struct world_ask *cancel = world_ask(desk.w, MESSAGE_CANCEL, 0);
    assert_non_null(cancel);
    assert_int_equal(cancel->node, desk.other);
    world_free(desk.w);
}

static void a_stranger_is_not_asked(void **state)
{
    (void)state;
    struct desk desk = settled();
    desk.w->nodes[desk.owner].names_stranger = true;
    read_right(&desk, MSEC(20));
    assert_asked(&desk, 1, desk.owner, GET_PLAIN, false);
    assert_int_equal(world_count(desk.w, MESSAGE_GET), 2);
    world_free(desk.w);
}

static void who_acts_for_a_silent_owner_may_not_name_anybody(void **state)
{
    (void)state;
    struct desk desk = settled();
    const uint32_t second = world_block_rank(desk.w, "big", 0, 1);
    desk.w->nodes[desk.owner].silent = true;
    desk.w->nodes[second].names = desk.other + 1;
    read_right(&desk, SEC(1));
    const struct world_ask *ask = world_ask(desk.w, MESSAGE_GET, 1);
    assert_int_equal(ask->node, second);
    assert_int_equal(ask->mode, GET_ACTING);
    assert_false(ask->elsewhere);
    world_free(desk.w);
}

static void when_the_owner_dies_meanwhile_the_next_rank_acts(void **state)
{
    (void)state;
    struct desk desk = settled();
    desk.w->nodes[desk.other].fail = ERR_NOT_FOUND;
    desk.w->nodes[desk.other].lazy_us = MSEC(50);
    struct mount_op op = { .kind = OP_READ, .ino = desk.ino, .offset = MIB, .size = 4096 };
    const uint64_t id = world_op(desk.w, op);
    world_run(desk.w, MSEC(20));
    desk.w->nodes[desk.owner].silent = true;
    const struct world_reply *reply = world_wait(desk.w, id, SEC(1));
    assert_true(reply->done && world_is(reply, "big", "v1", MIB));
    assert_asked(&desk, 2, desk.owner, GET_PLAIN, false);
    const struct world_ask *ask = world_ask(desk.w, MESSAGE_GET, 3);
    assert_int_equal(ask->node, world_block_rank(desk.w, "big", 0, 1));
    assert_int_equal(ask->mode, GET_ACTING);
    assert_int_equal(ask->silent, 1); /* the owner, and not who was named */
    world_free(desk.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_the_owner_names_is_asked_for_a_copy),
        cmocka_unit_test(when_it_has_nothing_the_owner_is_asked_again_and_may_not_name_another),
        cmocka_unit_test(when_it_is_busy_or_lies_the_owner_is_asked_at_once),
        cmocka_unit_test(when_it_is_silent_the_owner_is_asked_after_400_ms),
        cmocka_unit_test(a_stranger_is_not_asked),
        cmocka_unit_test(who_acts_for_a_silent_owner_may_not_name_anybody),
        cmocka_unit_test(when_the_owner_dies_meanwhile_the_next_rank_acts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
