/* tests/unit/node/core/test_reads.c: block requests, from GET to the last byte. */
#include "tests/unit/node/core/world.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)32 << 20)

/* The usual beginning: one node, one mount. */
static struct world *one(size_t region)
{
    struct world *world = world_new(1, region, 0);
    client_open(world, 0, 0);
    return world;
}

static uint64_t ask(struct world *world, uint32_t client, const char *key, uint64_t size,
                    uint32_t index)
{
    struct message get = world_get(world, key, size, index);
    return client_get(world, client, &get);
}

static uint64_t failure_of(const struct client *client, uint64_t request)
{
    const struct received *received = client_find(client, MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

static void a_missing_block_is_read_from_the_source_and_answered(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void the_last_block_of_an_object_is_short(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    uint64_t request = ask(world, 0, KEY, 700000, 2);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 2), 700000 - 2 * WORLD_BLOCK);
    world_free(world);
}

static void a_block_in_memory_is_answered_without_the_source(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    (void)ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(1));
    usec_t asked_us = world->now_us;
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    const struct received *data = client_find(&world->clients[0], MESSAGE_DATA, request);
    assert_int_equal(data->message.data.tier, TIER_MEMORY);
    assert_true(data->at_us - asked_us < MSEC(1));
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void many_who_ask_at_once_share_one_get(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    client_open(world, 1, 0);
    uint64_t requests[20];
    for (uint32_t i = 0; i < 20; i++) {
        requests[i] = ask(world, i % 2, KEY, 700000, 1);
    }
    world_run(world, SEC(1));
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(client_bytes(&world->clients[i % 2], requests[i], KEY, 1), WORLD_BLOCK);
    }
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void a_part_of_a_block_comes_before_the_block_is_whole(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.step_us = MSEC(50);
    struct message get = world_get(world, KEY, 700000, 0);
    get.get.length = CHUNK_SIZE;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, MSEC(100));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), CHUNK_SIZE);
    assert_true(world->source.gets == 1);
    struct node_totals totals;
    node_totals(world->nodes[0].node, &totals);
    assert_int_equal(totals.fetches_open, 1); /* the rest is still on its way */
    world_free(world);
}

static void neighbours_in_the_extent_come_with_the_same_get(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message get = world_get(world, KEY, 8 * WORLD_BLOCK, 0);
    get.get.extent = 1;
    uint64_t first = client_get(world, 0, &get);
    world_run(world, SEC(1));
    uint64_t last = ask(world, 0, KEY, 8 * WORLD_BLOCK, 7);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], first, KEY, 0), WORLD_BLOCK);
    assert_int_equal(client_bytes(&world->clients[0], last, KEY, 7), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void blocks_before_the_asked_one_come_by_a_background_get(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message get = world_get(world, KEY, 8 * WORLD_BLOCK, 5);
    get.get.extent = 1;
    (void)client_get(world, 0, &get);
    world_run(world, SEC(1));
    assert_int_equal(world->source.gets, 2);
    assert_int_equal(world->source.ranges[0].offset, 5 * WORLD_BLOCK);
    assert_int_equal(world->source.ranges[1].offset, 0);
    assert_int_equal(world->source.bytes, 8 * WORLD_BLOCK);
    assert_false(source_repeats(world));
    world_free(world);
}

static void a_cut_get_goes_on_where_it_stopped(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.plans[0] = (struct plan){ .bytes = 100000, .err = ERR_SOURCE_UNREACHABLE };
    world->source.plans[1] = (struct plan){ .bytes = 30001, .err = ERR_SOURCE_UNREACHABLE };
    world->source.plans[2] = (struct plan){ .bytes = 0, .err = ERR_SOURCE_THROTTLED };
    world->source.plan_count = 3;
    struct message get = world_get(world, KEY, 3 * WORLD_BLOCK, 0);
    get.get.extent = 1;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(5));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    assert_false(source_repeats(world));
    assert_int_equal(world->source.gets, 4);
    world_free(world);
}

