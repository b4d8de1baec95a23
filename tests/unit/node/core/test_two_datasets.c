/* tests/unit/node/core/test_two_datasets.c: two datasets show the same objects, and one goes away or
 * changes: readers of the other do not notice. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>
#include <string.h>

#include "node/core/catalog.h"

#define EXTENT_BLOCKS (EXTENT_SIZE / LAB_BLOCK)
#define SIZE ((uint64_t)2 * EXTENT_SIZE)

/* "train", and "other" that shows the same. */
static struct shelf *with_other(uint32_t nodes, struct dataset *other)
{
    struct shelf *shelf = shelf_new(nodes);
    *other = shelf->dataset;
    strcpy(other->name, "other");
    shelf_create(shelf, 0, other);
    lab_run(shelf->lab, MSEC(50));
    return shelf;
}

static uint64_t ask(struct shelf *shelf, const struct dataset *dataset, const char *key,
                    uint32_t index)
{
    shelf->lab->dataset = *dataset;
    struct message get = lab_get(shelf->lab, key, SIZE, index);
    return lab_client_get(shelf->lab, 0, &get);
}

static void check_read(struct shelf *shelf, uint64_t request, const char *key, uint32_t index)
{
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_OK);
    assert_int_equal(lab_client_bytes(&shelf->lab->clients[0], request, key, index), LAB_BLOCK);
}

/* That node hears of it; others do not yet. */
static void install(struct shelf *shelf, uint32_t node, const struct dataset *dataset)
{
    struct dataset later = *dataset;
    enum err err = ERR_OK;
    later.version = (uint64_t)shelf->lab->now_us + (uint64_t)SEC(1);
    assert_true(catalog_install(shelf->lab->nodes[node].node, &later, &err));
    assert_int_equal(err, ERR_OK);
}

static void delete_at(struct shelf *shelf, uint32_t node)
{
    struct dataset deleted = shelf->dataset;
    deleted.deleted = true;
    install(shelf, node, &deleted);
}

static void a_file_of_a_deleted_dataset_is_read_for_another(void **state)
{
    (void)state;
    struct dataset other;
    struct shelf *shelf = with_other(1, &other);
    shelf_mount(shelf, 0, 0);
    check_read(shelf, ask(shelf, &shelf->dataset, "p/big", 0), "p/big", 0);
    delete_at(shelf, 0);
    check_read(shelf, ask(shelf, &other, "p/big", 1), "p/big", 1);
    shelf_free(shelf);
}

/* The name is used again, for something else. */
static void a_file_that_a_changed_dataset_does_not_show_is_read_for_another(void **state)
{
    (void)state;
    struct dataset other;
    struct shelf *shelf = with_other(1, &other);
    struct dataset changed = shelf->dataset;
    shelf_mount(shelf, 0, 0);
    check_read(shelf, ask(shelf, &shelf->dataset, "p/big", 0), "p/big", 0);
    strcpy(changed.rows[0].uri, "file:///elsewhere/");
    changed.rows[0].source =
        source_id_make(span_text("file"), span_text(""), span_text("/elsewhere/"));
    install(shelf, 0, &changed);
    check_read(shelf, ask(shelf, &other, "p/big", 1), "p/big", 1);
    shelf_free(shelf);
}

/* Two nodes: the one that a mount asks, which is told in `asked`, and one that is silent. */
static struct shelf *with_silent(struct dataset *other, bool owner_is_silent, uint32_t *asked)
{
    struct shelf *shelf = with_other(2, other);
    const uint32_t owner = lab_owner(shelf->lab, "p/big", SIZE, 0);
    *asked = owner_is_silent ? 1 - owner : owner;
    shelf_mount(shelf, 0, *asked);
    shelf->lab->nodes[1 - *asked].frozen = true;
    return shelf;
}

/* Both wait for the same block while another node is asked for it. */
static void a_reader_that_waits_beside_one_of_a_deleted_dataset_is_served(void **state)
{
    (void)state;
    struct dataset other;
    uint32_t asked;
    struct shelf *shelf = with_silent(&other, false, &asked);
    (void)ask(shelf, &shelf->dataset, "p/big", 0);
    const uint64_t request = ask(shelf, &other, "p/big", 0);
    lab_run(shelf->lab, MSEC(10));
    delete_at(shelf, asked);
    check_read(shelf, request, "p/big", 0);
    shelf_free(shelf);
}

/* One reads while another node is asked for the block. */
static void a_reader_that_waits_learns_that_its_dataset_was_deleted(void **state)
{
    (void)state;
    struct dataset other;
    uint32_t asked;
    struct shelf *shelf = with_silent(&other, false, &asked);
    const uint64_t request = ask(shelf, &shelf->dataset, "p/big", 0);
    lab_run(shelf->lab, MSEC(10));
    delete_at(shelf, asked);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, request), ERR_DATASET_DELETED);
    shelf_free(shelf);
}

/* Two wait for a copy that does not come; then the block is looked for anew. */
static void readers_beside_a_copy_learn_which_dataset_was_deleted(void **state)
{
    (void)state;
    struct dataset other;
    uint32_t asked;
    struct shelf *shelf = with_silent(&other, true, &asked);
    struct message get = lab_get(shelf->lab, "p/big", SIZE, 0);
    get.get.mode = GET_COPY;
    (void)lab_client_get(shelf->lab, 0, &get);
    const uint64_t deleted = ask(shelf, &shelf->dataset, "p/big", 0);
    const uint64_t living = ask(shelf, &other, "p/big", 0);
    lab_run(shelf->lab, MSEC(10));
    delete_at(shelf, asked);
    lab_run(shelf->lab, SEC(1));
    assert_int_equal(shelf_failed(shelf, 0, deleted), ERR_DATASET_DELETED);
    assert_int_equal(shelf_failed(shelf, 0, living), ERR_UNREACHABLE);
    shelf_free(shelf);
}

/* A node that has not heard of it yet passes a request on to one that has. */
static void a_request_is_passed_on_for_the_dataset_of_its_reader(void **state)
{
    (void)state;
    char key[32] = "";
    struct dataset other;
    struct shelf *shelf = with_other(2, &other);
    shelf->lab->dataset = other;
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "p/big%u", i);
        if (lab_owner(shelf->lab, key, SIZE, 0) == 0 &&
            lab_owner(shelf->lab, key, SIZE, EXTENT_BLOCKS) == 1) {
            break;
        }
    }
    shelf_mount(shelf, 0, 0);
    check_read(shelf, ask(shelf, &shelf->dataset, key, 0), key, 0);
    delete_at(shelf, 1);
    check_read(shelf, ask(shelf, &other, key, EXTENT_BLOCKS), key, EXTENT_BLOCKS);
    assert_int_equal(shelf->lab->nodes[0].node->metrics.gets_forwarded, 1);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_a_deleted_dataset_is_read_for_another),
        cmocka_unit_test(a_file_that_a_changed_dataset_does_not_show_is_read_for_another),
        cmocka_unit_test(a_reader_that_waits_beside_one_of_a_deleted_dataset_is_served),
        cmocka_unit_test(a_reader_that_waits_learns_that_its_dataset_was_deleted),
        cmocka_unit_test(readers_beside_a_copy_learn_which_dataset_was_deleted),
        cmocka_unit_test(a_request_is_passed_on_for_the_dataset_of_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
