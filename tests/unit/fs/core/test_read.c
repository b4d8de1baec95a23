/* tests/unit/fs/core/test_read.c: bytes: ranges, blocks, parts, read-ahead, neighbours, budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/rng.h"
#include "tests/unit/fs/core/world.h"

#define MIB (1u << 20)
#define BIG ((uint64_t)(40u * MIB) + 12345)

static struct world *big_world(void)
{
    struct world *w = world_make(3);
    world_file(w, "big", BIG, "v1");
    world_file(w, "small", 70000, "v1");
    world_file(w, "empty", 0, "v1");
    return w;
}

static void assert_read(struct world *w, uint64_t ino, uint64_t offset, uint32_t size)
{
    const struct world_reply *reply = world_read(w, ino, offset, size);
    assert_true(world_is(reply, "big", "v1", offset));
    uint64_t left = offset < BIG ? BIG - offset : 0;
    assert_int_equal(reply->size, left < size ? left : size);
}

/* ---- ranges ----------------------------------------------------------------------------------- */

static void random_read_asks_for_its_chunks_and_no_more(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    assert_read(w, ino, 5 * MIB + 1000, 4096);
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    const struct world_ask *ask = world_ask(w, MESSAGE_GET, 0);
    assert_int_equal(ask->index, 1);
    assert_int_equal(ask->offset, MIB);
    assert_int_equal(ask->length, CHUNK_SIZE);
    assert_int_equal(ask->extent, 0);
    assert_int_equal(ask->mode, GET_PLAIN);
    assert_int_equal(ask->node, world_block_rank(w, "big", 1, 0));
    world_free(w);
}

static void read_again_is_answered_from_memory(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    assert_read(w, ino, 30 * MIB, 100000);
    uint32_t before = world_count(w, MESSAGE_GET);
    usec_t now = w->now_us;
    assert_read(w, ino, 30 * MIB + 50000, 30000);
    assert_int_equal(world_count(w, MESSAGE_GET), before);
    assert_int_equal(w->now_us, now);
    world_free(w);
}

static void read_across_blocks_asks_each_owner(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    assert_read(w, ino, 16 * MIB - 300000, 600000);
    assert_int_equal(world_count(w, MESSAGE_GET), 2);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->index, 3);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->index, 4);
    assert_int_equal(world_ask(w, MESSAGE_GET, 1)->node, world_block_rank(w, "big", 4, 0));
    world_free(w);
}

static void end_of_file_is_answered_without_a_message(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    usec_t now = w->now_us;
    assert_int_equal(world_read(w, ino, BIG, 4096)->size, 0);
    assert_int_equal(world_read(w, ino, BIG + 999999, 4096)->size, 0);
    assert_int_equal(world_read(w, world_ino(w, "empty"), 0, 4096)->size, 0);
    assert_int_equal(w->now_us, now);
    assert_int_equal(world_count(w, MESSAGE_GET), 0);
    world_free(w);
}

static void last_bytes_come_short(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    assert_read(w, world_ino(w, "big"), BIG - 100, 4096);
    world_free(w);
}

static void directory_cannot_be_read(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    assert_int_equal(world_read(w, MOUNT_ROOT_INO, 0, 10)->err, EISDIR);
    world_free(w);
}

static void parts_of_an_answer_are_put_together(void **state)
{
    (void)state;
    struct world *w = big_world();
    w->part_size = CHUNK_SIZE;
    world_begin(w);
    const struct world_reply *reply = world_read(w, world_ino(w, "big"), 4096, MIB);
    assert_true(world_is(reply, "big", "v1", 4096));
    assert_int_equal(reply->size, MIB);
    assert_int_equal(reply->pieces, 17);
    world_free(w);
}

static void early_parts_are_answered_before_the_last_has_come(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    uint64_t whole = world_op(
        w, (struct mount_op){ .kind = OP_READ, .ino = ino, .offset = 0, .size = 128 << 10 });
    assert_true(world_wait(w, whole, SEC(1))->done);
    /* The window of 1 MiB and 128 KiB was one question: its first part was enough. */
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->length, MIB + (128 << 10));
    assert_int_equal(world_totals(w).requests_open, 1);
    world_run(w, MSEC(1));
    assert_int_equal(world_totals(w).requests_open, 0);
    world_free(w);
}