static void a_source_that_asks_to_wait_is_not_asked_before(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.plans[0] = (struct plan){ .err = ERR_SOURCE_THROTTLED, .retry_us = SEC(3) };
    world->source.plan_count = 1;
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(2));
    assert_int_equal(world->source.gets, 1);
    world_run(world, SEC(2));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    world_free(world);
}

static void an_object_that_changed_fails_at_once(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.plans[0] = (struct plan){ .err = ERR_CHANGED };
    world->source.plan_count = 1;
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, MSEC(100));
    assert_int_equal(failure_of(&world->clients[0], request), ERR_CHANGED);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void nobody_waiting_ends_the_retries(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    for (uint32_t i = 0; i < 20; i++) {
        world->source.plans[i] = (struct plan){ .err = ERR_SOURCE_UNREACHABLE };
    }
    world->source.plan_count = 20;
    struct message get = world_get(world, KEY, 700000, 0);
    get.get.remaining_us = (uint64_t)SEC(1);
    (void)client_get(world, 0, &get);
    world_run(world, SEC(60));
    struct node_totals totals;
    node_totals(world->nodes[0].node, &totals);
    assert_int_equal(totals.fetches_open, 0);
    assert_int_equal(totals.requests_open, 0);
    assert_int_equal(totals.region_used, 0);
    world_free(world);
}

static void a_slow_source_brings_signs_of_life_on_the_control_link(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.latency_us = SEC(2);
    usec_t asked_us = world->now_us;
    usec_t first_us = 0;
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(3));
    uint32_t count = client_pendings(&world->clients[0], request, &first_us);
    assert_in_range(first_us - asked_us, MSEC(50), MSEC(51));
    assert_in_range(count, 19, 21);
    assert_int_equal(world->source.gets, 1);
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    world_free(world);
}

static void nothing_is_sent_after_the_deadline(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.latency_us = SEC(2);
    struct message get = world_get(world, KEY, 700000, 0);
    get.get.remaining_us = (uint64_t)MSEC(500);
    usec_t deadline_us = world->now_us + MSEC(500) + 200;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(5));
    for (uint32_t i = 0; i < world->clients[0].count; i++) {
        assert_true(world->clients[0].inbox[i].at_us <= deadline_us);
    }
    assert_int_equal(client_count(&world->clients[0], MESSAGE_DATA, request), 0);
    assert_int_equal(client_count(&world->clients[0], MESSAGE_FAIL, request), 0);
    assert_true(marks_count(&world->marks, "asks.late") == 1);
    world_free(world);
}

static void what_nobody_waits_for_any_more_is_kept_all_the_same(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    struct message cancel = { .kind = MESSAGE_CANCEL, .cancel = { .request = request } };
    client_send(world, world->clients[0].data, &cancel);
    world_run(world, SEC(1));
    assert_int_equal(client_count(&world->clients[0], MESSAGE_DATA, request), 0);
    uint64_t again = ask(world, 0, KEY, 700000, 0);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], again, KEY, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void a_link_that_ends_ends_its_requests(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.latency_us = SEC(2);
    (void)ask(world, 0, KEY, 700000, 0);
    world_run(world, MSEC(10));
    client_close(world, world->clients[0].data);
    world_run(world, MSEC(10));
    struct node_totals totals;
    node_totals(world->nodes[0].node, &totals);
    assert_int_equal(totals.requests_open, 0);
    world_run(world, SEC(5));
    world_free(world);
}

