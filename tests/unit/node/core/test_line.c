/* tests/unit/node/core/test_line.c: a node whose disk is slower than where its blocks come from. */
#include "tests/unit/node/core/lab.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)16 << 20)
#define QUOTA ((uint64_t)64 << 20)
#define SIZE (200 * LAB_BLOCK)
#define DEBTS_MOST (REGION / 2)
#define FIT (uint32_t)(DEBTS_MOST / LAB_BLOCK) /* blocks that may wait for the disk */

static uint64_t ask(struct lab *lab, uint32_t index)
{
    struct message get = lab_get(lab, KEY, SIZE, index);
    return lab_client_get(lab, 0, &get);
}

/* The number of the first one; the others follow. */
static uint64_t ask_many(struct lab *lab, uint32_t first, uint32_t count)
{
    uint64_t request = ask(lab, first);
    for (uint32_t i = 1; i < count; i++) {
        assert_int_equal(ask(lab, first + i), request + i);
    }
    return request;
}

static struct lab *one(usec_t disk_us)
{
    struct lab *lab = lab_new(1, REGION, QUOTA);
    lab->nodes[0].disk.latency_us = disk_us;
    lab_client_open(lab, 0, 0);
    return lab;
}

static const struct client *reader(const struct lab *lab)
{
    return &lab->clients[0];
}

static struct node *node_of(const struct lab *lab)
{
    return lab->nodes[0].node;
}

static bool is_answered(const struct lab *lab, uint64_t request)
{
    return lab_client_count(reader(lab), MESSAGE_DATA, request) > 0;
}

static uint32_t answered(const struct lab *lab, uint64_t request, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += is_answered(lab, request + i);
    }
    return sum;
}

/* Nothing is under way, and nothing was forgotten. */
static void check_over(struct lab *lab)
{
    assert_true(store_is_idle(node_of(lab)));
    assert_int_equal(node_of(lab)->store.debts, 0);
    assert_int_equal(node_of(lab)->store.debt_count, 0);
    assert_int_equal(node_of(lab)->flights.line_count, 0);
    assert_int_equal(node_of(lab)->flights.pool.used, 0);
    const struct objects *objects = &node_of(lab)->objects;
    assert_int_equal(objects->short_pool.used + objects->long_pool.used, objects->kept);
    lab_free(lab);
}

static void no_more_is_fetched_than_waits_for_the_disk(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(100));
    uint64_t request = ask_many(lab, 0, 100);
    while (answered(lab, request, 100) < 100 && lab->now_us < SEC(60)) {
        lab_run(lab, MSEC(5));
        assert_true(node_of(lab)->store.debts <= DEBTS_MOST);
    }
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(lab_client_bytes(reader(lab), request + i, KEY, i), LAB_BLOCK);
    }
    lab_run(lab, SEC(2));
    assert_int_equal(lab->nodes[0].disk.writes, 100);
    assert_int_equal(node_of(lab)->metrics.disk_skipped, 0);
    assert_true(node_of(lab)->metrics.disk_waits > 0);
    check_over(lab);
}

static void what_was_fetched_under_pressure_is_never_fetched_again(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(100));
    for (uint32_t round = 0; round < 2; round++) {
        uint64_t request = ask_many(lab, 0, 150);
        lab_run(lab, SEC(10));
        assert_int_equal(answered(lab, request, 150), 150);
        lab_client_forget(lab, 0);
    }
    assert_true(node_of(lab)->metrics.evicted_memory > 0);
    assert_false(lab_source_repeats(lab));
    check_over(lab);
}

static void who_waits_for_the_disk_hears_that_he_is_not_forgotten(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(1));
    uint64_t request = ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    assert_int_equal(answered(lab, request, FIT), FIT);
    uint64_t late = ask(lab, FIT);
    usec_t asked_us = lab->now_us;
    usec_t first_us;
    lab_run(lab, MSEC(600));
    assert_false(is_answered(lab, late));
    assert_true(lab_client_pendings(reader(lab), late, &first_us) >= 5);
    assert_true(first_us - asked_us <= MSEC(61));
    lab_run(lab, SEC(1)); /* the first eight are written */
    assert_true(is_answered(lab, late));
    lab_run(lab, SEC(10));
    check_over(lab);
}

