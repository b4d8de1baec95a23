/* tests/unit/node/core/test_dirs.c: directories from the first question to the published root. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_many(struct shelf *shelf, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06u", i);
        shelf_put(shelf, key, "v1", 1000);
    }
}

/* A mount at the owner of a directory's root. */
static void mount_owner(struct shelf *shelf, uint32_t client, const char *prefix)
{
    shelf_mount(shelf, client, shelf_owner(shelf, prefix));
}

/* ---- numbers ----------------------------------------------------------------------------- */

static uint64_t files_of(const struct shelf *shelf, const struct dataset *dataset)
{
    uint64_t files;
    uint64_t bytes;
    catalog_numbers(shelf->lab->nodes[0].node, dataset, &files, &bytes);
    assert_int_equal(bytes, files * 1000);
    return files;
}

static void directory_listed_for_one_dataset_counts_for_a_younger_one_that_shows_it(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 25);
    mount_owner(shelf, 0, "p/");
    (void)shelf_root(shelf, 0, "p/");
    assert_int_equal(files_of(shelf, &shelf->dataset), 25);
    struct dataset younger = shelf->dataset;
    memcpy(younger.name, "younger", sizeof "younger");
    shelf_create(shelf, 0, &younger);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(files_of(shelf, &younger), 0); /* nobody has read it yet */
    shelf->dataset = younger;
    (void)shelf_root(shelf, 0, "p/");
    (void)shelf_root(shelf, 0, "p/");
    assert_int_equal(shelf->lists, 1);
    assert_int_equal(files_of(shelf, &younger), 25);
    shelf_free(shelf);
}

/* ---- listing ----------------------------------------------------------------------------- */

static void listing_goes_to_the_last_page(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 2500);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 2500);
    assert_int_equal(root.head.bytes, 2500000);
    assert_int_equal(shelf->lists, 3);
    assert_int_equal(shelf->heads, 0);
    assert_int_equal(shelf_count(shelf, &root), 2500);
    shelf_free(shelf);
}

static void names_are_posix_names_in_posix_order(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    (void)state;
    shelf_put(shelf, "p/", "v1", 0);     /* the directory's own marker */
    shelf_put(shelf, "p/a-/x", "v1", 1); /* before p/a/ in the source's order */
    shelf_put(shelf, "p/a/x", "v1", 1);
    shelf_put(shelf, "p/both", "v1", 9); /* hidden by the directory */
    shelf_put(shelf, "p/both/x", "v1", 1);
    shelf_put(shelf, "p/..", "v1", 1); /* no name */
    shelf_put(shelf, "p//x", "v1", 1);
    shelf_put(shelf, "p/marked/", "v1", 0);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.directories, 4);
    assert_int_equal(root.head.files, 0);
    assert_int_equal(root.head.hidden, 3);
    assert_true(shelf_entry(shelf, &root, "a", &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_true(shelf_entry(shelf, &root, "a-", &entry));
    assert_true(shelf_entry(shelf, &root, "both", &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    assert_true(shelf_entry(shelf, &root, "marked", &entry));
    shelf_free(shelf);
}

static void directory_listed_after_its_page_was_cut_is_put_in(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/part-%05u", i);
        shelf_put(shelf, key, "v1", 10);
    }
    shelf_put(shelf, "p/part/x", "v1", 1);
    shelf_put(shelf, "p/part-02000-/x", "v1", 1);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(marks_count(&shelf->lab->marks, "snapshot.late"), 1);
    assert_int_equal(marks_count(&shelf->lab->marks, "snapshot.late.split"), 1);
    assert_int_equal(root.head.files, 4000);
    assert_int_equal(root.head.directories, 2);
    assert_int_equal(shelf_count(shelf, &root), 4002);
    assert_true(shelf_entry(shelf, &root, "part", &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    shelf_free(shelf);
}

static void twenty_thousand_entries_pass_through_little_memory(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, SHELF_KEYS_MAX);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, SHELF_KEYS_MAX);
    assert_true(shelf->lab->nodes[0].most_used <= (16u << 20) / 4);
    assert_int_equal(shelf_count(shelf, &root), SHELF_KEYS_MAX);
    shelf_free(shelf);
}

static void askers_at_the_same_time_share_one_listing(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct root root;
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    shelf_mount(shelf, 1, 0);
    uint64_t a = shelf_dir_get(shelf, 0, "p/", NULL);
    uint64_t b = shelf_dir_get(shelf, 1, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_true(shelf_got_root(shelf, 0, a, &root));
    assert_true(shelf_got_root(shelf, 1, b, &root));
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void who_waits_for_a_long_listing_is_told_that_it_goes_on(void **state)
{
    struct shelf *shelf = shelf_new(1);
    usec_t first_us = 0;
    (void)state;
    put_many(shelf, 10);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(900));
    assert_true(lab_client_pendings(&shelf->lab->clients[0], request, &first_us) >= 8);
    shelf_free(shelf);
}

static void second_question_needs_no_listing(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    put_many(shelf, 10);
    mount_owner(shelf, 0, "p/");
    shelf_root(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 10);
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void node_that_is_not_the_owner_passes_the_question_on(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, (shelf_owner(shelf, "p/") + 1) % 3);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 10);
    assert_int_equal(marks_count(&shelf->lab->marks, "dirs.forward"), 1);
    shelf_free(shelf);
}

static void first_page_failing_twice_is_tried_again(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 10);
    shelf->plans[0] = ERR_SOURCE_THROTTLED;
    shelf->plans[1] = ERR_SOURCE_UNREACHABLE;
    shelf->plan_count = 2;
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 10);
    assert_int_equal(shelf->lists, 3);
    shelf_free(shelf);
}

