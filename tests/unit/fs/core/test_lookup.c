/* tests/unit/fs/core/test_lookup.c: the start, names, versions and attributes. */
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

static struct world *small_world(void)
{
    struct world *w = world_make(3);
    world_file(w, "a.txt", 10, "p1");
    world_file(w, "dir/b.bin", 3000000, "p2");
    world_file(w, "dir/sub/c", 0, "p3");
    world_begin(w);
    return w;
}

static struct mount_attr getattr(struct world *w, uint64_t ino)
{
    struct mount_op op = { .kind = OP_GETATTR, .ino = ino };
    const struct world_reply *reply = world_wait(w, world_op(w, op), 0);
    assert_true(reply->done);
    assert_int_equal(reply->kind, MOUNT_REPLY_ATTR);
    return reply->attr;
}

/* ---- start ------------------------------------------------------------------------------------- */

static void mount_becomes_ready_and_connects_to_every_node(void **state)
{
    (void)state;
    struct world *w = small_world();
    assert_int_equal(w->ready_err, ERR_OK);
    world_run(w, SEC(1));
    uint32_t data = 0;
    for (uint32_t i = 0; i < w->link_count; i++) {
        data += w->links[i].purpose == LINK_DATA;
    }
    assert_int_equal(data, 3);
    world_free(w);
}

static void unknown_dataset_is_told_before_anything_is_mounted(void **state)
{
    (void)state;
    struct world *w = world_make(2);
    w->dataset_err = ERR_NOT_FOUND;
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_NOT_FOUND);
    assert_non_null(strstr(w->ready_text, w->options.dataset));
    assert_true(w->capabilities >= 3); /* it may have been made a moment ago */
    world_free(w);
}

static void missing_grant_is_told_at_once(void **state)
{
    (void)state;
    struct world *w = world_make(2);
    w->dataset_err = ERR_DENIED;
    usec_t began = w->now_us;
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_DENIED);
    assert_true(w->now_us - began < MSEC(100));
    world_free(w);
}

static void wrong_key_is_told_at_once(void **state)
{
    (void)state;
    struct world *w = world_make(2);
    w->hello_err = ERR_UNAUTHENTICATED;
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_UNAUTHENTICATED);
    world_free(w);
}

static void no_node_in_time_is_told_after_the_start_limit(void **state)
{
    (void)state;
    struct world *w = world_make(2);
    w->nodes[0].down = true;
    w->nodes[1].down = true;
    usec_t began = w->now_us;
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_UNREACHABLE);
    assert_int_equal(w->now_us - began, SEC(10));
    assert_non_null(strstr(w->ready_text, "seeds"));
    world_free(w);
}

static void prefix_that_no_row_shows_is_told_at_the_start(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    snprintf(w->dataset.rows[0].path, sizeof w->dataset.rows[0].path, "images");
    snprintf(w->options.prefix, sizeof w->options.prefix, "labels/");
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_NOT_FOUND);
    world_free(w);
}

static void one_dead_seed_does_not_keep_the_mount_from_starting(void **state)
{
    (void)state;
    struct world *w = world_make(3);
    w->nodes[0].down = true;
    w->nodes[1].silent = true;
    world_begin(w);
    assert_int_equal(w->ready_err, ERR_OK);
    world_free(w);
}

static void root_and_statfs_need_no_network(void **state)
{
    (void)state;
    struct world *w = small_world();
    for (uint32_t i = 0; i < 3; i++) {
        world_cut(w, i);
    }
    assert_true(getattr(w, MOUNT_ROOT_INO).is_dir);
    struct mount_op op = { .kind = OP_STATFS };
    const struct world_reply *reply = world_wait(w, world_op(w, op), 0);
    assert_true(reply->done);
    assert_int_equal(reply->files, 42);
    assert_int_equal(reply->bytes, 4242);
    world_free(w);
}

/* ---- names ---------------------------------------------------------------------------------------- */

static void file_has_the_attributes_of_its_entry(void **state)
{
    (void)state;
    struct world *w = small_world();
    uint64_t ino = world_ino(w, "dir/b.bin");
    struct mount_attr attr = getattr(w, ino);
    assert_int_equal(attr.size, 3000000);
    assert_int_equal(attr.mtime_us, 1600000000000000);
    assert_false(attr.is_dir);
    assert_true(getattr(w, world_ino(w, "dir/sub")).is_dir);
    world_free(w);
}

static void second_name_of_a_page_needs_no_message(void **state)
{
    (void)state;
    struct world *w = small_world();
    world_ino(w, "a.txt");
    uint32_t before = w->ask_count;
    world_ino(w, "dir");
    assert_int_equal(w->ask_count, before);
    world_free(w);
}

