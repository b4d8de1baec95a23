/* tests/unit/node/core/test_store.c: blocks on disk, over restarts and bad disks. */
#include "tests/unit/node/core/world.h"

#include "node/core/segments.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)16 << 20)
#define QUOTA ((uint64_t)64 << 20)
#define SIZE (64 * WORLD_BLOCK)

static uint64_t ask(struct world *world, uint32_t index)
{
    struct message get = world_get(world, KEY, SIZE, index);
    return client_get(world, 0, &get);
}

static void read_blocks(struct world *world, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t request = ask(world, i);
        world_run(world, MSEC(50));
        assert_int_equal(client_bytes(&world->clients[0], request, KEY, i), WORLD_BLOCK);
    }
}

static struct world *one(uint64_t quota)
{
    struct world *world = world_new(1, REGION, quota);
    client_open(world, 0, 0);
    return world;
}

/* The process dies and comes back with what is on its disk. */
static void restart(struct world *world)
{
    world_kill(world, 0);
    world_run(world, SEC(1));
    world_start(world, 0);
    world_tell_members(world);
    world_run(world, MSEC(100));
    client_forget(world, 0);
    client_open(world, 0, 0);
}

static void a_block_is_written_once_it_is_whole(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    read_blocks(world, 0, 3);
    assert_int_equal(world->nodes[0].disk.writes, 3);
    struct store_report report;
    store_tier_report(world->nodes[0].node, 0, &report);
    assert_int_equal(report.blocks, 3);
    assert_int_equal(report.used, 3 * record_size(WORLD_BLOCK));
    world_free(world);
}

static void after_a_restart_blocks_come_from_disk(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    read_blocks(world, 0, 4);
    restart(world);
    read_blocks(world, 0, 4);
    assert_int_equal(world->source.gets, 4);
    assert_int_equal(world->nodes[0].disk.reads, 4);
    assert_int_equal(world->nodes[0].node->metrics.served_disk, 4);
    read_blocks(world, 0, 4); /* and are in memory then */
    assert_int_equal(world->nodes[0].disk.reads, 4);
    world_free(world);
}

static void a_small_range_of_a_large_block_is_read_alone(void **state)
{
    (void)state;
    struct world *world = world_new(1, REGION, QUOTA);
    client_open(world, 0, 0);
    struct message get = world_get(world, KEY, 8u << 20, 0);
    get.get.block_size = 4u << 20;
    get.get.length = 4u << 20;
    struct object_id id =
        object_id_make(world->dataset.rows[0].source, span_text(KEY), span_text("v1"), 4u << 20);
    get.get.place = place_of_extent(id, 0).v;
    (void)client_get(world, 0, &get);
    world_run(world, SEC(1));
    restart(world);
    get.get.offset = CHUNK_SIZE * 5;
    get.get.length = CHUNK_SIZE * 2;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(1));
    const struct received *data = client_find(&world->clients[0], MESSAGE_DATA, request);
    assert_non_null(data);
    assert_int_equal(data->payload_size, CHUNK_SIZE * 2);
    assert_int_equal(data->payload[3], object_byte(key_hash(KEY), CHUNK_SIZE * 5 + 3));
    assert_int_equal(world->nodes[0].node->metrics.disk_read_bytes, CHUNK_SIZE * 2);
    struct node_totals totals;
    node_totals(world->nodes[0].node, &totals);
    assert_int_equal(totals.region_used, 0); /* nothing is kept of it */
    world_free(world);
}

static void a_flipped_byte_on_disk_is_a_miss(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    read_blocks(world, 0, 2);
    restart(world);
    disk_corrupt(world, 0);
    read_blocks(world, 0, 2);
    assert_int_equal(world->source.gets, 4);
    assert_int_equal(world->nodes[0].node->metrics.disk_corrupt, 2);
    world_free(world);
}

static void a_flipped_byte_in_a_range_is_a_miss_too(void **state)
{
    (void)state;
    struct world *world = world_new(1, REGION, QUOTA);
    client_open(world, 0, 0);
    struct message get = world_get(world, KEY, 8u << 20, 0);
    get.get.block_size = 4u << 20;
    get.get.length = 4u << 20;
    struct object_id id =
        object_id_make(world->dataset.rows[0].source, span_text(KEY), span_text("v1"), 4u << 20);
    get.get.place = place_of_extent(id, 0).v;
    (void)client_get(world, 0, &get);
    world_run(world, SEC(1));
    restart(world);
    disk_corrupt(world, 0);
    get.get.offset = CHUNK_SIZE;
    get.get.length = CHUNK_SIZE;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(1));
    const struct received *data = client_find(&world->clients[0], MESSAGE_DATA, request);
    assert_non_null(data);
    assert_int_equal(data->payload[7], object_byte(key_hash(KEY), CHUNK_SIZE + 7));
    assert_int_equal(data->message.data.tier, TIER_SOURCE);
    world_free(world);
}

