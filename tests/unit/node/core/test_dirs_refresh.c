/* tests/unit/node/core/test_dirs_refresh.c: directories that change: policies, refreshes, generations. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

static void put_many(struct shelf *shelf, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06u", i);
        shelf_put(shelf, key, "v1", 1000);
    }
}

static void always(struct shelf *shelf)
{
    shelf->dataset.policy = METADATA_ALWAYS;
}

static void ttl_of_ten_seconds(struct shelf *shelf)
{
    shelf->dataset.policy = METADATA_TTL;
    shelf->dataset.ttl_us = SEC(10);
}

/* The root after a listing that a mount forces, because `before` has proven stale. */
static struct root relisted(struct shelf *shelf, uint64_t before)
{
    struct root root = { .shards = 0 };
    struct message_dir_get get = { .newer_than = before };
    uint64_t request = shelf_dir_get(shelf, 0, "p/", &get);
    lab_run(shelf->lab, SEC(5));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    assert_true(root.head.generation > before);
    return root;
}

static usec_t fresh_us(const struct shelf *shelf, uint64_t request)
{
    const struct received *got =
        lab_client_find(&shelf->lab->clients[0], MESSAGE_DIR_ROOT, request);
    assert_non_null(got);
    return (usec_t)got->message.dir_root.fresh_us;
}

/* ---- places ------------------------------------------------------------------------------ */

static void refresh_keeps_the_places_of_unchanged_files(void **state)
{
    struct shelf *shelf = shelf_new(3);
    struct entry entry;
    (void)state;
    put_many(shelf, 2500);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    struct root root = shelf_root(shelf, 0, "p/");
    assert_true(shelf_entry(shelf, &root, "f001500", &entry));
    struct place kept = entry.place;
    for (uint32_t i = 0; i < 900; i++) { /* the first page is split */
        char key[32];
        snprintf(key, sizeof key, "p/f%06ux", i);
        shelf_put(shelf, key, "v1", 10);
    }
    shelf_put(shelf, "p/f001501", "v2", 1000);
    uint32_t shards = root.shards;
    root = relisted(shelf, root.head.generation);
    assert_int_equal(root.head.files, 3400);
    assert_true(root.shards > shards);
    assert_true(shelf_entry(shelf, &root, "f001500", &entry));
    assert_int_equal(entry.place.v, kept.v);
    assert_int_equal(shelf_count(shelf, &root), 3400);
    shelf_free(shelf);
}

static void files_of_a_split_page_stay_where_they_were(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    (void)state;
    put_many(shelf, 1000);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.shards, 1);
    assert_true(shelf_entry(shelf, &root, "f000900", &entry));
    struct place kept = entry.place;
    for (uint32_t i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06ux", i);
        shelf_put(shelf, key, "v1", 10);
    }
    root = relisted(shelf, root.head.generation);
    assert_int_equal(root.shards, 2);
    assert_true(shelf_entry(shelf, &root, "f000900", &entry));
    assert_int_equal(entry.place.v, kept.v);
    struct root_shard second;
    root_shard(&root, 1, &second);
    assert_int_not_equal(second.place.v, kept.v);
    shelf_free(shelf);
}

static void changed_file_gets_the_place_of_its_page(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    shelf_put(shelf, "p/f000003", "v2", 1234);
    root = relisted(shelf, root.head.generation);
    assert_true(shelf_entry(shelf, &root, "f000003", &entry));
    assert_int_equal(entry.size, 1234);
    assert_true(span_equal(entry.pin, span_text("v2")));
    shelf_free(shelf);
}

static void earlier_generation_stays_readable(void **state)
{
    struct shelf *shelf = shelf_new(3);
    struct entry entry;
    (void)state;
    put_many(shelf, 2500);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    struct root old = shelf_root(shelf, 0, "p/");
    shelf_put(shelf, "p/f000003", "v2", 1234);
    struct root new = relisted(shelf, old.head.generation);
    assert_true(shelf_entry(shelf, &old, "f000003", &entry));
    assert_true(span_equal(entry.pin, span_text("v1")));
    assert_true(shelf_entry(shelf, &new, "f000003", &entry));
    assert_true(span_equal(entry.pin, span_text("v2")));
    assert_int_equal(shelf_count(shelf, &old), 2500);
    shelf_free(shelf);
}

static void pages_of_the_generation_before_the_last_are_overwritten(void **state)
{
    struct shelf *shelf = shelf_new(1);
    uint32_t pages = 0;
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    for (uint32_t i = 0; i < 4; i++) {
        char pin[8];
        snprintf(pin, sizeof pin, "w%u", i);
        shelf_put(shelf, "p/f000003", pin, 1000);
        root = relisted(shelf, root.head.generation);
    }
    for (const struct shelf_record *r = shelf->records[0]; r != NULL; r = r->next) {
        pages += r->space == META_PAGE ? 1 : 0;
    }
    assert_int_equal(pages, 2);
    shelf_free(shelf);
}

