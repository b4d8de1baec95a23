/* tests/unit/node/core/test_store.c: blocks on disk, over restarts and bad disks. */
#include "tests/unit/node/core/lab.h"

#include "node/core/segments.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)16 << 20)
#define QUOTA ((uint64_t)64 << 20)
#define SIZE (64 * LAB_BLOCK)

static uint64_t ask(struct lab *lab, uint32_t index)
{
    struct message get = lab_get(lab, KEY, SIZE, index);
    return lab_client_get(lab, 0, &get);
}

static void read_blocks(struct lab *lab, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t request = ask(lab, i);
        lab_run(lab, MSEC(50));
        assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, i), LAB_BLOCK);
    }
}

static struct lab *one(uint64_t quota)
{
    struct lab *lab = lab_new(1, REGION, quota);
    lab_client_open(lab, 0, 0);
    return lab;
}

/* The process dies and comes back with what is on its disk. */
static void restart(struct lab *lab)
{
    lab_kill(lab, 0);
    lab_run(lab, SEC(1));
    lab_start(lab, 0);
    lab_tell_members(lab);
    lab_run(lab, MSEC(100));
    lab_client_forget(lab, 0);
    lab_client_open(lab, 0, 0);
}

static void a_block_is_written_once_it_is_whole(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    read_blocks(lab, 0, 3);
    assert_int_equal(lab->nodes[0].disk.writes, 3);
    struct store_report report;
    store_tier_report(lab->nodes[0].node, 0, &report);
    assert_int_equal(report.blocks, 3);
    assert_int_equal(report.used, 3 * record_size(LAB_BLOCK));
    lab_free(lab);
}

static void after_a_restart_blocks_come_from_disk(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    read_blocks(lab, 0, 4);
    restart(lab);
    read_blocks(lab, 0, 4);
    assert_int_equal(lab->source.gets, 4);
    assert_int_equal(lab->nodes[0].disk.reads, 4);
    assert_int_equal(lab->nodes[0].node->metrics.served_disk, 4);
    read_blocks(lab, 0, 4); /* and are in memory then */
    assert_int_equal(lab->nodes[0].disk.reads, 4);
    lab_free(lab);
}

static void a_small_range_of_a_large_block_is_read_alone(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, QUOTA);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, 8u << 20, 0);
    get.get.block_size = 4u << 20;
    get.get.length = 4u << 20;
    struct object_id id =
        object_id_make(lab->dataset.rows[0].source, span_text(KEY), span_text("v1"), 4u << 20);
    get.get.place = place_of_extent(id, 0).v;
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    restart(lab);
    get.get.offset = CHUNK_SIZE * 5;
    get.get.length = CHUNK_SIZE * 2;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    const struct received *data = lab_client_find(&lab->clients[0], MESSAGE_DATA, request);
    assert_non_null(data);
    assert_int_equal(data->payload_size, CHUNK_SIZE * 2);
    assert_int_equal(data->payload[3], lab_object_byte(lab_key_hash(KEY), CHUNK_SIZE * 5 + 3));
    assert_int_equal(lab->nodes[0].node->metrics.disk_read_bytes, CHUNK_SIZE * 2);
    struct node_totals totals;
    node_totals(lab->nodes[0].node, &totals);
    assert_int_equal(totals.region_used, 0); /* nothing is kept of it */
    lab_free(lab);
}

static void a_flipped_byte_on_disk_is_a_miss(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    read_blocks(lab, 0, 2);
    restart(lab);
    lab_disk_corrupt(lab, 0);
    read_blocks(lab, 0, 2);
    assert_int_equal(lab->source.gets, 4);
    assert_int_equal(lab->nodes[0].node->metrics.disk_corrupt, 2);
    lab_free(lab);
}

static void a_flipped_byte_in_a_range_is_a_miss_too(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, QUOTA);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, 8u << 20, 0);
    get.get.block_size = 4u << 20;
    get.get.length = 4u << 20;
    struct object_id id =
        object_id_make(lab->dataset.rows[0].source, span_text(KEY), span_text("v1"), 4u << 20);
    get.get.place = place_of_extent(id, 0).v;
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    restart(lab);
    lab_disk_corrupt(lab, 0);
    get.get.offset = CHUNK_SIZE;
    get.get.length = CHUNK_SIZE;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    const struct received *data = lab_client_find(&lab->clients[0], MESSAGE_DATA, request);
    assert_non_null(data);
    assert_int_equal(data->payload[7], lab_object_byte(lab_key_hash(KEY), CHUNK_SIZE + 7));
    assert_int_equal(data->message.data.tier, TIER_SOURCE);
    lab_free(lab);
}