/* Each of these is refused before anything is taken. */
static void bad_fields_are_refused(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message good = world_get(world, KEY, 700000, 0);
    struct message bad[14];
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].get.index = 3;
    bad[1].get.offset = 1000;
    bad[2].get.length = 0;
    bad[3].get.length = WORLD_BLOCK + 1;
    bad[4].get.length = 1000;
    bad[5].get.block_size = 0;
    bad[6].get.block_size = 65537;
    bad[7].get.size = 0;
    bad[8].get.key = span_text("");
    bad[9].get.pin = span_text("");
    bad[10].get.remaining_us = 0;
    bad[11].get.hops = 2;
    bad[12].get.silent = span_text("short");
    bad[13].get.offset = WORLD_BLOCK;
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint64_t request = client_get(world, 0, &bad[i]);
        world_run(world, MSEC(2));
        assert_int_equal(failure_of(&world->clients[0], request), ERR_INVALID);
    }
    struct node_totals totals;
    node_totals(world->nodes[0].node, &totals);
    assert_int_equal(totals.region_used, 0);
    assert_int_equal(world->source.gets, 0);
    world_free(world);
}

static void the_place_of_a_large_object_cannot_be_chosen(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message get = world_get(world, KEY, 8 * WORLD_BLOCK, 0);
    get.get.place++;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, MSEC(2));
    assert_int_equal(failure_of(&world->clients[0], request), ERR_INVALID);
    world_free(world);
}

static void an_unknown_dataset_is_not_found(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message get = world_get(world, KEY, 700000, 0);
    get.get.dataset[0] ^= 1;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, MSEC(2));
    assert_int_equal(failure_of(&world->clients[0], request), ERR_NOT_FOUND);
    world_free(world);
}

static void a_source_the_dataset_does_not_show_is_denied(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    struct message get = world_get(world, KEY, 700000, 0);
    get.get.source[0] ^= 1;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, MSEC(2));
    assert_int_equal(failure_of(&world->clients[0], request), ERR_DENIED);
    world_free(world);
}

static void memory_is_evicted_and_never_exceeded(void **state)
{
    (void)state;
    struct world *world = one(4u << 20); /* sixteen blocks */
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t request = ask(world, 0, KEY, 64 * WORLD_BLOCK, i);
        world_run(world, MSEC(50));
        assert_int_equal(client_bytes(&world->clients[0], request, KEY, i), WORLD_BLOCK);
    }
    assert_true(world->nodes[0].most_used <= (4u << 20));
    assert_int_equal(world->source.gets, 64);
    world_free(world);
}

static void a_full_region_is_an_answer(void **state)
{
    (void)state;
    struct world *world = one(1u << 20); /* four blocks */
    world->source.latency_us = SEC(2);
    for (uint32_t i = 1; i < 4; i++) {
        client_open(world, i, 0);
    }
    uint64_t requests[8];
    for (uint32_t i = 0; i < 8; i++) { /* two each: their share */
        requests[i] = ask(world, i % 4, KEY, 64 * WORLD_BLOCK, i);
    }
    world_run(world, MSEC(100));
    uint32_t busy = 0;
    for (uint32_t i = 0; i < 8; i++) {
        const struct client *client = &world->clients[i % 4];
        const struct received *fail = client_find(client, MESSAGE_FAIL, requests[i]);
        if (fail != NULL) {
            assert_int_equal(fail->message.fail.err, ERR_BUSY);
            assert_in_range(fail->message.fail.retry_us, MSEC(20), MSEC(50));
            busy++;
        }
    }
    assert_int_equal(busy, 4);
    world_run(world, SEC(5));
    world_free(world);
}

static void a_slow_receiver_does_not_take_more_than_its_share(void **state)
{
    (void)state;
    struct world *world = one(8u << 20); /* a session may have half */
    client_open(world, 1, 0);
    for (uint32_t i = 0; i < 16; i++) {
        (void)ask(world, 1, KEY, 64 * WORLD_BLOCK, i);
        world_run(world, MSEC(20));
    }
    world->hold_sent = true;
    for (uint32_t i = 0; i < 300; i++) {
        (void)ask(world, 0, KEY, 64 * WORLD_BLOCK, i % 16);
    }
    world_run(world, SEC(1));
    assert_int_equal(client_count(&world->clients[0], MESSAGE_DATA, 0), 16);
    const struct received *fail = client_find(&world->clients[0], MESSAGE_FAIL, 0);
    assert_int_equal(fail->message.fail.err, ERR_BUSY);
    world->hold_sent = false;
    uint64_t request = ask(world, 1, KEY, 64 * WORLD_BLOCK, 3);
    world_run(world, MSEC(10));
    assert_int_equal(client_bytes(&world->clients[1], request, KEY, 3), WORLD_BLOCK);
    world_free(world);
}