static void absent_name_is_negative_for_as_long_as_the_listing_is_fresh(void **state)
{
    (void)state;
    struct world *w = small_world();
    w->fresh_us = (uint64_t)SEC(20);
    const struct world_reply *reply = world_lookup(w, MOUNT_ROOT_INO, "nothing");
    assert_int_equal(reply->kind, MOUNT_REPLY_ENTRY);
    assert_int_equal(reply->entry.ino, 0);
    assert_in_range(reply->entry.entry_us, SEC(19), SEC(20));
    world_free(w);
}

static void entry_timeout_is_what_is_left_of_the_listing(void **state)
{
    (void)state;
    struct world *w = small_world();
    w->fresh_us = (uint64_t)SEC(20);
    world_lookup(w, MOUNT_ROOT_INO, "a.txt");
    world_run(w, SEC(15));
    const struct world_reply *reply = world_lookup(w, MOUNT_ROOT_INO, "a.txt");
    assert_in_range(reply->entry.entry_us, SEC(4), SEC(5));
    world_free(w);
}

static void listing_that_is_never_fresh_is_asked_for_each_time(void **state)
{
    (void)state;
    struct world *w = small_world();
    w->fresh_us = 0;
    world_lookup(w, MOUNT_ROOT_INO, "a.txt");
    uint32_t before = world_count(w, MESSAGE_DIR_GET);
    const struct world_reply *reply = world_lookup(w, MOUNT_ROOT_INO, "a.txt");
    assert_int_equal(reply->entry.entry_us, 0);
    assert_int_equal(world_count(w, MESSAGE_DIR_GET), before + 1);
    world_free(w);
}

static void name_is_answered_by_its_entry_while_the_node_still_lists(void **state)
{
    (void)state;
    struct world *w = small_world();
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].slow = true;
    }
    assert_int_equal(getattr(w, world_ino(w, "a.txt")).size, 10);
    assert_int_equal(world_count(w, MESSAGE_SHARD_GET), 0);
    const struct world_reply *reply = world_lookup(w, MOUNT_ROOT_INO, "nothing");
    assert_int_equal(reply->entry.ino, 0);
    world_free(w);
}

static void lookup_in_a_file_is_refused(void **state)
{
    (void)state;
    struct world *w = small_world();
    const struct world_reply *reply = world_lookup(w, world_ino(w, "a.txt"), "x");
    assert_int_equal(reply->kind, MOUNT_REPLY_ERR);
    assert_int_equal(reply->err, ENOTDIR);
    world_free(w);
}

static void directory_that_is_gone_is_not_found_and_dropped(void **state)
{
    (void)state;
    struct world *w = small_world();
    uint64_t dir = world_ino(w, "dir");
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].dir_fail = ERR_NOT_FOUND;
    }
    const struct world_reply *reply = world_lookup(w, dir, "x");
    assert_int_equal(reply->err, ENOENT);
    world_run(w, MSEC(1));
    assert_int_equal(w->drop_count, 1);
    assert_string_equal(w->drop_names[0], "dir");
    world_free(w);
}

/* One rank is silent: the others' word is enough. */
static void name_in_a_deleted_dataset_is_an_io_error(void **state)
{
    (void)state;
    struct world *w = small_world();
    uint64_t dir = world_ino(w, "dir");
    for (uint32_t i = 0; i < 3; i++) {
        w->nodes[i].dir_fail = ERR_DATASET_DELETED;
    }
    w->nodes[0].silent = true;
    struct mount_op op = { .kind = OP_LOOKUP, .ino = dir, .name = span_text("x") };
    assert_int_equal(world_wait(w, world_op(w, op), SEC(2))->err, EIO);
    world_run(w, MSEC(1));
    assert_int_equal(w->drop_count, 0);
    world_free(w);
}

/* ---- identity --------------------------------------------------------------------------------------- */

static void same_version_has_the_same_inode(void **state)
{
    (void)state;
    struct world *w = small_world();
    assert_int_equal(world_ino(w, "dir/b.bin"), world_ino(w, "dir/b.bin"));
    world_free(w);
}

static void other_version_has_another_inode_and_the_same_st_ino(void **state)
{
    (void)state;
    struct world *w = small_world();
    w->fresh_us = (uint64_t)SEC(5);
    uint64_t old = world_ino(w, "a.txt");
    uint64_t st_ino = getattr(w, old).st_ino;
    world_file(w, "a.txt", 12, "p9");
    w->generation++;
    world_run(w, SEC(6));
    uint64_t new = world_ino(w, "a.txt");
    assert_int_not_equal(old, new);
    assert_int_equal(getattr(w, new).size, 12);
    assert_int_equal(getattr(w, old).size, 10); /* a node id keeps its attributes */
    assert_int_equal(getattr(w, new).st_ino, st_ino);
    world_free(w);
}

