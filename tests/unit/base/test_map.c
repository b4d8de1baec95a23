/* tests/unit/base/test_map.c: against an array that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"

#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/base/dies.h"

#define ITEMS 64u
#define SEEDS 20u

struct item {
    struct map_node node;
    bool in;
    uint64_t hash; /* the model's own copy */
};

static _Alignas(16) uint8_t memory[8192];

static struct map map_of(uint64_t expected)
{
    struct arena arena;
    struct map map;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(map_init(&map, &arena, expected), ERR_OK);
    return map;
}

/* How often the map finds `item` under `hash`. */
static uint32_t found_under(const struct map *map, const struct item *item, uint64_t hash)
{
    uint32_t found = 0;
    for (struct map_node *node = map_first(map, hash); node != NULL; node = map_next(node)) {
        found += node == &item->node ? 1 : 0;
    }
    return found;
}

static void compare_with_model(const struct map *map, struct item *items)
{
    uint64_t in = 0;
    uint64_t walked = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        in += items[i].in ? 1 : 0;
        assert_int_equal(found_under(map, &items[i], items[i].hash), items[i].in ? 1 : 0);
    }
    for (struct map_node *node = map_walk(map, NULL); node != NULL; node = map_walk(map, node)) {
        assert_true(((struct item *)(void *)node)->in);
        walked++;
    }
    assert_int_equal(map->count, in);
    assert_int_equal(walked, in);
}

static void map_agrees_with_a_plain_array(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 0, 1, 8, ITEMS };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rng rng;
        struct item items[ITEMS];
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 0);
        memset(items, 0, sizeof items);
        struct map map = map_of(sizes[seed % 4]);
        for (int step = 0; step < 500; step++) {
            struct item *item = &items[rng_below(&rng, ITEMS)];
            if (item->in) {
                map_remove(&map, &item->node);
            } else {
                item->hash = rng_below(&rng, 40); /* so that hashes and buckets collide */
                map_insert(&map, &item->node, item->hash);
            }
            item->in = !item->in;
            compare_with_model(&map, items);
        }
    }
}

static void hashes_of_one_bucket_are_told_apart(void **state)
{
    (void)state;
    struct map map = map_of(4);
    struct item a = { 0 };
    struct item b = { 0 };
    map_insert(&map, &a.node, 1);
    map_insert(&map, &b.node, 1 + (UINT64_C(1) << 40));
    assert_ptr_equal(map_first(&map, 1), &a.node);
    assert_null(map_next(&a.node));
    assert_ptr_equal(map_first(&map, 1 + (UINT64_C(1) << 40)), &b.node);
}

static void a_map_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct map map;
    arena_init(&arena, memory, 64);
    assert_int_equal(map_init(&map, &arena, 9), ERR_NOMEM);
    assert_int_equal(map_init(&map, &arena, UINT64_MAX), ERR_NOMEM);
    assert_int_equal(map_init(&map, &arena, 8), ERR_OK);
}

static void remove_a_stranger(void)
{
    struct map map = map_of(4);
    struct item stranger = { 0 };
    map_remove(&map, &stranger.node);
}

static void removing_what_is_not_there_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(remove_a_stranger));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_agrees_with_a_plain_array),
        cmocka_unit_test(hashes_of_one_bucket_are_told_apart),
        cmocka_unit_test(a_map_that_does_not_fit_is_refused),
        cmocka_unit_test(removing_what_is_not_there_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
