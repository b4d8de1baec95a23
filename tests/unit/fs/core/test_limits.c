/* tests/unit/fs/core/test_limits.c: tables that are full, answers that make no sense, clusters that
 * change under a mount. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/core/cell.h"
#include "base/rng.h"
#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)

static uint64_t marked(const struct world *w, const char *name)
{
    return marks_count(&w->marks, name);
}

static void inject(struct world *w, const struct message *message, uint32_t payload)
{
    uint8_t bytes[4096];
    size_t used = 0;
    assert_int_equal(message_encode(message, bytes, sizeof bytes, &used), ERR_OK);
    for (uint32_t i = 0; i < w->link_count; i++) {
        world_inject(w, i, span_of(bytes, used), payload);
    }
}

/* ---- strings in cells ---------------------------------------------------------------------------- */

static void strings_of_every_length_come_back_as_they_were_stored(void **state)
{
    (void)state;
    static uint8_t memory[65536];
    uint8_t text[300];
    uint8_t back[300];
    struct arena arena;
    struct cells cells;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(cell_init(&cells, &arena, 100), ERR_OK);
    for (uint32_t size = 0; size <= sizeof text; size++) {
        for (uint32_t i = 0; i < size; i++) {
            text[i] = (uint8_t)(size + i);
        }
        struct cell_ref ref;
        assert_true(cell_store(&cells, span_of(text, size), &ref));
        cell_copy(&cells, ref, back);
        assert_memory_equal(back, text, size);
        assert_true(cell_equal(&cells, ref, span_of(text, size)));
        text[size / 2] ^= 1;
        assert_true(size == 0 || !cell_equal(&cells, ref, span_of(text, size)));
        cell_drop(&cells, &ref);
        assert_int_equal(cells.used, 0);
    }
}

static void full_cells_refuse_and_take_again_what_was_given_back(void **state)
{
    (void)state;
    static uint8_t memory[8192];
    uint8_t text[28 * 4] = { 0 };
    struct cell_ref refs[3];
    struct cell_ref more;
    struct arena arena;
    struct cells cells;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(cell_init(&cells, &arena, 12), ERR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(cell_store(&cells, span_of(text, sizeof text), &refs[i]));
    }
    assert_false(cell_store(&cells, span_of(text, 1), &more));
    cell_drop(&cells, &refs[1]);
    assert_true(cell_store(&cells, span_of(text, sizeof text), &more));
}

/* ---- answers that make no sense --------------------------------------------------------------------- */

static void garbage_changes_nothing(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    struct rng rng;
    rng_init(&rng, 5, 0);
    uint64_t op = world_start_read(w, ino, 5 * MIB);
    for (uint32_t i = 0; i < 200; i++) {
        uint8_t bytes[64];
        for (uint32_t b = 0; b < sizeof bytes; b++) {
            bytes[b] = (uint8_t)rng_next(&rng);
        }
        world_inject(w, i, span_of(bytes, rng_below(&rng, sizeof bytes)), i % 2 * 1000);
    }
    assert_true(marked(w, "mount.message.malformed") > 100);
    assert_true(world_is(world_wait(w, op, SEC(1)), "big", "v1", 5 * MIB));
    assert_int_equal(w->payload_bytes, world_totals(w).memory_used);
    world_free(w);
}

static void answer_of_another_kind_goes_to_the_next_rank(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].silent = true;
    uint64_t op = world_start_read(w, ino, 0);
    world_run(w, MSEC(1));
    struct message root = { .kind = MESSAGE_DIR_ROOT };
    root.dir_root.request = world_ask(w, MESSAGE_GET, 0)->request;
    root.dir_root.absent = 1;
    inject(w, &root, 0);
    assert_int_equal(marked(w, "mount.answer.wrong"), 1);
    assert_true(world_is(world_wait(w, op, MSEC(10)), "big", "v1", 0));
    world_free(w);
}

static void data_that_was_not_asked_for_is_given_back(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    struct message data = { .kind = MESSAGE_DATA };
    data.data.request = 12345;
    data.data.length = 65536;
    inject(w, &data, 65536);
    assert_int_equal(w->payload_bytes, world_totals(w).memory_used);
    assert_true(marked(w, "mount.answer.late") > 0);
    world_free(w);
}

static void late_answer_of_a_passed_node_is_given_back(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].silent = true;
    assert_true(world_wait(w, world_start_read(w, ino, 3 * MIB), SEC(1))->done);
    uint64_t reserved = world_totals(w).memory_used - w->payload_bytes;
    assert_true(reserved > 0); /* it may still come */
    struct message data = { .kind = MESSAGE_DATA };
    data.data.request = world_ask(w, MESSAGE_GET, 0)->request;
    data.data.length = 65536;
    inject(w, &data, 65536);
    assert_int_equal(marked(w, "mount.ghost.answered"), 1);
    assert_int_equal(w->payload_bytes, world_totals(w).memory_used);
    world_free(w);
}

