/* tests/unit/node/core/test_counts.c: which node counts the files of which directory. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/catalog.h"
#include "node/core/dirs.h"
#include "node/core/meta.h"

#define DIRS 16u
#define FILE_BYTES 1000u

static const char *name_of(uint32_t index)
{
    static char names[DIRS][16];
    snprintf(names[index], sizeof names[index], "p/%02u/", index);
    return names[index];
}

/* Directories differ in their size, so that one cannot stand for another. */
static uint32_t files_in(uint32_t index)
{
    return index + 1;
}

static void put(struct shelf *shelf)
{
    for (uint32_t i = 0; i < DIRS; i++) {
        for (uint32_t k = 0; k < files_in(i); k++) {
            char key[32];
            snprintf(key, sizeof key, "p/%02u/f%02u", i, k);
            shelf_put(shelf, key, "v1", FILE_BYTES);
        }
    }
}

/* The client that asks is at that node from now on. */
static void mount_at(struct shelf *shelf, uint32_t node)
{
    lab_client_forget(shelf->lab, 0);
    shelf->lab->clients[0].open = false;
    shelf_mount(shelf, 0, node);
}

static void ask_for_all(struct shelf *shelf, uint32_t node)
{
    mount_at(shelf, node);
    for (uint32_t i = 0; i < DIRS; i++) {
        (void)shelf_root(shelf, 0, name_of(i));
    }
}

static struct shelf *listed(uint32_t nodes)
{
    struct shelf *shelf = shelf_new(nodes);
    put(shelf);
    ask_for_all(shelf, nodes - 1);
    return shelf;
}

static uint64_t counted_for(const struct shelf *shelf, uint32_t node, const char *dataset)
{
    const struct node *core = shelf->lab->nodes[node].node;
    const struct catalog_item *item = catalog_item(core, dataset_id_make(span_text(dataset)));
    assert_non_null(item);
    assert_int_equal(item->bytes, item->files * FILE_BYTES);
    return item->files;
}

static uint64_t counted(const struct shelf *shelf, uint32_t node)
{
    return counted_for(shelf, node, shelf->dataset.name);
}

/* Each living node counts what it owns, and nothing else: so each file is counted once. */
static void check(const struct shelf *shelf)
{
    uint64_t owned[LAB_NODES] = { 0 };
    uint64_t sum = 0;
    for (uint32_t i = 0; i < DIRS; i++) {
        owned[shelf_owner(shelf, name_of(i))] += files_in(i);
    }
    for (uint32_t i = 0; i < shelf->lab->node_count; i++) {
        if (shelf->lab->nodes[i].up) {
            assert_int_equal(counted(shelf, i), owned[i]);
            sum += owned[i];
        }
    }
    assert_int_equal(sum, DIRS * (DIRS + 1) / 2);
}

static void gone(struct shelf *shelf, uint32_t index)
{
    lab_kill(shelf->lab, index);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(2));
}

static void come(struct shelf *shelf, uint32_t index)
{
    lab_start(shelf->lab, index);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(2));
}

/* Room is short: roots leave the memory, and nothing else is lost. */
static void evict_roots(struct shelf *shelf)
{
    for (uint32_t i = 0; i < shelf->lab->node_count; i++) {
        struct node *node = shelf->lab->nodes[i].node;
        for (uint32_t k = 0; k < DIRS && shelf->lab->nodes[i].up; k++) {
            const struct dir *dir = dirs_find(node, shelf_dir(shelf, name_of(k)));
            if (dir != NULL && dir->root != NULL) {
                struct buffer *root = dir->root;
                dirs_on_evict(node, pool_index(&node->meta->dirs.pool, dir));
                buffer_uncache(node, root);
            }
        }
    }
}

/* ---- who listed it does not matter --------------------------------------------------------- */

static void owner_counts_what_another_rank_has_listed_for_it(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(4);
    struct root root;
    put(shelf);
    for (uint32_t i = 0; i < DIRS; i++) {
        const struct message_dir_get acting = { .mode = GET_ACTING };
        mount_at(shelf, shelf_rank(shelf, place_of_root(shelf_dir(shelf, name_of(i))), 1));
        uint64_t request = shelf_dir_get(shelf, 0, name_of(i), &acting);
        lab_run(shelf->lab, MSEC(100));
        assert_true(shelf_got_root(shelf, 0, request, &root));
    }
    assert_int_equal(shelf->lists, DIRS);
    check(shelf);
    shelf_free(shelf);
}