static void those_that_wait_begin_in_the_order_in_which_they_asked(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(50));
    uint64_t request = ask_many(lab, FIT, 20);
    for (uint32_t i = 0; i < 20; i++) {
        while (!is_answered(lab, request + i)) {
            lab_run(lab, MSEC(1));
            assert_true(lab->now_us < SEC(60));
        }
        uint32_t before = answered(lab, request, i);
        assert_int_equal(before, i);
    }
    lab_run(lab, SEC(10));
    assert_int_equal(node_of(lab)->metrics.disk_behind, 0);
    check_over(lab);
}

static void who_comes_later_does_not_get_past_a_larger_one(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    (void)ask_many(lab, 0, FIT - 1);
    lab_run(lab, MSEC(50));
    struct message get = lab_get(lab, "large", 4u << 20, 0);
    get.get.block_size = 1u << 20;
    get.get.length = 1u << 20;
    struct object_id id =
        object_id_make(lab->dataset.rows[0].source, span_text("large"), span_text("v1"), 1u << 20);
    get.get.place = place_of_extent(id, 0).v;
    uint64_t large = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(10));
    uint64_t small = ask(lab, FIT); /* there would be room for it */
    lab_run(lab, MSEC(100));
    assert_false(is_answered(lab, large));
    assert_false(is_answered(lab, small));
    lab_run(lab, MSEC(500));
    assert_true(is_answered(lab, large));
    assert_true(is_answered(lab, small));
    lab_run(lab, SEC(10));
    check_over(lab);
}

static void all_who_want_a_block_wait_for_one_turn(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(50));
    uint64_t first = ask(lab, FIT);
    uint64_t second = ask(lab, FIT);
    lab_run(lab, MSEC(100));
    assert_int_equal(node_of(lab)->flights.line_count, 1);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(reader(lab), first, KEY, FIT), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(reader(lab), second, KEY, FIT), LAB_BLOCK);
    assert_false(lab_source_repeats(lab));
    lab_run(lab, SEC(10));
    check_over(lab);
}

static void a_turn_that_nobody_wants_any_more_passes(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(50));
    uint64_t given_up = ask(lab, FIT);
    uint64_t next = ask(lab, FIT + 1);
    lab_run(lab, MSEC(10));
    struct message cancel = { .kind = MESSAGE_CANCEL, .cancel = { .request = given_up } };
    lab_client_send(lab, lab->clients[0].data, &cancel);
    lab_run(lab, SEC(1));
    assert_true(is_answered(lab, next));
    assert_int_equal(lab->source.gets, FIT + 1);
    lab_run(lab, SEC(10));
    check_over(lab);
}

static void what_is_in_memory_or_on_disk_is_not_kept_waiting(void **state)
{
    (void)state;
    struct lab *lab = one(0);
    (void)ask_many(lab, 0, 100);
    lab_run(lab, SEC(1)); /* the first ones are on disk alone by now */
    lab->nodes[0].disk.latency_us = SEC(2);
    (void)ask_many(lab, 100, FIT);
    lab_run(lab, MSEC(50));
    uint64_t waits = ask(lab, 100 + FIT);
    uint64_t in_memory = ask(lab, 100);
    uint64_t on_disk = ask(lab, 0);
    lab_run(lab, MSEC(100));
    assert_true(is_answered(lab, in_memory));
    assert_int_equal(node_of(lab)->metrics.disk_read_bytes, LAB_BLOCK); /* it is being read */
    assert_false(is_answered(lab, waits));
    lab_run(lab, SEC(3));
    assert_true(is_answered(lab, on_disk));
    lab_run(lab, SEC(20));
    check_over(lab);
}

static void a_block_stays_in_memory_until_it_is_written(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(3));
    uint64_t request = ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    assert_int_equal(answered(lab, request, FIT), FIT);
    while (memory_evict(node_of(lab))) { /* somebody wants all the memory he can get */
    }
    uint64_t again = ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    assert_int_equal(answered(lab, again, FIT), FIT);
    assert_int_equal(lab->source.gets, FIT);
    lab_run(lab, SEC(20));
    assert_int_equal(lab->nodes[0].disk.writes, FIT);
    check_over(lab);
}

