#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)

static struct world *settled(uint64_t *ino)
{
    struct world *w = world_make(3);
    world_file(w, "set/a file", 10 * MIB, "v1");
    world_begin(w);
    world_run(w, MSEC(100));
    *ino = world_ino(w, "set/a file");
    return w;
}

static const struct world_reply *read_some(struct world *w, uint64_t ino, usec_t for_us)
{
    struct mount_op op = { .kind = OP_READ, .ino = ino, .size = 4096 };
    return world_wait(w, world_op(w, op), for_us);
}

static uint32_t lines(const struct world *w, const char *word)
{
    uint32_t count = 0;
    for (const char *at = w->log; (at = strstr(at, word)) != NULL; at++) {
        count++;
    }
    return count;
}

static void node_that_falls_silent_and_comes_back_is_told_by_name(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = settled(&ino);
    uint32_t owner = world_block_rank(w, "set/a file", 0, 0);
    w->nodes[owner].silent = true;
    assert_true(read_some(w, ino, SEC(2))->done);
    assert_int_equal(lines(w, "mount.node_silent node="), 1);
    assert_int_equal(lines(w, "mount.node_back"), 0);
    w->nodes[owner].silent = false;
    world_run(w, SEC(3));
    assert_int_equal(lines(w, "mount.node_back node="), 1);
    assert_int_equal(lines(w, "silent_ms="), 1);
    assert_int_equal(lines(w, "mount.waiting"), 0); /* another node helped */
    world_free(w);
}

static void reads_that_wait_are_told_once_for_all_in_half_a_minute(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = settled(&ino);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].down = true;
        world_cut(w, i);
    }
    assert_false(read_some(w, ino, SEC(20))->done);
    assert_int_equal(lines(w, "mount.waiting"), 1);
    assert_int_equal(lines(w, "nodes_answering=0"), 1);
    world_run(w, SEC(20));
    assert_int_equal(lines(w, "mount.waiting"), 2);
    world_free(w);
}

static void request_that_fails_is_told_with_its_path_and_error(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = settled(&ino);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].fail = ERR_SOURCE_DENIED;
    }
    const struct world_reply *reply = read_some(w, ino, SEC(60));
    assert_true(reply->done);
    assert_int_equal(reply->err, EACCES);
    assert_int_equal(lines(w, "mount.failed op=read path=\"set/a file\" err=SOURCE_DENIED"), 1);
    world_free(w);
}

static void name_that_is_not_there_is_nothing_to_tell(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = settled(&ino);
    assert_int_equal(world_lookup(w, MOUNT_ROOT_INO, "nothing")->entry.ino, 0);
    assert_int_equal(w->log_size, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_that_falls_silent_and_comes_back_is_told_by_name),
        cmocka_unit_test(reads_that_wait_are_told_once_for_all_in_half_a_minute),
        cmocka_unit_test(request_that_fails_is_told_with_its_path_and_error),
        cmocka_unit_test(name_that_is_not_there_is_nothing_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
