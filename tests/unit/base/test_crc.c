/* tests/unit/base/test_crc.c: CRC-64/XZ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc.h"

#include <string.h>

#include "base/check.h"
#include "base/rng.h"

static const char digits[] = "123456789";
static const char broadcast[] = "This is a test of the emergency broadcast system.";

static void published_vectors_hold(void **state)
{
    (void)state;
    assert_true(crc64(0, digits, 9) == UINT64_C(0x995dc9bbdf1939fa));
    assert_true(crc64(0, broadcast, strlen(broadcast)) == UINT64_C(0x27db187fc15bbc72));
    assert_true(crc64(crc64(0, digits, 9), broadcast, strlen(broadcast)) ==
                UINT64_C(0x6a7aa19fcbf48688));
    assert_true(crc64(0, NULL, 0) == 0);
}

static void any_cut_goes_on_to_the_whole(void **state)
{
    (void)state;
    static uint8_t data[3 * CHUNK_SIZE + 17];
    struct rng rng;
    print_message("seed 1\n");
    rng_init(&rng, 1, 0);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)rng_next(&rng);
    }
    uint64_t whole = crc64(0, data, sizeof data);
    for (int round = 0; round < 200; round++) {
        size_t cut = (size_t)rng_below(&rng, sizeof data + 1);
        uint64_t a = crc64(0, data, cut);
        assert_true(crc64(a, data + cut, sizeof data - cut) == whole);
    }
}

static void chunks_of_a_size_are_counted_up(void **state)
{
    (void)state;
    assert_int_equal(chunk_count(0), 0);
    assert_int_equal(chunk_count(1), 1);
    assert_int_equal(chunk_count(CHUNK_SIZE), 1);
    assert_int_equal(chunk_count(CHUNK_SIZE + 1), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(any_cut_goes_on_to_the_whole),
        cmocka_unit_test(chunks_of_a_size_are_counted_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
