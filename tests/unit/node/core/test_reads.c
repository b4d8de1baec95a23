/* tests/unit/node/core/test_reads.c: block requests, from GET to the last byte. */
#include "tests/unit/node/core/lab.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)32 << 20)

/* The usual beginning: one node, one mount. */
static struct lab *one(size_t region)
{
    struct lab *lab = lab_new(1, region, 0);
    lab_client_open(lab, 0, 0);
    return lab;
}

static uint64_t ask(struct lab *lab, uint32_t client, const char *key, uint64_t size,
                    uint32_t index)
{
    struct message get = lab_get(lab, key, size, index);
    return lab_client_get(lab, client, &get);
}

static uint64_t failure_of(const struct client *client, uint64_t request)
{
    const struct received *received = lab_client_find(client, MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

static void a_missing_block_is_read_from_the_source_and_answered(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void the_last_block_of_an_object_is_short(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    uint64_t request = ask(lab, 0, KEY, 700000, 2);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 2), 700000 - 2 * LAB_BLOCK);
    lab_free(lab);
}

static void a_block_in_memory_is_answered_without_the_source(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    (void)ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(1));
    usec_t asked_us = lab->now_us;
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    const struct received *data = lab_client_find(&lab->clients[0], MESSAGE_DATA, request);
    assert_int_equal(data->message.data.tier, TIER_MEMORY);
    assert_true(data->at_us - asked_us < MSEC(1));
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void many_who_ask_at_once_share_one_get(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab_client_open(lab, 1, 0);
    uint64_t requests[20];
    for (uint32_t i = 0; i < 20; i++) {
        requests[i] = ask(lab, i % 2, KEY, 700000, 1);
    }
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(lab_client_bytes(&lab->clients[i % 2], requests[i], KEY, 1), LAB_BLOCK);
    }
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void a_part_of_a_block_comes_before_the_block_is_whole(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.step_us = MSEC(50);
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.length = CHUNK_SIZE;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(100));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), CHUNK_SIZE);
    assert_true(lab->source.gets == 1);
    struct node_totals totals;
    node_totals(lab->nodes[0].node, &totals);
    assert_int_equal(totals.fetches_open, 1); /* the rest is still on its way */
    lab_free(lab);
}

static void a_block_says_where_it_is(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct block_id id = { .object = object_id_make(lab->dataset.rows[0].source, span_text(KEY),
                                                    span_text("v1"), LAB_BLOCK) };
    assert_int_equal(blocks_state(lab->nodes[0].node, id), BLOCK_ABSENT);
    lab->source.step_us = MSEC(50);
    (void)ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, MSEC(100)); /* a part of it is there */
    assert_int_equal(blocks_state(lab->nodes[0].node, id), BLOCK_FETCHING);
    lab_run(lab, SEC(1));
    assert_int_equal(blocks_state(lab->nodes[0].node, id), BLOCK_MEMORY);
    lab_free(lab);
}

static void neighbours_in_the_extent_come_with_the_same_get(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message get = lab_get(lab, KEY, 8 * LAB_BLOCK, 0);
    get.get.extent = 1;
    uint64_t first = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    uint64_t last = ask(lab, 0, KEY, 8 * LAB_BLOCK, 7);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], first, KEY, 0), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(&lab->clients[0], last, KEY, 7), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void blocks_before_the_asked_one_come_by_a_background_get(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message get = lab_get(lab, KEY, 8 * LAB_BLOCK, 5);
    get.get.extent = 1;
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab->source.gets, 2);
    assert_int_equal(lab->source.ranges[0].offset, 5 * LAB_BLOCK);
    assert_int_equal(lab->source.ranges[1].offset, 0);
    assert_int_equal(lab->source.bytes, 8 * LAB_BLOCK);
    assert_false(lab_source_repeats(lab));
    lab_free(lab);
}

