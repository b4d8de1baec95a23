/* tests/unit/fs/core/test_readdir.c: directories as programs list them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fs/core/world.h"

#define MANY 3000u

static struct world *world_of(uint32_t files, uint32_t nodes)
{
    struct world *w = world_make(nodes);
    char key[64];
    for (uint32_t i = 0; i < files; i++) {
        snprintf(key, sizeof key, "many/f%05u.jpg", i);
        world_file(w, key, 5000, "pin");
    }
    world_begin(w);
    return w;
}

static const struct world_reply *readdirplus(struct world *w, uint64_t handle, uint64_t offset,
                                             uint32_t size)
{
    struct mount_op op = {
        .kind = OP_READDIRPLUS, .handle = handle, .offset = offset, .size = size
    };
    return world_wait(w, world_op(w, op), WORLD_FOR_EVER);
}

static void closedir(struct world *w, uint64_t handle)
{
    struct mount_op op = { .kind = OP_RELEASEDIR, .handle = handle };
    assert_true(world_wait(w, world_op(w, op), 0)->done);
}

/* Reads to the end with replies of this size; names must come in order, each once. */
static void assert_lists_all(struct world *w, uint64_t handle, uint32_t size, uint32_t files)
{
    uint64_t offset = 0;
    uint32_t seen = 0;
    for (;;) {
        const struct world_reply *reply = world_readdir(w, handle, offset, size);
        assert_int_equal(reply->kind, MOUNT_REPLY_DIR);
        if (reply->count == 0) {
            break;
        }
        for (uint32_t i = 0; i < reply->count; i++, seen++) {
            char want[300];
            snprintf(want, sizeof want, "f%05u.jpg", seen - 2);
            const char *name = seen == 0 ? "." : seen == 1 ? ".." : want;
            assert_string_equal(reply->entries[i].name, name);
            assert_int_equal(reply->entries[i].entry.attr.is_dir, seen < 2);
            assert_int_equal(reply->entries[i].next, seen + 1);
            assert_int_not_equal(reply->entries[i].entry.attr.st_ino, 0);
        }
        offset = reply->entries[reply->count - 1].next;
    }
    assert_int_equal(seen, files + 2);
}

static void three_thousand_names_come_once_and_in_order_in_small_replies(void **state)
{
    (void)state;
    struct world *w = world_of(MANY, 3);
    uint64_t handle = world_opendir(w, world_ino(w, "many"));
    assert_lists_all(w, handle, 512, MANY);
    assert_lists_all(w, handle, 4096, MANY);
    assert_lists_all(w, handle, 1u << 20, MANY);
    assert_int_equal(world_count(w, MESSAGE_SHARD_GET), 1 + (MANY + 1023) / 1024);
    closedir(w, handle);
    world_free(w);
}

static void offset_means_the_same_entry_after_a_seek(void **state)
{
    (void)state;
    struct world *w = world_of(MANY, 1);
    uint64_t handle = world_opendir(w, world_ino(w, "many"));
    const struct world_reply *reply = world_readdir(w, handle, 2502, 4096);
    assert_string_equal(reply->entries[0].name, "f02500.jpg");
    reply = world_readdir(w, handle, 12, 4096);
    assert_string_equal(reply->entries[0].name, "f00010.jpg");
    world_free(w);
}

static void st_ino_of_a_listing_is_that_of_a_lookup(void **state)
{
    (void)state;
    struct world *w = world_of(3, 1);
    uint64_t dir = world_ino(w, "many");
    const struct world_reply *reply = world_readdir(w, world_opendir(w, dir), 2, 4096);
    uint64_t st_ino = reply->entries[0].entry.attr.st_ino;
    assert_int_equal(world_lookup(w, dir, "f00000.jpg")->entry.attr.st_ino, st_ino);
    world_free(w);
}

static void empty_root_has_its_two_dots(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    world_begin(w);
    uint64_t handle = world_opendir(w, MOUNT_ROOT_INO);
    assert_int_equal(world_readdir(w, handle, 0, 4096)->count, 2);
    assert_int_equal(world_readdir(w, handle, 2, 4096)->count, 0);
    world_free(w);
}