static void nobody_waits_longer_than_five_seconds_for_a_disk_that_is_stuck(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(60));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    uint64_t first = ask_many(lab, FIT, 10);
    usec_t asked_us = lab->now_us;
    lab_run(lab, FLIGHT_PATIENCE_US + MSEC(50));
    for (uint32_t i = 0; i < 10; i++) {
        const struct received *data = lab_client_find(reader(lab), MESSAGE_DATA, first + i);
        assert_non_null(data);
        assert_true(data->at_us - asked_us >= FLIGHT_PATIENCE_US);
    }
    uint64_t later = ask_many(lab, FIT + 10, 10); /* and then nobody waits */
    lab_run(lab, MSEC(50));
    assert_int_equal(answered(lab, later, 10), 10);
    assert_int_equal(node_of(lab)->metrics.disk_behind, 1);
    assert_int_equal(node_of(lab)->metrics.disk_skipped, 20);
    assert_true(lab->nodes[0].disk.writes <= STORE_WRITES_MAX);
    lab_run(lab, SEC(400));
    check_over(lab);
}

static void a_disk_that_has_caught_up_is_waited_for_again(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(6));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    (void)ask(lab, FIT);
    lab_run(lab, SEC(5) + MSEC(500));
    assert_true(node_of(lab)->store.behind);
    lab_run(lab, SEC(1)); /* eight are written: still more than half to go */
    assert_true(node_of(lab)->store.behind);
    lab_run(lab, SEC(6));
    assert_false(node_of(lab)->store.behind);
    (void)ask_many(lab, FIT + 1, FIT);
    lab_run(lab, MSEC(100));
    assert_true(node_of(lab)->flights.line_count > 0);
    assert_true(node_of(lab)->store.debts <= DEBTS_MOST);
    lab_run(lab, SEC(100));
    check_over(lab);
}

static void a_pause_of_the_process_is_not_the_disk_s_fault(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(2));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    uint64_t waits = ask(lab, FIT);
    lab_run(lab, MSEC(100));
    lab->nodes[0].frozen = true;
    lab_run(lab, SEC(10));
    lab->nodes[0].frozen = false;
    lab_run(lab, SEC(3));
    assert_true(is_answered(lab, waits));
    assert_int_equal(node_of(lab)->metrics.disk_behind, 0);
    lab_run(lab, SEC(20));
    check_over(lab);
}

static void writes_that_fail_let_others_begin(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    uint64_t request = ask_many(lab, FIT, 4);
    lab->nodes[0].disk.write_err = ERR_SYSTEM;
    lab_run(lab, SEC(2));
    assert_int_equal(answered(lab, request, 4), 4);
    lab_run(lab, SEC(10));
    check_over(lab);
}

static void nobody_waits_for_a_disk_that_was_taken_out(void **state)
{
    (void)state;
    struct lab *lab = one(MSEC(500));
    lab->nodes[0].disk.write_err = ERR_SYSTEM;
    (void)ask_many(lab, 0, 150); /* the first sixteen tell what the disk is */
    lab_run(lab, SEC(3));
    assert_int_equal(answered(lab, 1, 150), 150);
    assert_in_range(lab->nodes[0].disk.writes, STORE_ERRORS_MAX,
                    STORE_ERRORS_MAX + STORE_WRITES_MAX - 1);
    assert_int_equal(node_of(lab)->metrics.disk_behind, 0);
    check_over(lab);
}

static void without_a_disk_nobody_waits(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    uint64_t request = ask_many(lab, 0, 100);
    lab_run(lab, SEC(1));
    assert_int_equal(answered(lab, request, 100), 100);
    assert_int_equal(node_of(lab)->metrics.disk_waits, 0);
    check_over(lab);
}

