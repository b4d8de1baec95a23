#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "node/io/sizing.h"

static enum err make(uint64_t memory, uint64_t quota, struct node_options *options,
                     struct sizing *sizing)
{
    memset(options, 0, sizeof *options);
    options->slots_log2 = 18;
    options->tier_count = quota > 0 ? 1 : 0;
    options->tier[0].quota = quota;
    options->tier[0].segment_size = sizing_segment(quota);
    return sizing_make(memory, options, sizing);
}

static void region_and_tables_stay_within_the_memory(void **state)
{
    static const uint64_t memories[] = { 256ull << 20, 1ull << 30, 16ull << 30, 256ull << 30 };
    static const uint64_t quotas[] = { 0, 1ull << 30, 1ull << 40, 100ull << 40 };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(memories); i++) {
        for (uint32_t k = 0; k < ARRAY_COUNT(quotas); k++) {
            struct node_options options;
            struct sizing sizing;
            assert_int_equal(make(memories[i], quotas[k], &options, &sizing), ERR_OK);
            assert_true(sizing.region + sizing.arena < memories[i]);
            assert_true(sizing.region >= memories[i] / 4);
            assert_int_equal(sizing.region % 4096, 0);
            assert_int_equal(sizing.arena, node_memory(&options));
            assert_true(options.blocks_max >= 4096);
        }
    }
}

static void more_memory_knows_no_fewer_blocks(void **state)
{
    struct node_options small;
    struct node_options large;
    struct sizing sizing;
    (void)state;
    assert_int_equal(make(256ull << 20, 1ull << 40, &small, &sizing), ERR_OK);
    assert_int_equal(make(8ull << 30, 1ull << 40, &large, &sizing), ERR_OK);
    assert_true(large.blocks_max > small.blocks_max);
    assert_true(large.links_max >= small.links_max);
}

static void too_little_memory_is_told_with_what_is_enough(void **state)
{
    struct node_options options;
    struct sizing sizing;
    (void)state;
    assert_int_equal(make(100ull << 20, 0, &options, &sizing), ERR_INVALID);
    assert_true(sizing.least > 100ull << 20);
    assert_int_equal(make(sizing.least + (1u << 20), 0, &options, &sizing), ERR_OK);
}

static void more_memory_holds_more_rings_that_nobody_asks_for(void **state)
{
    struct node_options options;
    struct sizing sizing;
    (void)state;
    assert_int_equal(make(256ull << 20, 0, &options, &sizing), ERR_OK);
    assert_int_equal(options.rings_ahead, 1);
    assert_int_equal(make(1ull << 30, 0, &options, &sizing), ERR_OK);
    assert_in_range(options.rings_ahead, 2, 8);
    assert_int_equal(make(4ull << 30, 0, &options, &sizing), ERR_OK);
    assert_int_equal(options.rings_ahead, 15);
    assert_int_equal(make(256ull << 30, 0, &options, &sizing), ERR_OK);
    assert_int_equal(options.rings_ahead, 15);
}

static void segments_are_a_fraction_of_the_quota(void **state)
{
    (void)state;
    assert_int_equal(sizing_segment(64ull << 20), 32u << 20);
    assert_int_equal(sizing_segment(10ull << 40), 1u << 30);
    assert_int_equal(sizing_segment(8ull << 30), 128u << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region_and_tables_stay_within_the_memory),
        cmocka_unit_test(more_memory_knows_no_fewer_blocks),
        cmocka_unit_test(too_little_memory_is_told_with_what_is_enough),
        cmocka_unit_test(more_memory_holds_more_rings_that_nobody_asks_for),
        cmocka_unit_test(segments_are_a_fraction_of_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