static void readdirplus_gives_inodes_that_count_one_lookup_each(void **state)
{
    (void)state;
    struct world *w = world_of(100, 1);
    uint64_t dir = world_ino(w, "many");
    uint64_t handle = world_opendir(w, dir);
    uint64_t before = world_totals(w).inodes;
    const struct world_reply *reply = readdirplus(w, handle, 0, 4096);
    assert_int_equal(reply->entries[0].entry.ino, 0); /* the dots are no inodes */
    uint32_t given = reply->count - 2;
    assert_true(given > 10 && given < 30); /* 168 bytes each */
    assert_int_equal(world_totals(w).inodes, before + given);
    for (uint32_t i = 2; i < reply->count; i++) {
        assert_int_equal(reply->entries[i].entry.attr.size, 5000);
        world_forget(w, reply->entries[i].entry.ino, 1);
    }
    assert_int_equal(world_totals(w).inodes, before);
    world_free(w);
}

static void readdirplus_twice_counts_two_lookups(void **state)
{
    (void)state;
    struct world *w = world_of(5, 1);
    uint64_t handle = world_opendir(w, world_ino(w, "many"));
    uint64_t ino = readdirplus(w, handle, 2, 4096)->entries[0].entry.ino;
    assert_int_equal(readdirplus(w, handle, 2, 4096)->entries[0].entry.ino, ino);
    world_forget(w, ino, 1);
    struct mount_op op = { .kind = OP_GETATTR, .ino = ino };
    assert_int_equal(world_wait(w, world_op(w, op), 0)->kind, MOUNT_REPLY_ATTR);
    world_forget(w, ino, 1);
    assert_int_equal(world_wait(w, world_op(w, op), 0)->err, ESTALE);
    world_free(w);
}

static void crowded_table_gives_names_without_inodes_and_asks_for_room(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    char key[64];
    for (uint32_t i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "many/f%05u.jpg", i);
        world_file(w, key, 5000, "pin");
    }
    w->options.inodes_max = 200;
    world_begin(w);
    uint64_t handle = world_opendir(w, world_ino(w, "many"));
    uint64_t offset = 0;
    uint32_t with = 0;
    uint32_t without = 0;
    for (;;) {
        const struct world_reply *reply = readdirplus(w, handle, offset, 8192);
        for (uint32_t i = 0; i < reply->count; i++) {
            with += reply->entries[i].entry.ino != 0;
            without += reply->entries[i].entry.ino == 0;
        }
        if (reply->count == 0) {
            break;
        }
        offset = reply->entries[reply->count - 1].next;
    }
    assert_int_equal(with + without, 402);
    assert_in_range(with, 150, 200);
    assert_true(w->drop_count > 0);
    world_free(w);
}

static void open_handle_keeps_its_listing_over_a_refresh(void **state)
{
    (void)state;
    struct world *w = world_of(2000, 1);
    w->fresh_us = (uint64_t)SEC(1);
    uint64_t dir = world_ino(w, "many");
    uint64_t handle = world_opendir(w, dir);
    world_readdir(w, handle, 0, 4096); /* both pages are here now */
    world_run(w, MSEC(10));
    world_file(w, "many/a-new-one", 5, "pin");
    w->generation++;
    world_run(w, SEC(2));
    uint64_t other = world_opendir(w, dir);
    assert_string_equal(world_readdir(w, other, 2, 4096)->entries[0].name, "a-new-one");
    assert_string_equal(world_readdir(w, handle, 1992, 4096)->entries[0].name, "f01990.jpg");
    world_free(w);
}

static void lost_page_ends_a_listing_begun_with_estale(void **state)
{
    (void)state;
    struct world *w = world_of(MANY, 2);
    uint64_t handle = world_opendir(w, world_ino(w, "many"));
    world_readdir(w, handle, 0, 512);
    world_run(w, MSEC(10));
    w->generation += 2; /* pages of the first are deleted: two are kept */
    const struct world_reply *reply = world_readdir(w, handle, 2990, 4096);
    assert_true(reply->done);
    if (reply->kind == MOUNT_REPLY_DIR) { /* it was read ahead */
        reply = world_readdir(w, handle, 2990, 4096);
        assert_string_equal(reply->entries[0].name, "f02988.jpg");
    } else {
        assert_int_equal(reply->err, ESTALE);
    }
    world_free(w);
}