static void source_that_stays_down_fails_the_askers_with_its_words(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf->fail_lists = ERR_SOURCE_UNREACHABLE;
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, SEC(60));
    const struct received *fail = lab_client_find(&shelf->lab->clients[0], MESSAGE_FAIL, request);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_SOURCE_UNREACHABLE);
    assert_true(span_equal(fail->message.fail.text, span_text("what the store said")));
    assert_int_equal(shelf->lists, 5);
    shelf_free(shelf);
}

static void refusal_is_not_tried_again(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf->fail_lists = ERR_SOURCE_DENIED;
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(100));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_SOURCE_DENIED);
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

/* ---- what is not there ------------------------------------------------------------------- */

static void prefix_without_keys_is_not_found(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/none/", NULL);
    lab_run(shelf->lab, MSEC(100));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_NOT_FOUND);
    shelf_free(shelf);
}

static void prefix_with_a_marker_is_an_empty_directory(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/sub/", "v1", 0);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/sub/");
    assert_int_equal(root.shards, 0);
    shelf_free(shelf);
}

static void root_of_a_dataset_without_keys_is_an_empty_directory(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.shards, 0);
    shelf_free(shelf);
}

static void prefix_outside_the_dataset_is_refused(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "other/x", "v1", 1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "other/", NULL);
    lab_run(shelf->lab, MSEC(100));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_DENIED);
    assert_int_equal(shelf->lists, 0);
    shelf_free(shelf);
}

static void wrong_fields_of_a_question_are_refused(void **state)
{
    static const struct message_dir_get bad[] = {
        { .hops = 2 },
        { .newer_than = UINT64_MAX },
    };
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_mount(shelf, 0, 0);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint64_t request = shelf_dir_get(shelf, 0, "p/", &bad[i]);
        lab_run(shelf->lab, MSEC(10));
        assert_int_equal(shelf_failed(shelf, 0, request), ERR_INVALID);
    }
    uint64_t request = shelf_dir_get(shelf, 0, "p/x", NULL);
    lab_run(shelf->lab, MSEC(10));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_INVALID);
    assert_int_equal(shelf->lists, 0);
    shelf_free(shelf);
}

/* ---- durability -------------------------------------------------------------------------- */

static void root_and_pages_are_kept_by_two_ranks(void **state)
{
    struct shelf *shelf = shelf_new(4);
    struct dir_id dir = shelf_dir(shelf, "p/");
    uint32_t kept = 0;
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    for (uint32_t i = 0; i < 4; i++) {
        kept += shelf_has(shelf, i, META_ROOT, span_of(dir.b, ID_SIZE)) ? 1 : 0;
    }
    assert_int_equal(kept, 2);
    assert_int_equal(shelf->put_pages, 2 * root.shards);
    assert_int_equal(shelf_count(shelf, &root), 3000);
    shelf_free(shelf);
}

