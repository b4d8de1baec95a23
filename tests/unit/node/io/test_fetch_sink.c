/* Bytes into parts: whatever the pieces they come in, parts and checksums are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "base/rng.h"
#include "node/io/fetch_sink.h"

#define TOTAL 400000u

static uint8_t from[TOTAL], to[TOTAL], checksums[3][64];

static const uint32_t sizes[3] = { 3 * CHUNK_SIZE, 1, TOTAL - 3 * CHUNK_SIZE - 1 };

static void begin(struct sink *sink, struct fetch_part *parts)
{
    uint32_t at = 0;
    memset(to, 0, sizeof to);
    memset(checksums, 0, sizeof checksums);
    for (uint32_t i = 0; i < TOTAL; i++) {
        from[i] = (uint8_t)(i * 7 + (i >> 9));
    }
    for (uint32_t i = 0; i < 3; i++) {
        parts[i] =
            (struct fetch_part){ .data = to + at, .checksums = checksums[i], .size = sizes[i] };
        at += sizes[i];
    }
    sink_init(sink, parts, 3);
}

static bool checksums_are_right(const struct fetch_part *part)
{
    for (uint32_t chunk = 0; chunk < chunk_count(part->size); chunk++) {
        uint32_t at = chunk * CHUNK_SIZE;
        uint32_t size = part->size - at < CHUNK_SIZE ? part->size - at : CHUNK_SIZE;
        if (get_u64(part->checksums + (size_t)chunk * 8) != crc64(0, part->data + at, size)) {
            return false;
        }
    }
    return true;
}

static void pieces_of_any_size_give_the_same_parts(void **state)
{
    struct fetch_part parts[3];
    struct sink sink;
    struct rng rng;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        print_message("seed %d\n", (int)seed);
        rng_init(&rng, seed, 0);
        begin(&sink, parts);
        for (uint32_t at = 0; at < TOTAL;) {
            uint32_t size = 1 + (uint32_t)rng_below(&rng, 1u << (seed % 18));
            size = size < TOTAL - at ? size : TOTAL - at;
            assert_true(sink_write(&sink, from + at, size));
            at += size;
        }
        assert_memory_equal(from, to, TOTAL);
        assert_int_equal(sink.complete, TOTAL);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(checksums_are_right(&parts[i]));
        }
    }
}

static void a_chunk_counts_only_when_it_is_whole(void **state)
{
    struct fetch_part parts[3];
    struct sink sink;
    (void)state;
    begin(&sink, parts);
    assert_true(sink_write(&sink, from, CHUNK_SIZE - 1));
    assert_int_equal(sink.complete, 0);
    assert_true(sink_write(&sink, from, 2));
    assert_int_equal(sink.complete, CHUNK_SIZE);
    assert_int_equal(sink.received, CHUNK_SIZE + 1);
}

static void the_last_chunk_of_a_part_may_be_short(void **state)
{
    struct fetch_part parts[3];
    struct sink sink;
    (void)state;
    begin(&sink, parts);
    assert_true(sink_write(&sink, from, 3 * CHUNK_SIZE + 1));
    assert_int_equal(sink.complete, 3 * CHUNK_SIZE + 1);
    assert_int_equal(get_u64(checksums[1]), crc64(0, from + 3 * CHUNK_SIZE, 1));
}

static void what_does_not_fit_is_refused_and_nothing_is_overrun(void **state)
{
    struct fetch_part parts[3];
    struct sink sink;
    uint32_t room = 0;
    (void)state;
    begin(&sink, parts);
    assert_true(sink_write(&sink, from, TOTAL - 1));
    assert_false(sink_write(&sink, from, 2));
    assert_int_equal(sink.received, TOTAL);
    assert_null(sink_room(&sink, &room));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same_parts),
        cmocka_unit_test(a_chunk_counts_only_when_it_is_whole),
        cmocka_unit_test(the_last_chunk_of_a_part_may_be_short),
        cmocka_unit_test(what_does_not_fit_is_refused_and_nothing_is_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