static void a_queued_read_goes_on_when_what_was_sent_is_gone(void **state)
{
    (void)state;
    struct world *world = one(2u << 20);
    uint64_t requests[8];
    for (uint32_t i = 0; i < 8; i++) {
        requests[i] = ask(world, 0, KEY, 64 * WORLD_BLOCK, i);
    }
    world_run(world, SEC(1));
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(client_bytes(&world->clients[0], requests[i], KEY, i), WORLD_BLOCK);
    }
    assert_true(marks_count(&world->marks, "gets.queue") > 0);
    world_free(world);
}

static void many_answers_wait_for_room_and_all_arrive(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    uint64_t requests[200];
    world->source.latency_us = MSEC(40);
    for (uint32_t i = 0; i < 200; i++) {
        struct message get = world_get(world, KEY, 700000, 0);
        get.get.length = CHUNK_SIZE;
        requests[i] = client_get(world, 0, &get);
    }
    world_run(world, SEC(1));
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(client_bytes(&world->clients[0], requests[i], KEY, 0), CHUNK_SIZE);
    }
    assert_true(marks_count(&world->marks, "serve.goes_on") > 0);
    world_free(world);
}

static void leaving_refuses_new_fetches_and_says_when_it_is_done(void **state)
{
    (void)state;
    struct world *world = one(REGION);
    world->source.latency_us = SEC(1);
    uint64_t request = ask(world, 0, KEY, 700000, 0);
    world_run(world, MSEC(100));
    world_event(world, 0, &(struct node_event){ .kind = NODE_LEAVE });
    uint64_t late = ask(world, 0, KEY, 700000, 1);
    world_run(world, MSEC(100));
    assert_int_equal(failure_of(&world->clients[0], late), ERR_BUSY);
    assert_false(world->nodes[0].drained);
    world_run(world, SEC(2));
    assert_int_equal(client_bytes(&world->clients[0], request, KEY, 0), WORLD_BLOCK);
    assert_true(world->nodes[0].drained);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_block_is_read_from_the_source_and_answered),
        cmocka_unit_test(the_last_block_of_an_object_is_short),
        cmocka_unit_test(a_block_in_memory_is_answered_without_the_source),
        cmocka_unit_test(many_who_ask_at_once_share_one_get),
        cmocka_unit_test(a_part_of_a_block_comes_before_the_block_is_whole),
        cmocka_unit_test(neighbours_in_the_extent_come_with_the_same_get),
        cmocka_unit_test(blocks_before_the_asked_one_come_by_a_background_get),
        cmocka_unit_test(a_cut_get_goes_on_where_it_stopped),
        cmocka_unit_test(a_source_that_asks_to_wait_is_not_asked_before),
        cmocka_unit_test(an_object_that_changed_fails_at_once),
        cmocka_unit_test(nobody_waiting_ends_the_retries),
        cmocka_unit_test(a_slow_source_brings_signs_of_life_on_the_control_link),
        cmocka_unit_test(nothing_is_sent_after_the_deadline),
        cmocka_unit_test(what_nobody_waits_for_any_more_is_kept_all_the_same),
        cmocka_unit_test(a_link_that_ends_ends_its_requests),
        cmocka_unit_test(bad_fields_are_refused),
        cmocka_unit_test(the_place_of_a_large_object_cannot_be_chosen),
        cmocka_unit_test(an_unknown_dataset_is_not_found),
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