static void a_listing_that_found_more_or_nothing_changes_the_numbers(void **state)
{
    (void)state;
    struct shelf *shelf = listed(1);
    check(shelf);
    struct root root = shelf_root(shelf, 0, name_of(0));
    shelf_put(shelf, "p/00/more", "v1", FILE_BYTES);
    shelf_remove(shelf, "p/01/f00");
    shelf_remove(shelf, "p/01/f01");
    lab_run(shelf->lab, SEC(2));
    const struct message_dir_get again = { .newer_than = root.head.generation + SEC(1) };
    (void)shelf_dir_get(shelf, 0, name_of(0), &again);
    (void)shelf_dir_get(shelf, 0, name_of(1), &again);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(counted(shelf, 0), DIRS * (DIRS + 1) / 2 + 1 - 2);
    shelf_free(shelf);
}

static void lose_store(struct shelf *shelf)
{
    while (shelf->records[0] != NULL) {
        struct shelf_record *record = shelf->records[0];
        shelf->records[0] = record->next;
        free(record->key);
        free(record->value);
        free(record);
    }
}

/* Nobody has its root any more, and its files have been deleted meanwhile. */
static void a_directory_that_was_lost_and_is_gone_counts_nothing(void **state)
{
    (void)state;
    struct shelf *shelf = listed(1);
    evict_roots(shelf);
    lose_store(shelf);
    shelf_remove(shelf, "p/00/f00");
    const uint64_t request = shelf_dir_get(shelf, 0, name_of(0), NULL);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_NOT_FOUND);
    assert_int_equal(counted(shelf, 0), DIRS * (DIRS + 1) / 2 - files_in(0));
    shelf_free(shelf);
}

/* ---- the ring changes ---------------------------------------------------------------------- */

static void every_file_is_counted_once_after_each_leave(void **state)
{
    (void)state;
    struct shelf *shelf = listed(4);
    check(shelf);
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(shelf->lab, i);
        lab_run(shelf->lab, SEC(2));
        assert_true(shelf->lab->nodes[i].drained);
        assert_int_equal(counted(shelf, i), 0);
        gone(shelf, i);
        check(shelf);
    }
    assert_int_equal(shelf->lists, DIRS);
    shelf_free(shelf);
}

static void every_file_is_counted_once_after_each_death(void **state)
{
    (void)state;
    struct shelf *shelf = listed(4);
    for (uint32_t i = 0; i < 3; i++) {
        gone(shelf, i);
        check(shelf);
        lab_run(shelf->lab, SEC(30));
    }
    shelf_free(shelf);
}

static void every_file_is_counted_once_after_each_join(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(4);
    for (uint32_t i = 0; i < 3; i++) {
        gone(shelf, i);
    }
    put(shelf);
    ask_for_all(shelf, 3);
    check(shelf);
    for (uint32_t i = 0; i < 3; i++) {
        come(shelf, i);
        check(shelf);
    }
    assert_int_equal(shelf->lists, DIRS);
    shelf_free(shelf);
}

static void roots_that_are_not_in_memory_are_counted_too(void **state)
{
    (void)state;
    struct shelf *shelf = listed(4);
    evict_roots(shelf);
    gone(shelf, 0);
    check(shelf);
    evict_roots(shelf);
    come(shelf, 0);
    check(shelf);
    shelf_free(shelf);
}

/* It knew the directory, but its root is neither in its memory nor in its store when it becomes the
 * owner; the first offers fail, and come again when it has gone over what it knows. */