static void a_disk_that_has_enough_to_write_gets_no_read_ahead(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(2));
    (void)ask_many(lab, 64, FIT / 2); /* whole extents of their own */
    lab_run(lab, MSEC(100));
    struct message get = lab_get(lab, KEY, SIZE, 0);
    get.get.extent = 1;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(100));
    assert_true(is_answered(lab, request));
    assert_int_equal(lab->source.gets, FIT / 2 + 1);
    assert_int_equal(lab->source.bytes, (FIT / 2 + 1) * LAB_BLOCK);
    lab_run(lab, SEC(20));
    check_over(lab);
}

static void blocks_of_other_nodes_wait_for_the_disk_too(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, QUOTA);
    lab_run(lab, SEC(61));
    lab_client_open(lab, 0, 0);
    lab_client_open(lab, 1, 1);
    char key[32];
    lab_key_of(lab, 1, SIZE, key);
    for (uint32_t i = 0; i < 64; i++) { /* an extent of node 1, which has it on its disk then */
        struct message get = lab_get(lab, key, SIZE, i);
        (void)lab_client_get(lab, 1, &get);
    }
    lab_run(lab, SEC(2));
    uint64_t given = lab->source.bytes;
    lab->nodes[0].disk.latency_us = MSEC(500);
    for (uint32_t i = 0; i < 64; i++) { /* node 0 is to act for node 1 */
        struct message get = lab_get(lab, key, SIZE, i);
        get.get.mode = GET_ACTING;
        (void)lab_client_get(lab, 0, &get);
    }
    for (uint32_t i = 0; i < 50; i++) {
        lab_run(lab, MSEC(100));
        assert_true(node_of(lab)->store.debts <= DEBTS_MOST);
    }
    lab_run(lab, SEC(5));
    assert_int_equal(lab_client_count(reader(lab), MESSAGE_DATA, 0), 64);
    assert_int_equal(lab->nodes[0].disk.writes, 64);
    assert_int_equal(lab->source.bytes, given);
    assert_true(node_of(lab)->metrics.disk_waits > 0);
    check_over(lab);
}

static void another_node_is_not_made_to_wait_for_a_turn(void **state)
{
    (void)state;
    struct lab *lab = one(SEC(2));
    (void)ask_many(lab, 0, FIT);
    lab_run(lab, MSEC(100));
    (void)ask(lab, FIT);
    lab_run(lab, MSEC(10));
    struct message get = lab_get(lab, KEY, SIZE, FIT);
    get.get.mode = GET_PEEK;
    uint64_t peek = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(10));
    const struct received *fail = lab_client_find(reader(lab), MESSAGE_FAIL, peek);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_NOT_FOUND);
    lab_run(lab, SEC(20));
    check_over(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_is_fetched_than_waits_for_the_disk),
        cmocka_unit_test(what_was_fetched_under_pressure_is_never_fetched_again),
        cmocka_unit_test(who_waits_for_the_disk_hears_that_he_is_not_forgotten),
        cmocka_unit_test(those_that_wait_begin_in_the_order_in_which_they_asked),
        cmocka_unit_test(who_comes_later_does_not_get_past_a_larger_one),
        cmocka_unit_test(all_who_want_a_block_wait_for_one_turn),
        cmocka_unit_test(a_turn_that_nobody_wants_any_more_passes),
        cmocka_unit_test(what_is_in_memory_or_on_disk_is_not_kept_waiting),
        cmocka_unit_test(a_block_stays_in_memory_until_it_is_written),
        cmocka_unit_test(nobody_waits_longer_than_five_seconds_for_a_disk_that_is_stuck),
        cmocka_unit_test(a_disk_that_has_caught_up_is_waited_for_again),
        cmocka_unit_test(a_pause_of_the_process_is_not_the_disk_s_fault),
        cmocka_unit_test(writes_that_fail_let_others_begin),
        cmocka_unit_test(nobody_waits_for_a_disk_that_was_taken_out),
        cmocka_unit_test(without_a_disk_nobody_waits),
        cmocka_unit_test(a_disk_that_has_enough_to_write_gets_no_read_ahead),
        cmocka_unit_test(blocks_of_other_nodes_wait_for_the_disk_too),
        cmocka_unit_test(another_node_is_not_made_to_wait_for_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
