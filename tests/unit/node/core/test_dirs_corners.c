/* tests/unit/node/core/test_dirs_corners.c: directories at the limits: full tables, askers that leave,
 * credentials that are missing, what strangers must not ask. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

#include "node/core/meta.h"

#define DIRECTORIES 64 /* directories_max of a shelf */

static void dir_name(uint32_t dir, char out[16])
{
    snprintf(out, 16, "p/d%u/", dir);
}

static void put_dirs(struct shelf *shelf, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/d%u/x", i);
        shelf_put(shelf, key, "v1", 1);
    }
}

static const struct meta *meta_of(const struct shelf *shelf, uint32_t node)
{
    return shelf->lab->nodes[node].node->meta;
}

static void without_credential(struct shelf *shelf)
{
    strcpy(shelf->dataset.rows[0].credential, "nobody");
}

static void directory_over_the_limit_is_busy(void **state)
{
    struct shelf *shelf = shelf_new(1);
    uint32_t busy = 0;
    uint64_t requests[DIRECTORIES + 6];
    (void)state;
    put_dirs(shelf, DIRECTORIES + 6);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    for (uint32_t i = 0; i < ARRAY_COUNT(requests); i++) {
        char prefix[16];
        dir_name(i, prefix);
        requests[i] = shelf_dir_get(shelf, 0, prefix, NULL);
    }
    lab_run(shelf->lab, MSEC(100));
    for (uint32_t i = 0; i < ARRAY_COUNT(requests); i++) {
        busy += shelf_failed(shelf, 0, requests[i]) == ERR_BUSY ? 1 : 0;
    }
    assert_int_equal(busy, 6);
    shelf_free(shelf);
}

static void directory_that_fell_out_of_the_table_is_not_listed_again(void **state)
{
    struct shelf *shelf = shelf_new(1);
    char prefix[16];
    (void)state;
    put_dirs(shelf, DIRECTORIES + 1);
    shelf_mount(shelf, 0, 0);
    for (uint32_t i = 0; i < DIRECTORIES + 1; i++) {
        dir_name(i, prefix);
        shelf_root(shelf, 0, prefix);
    }
    assert_int_equal(marks_count(&shelf->lab->marks, "dirs.forgotten"), 1);
    uint32_t lists = shelf->lists;
    dir_name(0, prefix);
    struct root root = shelf_root(shelf, 0, prefix);
    assert_int_equal(root.head.files, 1);
    assert_int_equal(shelf->lists, lists);
    shelf_free(shelf);
}

static void listings_over_the_limit_wait_for_their_turn(void **state)
{
    struct shelf *shelf = shelf_new(1); /* 16 MiB: eight at once */
    (void)state;
    put_dirs(shelf, 20);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t last = 0;
    for (uint32_t i = 0; i < 20; i++) {
        char prefix[16];
        struct message_dir_get get = { .remaining_us = (uint64_t)SEC(30) };
        dir_name(i, prefix);
        last = shelf_dir_get(shelf, 0, prefix, &get);
    }
    lab_run(shelf->lab, MSEC(500));
    assert_int_equal(shelf->lists, 8);
    lab_run(shelf->lab, SEC(4));
    assert_int_equal(shelf->lists, 20);
    struct root root;
    assert_true(shelf_got_root(shelf, 0, last, &root));
    shelf_free(shelf);
}

static void missing_credential_is_said_and_nothing_is_listed(void **state)
{
    struct shelf *shelf = shelf_new_with(1, without_credential);
    (void)state;
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_NO_CREDENTIAL);
    assert_int_equal(shelf->lists, 0);
    shelf_free(shelf);
}

static void have_credentials(struct shelf *shelf, const char *names, uint32_t broken)
{
    struct node_event event = { .kind = NODE_CREDENTIALS };
    event.credentials.names = span_text(names);
    event.credentials.broken = broken;
    lab_event(shelf->lab, 0, &event);
}