static void lost_page_of_a_fresh_handle_is_read_from_a_new_listing(void **state)
{
    (void)state;
    struct world *w = world_of(MANY, 2);
    uint64_t dir = world_ino(w, "many");
    world_lookup(w, dir, "f00001.jpg"); /* the listing is known, one of its pages */
    w->generation += 2;
    uint64_t handle = world_opendir(w, dir);
    const struct world_reply *reply = world_readdir(w, handle, 2002, 4096);
    assert_int_equal(reply->kind, MOUNT_REPLY_DIR);
    assert_string_equal(reply->entries[0].name, "f02000.jpg");
    world_free(w);
}

static void listing_is_cached_by_the_kernel_until_it_changes(void **state)
{
    (void)state;
    struct world *w = world_of(10, 1);
    w->fresh_us = (uint64_t)SEC(1);
    uint64_t dir = world_ino(w, "many");
    struct mount_op op = { .kind = OP_OPENDIR, .ino = dir };
    assert_false(world_wait(w, world_op(w, op), SEC(1))->keep_cache);
    assert_true(world_wait(w, world_op(w, op), SEC(1))->keep_cache);
    world_run(w, SEC(2));
    assert_true(world_wait(w, world_op(w, op), SEC(1))->keep_cache); /* asked: still the same */
    w->generation++;
    world_run(w, SEC(2));
    assert_false(world_wait(w, world_op(w, op), SEC(1))->keep_cache);
    world_free(w);
}

static void rows_show_their_directories_beside_the_listing(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    struct dataset *d = &w->dataset;
    d->row_count = 2;
    d->rows[1] = d->rows[0];
    snprintf(d->rows[1].path, sizeof d->rows[1].path, "b/deep");
    snprintf(d->rows[1].prefix, sizeof d->rows[1].prefix, "other/");
    world_file(w, "a", 1, "p");
    world_file(w, "b/hidden-by-nobody", 1, "p");
    world_file(w, "other/x", 1, "p");
    world_begin(w);
    const struct world_reply *root = world_readdir(w, world_opendir(w, MOUNT_ROOT_INO), 2, 4096);
    assert_int_equal(root->count, 3); /* b once, a, other */
    assert_string_equal(root->entries[0].name, "b");
    assert_string_equal(root->entries[1].name, "a");
    assert_string_equal(root->entries[2].name, "other");
    uint64_t b = world_ino(w, "b");
    const struct world_reply *below = world_readdir(w, world_opendir(w, b), 2, 4096);
    assert_int_equal(below->count, 2);
    assert_string_equal(below->entries[0].name, "deep");
    assert_string_equal(below->entries[1].name, "hidden-by-nobody");
    world_free(w);
}

static void many_readers_of_one_listing_ask_for_it_once(void **state)
{
    (void)state;
    struct world *w = world_of(10, 1);
    uint64_t dir = world_ino(w, "many");
    uint32_t before = world_count(w, MESSAGE_DIR_GET);
    uint64_t ids[40];
    for (uint32_t i = 0; i < 40; i++) {
        ids[i] = world_op(w, (struct mount_op){ .kind = OP_OPENDIR, .ino = dir });
    }
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(world_wait(w, ids[i], SEC(1))->kind, MOUNT_REPLY_OPEN);
    }
    assert_int_equal(world_count(w, MESSAGE_DIR_GET), before + 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_thousand_names_come_once_and_in_order_in_small_replies),
        cmocka_unit_test(offset_means_the_same_entry_after_a_seek),
        cmocka_unit_test(st_ino_of_a_listing_is_that_of_a_lookup),
        cmocka_unit_test(empty_root_has_its_two_dots),
        cmocka_unit_test(readdirplus_gives_inodes_that_count_one_lookup_each),
        cmocka_unit_test(readdirplus_twice_counts_two_lookups),
        cmocka_unit_test(crowded_table_gives_names_without_inodes_and_asks_for_room),
        cmocka_unit_test(open_handle_keeps_its_listing_over_a_refresh),
        cmocka_unit_test(lost_page_ends_a_listing_begun_with_estale),
        cmocka_unit_test(lost_page_of_a_fresh_handle_is_read_from_a_new_listing),
        cmocka_unit_test(listing_is_cached_by_the_kernel_until_it_changes),
        cmocka_unit_test(rows_show_their_directories_beside_the_listing),
        cmocka_unit_test(many_readers_of_one_listing_ask_for_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