static void owed_bytes_are_given_up_with_their_link(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->nodes[world_block_rank(w, "big", 0, 0)].silent = true;
    assert_true(world_wait(w, world_start_read(w, ino, 3 * MIB), SEC(1))->done);
    world_run(w, SEC(3));
    assert_int_equal(marked(w, "mount.ghost.closed"), 1);
    assert_int_equal(w->payload_bytes, world_totals(w).memory_used);
    world_free(w);
}

/* ---- slow sources, lost questions --------------------------------------------------------------------- */

static void source_that_cannot_be_reached_is_asked_again_at_the_same_node(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].fail = ERR_SOURCE_UNREACHABLE;
    uint64_t op = world_start_read(w, ino, 0);
    world_run(w, SEC(2));
    assert_false(w->replies[op].done);
    assert_in_range(world_count(w, MESSAGE_GET), 3, 5);
    for (uint32_t i = 0; i < world_count(w, MESSAGE_GET); i++) {
        assert_int_equal(world_ask(w, MESSAGE_GET, i)->node, owner);
    }
    w->nodes[owner].fail = ERR_OK;
    assert_true(world_is(world_wait(w, op, SEC(1)), "big", "v1", 0));
    world_free(w);
}

static void question_that_a_living_node_forgot_is_asked_again(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    uint32_t owner = world_block_rank(w, "big", 0, 0);
    w->nodes[owner].lazy_us = SEC(100); /* it answers pings */
    uint64_t op = world_start_read(w, ino, 0);
    world_run(w, SEC(1));
    w->nodes[owner].lazy_us = 0;
    assert_true(world_is(world_wait(w, op, SEC(40)), "big", "v1", 0));
    assert_int_equal(marked(w, "mount.call.again"), 1);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->node, owner);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->mode, GET_PLAIN);
    world_free(w);
}

/* ---- full tables ------------------------------------------------------------------------------------------ */

static void request_too_many_is_refused_and_the_others_are_served(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    w->options.requests_max = 8;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    uint64_t ops[9];
    for (uint32_t i = 0; i < 9; i++) {
        ops[i] = world_start_read(w, ino, 5 * MIB);
    }
    assert_int_equal(world_wait(w, ops[8], 0)->err, ENOMEM);
    for (uint32_t i = 0; i < 8; i++) {
        assert_true(world_is(world_wait(w, ops[i], SEC(1)), "big", "v1", 5 * MIB));
    }
    world_free(w);
}

static void handle_too_many_is_refused(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    world_begin(w);
    uint64_t first = world_opendir(w, MOUNT_ROOT_INO);
    struct mount_op op = { .kind = OP_OPENDIR, .ino = MOUNT_ROOT_INO };
    const struct world_reply *reply = NULL;
    for (uint32_t i = 0; i < 2000; i++) {
        reply = world_wait(w, world_op(w, op), SEC(1));
        if (reply->kind == MOUNT_REPLY_ERR) {
            break;
        }
    }
    assert_int_equal(reply->err, ENOMEM);
    struct mount_op release = { .kind = OP_RELEASEDIR, .handle = first };
    world_wait(w, world_op(w, release), 0);
    assert_int_equal(world_wait(w, world_op(w, op), SEC(1))->kind, MOUNT_REPLY_OPEN);
    assert_int_equal(world_readdir(w, first, 0, 4096)->err, EINVAL); /* it is another's now */
    world_free(w);
}

static void more_directories_than_the_cache_holds_can_be_walked(void **state)
{
    (void)state;
    struct world *w = world_make(2);
    char key[64];
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "d%03u/file", i);
        world_file(w, key, i, "p");
    }
    w->options.pages_max = 16;
    world_begin(w);
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 300; i++) {
            snprintf(key, sizeof key, "d%03u/file", i);
            uint64_t ino = world_ino(w, key);
            struct mount_op op = { .kind = OP_GETATTR, .ino = ino };
            assert_int_equal(world_wait(w, world_op(w, op), 0)->attr.size, i);
        }
    }
    world_free(w);
}

static void thousands_of_tiny_files_fit_the_tables(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    char key[64];
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "t%05u", i);
        world_file(w, key, 10, "p");
    }
    w->options.memory = 4 * MIB; /* blocks by memory: some hundreds */
    world_begin(w);
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "t%05u", i);
        assert_true(world_is(world_read(w, world_ino(w, key), 0, 100), key, "p", 0));
    }
    world_free(w);
}