static void a_cut_get_goes_on_where_it_stopped(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.plans[0] = (struct plan){ .bytes = 100000, .err = ERR_SOURCE_UNREACHABLE };
    lab->source.plans[1] = (struct plan){ .bytes = 70001, .err = ERR_SOURCE_UNREACHABLE };
    lab->source.plans[2] = (struct plan){ .bytes = 0, .err = ERR_SOURCE_THROTTLED };
    lab->source.plan_count = 3;
    struct message get = lab_get(lab, KEY, 3 * LAB_BLOCK, 0);
    get.get.extent = 1;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(5));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_false(lab_source_repeats(lab));
    assert_int_equal(lab->source.gets, 4);
    assert_int_equal(lab->nodes[0].node->metrics.source_bytes, lab->source.bytes);
    assert_int_equal(lab->nodes[0].node->metrics.source_again_bytes, 0);
    lab_free(lab);
}

static void what_came_of_a_block_that_failed_is_not_read_again(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    const struct metrics *metrics = &lab->nodes[0].node->metrics;
    lab->source.plans[0] = (struct plan){ .bytes = 100000, .err = ERR_CHANGED };
    lab->source.plan_count = 1;
    (void)ask(lab, 0, KEY, LAB_BLOCK, 0);
    lab_run(lab, MSEC(100));
    assert_int_equal(metrics->source_bytes, CHUNK_SIZE);
    uint64_t request = ask(lab, 0, KEY, LAB_BLOCK, 0);
    lab_run(lab, MSEC(100));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_int_equal(metrics->source_bytes, LAB_BLOCK);
    assert_int_equal(metrics->source_again_bytes, 0);
    lab_free(lab);
}

static void a_source_that_asks_to_wait_is_not_asked_before(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.plans[0] = (struct plan){ .err = ERR_SOURCE_THROTTLED, .retry_us = SEC(3) };
    lab->source.plan_count = 1;
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(2));
    assert_int_equal(lab->source.gets, 1);
    lab_run(lab, SEC(2));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    lab_free(lab);
}

static void an_object_that_changed_fails_at_once(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.plans[0] = (struct plan){ .err = ERR_CHANGED };
    lab->source.plan_count = 1;
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, MSEC(100));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_CHANGED);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void nobody_waiting_ends_the_retries(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    for (uint32_t i = 0; i < 20; i++) {
        lab->source.plans[i] = (struct plan){ .err = ERR_SOURCE_UNREACHABLE };
    }
    lab->source.plan_count = 20;
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.remaining_us = (uint64_t)SEC(1);
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(60));
    struct node_totals totals;
    node_totals(lab->nodes[0].node, &totals);
    assert_int_equal(totals.fetches_open, 0);
    assert_int_equal(totals.requests_open, 0);
    assert_int_equal(totals.region_used, 0);
    lab_free(lab);
}

static void a_slow_source_brings_signs_of_life_on_the_control_link(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.latency_us = SEC(2);
    usec_t asked_us = lab->now_us;
    usec_t first_us = 0;
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(3));
    uint32_t count = lab_client_pendings(&lab->clients[0], request, &first_us);
    assert_in_range(first_us - asked_us, MSEC(50), MSEC(51));
    assert_in_range(count, 19, 21);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    lab_free(lab);
}

static void nothing_is_sent_after_the_deadline(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.latency_us = SEC(2);
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.remaining_us = (uint64_t)MSEC(500);
    usec_t deadline_us = lab->now_us + MSEC(500) + 200;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(5));
    for (uint32_t i = 0; i < lab->clients[0].count; i++) {
        assert_true(lab->clients[0].inbox[i].at_us <= deadline_us);
    }
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_DATA, request), 0);
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_FAIL, request), 0);
    assert_true(marks_count(&lab->marks, "asks.late") == 1);
    lab_free(lab);
}

static void what_nobody_waits_for_any_more_is_kept_all_the_same(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    struct message cancel = { .kind = MESSAGE_CANCEL, .cancel = { .request = request } };
    lab_client_send(lab, lab->clients[0].data, &cancel);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_DATA, request), 0);
    uint64_t again = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], again, KEY, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void a_link_that_ends_ends_its_requests(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.latency_us = SEC(2);
    (void)ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, MSEC(10));
    lab_client_close(lab, lab->clients[0].data);
    lab_run(lab, MSEC(10));
    struct node_totals totals;
    node_totals(lab->nodes[0].node, &totals);
    assert_int_equal(totals.requests_open, 0);
    lab_run(lab, SEC(5));
    lab_free(lab);
}