static void st_ino_is_a_hash_of_the_path_whatever_is_mounted(void **state)
{
    (void)state;
    struct world *w = small_world();
    uint64_t whole = getattr(w, world_ino(w, "dir/b.bin")).st_ino;
    world_free(w);
    struct world *below = world_make(1);
    world_file(below, "dir/b.bin", 77, "other");
    snprintf(below->options.prefix, sizeof below->options.prefix, "dir/");
    world_begin(below);
    assert_int_equal(getattr(below, world_ino(below, "b.bin")).st_ino, whole);
    world_free(below);
}

static void forgotten_inode_is_gone_and_its_number_not_used_again(void **state)
{
    (void)state;
    struct world *w = small_world();
    uint64_t ino = world_ino(w, "a.txt");
    world_forget(w, ino, 1);
    struct mount_op op = { .kind = OP_GETATTR, .ino = ino };
    assert_int_equal(world_wait(w, world_op(w, op), 0)->err, ESTALE);
    assert_int_not_equal(world_ino(w, "a.txt"), ino);
    world_free(w);
}

static void full_table_asks_the_kernel_to_let_go(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    w->options.inodes_max = 100;
    char key[32];
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "f%03u", i);
        world_file(w, key, 1, "p");
    }
    world_begin(w);
    for (uint32_t i = 0; i < 95; i++) {
        snprintf(key, sizeof key, "f%03u", i);
        world_ino(w, key);
    }
    world_run(w, MSEC(1));
    assert_true(w->drop_count > 0);
    assert_string_equal(w->drop_names[0], "f000"); /* used least lately */
    assert_true(world_totals(w).inodes <= 101);
    world_free(w);
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static void directories_above_a_row_exist_and_the_longest_row_wins(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    struct dataset *d = &w->dataset;
    d->row_count = 2;
    d->rows[1] = d->rows[0];
    snprintf(d->rows[1].path, sizeof d->rows[1].path, "made/up/images");
    snprintf(d->rows[1].prefix, sizeof d->rows[1].prefix, "pictures/2024/");
    world_file(w, "a.txt", 10, "p1");
    world_file(w, "pictures/2024/cat.jpg", 99, "p2");
    world_begin(w);
    assert_int_equal(getattr(w, world_ino(w, "made/up/images/cat.jpg")).size, 99);
    assert_int_equal(getattr(w, world_ino(w, "a.txt")).size, 10);
    assert_int_equal(world_lookup(w, world_ino(w, "made"), "other")->entry.ino, 0);
    world_free(w);
}

/* ---- refresh -------------------------------------------------------------------------------------------- */

static void refresh_of_the_dataset_is_noticed_and_names_expire(void **state)
{
    (void)state;
    struct world *w = small_world();
    world_ino(w, "a.txt");
    world_file(w, "a.txt", 12, "p9");
    w->generation++;
    w->dataset.refreshed++;
    world_run(w, SEC(70));
    assert_int_equal(w->drop_count, 1);
    assert_true(w->drops[0].drop_entry.expire);
    assert_int_equal(getattr(w, world_ino(w, "a.txt")).size, 12);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_becomes_ready_and_connects_to_every_node),
        cmocka_unit_test(unknown_dataset_is_told_before_anything_is_mounted),
        cmocka_unit_test(missing_grant_is_told_at_once),
        cmocka_unit_test(wrong_key_is_told_at_once),
        cmocka_unit_test(no_node_in_time_is_told_after_the_start_limit),
        cmocka_unit_test(prefix_that_no_row_shows_is_told_at_the_start),
        cmocka_unit_test(one_dead_seed_does_not_keep_the_mount_from_starting),
        cmocka_unit_test(root_and_statfs_need_no_network),
        cmocka_unit_test(file_has_the_attributes_of_its_entry),
        cmocka_unit_test(second_name_of_a_page_needs_no_message),
        cmocka_unit_test(absent_name_is_negative_for_as_long_as_the_listing_is_fresh),
        cmocka_unit_test(entry_timeout_is_what_is_left_of_the_listing),
        cmocka_unit_test(listing_that_is_never_fresh_is_asked_for_each_time),
        cmocka_unit_test(name_is_answered_by_its_entry_while_the_node_still_lists),
        cmocka_unit_test(lookup_in_a_file_is_refused),
        cmocka_unit_test(directory_that_is_gone_is_not_found_and_dropped),
        cmocka_unit_test(name_in_a_deleted_dataset_is_an_io_error),
        cmocka_unit_test(same_version_has_the_same_inode),
        cmocka_unit_test(other_version_has_another_inode_and_the_same_st_ino),
        cmocka_unit_test(st_ino_is_a_hash_of_the_path_whatever_is_mounted),
        cmocka_unit_test(forgotten_inode_is_gone_and_its_number_not_used_again),
        cmocka_unit_test(full_table_asks_the_kernel_to_let_go),
        cmocka_unit_test(directories_above_a_row_exist_and_the_longest_row_wins),
        cmocka_unit_test(refresh_of_the_dataset_is_noticed_and_names_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