static void reads_wait_until_the_disk_has_told_what_it_holds(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    read_blocks(lab, 0, 2);
    struct disk_record known = lab->nodes[0].disk.kept[1].record;
    lab_kill(lab, 0);
    lab_start_unscanned(lab, 0);
    lab_tell_members(lab);
    lab_run(lab, MSEC(100));
    lab_client_forget(lab, 0);
    lab_client_open(lab, 0, 0);
    assert_false(lab->nodes[0].owning);
    uint64_t on_disk = ask(lab, 1);
    uint64_t missing = ask(lab, 9);
    usec_t first_us;
    lab_run(lab, MSEC(500));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_DATA, 0), 0);
    assert_true(lab_client_pendings(&lab->clients[0], missing, &first_us) >= 4);
    lab_event(lab, 0,
              &(struct node_event){ .kind = NODE_DISK_RECORD, .disk_record = { .record = known } });
    lab_run(lab, MSEC(100));
    assert_int_equal(lab_client_bytes(&lab->clients[0], on_disk, KEY, 1), LAB_BLOCK);
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_DATA, missing), 0);
    lab_event(lab, 0,
              &(struct node_event){ .kind = NODE_DISK_READY, .disk_ready = { .next_segment = 1 } });
    lab_run(lab, MSEC(100));
    assert_int_equal(lab_client_bytes(&lab->clients[0], missing, KEY, 9), LAB_BLOCK);
    assert_true(lab->nodes[0].owning);
    assert_int_equal(lab->source.gets, 3);
    lab_free(lab);
}

static void the_oldest_segment_goes_when_the_quota_is_reached(void **state)
{
    (void)state;
    struct lab *lab = one((uint64_t)10 << 20); /* 2.5 segments of 15 records */
    read_blocks(lab, 0, 50);
    struct store_report report;
    store_tier_report(lab->nodes[0].node, 0, &report);
    assert_true(report.used <= report.quota);
    assert_true(lab->nodes[0].disk.drops >= 1);
    assert_int_equal(report.blocks, lab->nodes[0].disk.count);
    restart(lab);
    read_blocks(lab, 49, 1);
    assert_int_equal(lab->source.gets, 50);
    read_blocks(lab, 0, 1);
    assert_int_equal(lab->source.gets, 51);
    lab_free(lab);
}

static void two_sources_have_segments_of_their_own(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    struct node *node = lab->nodes[0].node;
    struct node_effects effects;
    effects_begin(&node->effects, &effects);
    struct source_id a = { { 1 } };
    struct source_id b = { { 2 } };
    const struct segment *first = segment_for(node, 0, a, 8192);
    const struct segment *second = segment_for(node, 0, b, 8192);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(segment_for(node, 0, a, 8192), first);
    lab_free(lab);
}

static void a_disk_that_fails_often_is_written_no_more(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    lab->nodes[0].disk.write_err = ERR_SYSTEM;
    read_blocks(lab, 0, 30);
    struct store_report report;
    store_tier_report(lab->nodes[0].node, 0, &report);
    assert_true(report.failed);
    assert_int_equal(lab->nodes[0].disk.writes, STORE_ERRORS_MAX);
    assert_int_equal(report.blocks, 0);
    lab_free(lab);
}

static void records_of_a_smaller_quota_are_dropped_at_start(void **state)
{
    (void)state;
    struct lab *lab = one(QUOTA);
    read_blocks(lab, 0, 40);
    lab_kill(lab, 0);
    lab->nodes[0].options.tier[0].quota = (uint64_t)8 << 20;
    lab_start(lab, 0);
    struct store_report report;
    store_tier_report(lab->nodes[0].node, 0, &report);
    assert_true(report.used <= report.quota);
    assert_true(report.blocks > 0);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_written_once_it_is_whole),
        cmocka_unit_test(after_a_restart_blocks_come_from_disk),
        cmocka_unit_test(a_small_range_of_a_large_block_is_read_alone),
        cmocka_unit_test(a_flipped_byte_on_disk_is_a_miss),
        cmocka_unit_test(a_flipped_byte_in_a_range_is_a_miss_too),
        cmocka_unit_test(reads_wait_until_the_disk_has_told_what_it_holds),
        cmocka_unit_test(the_oldest_segment_goes_when_the_quota_is_reached),
        cmocka_unit_test(two_sources_have_segments_of_their_own),
        cmocka_unit_test(a_disk_that_fails_often_is_written_no_more),
        cmocka_unit_test(records_of_a_smaller_quota_are_dropped_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