static void restart_of_the_whole_cluster_lists_nothing_again(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    shelf_root(shelf, 0, "p/");
    uint32_t lists = shelf->lists;
    for (uint32_t i = 0; i < 3; i++) {
        lab_kill(shelf->lab, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        lab_start(shelf->lab, i);
    }
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, MSEC(500));
    lab_client_forget(shelf->lab, 0);
    lab_client_forget(shelf->lab, LAB_CLIENTS - 1);
    shelf->lab->clients[LAB_CLIENTS - 1].open = false;
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(shelf_count(shelf, &root), 3000);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

static void next_rank_has_the_directory_of_a_dead_owner(void **state)
{
    struct shelf *shelf = shelf_new(4);
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    shelf_root(shelf, 0, "p/");
    uint32_t lists = shelf->lists;
    lab_kill(shelf->lab, shelf_owner(shelf, "p/"));
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    mount_owner(shelf, 1, "p/");
    struct root root = shelf_root(shelf, 1, "p/");
    assert_int_equal(shelf_count(shelf, &root), 3000);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

static void acting_rank_asks_the_others_before_it_lists(void **state)
{
    struct shelf *shelf = shelf_new(4);
    struct root root;
    (void)state;
    put_many(shelf, 10);
    mount_owner(shelf, 0, "p/");
    shelf_root(shelf, 0, "p/");
    uint32_t third = shelf_rank(shelf, place_of_root(shelf_dir(shelf, "p/")), 2);
    shelf_mount(shelf, 1, third);
    uint64_t request =
        shelf_dir_get(shelf, 1, "p/", &(struct message_dir_get){ .mode = GET_ACTING });
    lab_run(shelf->lab, MSEC(50));
    assert_true(shelf_got_root(shelf, 1, request, &root));
    assert_int_equal(shelf->lists, 1);
    assert_int_equal(marks_count(&shelf->lab->marks, "dirs.root.taken_over"), 1);
    shelf_free(shelf);
}

static void generation_without_a_durable_root_is_never_seen(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct root root;
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    struct root old = shelf_root(shelf, 0, "p/");
    uint64_t before = old.head.generation;
    shelf_put(shelf, "p/new", "v1", 1);
    shelf->fail_roots = true; /* pages go, the root does not: as if the node died in between */
    lab_run(shelf->lab, SEC(2));
    uint64_t request =
        shelf_dir_get(shelf, 0, "p/", &(struct message_dir_get){ .newer_than = before });
    lab_run(shelf->lab, SEC(30));
    assert_int_not_equal(shelf_failed(shelf, 0, request), ERR_OK);
    request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    assert_int_equal(root.head.generation, before);
    assert_int_equal(shelf_count(shelf, &root), 3000);
    shelf_free(shelf);
}

static void node_that_dies_before_the_root_leaves_the_old_generation(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct root root;
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    struct root old = shelf_root(shelf, 0, "p/");
    uint64_t before = old.head.generation;
    uint32_t owner = shelf_owner(shelf, "p/");
    shelf_put(shelf, "p/f000000", "v2", 1);
    lab_run(shelf->lab, SEC(2));
    uint32_t pages = shelf->put_pages;
    shelf_dir_get(shelf, 0, "p/", &(struct message_dir_get){ .newer_than = before });
    while (shelf->put_pages == pages) {
        lab_run(shelf->lab, 100);
    }
    lab_kill(shelf->lab, owner);
    lab_start(shelf->lab, owner);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    uint32_t lists = shelf->lists;
    mount_owner(shelf, 1, "p/");
    uint64_t request = shelf_dir_get(shelf, 1, "p/", NULL);
    lab_run(shelf->lab, MSEC(200));
    assert_true(shelf_got_root(shelf, 1, request, &root));
    assert_int_equal(root.head.generation, before);
    assert_int_equal(shelf_count(shelf, &root), 3000);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

static void page_that_a_rank_lacks_comes_from_the_next_one(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    put_many(shelf, 3000);
    mount_owner(shelf, 0, "p/");
    struct root root = shelf_root(shelf, 0, "p/");
    uint32_t owner = shelf_owner(shelf, "p/");
    uint32_t lost = (owner + 1) % 3;
    lab_kill(shelf->lab, lost); /* with its disk */
    while (shelf->records[lost] != NULL) {
        struct shelf_record *record = shelf->records[lost];
        shelf->records[lost] = record->next;
        free(record->key);
        free(record->value);
        free(record);
    }
    lab_start(shelf->lab, lost);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_count(shelf, &root), 3000);
    assert_int_equal(shelf->lists, 3);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_listed_for_one_dataset_counts_for_a_younger_one_that_shows_it),
        cmocka_unit_test(listing_goes_to_the_last_page),
        cmocka_unit_test(names_are_posix_names_in_posix_order),
        cmocka_unit_test(directory_listed_after_its_page_was_cut_is_put_in),
        cmocka_unit_test(twenty_thousand_entries_pass_through_little_memory),
        cmocka_unit_test(askers_at_the_same_time_share_one_listing),
        cmocka_unit_test(who_waits_for_a_long_listing_is_told_that_it_goes_on),
        cmocka_unit_test(second_question_needs_no_listing),
        cmocka_unit_test(node_that_is_not_the_owner_passes_the_question_on),
        cmocka_unit_test(first_page_failing_twice_is_tried_again),
        cmocka_unit_test(source_that_stays_down_fails_the_askers_with_its_words),
        cmocka_unit_test(refusal_is_not_tried_again),
        cmocka_unit_test(prefix_without_keys_is_not_found),
        cmocka_unit_test(prefix_with_a_marker_is_an_empty_directory),
        cmocka_unit_test(root_of_a_dataset_without_keys_is_an_empty_directory),
        cmocka_unit_test(prefix_outside_the_dataset_is_refused),
        cmocka_unit_test(wrong_fields_of_a_question_are_refused),
        cmocka_unit_test(root_and_pages_are_kept_by_two_ranks),
        cmocka_unit_test(restart_of_the_whole_cluster_lists_nothing_again),
        cmocka_unit_test(next_rank_has_the_directory_of_a_dead_owner),
        cmocka_unit_test(acting_rank_asks_the_others_before_it_lists),
        cmocka_unit_test(generation_without_a_durable_root_is_never_seen),
        cmocka_unit_test(node_that_dies_before_the_root_leaves_the_old_generation),
        cmocka_unit_test(page_that_a_rank_lacks_comes_from_the_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