static void a_root_that_is_offered_late_is_counted(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(4);
    const struct message_dir_get acting = { .mode = GET_ACTING };
    const struct place place = place_of_root(shelf_dir(shelf, name_of(0)));
    const uint32_t first = shelf_rank(shelf, place, 0);
    const uint32_t second = shelf_rank(shelf, place, 1);
    const uint32_t third = shelf_rank(shelf, place, 2);
    put(shelf);
    mount_at(shelf, first);
    (void)shelf_root(shelf, 0, name_of(0));
    mount_at(shelf, third);
    (void)shelf_dir_get(shelf, 0, name_of(0), &acting);
    lab_run(shelf->lab, SEC(1));
    evict_roots(shelf);
    shelf->fail_puts = ERR_SYSTEM;
    lab_leave(shelf->lab, first);
    lab_leave(shelf->lab, second);
    lab_run(shelf->lab, MSEC(600));
    shelf->fail_puts = ERR_OK;
    lab_run(shelf->lab, SEC(3));
    assert_int_equal(shelf->lists, 1);
    assert_int_equal(counted(shelf, third), files_in(0));
    shelf_free(shelf);
}

/* ---- whose it is --------------------------------------------------------------------------- */

static void label(struct shelf *shelf)
{
    strcpy(shelf->dataset.selector, "of=lab");
}

/* Others have listed, and offer it the roots. */
static void owner_of_a_pool_counts_before_it_was_asked_for_anything(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new_with(4, label);
    uint64_t sum = 0;
    put(shelf);
    mount_at(shelf, 0);
    for (uint32_t i = 0; i < DIRS; i++) {
        const struct message_dir_get acting = { .mode = GET_ACTING };
        (void)shelf_dir_get(shelf, 0, name_of(i), &acting);
        lab_run(shelf->lab, MSEC(500));
    }
    for (uint32_t i = 0; i < 4; i++) {
        sum += counted(shelf, i);
    }
    assert_int_equal(sum, DIRS * (DIRS + 1) / 2);
    shelf_free(shelf);
}

/* Whose its directories are is not known until it is built again. */
static void a_pool_whose_table_made_room_for_another_is_counted_on(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new_with(1, label);
    struct node *node = shelf->lab->nodes[0].node;
    put(shelf);
    mount_at(shelf, 0);
    ask_for_all(shelf, 0);
    lab_run(shelf->lab, SEC(3600));
    shelf_admin(shelf, 0, ADMIN_DATASET_LIST, span_text("")); /* a step: it looks at the clock */
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        char selector[16];
        snprintf(selector, sizeof selector, "pool=%u", i);
        (void)rings_use(node, span_text(selector));
    }
    assert_null(rings_find(node, span_text("of=lab")));
    for (uint32_t i = 0; i < DIRS; i++) {
        const struct dir_id key = dirs_key(shelf_dir(shelf, name_of(i)), span_text("of=lab"));
        dirs_uncount_others(node, dirs_find(node, key));
    }
    assert_int_equal(counted(shelf, 0), DIRS * (DIRS + 1) / 2);
    shelf_free(shelf);
}

static void each_pool_counts_its_own_of_a_directory(void **state)
{
    (void)state;
    struct shelf *shelf = listed(1);
    struct dataset other = shelf->dataset;
    strcpy(other.name, "other");
    label(shelf);
    strcpy(other.selector, shelf->dataset.selector);
    shelf_create(shelf, 0, &other);
    lab_run(shelf->lab, MSEC(50));
    shelf->dataset = other;
    ask_for_all(shelf, 0);
    assert_int_equal(shelf->lists, 2 * DIRS);
    assert_int_equal(counted_for(shelf, 0, "train"), DIRS * (DIRS + 1) / 2);
    assert_int_equal(counted_for(shelf, 0, "other"), DIRS * (DIRS + 1) / 2);
    shelf_free(shelf);
}

/* The root of p/00/ with one file, as another version or a liar writes it. */
static void adopt(struct shelf *shelf, const char *prefix)
{
    uint8_t bytes[1024];
    struct node *node = shelf->lab->nodes[0].node;
    struct dir *dir = dirs_take(node, shelf_dir(shelf, name_of(0)));
    struct root_writer writer;
    struct root_head head = { .dir = shelf_dir(shelf, name_of(0)),
                              .generation = dir->generation + 1,
                              .listed_wall_us = shelf->lab->now_us,
                              .files = 1,
                              .bytes = FILE_BYTES };
    struct root_shard shard = { .lower = span_of(NULL, 0), .entries = 1, .page_bytes = 100 };
    assert_int_equal(root_writer_init(&writer, bytes, sizeof bytes, span_text(prefix)), ERR_OK);
    assert_int_equal(root_writer_add(&writer, &shard), ERR_OK);
    size_t size = root_writer_end(&writer, &head);
    assert_int_equal(dirs_adopt(node, dir, span_of(bytes, size)), ERR_OK);
}