static void credential_that_comes_later_counts_from_then_on(void **state)
{
    struct shelf *shelf = shelf_new_with(1, without_credential);
    struct root root;
    (void)state;
    shelf_mount(shelf, 0, 0);
    have_credentials(shelf, "nobody,other", 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_true(shelf_got_root(shelf, 0, request, &root));
    shelf_free(shelf);
}

static void credential_that_goes_is_not_used_any_more(void **state)
{
    struct shelf *shelf = shelf_new_with(1, without_credential);
    (void)state;
    shelf_mount(shelf, 0, 0);
    have_credentials(shelf, "nobody,other", 0);
    have_credentials(shelf, "other", 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_NO_CREDENTIAL);
    assert_int_equal(shelf->lists, 0);
    shelf_free(shelf);
}

static void dataset_deleted_during_a_listing_is_told_so(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_dirs(shelf, 1);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(100));
    shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, SEC(2));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_DATASET_DELETED);
    shelf_free(shelf);
}

static void listing_goes_on_when_its_asker_has_left(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_dirs(shelf, 1);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    shelf_mount(shelf, 1, 0);
    shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(100));
    lab_client_close(shelf->lab, shelf->lab->clients[0].control);
    lab_run(shelf->lab, SEC(2));
    assert_int_equal(meta_of(shelf, 0)->dirs.works.used, 0);
    shelf_root(shelf, 1, "p/");
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void asker_that_gives_up_is_not_answered(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_dirs(shelf, 1);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", NULL);
    lab_run(shelf->lab, MSEC(100));
    struct message cancel = { .kind = MESSAGE_CANCEL, .cancel = { .request = request } };
    lab_client_send(shelf->lab, shelf->lab->clients[0].control, &cancel);
    lab_run(shelf->lab, SEC(2));
    assert_null(lab_client_find(&shelf->lab->clients[0], MESSAGE_DIR_ROOT, request));
    assert_int_equal(meta_of(shelf, 0)->asks.used, 0);
    shelf_free(shelf);
}

static void asker_whose_time_is_over_is_not_answered(void **state)
{
    struct shelf *shelf = shelf_new(1);
    struct message_dir_get get = { .remaining_us = (uint64_t)MSEC(500) };
    (void)state;
    put_dirs(shelf, 1);
    shelf->list_us = SEC(1);
    shelf_mount(shelf, 0, 0);
    uint64_t request = shelf_dir_get(shelf, 0, "p/", &get);
    lab_run(shelf->lab, SEC(2));
    assert_null(lab_client_find(&shelf->lab->clients[0], MESSAGE_DIR_ROOT, request));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_OK);
    shelf_free(shelf);
}

/* A mount asks for the first page of a listing; its number. */
static uint64_t ask_page(struct shelf *shelf, uint32_t mount, uint64_t generation)
{
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    struct dir_id dir = shelf_dir(shelf, "p/");
    struct client *client = &shelf->lab->clients[mount];
    struct message message = { .kind = MESSAGE_SHARD_GET,
                               .shard_get = { .request = ++client->next_request,
                                              .generation = generation,
                                              .remaining_us = (uint64_t)SEC(30) } };
    memcpy(message.shard_get.dir, dir.b, ID_SIZE);
    memcpy(message.shard_get.source, shelf->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.shard_get.dataset, dataset.b, ID_SIZE);
    lab_client_send(shelf->lab, client->control, &message);
    return message.shard_get.request;
}

static void page_of_a_deleted_dataset_is_refused_as_such(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    put_dirs(shelf, 1);
    shelf_mount(shelf, 0, 0);
    const uint64_t generation = shelf_root(shelf, 0, "p/").head.generation;
    shelf_admin(shelf, 0, ADMIN_DATASET_DELETE, span_text("train"));
    lab_run(shelf->lab, MSEC(50));
    const uint64_t request = ask_page(shelf, 0, generation);
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_DATASET_DELETED);
    shelf_free(shelf);
}

static void silence(struct shelf *shelf, uint32_t node, bool dead)
{
    if (dead && shelf->lab->nodes[node].up) {
        lab_kill(shelf->lab, node);
    }
    shelf->lab->nodes[node].frozen = !dead;
}

