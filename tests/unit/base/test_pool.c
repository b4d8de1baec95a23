/* tests/unit/base/test_pool.c: equal items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"

#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/base/dies.h"

#define COUNT 17u

static _Alignas(16) uint8_t memory[4096];

static struct pool pool_of(size_t item_size, uint32_t count)
{
    struct arena arena;
    struct pool pool;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(pool_init(&pool, &arena, item_size, count), ERR_OK);
    return pool;
}

static void all_items_can_be_taken_once(void **state)
{
    (void)state;
    struct pool pool = pool_of(24, COUNT);
    bool seen[COUNT] = { false };
    for (uint32_t i = 0; i < COUNT; i++) {
        void *item = pool_take(&pool);
        assert_non_null(item);
        uint32_t index = pool_index(&pool, item);
        assert_false(seen[index]);
        assert_ptr_equal(pool_at(&pool, index), item);
        seen[index] = true;
    }
    assert_null(pool_take(&pool));
    assert_int_equal(pool.used, COUNT);
}

static void a_walk_finds_those_that_are_taken(void **state)
{
    (void)state;
    struct pool pool = pool_of(24, COUNT);
    assert_int_equal(pool_top(&pool), 0);
    void *const items[] = { pool_take(&pool), pool_take(&pool), pool_take(&pool) };
    pool_give(&pool, items[1]);
    assert_int_equal(pool_top(&pool), 3);
    for (uint32_t i = 0; i < pool_top(&pool); i++) {
        const void *item = pool_at(&pool, i);
        assert_int_equal(pool_is_taken(&pool, i), item == items[0] || item == items[2]);
    }
    assert_ptr_equal(pool_take(&pool), items[1]);
    assert_true(pool_is_taken(&pool, pool_index(&pool, items[1])));
    assert_int_equal(pool_top(&pool), 3);
}

static void an_item_is_zeroed_each_time_it_is_taken(void **state)
{
    (void)state;
    struct pool pool = pool_of(40, 1);
    static const uint8_t zero[40];
    for (int round = 0; round < 3; round++) {
        uint8_t *item = pool_take(&pool);
        assert_memory_equal(item, zero, 40);
        memset(item, 0xab, 40);
        pool_give(&pool, item);
    }
}

/* Items keep what was written to them however others come and go. */
static void items_never_overlap(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 40; size += 13) {
        struct pool pool = pool_of(size, COUNT);
        uint8_t *held[COUNT] = { NULL };
        struct rng rng;
        print_message("seed %u\n", (unsigned)size);
        rng_init(&rng, size, 0);
        for (int step = 0; step < 2000; step++) {
            uint32_t i = (uint32_t)rng_below(&rng, COUNT);
            if (held[i] == NULL) {
                held[i] = pool_take(&pool);
                assert_non_null(held[i]);
                memset(held[i], (int)i + 1, size);
                continue;
            }
            for (size_t at = 0; at < size; at++) {
                assert_int_equal(held[i][at], i + 1);
            }
            pool_give(&pool, held[i]);
            held[i] = NULL;
        }
    }
}

static void a_pool_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct pool pool;
    arena_init(&arena, memory, 64);
    assert_int_equal(pool_init(&pool, &arena, 16, 5), ERR_NOMEM);
    assert_int_equal(pool_init(&pool, &arena, SIZE_MAX / 4, 1000), ERR_NOMEM);
}

static void give_twice(void)
{
    struct pool pool = pool_of(32, 4);
    (void)pool_take(&pool);
    void *item = pool_take(&pool);
    pool_give(&pool, item);
    pool_give(&pool, item);
}

static void give_an_address_inside_an_item(void)
{
    struct pool pool = pool_of(32, 4);
    uint8_t *item = pool_take(&pool);
    pool_give(&pool, item + 8);
}

static void write_after_giving_back(void)
{
    struct pool pool = pool_of(32, 4);
    uint8_t *item = pool_take(&pool);
    pool_give(&pool, item);
    memset(item, 0, 32);
    (void)pool_take(&pool);
}

static void misuse_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(give_twice));
    assert_true(dies(give_an_address_inside_an_item));
    assert_true(dies(write_after_giving_back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_items_can_be_taken_once),
        cmocka_unit_test(a_walk_finds_those_that_are_taken),
        cmocka_unit_test(an_item_is_zeroed_each_time_it_is_taken),
        cmocka_unit_test(items_never_overlap),
        cmocka_unit_test(a_pool_that_does_not_fit_is_refused),
        cmocka_unit_test(misuse_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
