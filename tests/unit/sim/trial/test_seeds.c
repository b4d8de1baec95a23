#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "sim/trial/seeds.h"

#define SEEDS 3

struct seen {
    uint32_t count;
    uint64_t hash[SEEDS];
    bool failed[SEEDS];
};

static void done(void *self, uint64_t seed, const struct trial_result *result)
{
    struct seen *seen = self;
    assert_in_range(seed, 7, 7 + SEEDS - 1);
    seen->count++;
    seen->hash[seed - 7] = result->hash;
    seen->failed[seed - 7] = result->failed;
}

static struct seen run(uint32_t jobs)
{
    const struct seeds_options options = { .first = 7, .count = SEEDS, .jobs = jobs };
    struct seen seen = { 0 };
    assert_int_equal(seeds_run(&options, done, &seen), ERR_OK);
    return seen;
}

static void equal_seeds_have_equal_logs_however_many_run_at_a_time(void **state)
{
    const struct seen one = run(1);
    const struct seen other = run(SEEDS);
    (void)state;
    assert_int_equal(one.count, SEEDS);
    assert_int_equal(other.count, SEEDS);
    assert_memory_equal(one.hash, other.hash, sizeof one.hash);
}

static void different_seeds_have_different_logs(void **state)
{
    const struct seen seen = run(2);
    (void)state;
    assert_true(seen.hash[0] != seen.hash[1] && seen.hash[1] != seen.hash[2]);
    assert_false(seen.failed[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_have_equal_logs_however_many_run_at_a_time),
        cmocka_unit_test(different_seeds_have_different_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