/* Asks for a page at a node that does not have it, while those that do are frozen or dead: the first
 * two ranks, which keep it, and who listed it. */
static enum err page_without_its_keepers(bool dead)
{
    struct shelf *shelf = shelf_new(4);
    const struct place place = place_of_shard(shelf_dir(shelf, "p/"), span_of(NULL, 0));
    put_dirs(shelf, 1);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    const uint64_t generation = shelf_root(shelf, 0, "p/").head.generation;
    const uint32_t lister = shelf_owner(shelf, "p/");
    const uint32_t third = shelf_rank(shelf, place, 2);
    const uint32_t asked = third == lister ? shelf_rank(shelf, place, 3) : third;
    const uint32_t have[] = { shelf_rank(shelf, place, 0), shelf_rank(shelf, place, 1), lister };
    for (uint32_t i = 0; i < ARRAY_COUNT(have); i++) {
        silence(shelf, have[i], dead);
    }
    shelf_mount(shelf, 1, asked);
    const uint64_t request = ask_page(shelf, 1, generation);
    lab_run(shelf->lab, SEC(2));
    const enum err err = shelf_failed(shelf, 1, request);
    shelf_free(shelf);
    return err;
}

static void page_is_not_gone_while_its_keepers_only_say_nothing(void **state)
{
    (void)state;
    assert_int_equal(page_without_its_keepers(false), ERR_UNREACHABLE);
}

static void page_is_gone_when_its_keepers_are_dead(void **state)
{
    (void)state;
    assert_int_equal(page_without_its_keepers(true), ERR_NOT_FOUND);
}

static void two_nodes_that_search_for_a_page_do_not_wait_for_each_other(void **state)
{
    struct shelf *shelf = shelf_new(2);
    uint64_t requests[2];
    (void)state;
    put_dirs(shelf, 1);
    shelf_mount(shelf, 0, 0);
    shelf_mount(shelf, 1, 1);
    shelf_root(shelf, 0, "p/");
    for (uint32_t i = 0; i < 2; i++) {
        requests[i] = ask_page(shelf, i, 12345);
    }
    lab_run(shelf->lab, MSEC(500));
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(shelf_failed(shelf, i, requests[i]), ERR_NOT_FOUND);
    }
    shelf_free(shelf);
}

static void page_of_an_unknown_generation_is_not_found(void **state)
{
    struct shelf *shelf = shelf_new(2);
    struct dataset_id dataset = dataset_id_make(span_text("train"));
    struct dir_id dir = shelf_dir(shelf, "p/");
    struct client *client = &shelf->lab->clients[0];
    (void)state;
    put_dirs(shelf, 1);
    shelf_mount(shelf, 0, shelf_owner(shelf, "p/"));
    shelf_root(shelf, 0, "p/");
    struct message message = { .kind = MESSAGE_SHARD_GET,
                               .shard_get = { .request = ++client->next_request,
                                              .generation = 12345,
                                              .remaining_us = (uint64_t)SEC(5) } };
    memcpy(message.shard_get.dir, dir.b, ID_SIZE);
    memcpy(message.shard_get.source, shelf->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.shard_get.dataset, dataset.b, ID_SIZE);
    lab_client_send(shelf->lab, client->control, &message);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, message.shard_get.request), ERR_NOT_FOUND);
    message.shard_get.request = ++client->next_request;
    message.shard_get.generation = 0;
    lab_client_send(shelf->lab, client->control, &message);
    message.shard_get.generation = 12345;
    message.shard_get.request = ++client->next_request;
    message.shard_get.dataset[0] ^= 1;
    lab_client_send(shelf->lab, client->control, &message);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, message.shard_get.request - 1), ERR_INVALID);
    assert_int_equal(shelf_failed(shelf, 0, message.shard_get.request), ERR_NO_DATASET);
    shelf_free(shelf);
}