static void every_offset_and_size_gives_the_right_bytes(void **state)
{
    (void)state;
    uint64_t seed = 20261122;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_init(&rng, seed, 0);
    uint32_t sizes[] = { 64u << 10, 256u << 10, 4u * MIB };
    for (uint32_t s = 0; s < 3; s++) {
        struct world *w = big_world();
        w->dataset.block_size = sizes[s];
        w->part_size = CHUNK_SIZE << rng_below(&rng, 6);
        w->options.memory = 6 * MIB;
        world_begin(w);
        uint64_t ino = world_ino(w, "big");
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t size = (uint32_t)rng_below(&rng, i % 3 == 0 ? MIB : 5000) + 1;
            assert_read(w, ino, rng_below(&rng, BIG + 1000), size);
        }
        world_free(w);
    }
}

/* ---- read-ahead ----------------------------------------------------------------------------------- */

static void sequential_reader_seldom_waits(void **state)
{
    (void)state;
    struct world *w = big_world();
    w->latency_us = 2000;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    uint32_t waits = 0;
    for (uint64_t at = 0; at < BIG; at += 128 << 10) {
        usec_t before = w->now_us;
        assert_read(w, ino, at, 128 << 10);
        waits += w->now_us > before;
        world_run(w, 100); /* the reader does something with it */
    }
    assert_true(waits <= 40); /* of 321 */
    /* Whole blocks are asked for at last, not hundreds of small ranges. */
    assert_true(world_count(w, MESSAGE_GET) <= 24);
    const struct world_ask *last = world_ask(w, MESSAGE_GET, world_count(w, MESSAGE_GET) - 2);
    assert_int_equal(last->length, 4 * MIB);
    assert_int_equal(last->extent, 1);
    world_free(w);
}

static void nothing_is_asked_for_twice_by_a_sequential_reader(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint64_t at = 0; at < BIG; at += MIB) {
        assert_read(w, ino, at, MIB);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world_count(w, MESSAGE_GET); i++) {
        sum += world_ask(w, MESSAGE_GET, i)->length;
    }
    assert_int_equal(sum, BIG);
    world_free(w);
}

static void two_streams_of_one_file_are_both_read_ahead(void **state)
{
    (void)state;
    struct world *w = big_world();
    w->latency_us = 2000;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    uint32_t waits = 0;
    for (uint64_t at = 0; at < 16 * MIB; at += 128 << 10) {
        for (uint32_t half = 0; half < 2; half++) {
            usec_t before = w->now_us;
            assert_read(w, ino, at + half * 20 * MIB, 128 << 10);
            waits += w->now_us > before;
        }
        world_run(w, 100);
    }
    assert_true(waits < 64); /* of 256 */
    world_free(w);
}

static void random_reader_is_not_read_ahead(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    world_file(w, "big", (uint64_t)4000 * MIB, "v1");
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint32_t i = 1; i <= 30; i++) {
        world_read(w, ino, (uint64_t)(i * 37 % 31) * 100 * MIB + 7, 4096);
    }
    assert_int_equal(world_totals(w).prefetch_bytes, 0);
    assert_int_equal(world_count(w, MESSAGE_GET), 30);
    world_free(w);
}

/* ---- small files ------------------------------------------------------------------------------------- */

static void small_file_comes_whole_in_one_question(void **state)
{
    (void)state;
    struct world *w = big_world();
    world_begin(w);
    uint64_t ino = world_ino(w, "small");
    assert_true(world_is(world_read(w, ino, 69000, 4096), "small", "v1", 69000));
    assert_int_equal(world_count(w, MESSAGE_GET), 1);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->offset, 0);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->length, 70000);
    assert_int_equal(world_ask(w, MESSAGE_GET, 0)->node, world_block_rank(w, "small", 0, 0));
    world_free(w);
}