static void late_directory_survives_a_refresh(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct entry entry;
    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/part-%05u", i);
        shelf_put(shelf, key, "v1", 10);
    }
    shelf_put(shelf, "p/part/x", "v1", 1);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    struct root root = shelf_root(shelf, 0, "p/");
    uint64_t digest = root.head.digest;
    root = relisted(shelf, root.head.generation);
    assert_int_equal(root.head.digest, digest);
    assert_int_equal(root.head.directories, 1);
    assert_true(shelf_entry(shelf, &root, "part", &entry));
    assert_int_equal(shelf_count(shelf, &root), 3001);
    shelf_free(shelf);
}

static void directory_that_vanishes_is_gone_after_a_restart_too(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf_put(shelf, "p/sub/x", "v1", 1);
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/sub/");
    shelf_remove(shelf, "p/sub/x");
    lab_run(shelf->lab, SEC(2));
    struct message_dir_get get = { .newer_than = root.head.generation };
    uint64_t request = shelf_dir_get(shelf, 0, "p/sub/", &get);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_NOT_FOUND);
    uint32_t lists = shelf->lists;
    lab_kill(shelf->lab, 0);
    lab_start(shelf->lab, 0);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, MSEC(100));
    shelf_mount(shelf, 1, 0);
    request = shelf_dir_get(shelf, 1, "p/sub/", NULL);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 1, request), ERR_NOT_FOUND);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

/* ---- policies ---------------------------------------------------------------------------- */

static void policy_always_lists_for_each_question(void **state)
{
    struct shelf *shelf = shelf_new_with(2, always);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    shelf_root(shelf, 0, "p/");
    shelf_put(shelf, "p/new", "v1", 1);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 11);
    assert_int_equal(shelf->lists, 2);
    shelf_free(shelf);
}

static void listing_without_a_change_makes_no_generation(void **state)
{
    struct shelf *shelf = shelf_new_with(2, always);
    (void)state;
    put_many(shelf, 2500);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    struct root root = shelf_root(shelf, 0, "p/");
    uint64_t generation = root.head.generation;
    uint32_t puts = shelf->puts;
    root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.generation, generation);
    assert_int_equal(shelf->puts, puts);
    assert_int_equal(shelf->lists, 6);
    shelf_free(shelf);
}

static void change_on_the_last_page_stores_the_first_ones_again(void **state)
{
    struct shelf *shelf = shelf_new_with(2, always);
    (void)state;
    put_many(shelf, 2500);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    struct root root = shelf_root(shelf, 0, "p/");
    uint64_t generation = root.head.generation;
    shelf_put(shelf, "p/f002499", "v2", 1);
    root = shelf_root(shelf, 0, "p/");
    assert_true(root.head.generation > generation);
    assert_true(marks_count(&shelf->lab->marks, "snapshot.redo") > 0);
    assert_int_equal(shelf_count(shelf, &root), 2500);
    shelf_free(shelf);
}

static void policy_ttl_lists_again_when_the_time_is_over(void **state)
{
    struct shelf *shelf = shelf_new_with(1, ttl_of_ten_seconds);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    shelf_root(shelf, 0, "p/");
    lab_run(shelf->lab, SEC(4));
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(10));
    assert_true(fresh_us(shelf, request) > SEC(5) && fresh_us(shelf, request) < SEC(6));
    assert_int_equal(shelf->lists, 1);
    lab_run(shelf->lab, SEC(7));
    shelf_root(shelf, 0, "p/");
    assert_int_equal(shelf->lists, 2);
    shelf_free(shelf);
}

static void policy_ttl_does_not_depend_on_how_clocks_are_set(void **state)
{
    static const usec_t jumps[] = { -SEC(3600), SEC(3600) };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(jumps); i++) {
        struct shelf *shelf = shelf_new_with(1, ttl_of_ten_seconds);
        put_many(shelf, 10);
        shelf_mount(shelf, 0, 0);
        shelf_root(shelf, 0, "p/");
        shelf->lab->set_us = jumps[i];
        lab_run(shelf->lab, SEC(4));
        shelf_root(shelf, 0, "p/");
        assert_int_equal(shelf->lists, 1);
        lab_run(shelf->lab, SEC(7));
        shelf_root(shelf, 0, "p/");
        assert_int_equal(shelf->lists, 2);
        shelf_free(shelf);
    }
}