static void path_longer_than_a_key_does_not_exist(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    char key[1024] = "";
    for (uint32_t i = 0; i < 5; i++) {
        size_t at = strlen(key);
        memset(key + at, 'a' + (int)i, 199);
        memcpy(key + at + 199, "/", 2);
    }
    memcpy(key + 1000, "f", 2);
    world_file(w, key, 3, "p");
    world_begin(w);
    assert_int_not_equal(world_ino(w, key), 0);
    key[1000] = '\0';
    uint64_t dir = world_ino(w, key);
    char name[201];
    memset(name, 'x', 200);
    name[200] = '\0';
    assert_int_equal(world_lookup(w, dir, name)->err, ENOENT);
    assert_int_equal(world_lookup(w, dir, "short")->entry.ino, 0);
    world_free(w);
}

/* ---- a cluster that changes --------------------------------------------------------------------------------- */

static void reshaped_dataset_leaves_an_open_mount_as_it_was(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->dataset.block_size = MIB;
    world_run(w, SEC(70));
    assert_true(marked(w, "mount.dataset.reshaped") > 0);
    w->dataset.block_size = 4 * MIB;
    assert_true(world_is(world_wait(w, world_start_read(w, ino, 0), SEC(1)), "big", "v1", 0));
    world_free(w);
}

static void deleted_dataset_does_not_end_a_mount(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    w->dataset_err = ERR_NOT_FOUND;
    world_run(w, SEC(70));
    assert_true(marked(w, "mount.dataset.refused") > 0);
    assert_true(world_is(world_wait(w, world_start_read(w, ino, 0), SEC(1)), "big", "v1", 0));
    world_free(w);
}

static void member_that_the_cluster_forgot_leaves_the_ring(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    world_begin(w);
    uint64_t before = world_totals(w).ring_digest;
    world_cut(w, 2);
    w->node_count = 2; /* the others know of two, and have no tombstone */
    world_run(w, SEC(40));
    assert_int_equal(marked(w, "mount.view.forgotten"), 1);
    assert_int_not_equal(world_totals(w).ring_digest, before);
    world_free(w);
}

static void member_that_only_we_believe_dead_comes_back(void **state)
{
    (void)state;
    struct world *w = world_with_file();
    world_begin(w);
    uint64_t before = world_totals(w).ring_digest;
    w->nodes[2].called_dead = true; /* by a node that was cut off */
    world_run(w, SEC(15));
    assert_int_not_equal(world_totals(w).ring_digest, before);
    w->nodes[2].called_dead = false; /* which is gone; the others never heard of it */
    world_run(w, SEC(25));
    assert_int_equal(marked(w, "mount.view.revived"), 1);
    assert_int_equal(world_totals(w).ring_digest, before);
    world_free(w);
}

static void all_nodes_may_go_and_come_back_one_by_one(void **state)
{
    (void)state;
    uint64_t ino;
    struct world *w = world_settled(&ino);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            world_cut(w, i);
        }
        world_run(w, SEC(20));
        w->nodes[round].down = false;
        uint64_t op = world_start_read(w, ino, (uint64_t)(round + 1) * MIB);
        assert_true(world_is(world_wait(w, op, SEC(5)), "big", "v1", (uint64_t)(round + 1) * MIB));
        for (uint32_t i = 0; i < 3; i++) {
            w->nodes[i].down = false;
        }
        world_run(w, SEC(5));
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_every_length_come_back_as_they_were_stored),
        cmocka_unit_test(full_cells_refuse_and_take_again_what_was_given_back),
        cmocka_unit_test(garbage_changes_nothing),
        cmocka_unit_test(answer_of_another_kind_goes_to_the_next_rank),
        cmocka_unit_test(data_that_was_not_asked_for_is_given_back),
        cmocka_unit_test(late_answer_of_a_passed_node_is_given_back),
        cmocka_unit_test(owed_bytes_are_given_up_with_their_link),
        cmocka_unit_test(source_that_cannot_be_reached_is_asked_again_at_the_same_node),
        cmocka_unit_test(question_that_a_living_node_forgot_is_asked_again),
        cmocka_unit_test(request_too_many_is_refused_and_the_others_are_served),
        cmocka_unit_test(handle_too_many_is_refused),
        cmocka_unit_test(more_directories_than_the_cache_holds_can_be_walked),
        cmocka_unit_test(thousands_of_tiny_files_fit_the_tables),
        cmocka_unit_test(path_longer_than_a_key_does_not_exist),
        cmocka_unit_test(reshaped_dataset_leaves_an_open_mount_as_it_was),
        cmocka_unit_test(deleted_dataset_does_not_end_a_mount),
        cmocka_unit_test(member_that_the_cluster_forgot_leaves_the_ring),
        cmocka_unit_test(member_that_only_we_believe_dead_comes_back),
        cmocka_unit_test(all_nodes_may_go_and_come_back_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
