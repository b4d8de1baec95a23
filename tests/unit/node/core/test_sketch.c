#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "node/core/sketch.h"

#define BLOCKS 2000u
#define TRACKED 64u

struct desk {
    struct sketch sketch;
    void *memory;
    uint64_t exact[BLOCKS];
    uint64_t sum;
};

static void desk_init(struct desk *desk)
{
    struct arena mem;
    memset(desk, 0, sizeof *desk);
    desk->memory = malloc(sketch_memory(TRACKED));
    arena_init(&mem, desk->memory, sketch_memory(TRACKED));
    assert_int_equal(sketch_init(&desk->sketch, &mem, TRACKED), ERR_OK);
}

static void desk_fini(struct desk *desk)
{
    free(desk->memory);
}

static struct block_id block(uint32_t number)
{
    struct block_id id = { .index = number };
    id.object.b[0] = (uint8_t)(number * 7);
    return id;
}

static uint32_t desk_add(struct desk *desk, uint32_t number, uint64_t weight)
{
    uint32_t lost = 0;
    struct sketch_item *item = sketch_add(&desk->sketch, block(number), weight, &lost);
    assert_true(block_id_equal(item->id, block(number)));
    desk->exact[number] += weight;
    desk->sum += weight;
    return lost;
}

/* Half of what is read is of a few blocks, and which they are changes. */
static uint32_t some_block(struct rng *rng, uint32_t round)
{
    if (rng_chance(rng, 500000)) {
        return (uint32_t)(round * 97 + rng_below(rng, 12)) % BLOCKS;
    }
    return (uint32_t)rng_below(rng, BLOCKS);
}

static void check_bounds(const struct desk *desk, uint64_t slack)
{
    uint64_t counted = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct sketch_item *item = sketch_find(&desk->sketch, block(i));
        if (item == NULL) {
            assert_true(desk->exact[i] <= desk->sum / TRACKED + slack);
            continue;
        }
        counted += item->weight;
        assert_true(item->weight + slack >= desk->exact[i]);
        assert_true(item->weight - item->over <= desk->exact[i] + slack);
        assert_true(item->over <= desk->sum / TRACKED + slack);
    }
    assert_true(counted <= desk->sum + slack);
}

static void no_block_is_counted_too_low_and_the_heavy_ones_are_all_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct desk desk;
        struct rng rng;
        desk_init(&desk);
        printf("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 1);
        for (uint32_t i = 0; i < 20000; i++) {
            desk_add(&desk, some_block(&rng, 0), 1 + rng_below(&rng, 1000));
        }
        check_bounds(&desk, 0);
        desk_fini(&desk);
    }
}

static void what_decays_is_bounded_the_same_way(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct desk desk;
        struct rng rng;
        desk_init(&desk);
        printf("seed %u\n", (unsigned)seed);
        rng_init(&rng, seed, 2);
        for (uint32_t round = 0; round < 40; round++) {
            for (uint32_t i = 0; i < 1000; i++) {
                desk_add(&desk, some_block(&rng, round / 10), 1000 + rng_below(&rng, 1000));
            }
            sketch_decay(&desk.sketch, 40000);
            desk.sum = 0;
            for (uint32_t i = 0; i < BLOCKS; i++) {
                desk.exact[i] = desk.exact[i] * 40000 / 65536;
                desk.sum += desk.exact[i];
            }
            check_bounds(&desk, 3 * BLOCKS); /* both are rounded, each block and each time */
        }
        desk_fini(&desk);
    }
}

static void who_is_pushed_out_is_told_by_its_tag(void **state)
{
    (void)state;
    struct desk desk;
    desk_init(&desk);
    for (uint32_t i = 0; i < TRACKED; i++) {
        assert_int_equal(desk_add(&desk, i, 100 + i), 0);
        sketch_find(&desk.sketch, block(i))->tag = i + 1;
    }
    assert_int_equal(desk_add(&desk, 1000, 5), 1); /* block 0 was the least */
    assert_null(sketch_find(&desk.sketch, block(0)));
    assert_int_equal(sketch_find(&desk.sketch, block(1000))->weight, 105);
    assert_int_equal(sketch_find(&desk.sketch, block(1000))->tag, 0);
    assert_int_equal(desk_add(&desk, 1001, 5), 2);
    desk_fini(&desk);
}

static void too_small_an_arena_is_an_error(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct sketch sketch;
    struct arena mem;
    arena_init(&mem, memory, sizeof memory);
    assert_int_equal(sketch_init(&sketch, &mem, TRACKED), ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_block_is_counted_too_low_and_the_heavy_ones_are_all_there),
        cmocka_unit_test(what_decays_is_bounded_the_same_way),
        cmocka_unit_test(who_is_pushed_out_is_told_by_its_tag),
        cmocka_unit_test(too_small_an_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
