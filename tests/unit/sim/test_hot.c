#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/hot.h"

struct worst {
    double peak;
    uint64_t copies;
    uint64_t hash;
};

static void look(void *self, const struct hot_second *second)
{
    struct worst *worst = self;
    worst->hash = worst->hash * 31 + second->copies + (uint64_t)(second->peak * 1e6);
    if (second->second > 5) {
        worst->peak = second->peak > worst->peak ? second->peak : worst->peak;
        worst->copies = second->copies > worst->copies ? second->copies : worst->copies;
    }
}

static struct worst worst_of(uint32_t nodes, uint64_t seed, bool hands_on)
{
    struct worst worst = { 0 };
    hot_run(&(struct hot_options){ .nodes = nodes,
                                   .reads = 4000,
                                   .calm_seconds = 2,
                                   .seconds = 8,
                                   .seed = seed,
                                   .hands_on = hands_on },
            look, &worst);
    return worst;
}

static void a_hotspot_is_spread_within_five_seconds_by_few_copies(void **state)
{
    (void)state;
    for (uint32_t nodes = 10; nodes <= 40; nodes += 15) {
        const struct worst worst = worst_of(nodes, nodes, true);
        assert_true(worst.peak <= 1.15);
        assert_true(worst.copies > 0 && worst.copies < HOT_BLOCKS / 100);
    }
}

static void without_it_one_node_serves_far_more_than_the_others(void **state)
{
    (void)state;
    const struct worst worst = worst_of(40, 40, false);
    assert_true(worst.peak > 2);
    assert_int_equal(worst.copies, 0);
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    assert_int_equal(worst_of(10, 3, true).hash, worst_of(10, 3, true).hash);
    assert_true(worst_of(10, 3, true).hash != worst_of(10, 4, true).hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hotspot_is_spread_within_five_seconds_by_few_copies),
        cmocka_unit_test(without_it_one_node_serves_far_more_than_the_others),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