static void source_that_is_down_does_not_take_away_what_a_ttl_has_aged(void **state)
{
    struct shelf *shelf = shelf_new_with(1, ttl_of_ten_seconds);
    struct root root;
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    shelf_root(shelf, 0, "p/");
    lab_run(shelf->lab, SEC(11));
    shelf->fail_lists = ERR_SOURCE_UNREACHABLE;
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, SEC(60));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    assert_int_equal(root.head.files, 10);
    assert_true(fresh_us(shelf, request) <= SEC(5));
    shelf_free(shelf);
}

static void policy_once_believes_its_listing(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    shelf_root(shelf, 0, "p/");
    shelf_put(shelf, "p/new", "v1", 1);
    lab_run(shelf->lab, SEC(3600));
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 10);
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void refresh_of_the_dataset_lists_again(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    shelf_root(shelf, 0, "p/");
    shelf_put(shelf, "p/new", "v1", 1);
    uint64_t admin = shelf_admin(shelf, 1, ADMIN_DATASET_REFRESH, span_text("train"));
    lab_run(shelf->lab, SEC(1));
    assert_non_null(shelf_answer(shelf, admin));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_OK);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(root.head.files, 11);
    shelf_free(shelf);
}

static void refresh_of_one_directory_lists_it_at_its_owner(void **state)
{
    struct shelf *shelf = shelf_new(3);
    (void)state;
    shelf_put(shelf, "p/sub/a", "v1", 1);
    uint32_t owner = shelf_owner(shelf, "p/sub/");
    shelf_mount(shelf, 0, owner);
    shelf_root(shelf, 0, "p/sub/");
    shelf_put(shelf, "p/sub/b", "v1", 1);
    lab_run(shelf->lab, SEC(2));
    uint64_t admin =
        shelf_admin(shelf, (owner + 1) % 3, ADMIN_DATASET_REFRESH, span_text("train/sub/"));
    lab_run(shelf->lab, SEC(1));
    assert_non_null(shelf_answer(shelf, admin));
    assert_int_equal(shelf_answer(shelf, admin)->err, ERR_OK);
    assert_int_equal(shelf->lists, 2);
    struct root root = shelf_root(shelf, 0, "p/sub/");
    assert_int_equal(root.head.files, 2);
    assert_int_equal(shelf->lists, 2);
    shelf_free(shelf);
}

/* ---- proven stale ------------------------------------------------------------------------ */

static void proof_of_staleness_forces_one_listing_a_second(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct root root;
    uint64_t requests[3];
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    root = shelf_root(shelf, 0, "p/");
    struct message_dir_get get = { .newer_than = root.head.generation };
    for (uint32_t i = 0; i < 3; i++) {
        requests[i] = shelf_dir_get(shelf, 0, "p/", &get);
    }
    lab_run(shelf->lab, MSEC(500));
    assert_int_equal(shelf->lists, 1); /* the last listing is not a second old */
    lab_run(shelf->lab, SEC(1));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(shelf_got_root(shelf, 0, requests[i], &root));
        assert_true(root.head.generation > get.newer_than);
    }
    assert_int_equal(shelf->lists, 2);
    shelf_free(shelf);
}

static void newer_generation_answers_a_proof_without_listing(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_many(shelf, 10);
    shelf_mount(shelf, 0, 0);
    struct root old = shelf_root(shelf, 0, "p/");
    uint64_t before = old.head.generation;
    lab_run(shelf->lab, SEC(2));
    relisted(shelf, before);
    uint32_t lists = shelf->lists;
    relisted(shelf, before);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refresh_keeps_the_places_of_unchanged_files),
        cmocka_unit_test(files_of_a_split_page_stay_where_they_were),
        cmocka_unit_test(changed_file_gets_the_place_of_its_page),
        cmocka_unit_test(earlier_generation_stays_readable),
        cmocka_unit_test(pages_of_the_generation_before_the_last_are_overwritten),
        cmocka_unit_test(late_directory_survives_a_refresh),
        cmocka_unit_test(directory_that_vanishes_is_gone_after_a_restart_too),
        cmocka_unit_test(policy_always_lists_for_each_question),
        cmocka_unit_test(listing_without_a_change_makes_no_generation),
        cmocka_unit_test(change_on_the_last_page_stores_the_first_ones_again),
        cmocka_unit_test(policy_ttl_lists_again_when_the_time_is_over),
        cmocka_unit_test(policy_ttl_does_not_depend_on_how_clocks_are_set),
        cmocka_unit_test(source_that_is_down_does_not_take_away_what_a_ttl_has_aged),
        cmocka_unit_test(policy_once_believes_its_listing),
        cmocka_unit_test(refresh_of_the_dataset_lists_again),
        cmocka_unit_test(refresh_of_one_directory_lists_it_at_its_owner),
        cmocka_unit_test(proof_of_staleness_forces_one_listing_a_second),
        cmocka_unit_test(newer_generation_answers_a_proof_without_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
