/* tests/unit/fs/core/test_again.c: what the kernel asks twice is not waited for twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)
#define SIZE ((uint64_t)8 * MIB)

/* Everybody is dead, and a first READ of `size` bytes at `offset` has failed for it. */
static struct world *timed_out(uint64_t *ino, uint64_t offset, uint32_t size)
{
    struct world *w = world_make(3);
    world_file(w, "big", SIZE, "v1");
    w->options.timeo_us = SEC(30);
    world_begin(w);
    *ino = world_ino(w, "big");
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    struct mount_op op = { .kind = OP_READ, .ino = *ino, .offset = offset, .size = size };
    assert_int_equal(world_wait(w, world_op(w, op), SEC(60))->err, EIO);
    return w;
}

static usec_t time_of(struct world *w, struct mount_op op)
{
    usec_t began = w->now_us;
    const struct world_reply *reply = world_wait(w, world_op(w, op), SEC(60));
    assert_true(reply->done);
    assert_int_equal(reply->err, EIO);
    return reply->at_us - began;
}

static void page_whose_time_was_over_is_not_waited_for_a_second_time(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = timed_out(&ino, 0, 131072);
    struct mount_op page = { .kind = OP_READ, .ino = ino, .offset = 8192, .size = 4096 };
    world_run(w, MSEC(300)); /* the program that waited is on a busy machine */
    assert_in_range(time_of(w, page), 0, MSEC(50));
    world_free(w);
}

static void other_pages_and_later_reads_have_their_own_time(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = timed_out(&ino, 0, 131072);
    struct mount_op page = { .kind = OP_READ, .ino = ino, .offset = 131072, .size = 4096 };
    assert_in_range(time_of(w, page), SEC(30), SEC(31));
    page.offset = 0; /* long after the first one */
    assert_in_range(time_of(w, page), SEC(30), SEC(31));
    world_free(w);
}

static void program_that_goes_on_asking_waits_again(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = timed_out(&ino, 0, 4096);
    struct mount_op page = { .kind = OP_READ, .ino = ino, .offset = 0, .size = 4096 };
    usec_t began = w->now_us;
    uint32_t fast = 0;
    while (time_of(w, page) < SEC(1)) {
        fast++;
        assert_true(w->now_us - began < SEC(2));
    }
    assert_true(fast > 0);
    world_free(w);
}

static void second_request_is_answered_when_the_nodes_are_back(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = timed_out(&ino, 5 * MIB, 4096);
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].down = false;
    }
    world_run(w, MSEC(900)); /* links come up again */
    assert_true(world_is(world_read(w, ino, 5 * MIB, 4096), "big", "v1", 5 * MIB));
    world_free(w);
}

static void name_whose_time_was_over_is_not_waited_for_a_second_time(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = timed_out(&ino, 0, 4096);
    struct mount_op lookup = { .kind = OP_LOOKUP, .ino = MOUNT_ROOT_INO, .name = span_text("dir") };
    world_run(w, SEC(3700)); /* no listing is fresh any more */
    assert_in_range(time_of(w, lookup), SEC(30), SEC(31));
    assert_in_range(time_of(w, lookup), 0, MSEC(50));
    lookup.name = span_text("other");
    assert_in_range(time_of(w, lookup), SEC(30), SEC(31));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_whose_time_was_over_is_not_waited_for_a_second_time),
        cmocka_unit_test(other_pages_and_later_reads_have_their_own_time),
        cmocka_unit_test(program_that_goes_on_asking_waits_again),
        cmocka_unit_test(second_request_is_answered_when_the_nodes_are_back),
        cmocka_unit_test(name_whose_time_was_over_is_not_waited_for_a_second_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