/* Each of these is refused before anything is taken. */
static void bad_fields_are_refused(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message good = lab_get(lab, KEY, 700000, 0);
    struct message bad[14];
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].get.index = 3;
    bad[1].get.offset = 1000;
    bad[2].get.length = 0;
    bad[3].get.length = LAB_BLOCK + 1;
    bad[4].get.length = 1000;
    bad[5].get.block_size = 0;
    bad[6].get.block_size = 65537;
    bad[7].get.size = 0;
    bad[8].get.key = span_text("");
    bad[9].get.pin = span_text("");
    bad[10].get.remaining_us = 0;
    bad[11].get.hops = 2;
    bad[12].get.silent = span_text("short");
    bad[13].get.offset = LAB_BLOCK;
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint64_t request = lab_client_get(lab, 0, &bad[i]);
        lab_run(lab, MSEC(2));
        assert_int_equal(failure_of(&lab->clients[0], request), ERR_INVALID);
    }
    struct node_totals totals;
    node_totals(lab->nodes[0].node, &totals);
    assert_int_equal(totals.region_used, 0);
    assert_int_equal(lab->source.gets, 0);
    lab_free(lab);
}

static void the_place_of_a_large_object_cannot_be_chosen(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message get = lab_get(lab, KEY, 8 * LAB_BLOCK, 0);
    get.get.place++;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_INVALID);
    lab_free(lab);
}

static void an_unknown_dataset_is_left_to_nodes_that_know_it(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.dataset[0] ^= 1;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_NO_DATASET);
    lab_free(lab);
}

static void a_source_the_dataset_does_not_show_is_denied(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.source[0] ^= 1;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_DENIED);
    lab_free(lab);
}

static void memory_is_evicted_and_never_exceeded(void **state)
{
    (void)state;
    struct lab *lab = one(4u << 20); /* sixteen blocks */
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t request = ask(lab, 0, KEY, 64 * LAB_BLOCK, i);
        lab_run(lab, MSEC(50));
        assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, i), LAB_BLOCK);
    }
    assert_true(lab->nodes[0].most_used <= (4u << 20));
    assert_int_equal(lab->source.gets, 64);
    lab_free(lab);
}

static void a_full_region_is_an_answer(void **state)
{
    (void)state;
    struct lab *lab = one(1u << 20); /* four blocks */
    lab->source.latency_us = SEC(2);
    for (uint32_t i = 1; i < 4; i++) {
        lab_client_open(lab, i, 0);
    }
    uint64_t requests[8];
    for (uint32_t i = 0; i < 8; i++) { /* two each: their share */
        requests[i] = ask(lab, i % 4, KEY, 64 * LAB_BLOCK, i);
    }
    lab_run(lab, MSEC(100));
    uint32_t busy = 0;
    for (uint32_t i = 0; i < 8; i++) {
        const struct client *client = &lab->clients[i % 4];
        const struct received *fail = lab_client_find(client, MESSAGE_FAIL, requests[i]);
        if (fail != NULL) {
            assert_int_equal(fail->message.fail.err, ERR_BUSY);
            assert_in_range(fail->message.fail.retry_us, MSEC(20), MSEC(50));
            busy++;
        }
    }
    assert_int_equal(busy, 4);
    lab_run(lab, SEC(5));
    lab_free(lab);
}

static void a_slow_receiver_does_not_take_more_than_its_share(void **state)
{
    (void)state;
    struct lab *lab = one(8u << 20); /* a session may have half */
    lab_client_open(lab, 1, 0);
    for (uint32_t i = 0; i < 16; i++) {
        (void)ask(lab, 1, KEY, 64 * LAB_BLOCK, i);
        lab_run(lab, MSEC(20));
    }
    lab->sent_us = SEC(3600);
    for (uint32_t i = 0; i < 300; i++) {
        (void)ask(lab, 0, KEY, 64 * LAB_BLOCK, i % 16);
    }
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_DATA, 0), 16);
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, 0);
    assert_int_equal(fail->message.fail.err, ERR_BUSY);
    lab->sent_us = 0;
    uint64_t request = ask(lab, 1, KEY, 64 * LAB_BLOCK, 3);
    lab_run(lab, MSEC(10));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, KEY, 3), LAB_BLOCK);
    lab_free(lab);
}