static void reads_wait_until_the_disk_has_told_what_it_holds(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    read_blocks(world, 0, 2);
    struct disk_record known = world->nodes[0].disk.kept[1].record;
    world_kill(world, 0);
    world_start_unscanned(world, 0);
    world_tell_members(world);
    world_run(world, MSEC(100));
    client_forget(world, 0);
    client_open(world, 0, 0);
    assert_false(world->nodes[0].owning);
    uint64_t on_disk = ask(world, 1);
    uint64_t missing = ask(world, 9);
    usec_t first_us;
    world_run(world, MSEC(500));
    assert_int_equal(client_count(&world->clients[0], MESSAGE_DATA, 0), 0);
    assert_true(client_pendings(&world->clients[0], missing, &first_us) >= 4);
    world_event(
        world, 0,
        &(struct node_event){ .kind = NODE_DISK_RECORD, .disk_record = { .record = known } });
    world_run(world, MSEC(100));
    assert_int_equal(client_bytes(&world->clients[0], on_disk, KEY, 1), WORLD_BLOCK);
    assert_int_equal(client_count(&world->clients[0], MESSAGE_DATA, missing), 0);
    world_event(
        world, 0,
        &(struct node_event){ .kind = NODE_DISK_READY, .disk_ready = { .next_segment = 1 } });
    world_run(world, MSEC(100));
    assert_int_equal(client_bytes(&world->clients[0], missing, KEY, 9), WORLD_BLOCK);
    assert_true(world->nodes[0].owning);
    assert_int_equal(world->source.gets, 3);
    world_free(world);
}

static void the_oldest_segment_goes_when_the_quota_is_reached(void **state)
{
    (void)state;
    struct world *world = one((uint64_t)10 << 20); /* 2.5 segments of 15 records */
    read_blocks(world, 0, 50);
    struct store_report report;
    store_tier_report(world->nodes[0].node, 0, &report);
    assert_true(report.used <= report.quota);
    assert_true(world->nodes[0].disk.drops >= 1);
    assert_int_equal(report.blocks, world->nodes[0].disk.count);
    restart(world);
    read_blocks(world, 49, 1);
    assert_int_equal(world->source.gets, 50);
    read_blocks(world, 0, 1);
    assert_int_equal(world->source.gets, 51);
    world_free(world);
}

static void two_sources_have_segments_of_their_own(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    struct node *node = world->nodes[0].node;
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
    world_free(world);
}

static void a_disk_that_fails_often_is_written_no_more(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    world->nodes[0].disk.write_err = ERR_SYSTEM;
    read_blocks(world, 0, 30);
    struct store_report report;
    store_tier_report(world->nodes[0].node, 0, &report);
    assert_true(report.failed);
    assert_int_equal(world->nodes[0].disk.writes, STORE_ERRORS_MAX);
    assert_int_equal(report.blocks, 0);
    world_free(world);
}

static void a_disk_that_is_behind_is_spared(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    world->nodes[0].disk.latency_us = SEC(30);
    read_blocks(world, 0, 40); /* nobody waits for the disk */
    assert_true(world->nodes[0].node->metrics.disk_skipped > 0);
    assert_true(world->nodes[0].disk.writes <= STORE_WRITES_MAX);
    world_run(world, SEC(200));
    assert_true(store_is_idle(world->nodes[0].node));
    world_free(world);
}

static void records_of_a_smaller_quota_are_dropped_at_start(void **state)
{
    (void)state;
    struct world *world = one(QUOTA);
    read_blocks(world, 0, 40);
    world_kill(world, 0);
    world->nodes[0].options.tier[0].quota = (uint64_t)8 << 20;
    world_start(world, 0);
    struct store_report report;
    store_tier_report(world->nodes[0].node, 0, &report);
    assert_true(report.used <= report.quota);
    assert_true(report.blocks > 0);
    world_free(world);
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
        cmocka_unit_test(a_disk_that_is_behind_is_spared),
        cmocka_unit_test(records_of_a_smaller_quota_are_dropped_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
