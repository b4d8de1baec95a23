/* tests/unit/base/test_rng.c: seeded numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static void the_first_numbers_of_a_stream_are_fixed(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 42, 7);
    assert_true(rng_next(&rng) == UINT64_C(0xaa3f99ccc34a3b63));
    assert_true(rng_next(&rng) == UINT64_C(0x1d295b4132ad3cc1));
    assert_true(rng_next(&rng) == UINT64_C(0xf75d16cf62503b00));
}

static void streams_of_one_seed_differ(void **state)
{
    (void)state;
    struct rng a;
    struct rng b;
    struct rng c;
    rng_init(&a, 1, 2);
    rng_init(&b, 1, 3);
    rng_init(&c, 2, 1);
    uint64_t first = rng_next(&a);
    assert_true(first != rng_next(&b));
    assert_true(first != rng_next(&c));
}

static void below_reaches_every_value_equally(void **state)
{
    (void)state;
    uint32_t seen[7] = { 0 };
    struct rng rng;
    rng_init(&rng, 3, 0);
    for (int i = 0; i < 70000; i++) {
        uint64_t value = rng_below(&rng, 7);
        assert_true(value < 7);
        seen[value]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 9500, 10500); /* mean 10,000, deviation 93 */
    }
}

static void below_one_is_zero_and_huge_bounds_hold(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 4, 0);
    const uint64_t bound = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_below(&rng, 1) == 0);
        assert_true(rng_below(&rng, bound) < bound);
    }
}

static void between_includes_both_ends(void **state)
{
    (void)state;
    struct rng rng;
    bool low = false;
    bool high = false;
    rng_init(&rng, 5, 0);
    for (int i = 0; i < 1000; i++) {
        int64_t value = rng_between(&rng, -2, 2);
        assert_true(value >= -2 && value <= 2);
        low = low || value == -2;
        high = high || value == 2;
    }
    assert_true(low && high);
    assert_true(rng_between(&rng, 9, 9) == 9);
    (void)rng_between(&rng, INT64_MIN, INT64_MAX);
}

static void chance_is_never_at_zero_and_always_at_a_million(void **state)
{
    (void)state;
    struct rng rng;
    uint32_t hits = 0;
    rng_init(&rng, 6, 0);
    for (int i = 0; i < 10000; i++) {
        assert_false(rng_chance(&rng, 0));
        assert_true(rng_chance(&rng, 1000000));
        hits += rng_chance(&rng, 250000) ? 1 : 0;
    }
    assert_in_range(hits, 2300, 2700); /* mean 2,500, deviation 43 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_numbers_of_a_stream_are_fixed),
        cmocka_unit_test(streams_of_one_seed_differ),
        cmocka_unit_test(below_reaches_every_value_equally),
        cmocka_unit_test(below_one_is_zero_and_huge_bounds_hold),
        cmocka_unit_test(between_includes_both_ends),
        cmocka_unit_test(chance_is_never_at_zero_and_always_at_a_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
