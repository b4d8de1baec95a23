/* tests/unit/base/test_hash.c: fixed vectors: these values are in records and tables of every cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

#include "base/id.h"

/* Made with Python's hashlib.blake2b(digest_size=16). */
static void hasher_is_blake2b_over_sized_parts(void **state)
{
    (void)state;
    struct hasher h;
    uint8_t out[16];
    char text[ID_TEXT_SIZE];
    hasher_init(&h, "test");
    hasher_span(&h, span_text("abc"));
    hasher_u64(&h, 5);
    hasher_end(&h, out);
    id_text(out, text);
    assert_string_equal(text, "0d1b2adf86cc8a6f9f10cd9af3f38786");
}

static void hash_parts(const char *domain, const char *first, const char *second, uint8_t out[16])
{
    struct hasher h;
    hasher_init(&h, domain);
    hasher_span(&h, span_text(first));
    hasher_span(&h, span_text(second));
    hasher_end(&h, out);
}

static void where_parts_are_cut_matters_and_so_does_the_domain(void **state)
{
    (void)state;
    uint8_t a[16];
    uint8_t b[16];
    uint8_t c[16];
    hash_parts("test", "ab", "c", a);
    hash_parts("test", "a", "bc", b);
    hash_parts("best", "ab", "c", c);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(a, c, 16);
}

/* The value for no input is the one published with xxHash. */
static void hash64_is_xxh3(void **state)
{
    (void)state;
    assert_true(hash64(NULL, 0, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash64("atoll", 5, 1) != hash64("atoll", 5, 2));
}

static void mix_has_fixed_values_and_takes_both_words(void **state)
{
    (void)state;
    const uint64_t first = UINT64_C(0xa0761d6478bd642f); /* the constant `a` is folded with */
    assert_true(hash64_mix(0, 0) == UINT64_C(0x75b9cd75281eb393));
    assert_true(hash64_mix(1, 2) == UINT64_C(0x54e6f88f08248ded));
    assert_true(hash64_mix(2, 1) == UINT64_C(0x4756b051e1be64fc));
    assert_true(hash64_mix(first, 5) == UINT64_C(0x5437b9bccfb54167));
    assert_true(hash64_mix(first, 6) == UINT64_C(0x1daac506e7bc127b));
}

/* One flipped bit of either word changes about half of the bits of the result. */
static void mix_spreads_every_bit(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 64; bit++) {
        uint64_t flips_a = 0;
        uint64_t flips_b = 0;
        for (uint64_t i = 0; i < 256; i++) {
            uint64_t base = hash64_mix(i, i * 3);
            flips_a +=
                (uint64_t)__builtin_popcountll(base ^ hash64_mix(i ^ (UINT64_C(1) << bit), i * 3));
            flips_b += (uint64_t)__builtin_popcountll(
                base ^ hash64_mix(i, (i * 3) ^ (UINT64_C(1) << bit)));
        }
        assert_in_range(flips_a, 256 * 29, 256 * 35); /* mean 32, deviation 0.25 */
        assert_in_range(flips_b, 256 * 29, 256 * 35);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hasher_is_blake2b_over_sized_parts),
        cmocka_unit_test(where_parts_are_cut_matters_and_so_does_the_domain),
        cmocka_unit_test(hash64_is_xxh3),
        cmocka_unit_test(mix_has_fixed_values_and_takes_both_words),
        cmocka_unit_test(mix_spreads_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
