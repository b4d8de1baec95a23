/* tests/unit/base/test_timers.c: against an array that is searched for its earliest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timers.h"

#include <string.h>

#include "base/rng.h"
#include "tests/unit/base/dies.h"

#define COUNT 50u
#define SEEDS 20u

static _Alignas(16) uint8_t memory[4096];

static struct timers timers_of(uint32_t limit)
{
    struct arena arena;
    struct timers timers;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(timers_init(&timers, &arena, limit), ERR_OK);
    return timers;
}

struct model {
    usec_t at_us[COUNT];
    uint64_t order[COUNT];
    bool set[COUNT];
    uint64_t next_order;
};

/* Index of the model's earliest, or COUNT. */
static uint32_t model_earliest(const struct model *model)
{
    uint32_t best = COUNT;
    for (uint32_t i = 0; i < COUNT; i++) {
        if (!model->set[i]) {
            continue;
        }
        if (best == COUNT || model->at_us[i] < model->at_us[best] ||
            (model->at_us[i] == model->at_us[best] && model->order[i] < model->order[best])) {
            best = i;
        }
    }
    return best;
}

static void expire_one(struct timers *timers, struct timer *items, struct model *model,
                       usec_t now_us)
{
    uint32_t expected = model_earliest(model);
    usec_t next_us = expected == COUNT ? USEC_NEVER : model->at_us[expected];
    assert_true(timers_next(timers) == next_us);
    struct timer *timer = timers_expire(timers, now_us);
    if (next_us > now_us || expected == COUNT) {
        assert_null(timer);
        return;
    }
    assert_ptr_equal(timer, &items[expected]);
    assert_false(timer_is_set(timer));
    model->set[expected] = false;
}

static void heap_agrees_with_a_plain_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct timers timers = timers_of(COUNT);
        struct timer items[COUNT];
        struct model model;
        struct rng rng;
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 0);
        memset(items, 0, sizeof items);
        memset(&model, 0, sizeof model);
        for (int step = 0; step < 3000; step++) {
            uint32_t i = (uint32_t)rng_below(&rng, COUNT);
            uint64_t what = rng_below(&rng, 10);
            if (what < 6) {
                model.at_us[i] = rng_between(&rng, -5, 30); /* many ties */
                model.order[i] = model.next_order++;
                model.set[i] = true;
                timers_set(&timers, &items[i], model.at_us[i]);
            } else if (what < 8) {
                timers_cancel(&timers, &items[i]);
                model.set[i] = false;
            } else {
                expire_one(&timers, items, &model, rng_between(&rng, -5, 30));
            }
            assert_int_equal(timer_is_set(&items[i]), model.set[i]);
        }
    }
}

static void equal_deadlines_expire_in_the_order_they_were_set(void **state)
{
    (void)state;
    struct timers timers = timers_of(3);
    struct timer a = { 0 };
    struct timer b = { 0 };
    struct timer c = { 0 };
    timers_set(&timers, &a, 5);
    timers_set(&timers, &b, 5);
    timers_set(&timers, &c, 5);
    timers_set(&timers, &a, 5); /* set again: now the last */
    assert_ptr_equal(timers_expire(&timers, 5), &b);
    assert_ptr_equal(timers_expire(&timers, 5), &c);
    assert_ptr_equal(timers_expire(&timers, 5), &a);
    assert_null(timers_expire(&timers, 5));
}

static void a_deadline_is_due_at_its_microsecond_and_not_before(void **state)
{
    (void)state;
    struct timers timers = timers_of(1);
    struct timer timer = { 0 };
    timers_set(&timers, &timer, 100);
    assert_null(timers_expire(&timers, 99));
    assert_ptr_equal(timers_expire(&timers, 100), &timer);
}

static void cancelling_what_is_not_set_is_harmless(void **state)
{
    (void)state;
    struct timers timers = timers_of(1);
    struct timer timer = { 0 };
    timers_cancel(&timers, &timer);
    timers_set(&timers, &timer, 1);
    timers_cancel(&timers, &timer);
    timers_cancel(&timers, &timer);
    assert_true(timers_next(&timers) == USEC_NEVER);
}

static void set_one_too_many(void)
{
    struct timers timers = timers_of(1);
    struct timer a = { 0 };
    struct timer b = { 0 };
    timers_set(&timers, &a, 1);
    timers_set(&timers, &b, 1);
}

static void more_timers_than_the_limit_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(set_one_too_many));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_agrees_with_a_plain_array),
        cmocka_unit_test(equal_deadlines_expire_in_the_order_they_were_set),
        cmocka_unit_test(a_deadline_is_due_at_its_microsecond_and_not_before),
        cmocka_unit_test(cancelling_what_is_not_set_is_harmless),
        cmocka_unit_test(more_timers_than_the_limit_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