static void a_queued_read_goes_on_when_what_was_sent_is_gone(void **state)
{
    (void)state;
    struct lab *lab = one(2u << 20);
    uint64_t requests[8];
    for (uint32_t i = 0; i < 8; i++) {
        requests[i] = ask(lab, 0, KEY, 64 * LAB_BLOCK, i);
    }
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(lab_client_bytes(&lab->clients[0], requests[i], KEY, i), LAB_BLOCK);
    }
    assert_true(marks_count(&lab->marks, "gets.queue") > 0);
    lab_free(lab);
}

static void many_answers_wait_for_room_and_all_arrive(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    uint64_t requests[200];
    lab->source.latency_us = MSEC(40);
    for (uint32_t i = 0; i < 200; i++) {
        struct message get = lab_get(lab, KEY, 700000, 0);
        get.get.length = CHUNK_SIZE;
        requests[i] = lab_client_get(lab, 0, &get);
    }
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(lab_client_bytes(&lab->clients[0], requests[i], KEY, 0), CHUNK_SIZE);
    }
    assert_true(marks_count(&lab->marks, "serve.goes_on") > 0);
    lab_free(lab);
}

static void leaving_refuses_new_fetches_and_says_when_it_is_done(void **state)
{
    (void)state;
    struct lab *lab = one(REGION);
    lab->source.latency_us = SEC(1);
    uint64_t request = ask(lab, 0, KEY, 700000, 0);
    lab_run(lab, MSEC(100));
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    uint64_t late = ask(lab, 0, KEY, 700000, 1);
    lab_run(lab, MSEC(100));
    assert_int_equal(failure_of(&lab->clients[0], late), ERR_BUSY);
    assert_false(lab->nodes[0].drained);
    lab_run(lab, SEC(2));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_true(lab->nodes[0].drained);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_block_is_read_from_the_source_and_answered),
        cmocka_unit_test(the_last_block_of_an_object_is_short),
        cmocka_unit_test(a_block_in_memory_is_answered_without_the_source),
        cmocka_unit_test(many_who_ask_at_once_share_one_get),
        cmocka_unit_test(a_part_of_a_block_comes_before_the_block_is_whole),
        cmocka_unit_test(a_block_says_where_it_is),
        cmocka_unit_test(neighbours_in_the_extent_come_with_the_same_get),
        cmocka_unit_test(blocks_before_the_asked_one_come_by_a_background_get),
        cmocka_unit_test(a_cut_get_goes_on_where_it_stopped),
        cmocka_unit_test(what_came_of_a_block_that_failed_is_not_read_again),
        cmocka_unit_test(a_source_that_asks_to_wait_is_not_asked_before),
        cmocka_unit_test(an_object_that_changed_fails_at_once),
        cmocka_unit_test(nobody_waiting_ends_the_retries),
        cmocka_unit_test(a_slow_source_brings_signs_of_life_on_the_control_link),
        cmocka_unit_test(nothing_is_sent_after_the_deadline),
        cmocka_unit_test(what_nobody_waits_for_any_more_is_kept_all_the_same),
        cmocka_unit_test(a_link_that_ends_ends_its_requests),
        cmocka_unit_test(bad_fields_are_refused),
        cmocka_unit_test(the_place_of_a_large_object_cannot_be_chosen),
        cmocka_unit_test(an_unknown_dataset_is_left_to_nodes_that_know_it),
        cmocka_unit_test(a_source_the_dataset_does_not_show_is_denied),
        cmocka_unit_test(memory_is_evicted_and_never_exceeded),
        cmocka_unit_test(a_full_region_is_an_answer),
        cmocka_unit_test(a_slow_receiver_does_not_take_more_than_its_share),
        cmocka_unit_test(a_queued_read_goes_on_when_what_was_sent_is_gone),
        cmocka_unit_test(many_answers_wait_for_room_and_all_arrive),
        cmocka_unit_test(leaving_refuses_new_fetches_and_says_when_it_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