static struct world *images(uint32_t count)
{
    struct world *w = world_make(3);
    char key[64];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "f%05u.jpg", i);
        world_file(w, key, 100u << 10, "v1");
    }
    w->latency_us = 500;
    return w;
}

static uint32_t read_images(struct world *w, uint32_t count, uint32_t step)
{
    char name[64];
    uint32_t waits = 0;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%05u.jpg", i * step % count);
        uint64_t ino = world_ino(w, name);
        usec_t before = w->now_us;
        const struct world_reply *reply = world_read(w, ino, 0, 128 << 10);
        assert_true(world_is(reply, name, "v1", 0));
        assert_int_equal(reply->size, 100u << 10);
        waits += w->now_us > before;
        world_run(w, 60);
    }
    return waits;
}

static void small_files_in_order_cost_few_waits_and_one_question_each(void **state)
{
    (void)state;
    struct world *w = images(1000);
    world_begin(w);
    uint32_t waits = read_images(w, 1000, 1);
    assert_true(waits < 100);
    assert_int_equal(world_count(w, MESSAGE_GET), 1000);
    world_free(w);
}

static void small_files_at_random_are_not_asked_for_ahead(void **state)
{
    (void)state;
    struct world *w = images(500);
    world_begin(w);
    read_images(w, 500, 193);
    assert_int_equal(world_totals(w).prefetch_bytes, 0);
    world_free(w);
}

static void looking_at_names_in_order_reads_no_bytes(void **state)
{
    (void)state;
    struct world *w = images(200);
    world_begin(w);
    char name[64];
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "f%05u.jpg", i);
        world_ino(w, name);
    }
    assert_int_equal(world_count(w, MESSAGE_GET), 0);
    world_free(w);
}

/* ---- budget ---------------------------------------------------------------------------------------------- */

/* Every step of the world checks memory_used <= memory; here it is made hard to hold. */
static void budget_holds_under_many_readers_and_all_are_served(void **state)
{
    (void)state;
    struct world *w = world_make(3);
    char key[64];
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(key, sizeof key, "%02u-big", i);
        world_file(w, key, 12 * MIB, "v1");
    }
    w->options.memory = 8 * MIB;
    w->options.requests_max = 256;
    w->latency_us = 3000;
    world_begin(w);
    uint64_t inos[16];
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(key, sizeof key, "%02u-big", i);
        inos[i] = world_ino(w, key);
    }
    for (uint32_t round = 0; round < 12; round++) {
        uint64_t ops[16];
        for (uint32_t i = 0; i < 16; i++) {
            ops[i] = world_op(
                w, (struct mount_op){
                       .kind = OP_READ, .ino = inos[i], .offset = round * MIB, .size = MIB });
        }
        for (uint32_t i = 0; i < 16; i++) {
            snprintf(key, sizeof key, "%02u-big", i);
            const struct world_reply *reply = world_wait(w, ops[i], SEC(20));
            assert_true(world_is(reply, key, "v1", round * MIB));
            assert_int_equal(reply->size, MIB);
        }
    }
    world_run(w, SEC(2));
    assert_true(w->payload_most <= 8 * MIB);
    assert_int_equal(world_totals(w).requests_open, 0);
    world_free(w);
}

/* One of many readers: it reads a file of its own from its beginning to its end. */
struct streamer {
    uint64_t ino;
    uint64_t at;
    uint64_t op; /* 0: it does something with what it has read */
    usec_t next_us;
};

#define STREAM_BYTES ((uint64_t)12 * MIB)

/* The next step of a reader, every third of whom is slow. true: it is at the end. */
static bool stream_step(struct world *w, struct streamer *streamer, uint32_t index)
{
    char name[64];
    snprintf(name, sizeof name, "file%u", index);
    if (streamer->op != 0) {
        const struct world_reply *reply = world_wait(w, streamer->op, 0);
        if (!reply->done) {
            return false;
        }
        assert_true(world_is(reply, name, "v1", streamer->at));
        streamer->at += reply->size;
        streamer->op = 0;
        streamer->next_us = w->now_us + (index % 3 == 0 ? MSEC(25) : MSEC(1));
    }
    if (streamer->at < STREAM_BYTES && w->now_us >= streamer->next_us) {
        streamer->op = world_op(w, (struct mount_op){ .kind = OP_READ,
                                                      .ino = streamer->ino,
                                                      .offset = streamer->at,
                                                      .size = MIB / 4 });
    }
    return streamer->at == STREAM_BYTES;
}