static void a_root_counts_for_the_datasets_that_show_its_prefix(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(1);
    adopt(shelf, "p/01/"); /* not what its name is made of */
    assert_int_equal(counted(shelf, 0), 0);
    adopt(shelf, name_of(0));
    assert_int_equal(counted(shelf, 0), 1);
    shelf_free(shelf);
}

static void a_root_without_a_prefix_counts_when_it_is_asked_for(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(1);
    adopt(shelf, "");
    assert_int_equal(counted(shelf, 0), 0);
    mount_at(shelf, 0);
    (void)shelf_root(shelf, 0, name_of(0));
    assert_int_equal(shelf->lists, 0);
    assert_int_equal(counted(shelf, 0), 1);
    adopt(shelf, ""); /* the next generation goes on counting */
    assert_int_equal(counted(shelf, 0), 1);
    shelf_free(shelf);
}

static void install(struct shelf *shelf, struct dataset *dataset)
{
    enum err err = ERR_OK;
    dataset->version++;
    assert_true(catalog_install(shelf->lab->nodes[0].node, dataset, &err));
    assert_int_equal(err, ERR_OK);
    lab_run(shelf->lab, SEC(2));
}

/* A dataset that comes to show something else counts what is here of that, and nothing else. */
static void a_changed_dataset_counts_anew_without_being_asked(void **state)
{
    (void)state;
    struct shelf *shelf = listed(1);
    struct dataset dataset = shelf->dataset;
    strcpy(dataset.rows[0].prefix, name_of(2));
    install(shelf, &dataset);
    assert_int_equal(counted(shelf, 0), files_in(2));
    strcpy(dataset.selector, "of=lab"); /* another pool, whose nodes have listed nothing yet */
    install(shelf, &dataset);
    assert_int_equal(counted(shelf, 0), 0);
    dataset.selector[0] = '\0';
    install(shelf, &dataset);
    assert_int_equal(counted(shelf, 0), files_in(2));
    shelf_free(shelf);
}

static void a_directory_counts_for_whichever_row_shows_it(void **state)
{
    (void)state;
    struct shelf *shelf = listed(1);
    struct dataset dataset = shelf->dataset;
    dataset.row_count = 2;
    dataset.rows[1] = dataset.rows[0];
    strcpy(dataset.rows[0].path, "a"); /* of another source, the same prefix */
    strcpy(dataset.rows[1].path, "b");
    dataset.rows[0].source.b[0] ^= 1;
    install(shelf, &dataset);
    assert_int_equal(counted(shelf, 0), DIRS * (DIRS + 1) / 2);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_counts_what_another_rank_has_listed_for_it),
        cmocka_unit_test(a_listing_that_found_more_or_nothing_changes_the_numbers),
        cmocka_unit_test(a_directory_that_was_lost_and_is_gone_counts_nothing),
        cmocka_unit_test(every_file_is_counted_once_after_each_leave),
        cmocka_unit_test(every_file_is_counted_once_after_each_death),
        cmocka_unit_test(every_file_is_counted_once_after_each_join),
        cmocka_unit_test(roots_that_are_not_in_memory_are_counted_too),
        cmocka_unit_test(a_root_that_is_offered_late_is_counted),
        cmocka_unit_test(owner_of_a_pool_counts_before_it_was_asked_for_anything),
        cmocka_unit_test(a_pool_whose_table_made_room_for_another_is_counted_on),
        cmocka_unit_test(each_pool_counts_its_own_of_a_directory),
        cmocka_unit_test(a_root_counts_for_the_datasets_that_show_its_prefix),
        cmocka_unit_test(a_root_without_a_prefix_counts_when_it_is_asked_for),
        cmocka_unit_test(a_changed_dataset_counts_anew_without_being_asked),
        cmocka_unit_test(a_directory_counts_for_whichever_row_shows_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
