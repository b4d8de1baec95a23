/* tests/unit/node/core/test_lookup.c: one name of a directory that nobody has listed yet. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

/* A directory whose listing takes a second, with questions that take 3 ms. */
static struct shelf *slow_directory(uint32_t nodes)
{
    struct shelf *shelf = shelf_new(nodes);
    for (uint32_t i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%03u", i);
        shelf_put(shelf, key, "v1", 1000);
    }
    shelf->list_us = SEC(1);
    return shelf;
}

static uint64_t look_up(struct shelf *shelf, uint32_t client, const char *name)
{
    struct message_dir_get get = { .name = span_text(name) };
    return shelf_dir_get(shelf, client, "p/", &get);
}

/* The entry that answered; false: another answer, or none. */
static bool got_entry(const struct shelf *shelf, uint32_t client, uint64_t request,
                      struct entry *out)
{
    const struct received *got =
        lab_client_find(&shelf->lab->clients[client], MESSAGE_DIR_ROOT, request);
    return got != NULL && got->message.dir_root.entry.size > 0 &&
           entry_decode(got->message.dir_root.entry, out) == ERR_OK;
}

static bool got_absent(const struct shelf *shelf, uint32_t client, uint64_t request)
{
    const struct received *got =
        lab_client_find(&shelf->lab->clients[client], MESSAGE_DIR_ROOT, request);
    return got != NULL && got->message.dir_root.absent == 1;
}

static void name_is_answered_before_the_listing_ends(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct entry entry;
    (void)state;
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "f042");
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_entry(shelf, 0, request, &entry));
    assert_int_equal(entry.type, ENTRY_FILE);
    assert_int_equal(entry.size, 1000);
    assert_true(span_equal(entry.pin, span_text("v1")));
    assert_int_equal(shelf->lists, 1);
    assert_int_equal(shelf->probes, 1);
    assert_int_equal(shelf->heads, 1);
    shelf_free(shelf);
}

static void snapshot_adopts_the_place_that_was_given_out(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    struct place given;
    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06u", i);
        shelf_put(shelf, key, "v1", 1000);
    }
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "f004321"); /* in a page that is cut much later */
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_entry(shelf, 0, request, &entry));
    given = entry.place;
    struct root root = shelf_root(shelf, 0, "p/");
    assert_true(shelf_entry(shelf, &root, "f004321", &entry));
    assert_int_equal(entry.place.v, given.v);
    assert_true(shelf_entry(shelf, &root, "f004322", &entry));
    assert_int_not_equal(entry.place.v, given.v);
    shelf_free(shelf);
}

static void name_in_a_page_that_is_cut_has_the_place_of_that_page(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct entry entry;
    struct place given;
    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06u", i);
        shelf_put(shelf, key, "v1", 1000);
    }
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(4500)); /* four of five pages are listed */
    uint64_t request = look_up(shelf, 0, "f001500");
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_entry(shelf, 0, request, &entry));
    given = entry.place;
    struct root root = shelf_root(shelf, 0, "p/");
    assert_true(shelf_entry(shelf, &root, "f001500", &entry));
    assert_int_equal(entry.place.v, given.v);
    shelf_free(shelf);
}

static void directory_wins_over_a_file_of_the_name(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct entry entry;
    (void)state;
    shelf_put(shelf, "p/both", "v1", 5);
    shelf_put(shelf, "p/both/x", "v1", 5);
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "both");
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_entry(shelf, 0, request, &entry));
    assert_int_equal(entry.type, ENTRY_DIR);
    shelf_free(shelf);
}

static void name_that_is_nowhere_is_said_to_be_absent(void **state)
{
    struct shelf *shelf = slow_directory(1);
    (void)state;
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "nothing");
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_absent(shelf, 0, request));
    shelf_free(shelf);
}

static void name_that_no_directory_can_hold_is_absent_at_once(void **state)
{
    struct shelf *shelf = slow_directory(1);
    (void)state;
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "..");
    lab_run(shelf->lab, MSEC(5));
    assert_true(got_absent(shelf, 0, request));
    assert_int_equal(shelf->lists + shelf->heads + shelf->probes, 0);
    shelf_free(shelf);
}

static void same_name_is_looked_up_once(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct entry entry;
    (void)state;
    shelf_mount(shelf, 0, 0);
    shelf_mount(shelf, 1, 0);
    uint64_t a = look_up(shelf, 0, "f042");
    uint64_t b = look_up(shelf, 1, "f042");
    lab_run(shelf->lab, MSEC(20));
    uint64_t c = look_up(shelf, 1, "f042");
    lab_run(shelf->lab, MSEC(20));
    assert_true(got_entry(shelf, 0, a, &entry));
    assert_true(got_entry(shelf, 1, b, &entry));
    assert_true(got_entry(shelf, 1, c, &entry));
    assert_int_equal(shelf->heads, 1);
    shelf_free(shelf);
}

static void many_names_wait_for_the_listing(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct root root;
    uint64_t request = 0;
    (void)state;
    shelf_mount(shelf, 0, 0);
    for (uint32_t i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%03u", i);
        request = look_up(shelf, 0, name);
    }
    lab_run(shelf->lab, SEC(2));
    assert_int_equal(shelf->heads, 8);
    assert_int_equal(shelf->lists, 1);
    assert_true(shelf_got_root(shelf, 0, request, &root));
    shelf_free(shelf);
}

static void listed_directory_needs_no_lookup(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct root root;
    (void)state;
    shelf_mount(shelf, 0, 0);
    shelf_root(shelf, 0, "p/");
    uint64_t request = look_up(shelf, 0, "f042");
    lab_run(shelf->lab, MSEC(5));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    assert_int_equal(shelf->heads, 0);
    shelf_free(shelf);
}

static void failed_question_leaves_the_answer_to_the_listing(void **state)
{
    struct shelf *shelf = slow_directory(1);
    struct root root;
    (void)state;
    shelf->plans[0] = ERR_SOURCE_THROTTLED; /* the LIST of one key goes out first */
    shelf->plan_count = 1;
    shelf_mount(shelf, 0, 0);
    uint64_t request = look_up(shelf, 0, "f042");
    lab_run(shelf->lab, SEC(5));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    assert_int_equal(root.head.files, 100);
    shelf_free(shelf);
}

static void name_asked_at_another_node_is_answered_through_it(void **state)
{
    struct shelf *shelf = slow_directory(3);
    struct entry entry;
    (void)state;
    shelf_mount(shelf, 0, (shelf_owner(shelf, "p/") + 1) % 3);
    uint64_t request = look_up(shelf, 0, "f042");
    lab_run(shelf->lab, MSEC(50));
    assert_true(got_entry(shelf, 0, request, &entry));
    assert_int_equal(entry.size, 1000);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_is_answered_before_the_listing_ends),
        cmocka_unit_test(snapshot_adopts_the_place_that_was_given_out),
        cmocka_unit_test(name_in_a_page_that_is_cut_has_the_place_of_that_page),
        cmocka_unit_test(directory_wins_over_a_file_of_the_name),
        cmocka_unit_test(name_that_is_nowhere_is_said_to_be_absent),
        cmocka_unit_test(name_that_no_directory_can_hold_is_absent_at_once),
        cmocka_unit_test(same_name_is_looked_up_once),
        cmocka_unit_test(many_names_wait_for_the_listing),
        cmocka_unit_test(listed_directory_needs_no_lookup),
        cmocka_unit_test(failed_question_leaves_the_answer_to_the_listing),
        cmocka_unit_test(name_asked_at_another_node_is_answered_through_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