/* Questions that only nodes may ask. */
static void mount_cannot_offer_or_pull_roots(void **state)
{
    static const enum message_kind kinds[] = { MESSAGE_ROOT_GET, MESSAGE_ROOT_OFFER,
                                               MESSAGE_SHARD_OFFER, MESSAGE_CATALOG_PULL,
                                               MESSAGE_REPORT_GET };
    struct shelf *shelf = shelf_new(1);
    struct client *client = &shelf->lab->clients[0];
    (void)state;
    shelf_mount(shelf, 0, 0);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message message = { .kind = kinds[i] };
        message.ping.request = ++client->next_request;
        lab_client_send(shelf->lab, client->control, &message);
        lab_run(shelf->lab, MSEC(10));
        assert_int_equal(shelf_failed(shelf, 0, message.ping.request), ERR_DENIED);
    }
    shelf_free(shelf);
}

static void many_askers_of_one_listing_are_all_answered(void **state)
{
    struct shelf *shelf = shelf_new(1);
    uint32_t answered = 0;
    struct root root;
    uint64_t requests[600];
    (void)state;
    put_dirs(shelf, 1000); /* a root larger than a few frames */
    shelf->list_us = MSEC(500);
    shelf_mount(shelf, 0, 0);
    for (uint32_t i = 0; i < ARRAY_COUNT(requests); i++) {
        requests[i] = shelf_dir_get(shelf, 0, "p/", NULL);
    }
    lab_run(shelf->lab, SEC(3));
    for (uint32_t i = 0; i < ARRAY_COUNT(requests); i++) {
        answered += shelf_got_root(shelf, 0, requests[i], &root) ? 1 : 0;
    }
    assert_int_equal(answered, ARRAY_COUNT(requests));
    assert_int_equal(shelf->lists, 1);
    shelf_free(shelf);
}

static void tiny_memory(struct shelf *shelf)
{
    shelf->region_size = 256u << 10; /* 64 KiB for metadata */
}

static void directory_too_large_for_the_memory_is_not_listed_over_and_over(void **state)
{
    struct shelf *shelf = shelf_new_with(1, tiny_memory);
    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof key, "p/f%06u", i);
        shelf_put(shelf, key, "v1", 1);
    }
    shelf_mount(shelf, 0, 0);
    for (uint32_t i = 0; i < 100; i++) { /* a mount that tries again and again */
        shelf_dir_get(shelf, 0, "p/", NULL);
        lab_run(shelf->lab, MSEC(100));
    }
    assert_true(marks_count(&shelf->lab->marks, "dirs.busy.rest") > 1);
    assert_true(shelf->lists < 50);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_over_the_limit_is_busy),
        cmocka_unit_test(directory_that_fell_out_of_the_table_is_not_listed_again),
        cmocka_unit_test(listings_over_the_limit_wait_for_their_turn),
        cmocka_unit_test(missing_credential_is_said_and_nothing_is_listed),
        cmocka_unit_test(credential_that_comes_later_counts_from_then_on),
        cmocka_unit_test(credential_that_goes_is_not_used_any_more),
        cmocka_unit_test(dataset_deleted_during_a_listing_is_told_so),
        cmocka_unit_test(page_of_a_deleted_dataset_is_refused_as_such),
        cmocka_unit_test(listing_goes_on_when_its_asker_has_left),
        cmocka_unit_test(asker_that_gives_up_is_not_answered),
        cmocka_unit_test(asker_whose_time_is_over_is_not_answered),
        cmocka_unit_test(page_is_not_gone_while_its_keepers_only_say_nothing),
        cmocka_unit_test(page_is_gone_when_its_keepers_are_dead),
        cmocka_unit_test(two_nodes_that_search_for_a_page_do_not_wait_for_each_other),
        cmocka_unit_test(page_of_an_unknown_generation_is_not_found),
        cmocka_unit_test(mount_cannot_offer_or_pull_roots),
        cmocka_unit_test(many_askers_of_one_listing_are_all_answered),
        cmocka_unit_test(directory_too_large_for_the_memory_is_not_listed_over_and_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