/* Bytes that came from the nodes for so many readers, for each byte they read. */
static double stream_all(uint32_t count, uint64_t memory)
{
    struct world *w = world_make(3);
    struct streamer streamers[64] = { { 0 } };
    char name[64];
    w->options.memory = memory;
    w->part_size = 4 * MIB; /* an answer in one piece is used up in several reads */
    w->latency_us = 2000;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "file%u", i);
        world_file(w, name, STREAM_BYTES, "v1");
    }
    world_begin(w);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "file%u", i);
        streamers[i].ino = world_ino(w, name);
    }
    usec_t began = w->now_us;
    for (uint32_t ended = 0; ended < count;) {
        ended = 0;
        for (uint32_t i = 0; i < count; i++) {
            ended += stream_step(w, &streamers[i], i);
        }
        world_run(w, MSEC(1));
        assert_true(w->now_us - began < SEC(60));
    }
    uint64_t received = world_totals(w).bytes_received;
    world_free(w);
    return (double)received / (double)(count * STREAM_BYTES);
}

static void streams_that_fill_the_memory_get_each_byte_once(void **state)
{
    (void)state;
    assert_true(stream_all(36, 32 * MIB) < 1.001); /* directories are received, too */
}

static void what_the_mount_holds_is_what_it_counts(void **state)
{
    (void)state;
    struct world *w = big_world();
    w->options.memory = 16 * MIB;
    world_begin(w);
    uint64_t ino = world_ino(w, "big");
    for (uint64_t at = 0; at < BIG; at += MIB) {
        assert_read(w, ino, at, MIB);
    }
    world_run(w, SEC(1));
    assert_int_equal(world_totals(w).memory_used, w->payload_bytes);
    world_free(w);
}

static void options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct world *w = world_make(1);
    static uint8_t memory[16 * MIB];
    struct arena arena;
    struct mount *mount = NULL;
    w->options.memory = MIB; /* not even one large read and what it needs beside it */
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(mount_new(&arena, &w->options, &mount), ERR_INVALID);
    w->options.memory = 64 * MIB;
    arena_init(&arena, memory, 4096);
    assert_int_equal(mount_new(&arena, &w->options, &mount), ERR_NOMEM);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_read_asks_for_its_chunks_and_no_more),
        cmocka_unit_test(read_again_is_answered_from_memory),
        cmocka_unit_test(read_across_blocks_asks_each_owner),
        cmocka_unit_test(end_of_file_is_answered_without_a_message),
        cmocka_unit_test(last_bytes_come_short),
        cmocka_unit_test(directory_cannot_be_read),
        cmocka_unit_test(parts_of_an_answer_are_put_together),
        cmocka_unit_test(early_parts_are_answered_before_the_last_has_come),
        cmocka_unit_test(every_offset_and_size_gives_the_right_bytes),
        cmocka_unit_test(sequential_reader_seldom_waits),
        cmocka_unit_test(nothing_is_asked_for_twice_by_a_sequential_reader),
        cmocka_unit_test(two_streams_of_one_file_are_both_read_ahead),
        cmocka_unit_test(random_reader_is_not_read_ahead),
        cmocka_unit_test(small_file_comes_whole_in_one_question),
        cmocka_unit_test(small_files_in_order_cost_few_waits_and_one_question_each),
        cmocka_unit_test(small_files_at_random_are_not_asked_for_ahead),
        cmocka_unit_test(looking_at_names_in_order_reads_no_bytes),
        cmocka_unit_test(budget_holds_under_many_readers_and_all_are_served),
        cmocka_unit_test(streams_that_fill_the_memory_get_each_byte_once),
        cmocka_unit_test(what_the_mount_holds_is_what_it_counts),
        cmocka_unit_test(options_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
