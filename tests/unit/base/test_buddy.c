/* tests/unit/base/test_buddy.c: against a map of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buddy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/base/dies.h"

#define SEEDS 20u
#define HELD 64u
#define PIECE_MAX ((size_t)16 << 20)

/* A region that is never touched: a page-aligned address is all that a buddy system wants. */
static uint8_t *const region = (uint8_t *)(uintptr_t)0x100000000;

static uint8_t *bookkeeping;

static struct buddy *buddy_of(size_t size)
{
    struct arena arena;
    struct buddy *buddy = NULL;
    size_t overhead = buddy_overhead(size);
    free(bookkeeping);
    bookkeeping = malloc(overhead);
    assert_non_null(bookkeeping);
    arena_init(&arena, bookkeeping, overhead);
    assert_int_equal(buddy_new(&arena, region, size, &buddy), ERR_OK);
    return buddy;
}

static int free_bookkeeping(void **state)
{
    (void)state;
    free(bookkeeping);
    bookkeeping = NULL;
    return 0;
}

struct held {
    uint8_t *piece;
    size_t size;
};

static size_t rounded(size_t size)
{
    return (size + BUDDY_PAGE - 1) / BUDDY_PAGE * BUDDY_PAGE;
}

/* Marks the pages of a piece in the model; none may be marked that way already. */
static void model_mark(bool *taken, size_t pages, const struct held *held, bool value)
{
    size_t first = (size_t)(held->piece - region) / BUDDY_PAGE;
    size_t count = rounded(held->size) / BUDDY_PAGE;
    assert_true((size_t)(held->piece - region) % BUDDY_PAGE == 0);
    assert_true(first + count <= pages);
    for (size_t i = first; i < first + count; i++) {
        assert_int_equal(taken[i], !value);
        taken[i] = value;
    }
}

static size_t random_size(struct rng *rng)
{
    uint64_t log2 = rng_below(rng, 24);
    return (size_t)rng_between(rng, 1, (int64_t)1 << log2 << 1) % PIECE_MAX + 1;
}

static void run_seed(uint64_t seed, size_t pages)
{
    struct buddy *buddy = buddy_of(pages * BUDDY_PAGE);
    bool *taken = calloc(pages, sizeof *taken);
    struct held held[HELD] = { { NULL, 0 } };
    struct rng rng;
    size_t used = 0;
    rng_init(&rng, seed, 0);
    for (int step = 0; step < 2000; step++) {
        struct held *at = &held[rng_below(&rng, HELD)];
        if (at->piece != NULL) {
            buddy_give(buddy, at->piece, at->size);
            model_mark(taken, pages, at, false);
            used -= rounded(at->size);
            at->piece = NULL;
        } else {
            at->size = random_size(&rng);
            at->piece = buddy_take(buddy, at->size);
        }
        if (at->piece != NULL) {
            model_mark(taken, pages, at, true);
            used += rounded(at->size);
        }
        assert_int_equal(buddy_used(buddy), used);
    }
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].piece != NULL) {
            buddy_give(buddy, held[i].piece, held[i].size);
        }
    }
    assert_int_equal(buddy_used(buddy), 0);
    free(taken);
}

static void pieces_never_overlap_and_use_is_counted_in_pages(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        size_t pages = 4096 + seed * 997; /* not a power of two */
        print_message("seed %u\n", (unsigned)seed);
        run_seed(seed, pages);
    }
}

static void what_is_given_back_joins_to_the_largest_piece_again(void **state)
{
    (void)state;
    struct buddy *buddy = buddy_of(PIECE_MAX);
    uint8_t *pages[4096];
    for (size_t i = 0; i < 4096; i++) {
        pages[i] = buddy_take(buddy, 1);
        assert_non_null(pages[i]);
    }
    assert_null(buddy_take(buddy, 1));
    assert_int_equal(buddy_used(buddy), buddy_size(buddy));
    for (size_t i = 0; i < 4096; i++) {
        buddy_give(buddy, pages[(i * 1031) % 4096], 1); /* 1031 is odd: each index once */
    }
    assert_ptr_equal(buddy_take(buddy, PIECE_MAX), region);
}

static void the_tail_of_a_power_of_two_is_free_for_others(void **state)
{
    (void)state;
    struct buddy *buddy = buddy_of(8 * BUDDY_PAGE);
    assert_non_null(buddy_take(buddy, 5 * BUDDY_PAGE));
    assert_int_equal(buddy_used(buddy), 5 * BUDDY_PAGE);
    assert_non_null(buddy_take(buddy, 2 * BUDDY_PAGE));
    assert_non_null(buddy_take(buddy, 1));
    assert_null(buddy_take(buddy, 1));
}

static void a_region_of_no_page_gives_nothing(void **state)
{
    (void)state;
    struct buddy *buddy = buddy_of(0);
    assert_null(buddy_take(buddy, 1));
    assert_int_equal(buddy_size(buddy), 0);
}

static void bookkeeping_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[256];
    struct arena arena;
    struct buddy *buddy = NULL;
    arena_init(&arena, memory, sizeof memory);
    assert_int_equal(buddy_new(&arena, region, 1024 * BUDDY_PAGE, &buddy), ERR_NOMEM);
    assert_int_equal(arena.used, 0);
    assert_null(buddy);
}

static void give_twice(void)
{
    struct buddy *buddy = buddy_of(64 * BUDDY_PAGE);
    (void)buddy_take(buddy, BUDDY_PAGE);
    void *piece = buddy_take(buddy, BUDDY_PAGE);
    buddy_give(buddy, piece, BUDDY_PAGE);
    buddy_give(buddy, piece, BUDDY_PAGE);
}

static void give_more_than_was_taken(void)
{
    struct buddy *buddy = buddy_of(64 * BUDDY_PAGE);
    void *piece = buddy_take(buddy, BUDDY_PAGE);
    buddy_give(buddy, piece, 2 * BUDDY_PAGE);
}

static void take_too_much(void)
{
    struct buddy *buddy = buddy_of(64 * BUDDY_PAGE);
    (void)buddy_take(buddy, PIECE_MAX + 1);
}

static void misuse_is_a_bug(void **state)
{
    (void)state;
    assert_true(dies(give_twice));
    assert_true(dies(give_more_than_was_taken));
    assert_true(dies(take_too_much));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_never_overlap_and_use_is_counted_in_pages),
        cmocka_unit_test(what_is_given_back_joins_to_the_largest_piece_again),
        cmocka_unit_test(the_tail_of_a_power_of_two_is_free_for_others),
        cmocka_unit_test(a_region_of_no_page_gives_nothing),
        cmocka_unit_test(bookkeeping_that_does_not_fit_is_refused),
        cmocka_unit_test(misuse_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, free_bookkeeping);
}
