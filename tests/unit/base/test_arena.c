/* tests/unit/base/test_arena.c: memory handed out once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include <string.h>

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[256];
    memset(memory, 0xff, sizeof memory);
    struct arena arena;
    arena_init(&arena, memory + 1, sizeof memory - 1); /* a base that is not aligned */
    uint8_t *first = arena_take(&arena, 3);
    uint8_t *second = arena_take(&arena, 20);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal((uintptr_t)first % 16, 0);
    assert_int_equal((uintptr_t)second % 16, 0);
    assert_true(second >= first + 3);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(second[i], 0);
    }
}

static void a_piece_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[64];
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    assert_non_null(arena_take(&arena, 33));
    size_t used = arena.used;
    assert_null(arena_take(&arena, 17));
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_int_equal(arena.used, used);
    assert_non_null(arena_take(&arena, 16));
}

static void an_array_whose_size_overflows_does_not_fit(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[64];
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    assert_null(arena_array(&arena, SIZE_MAX / 8 + 2, 8)); /* 8 bytes, if it wrapped */
    assert_non_null(arena_array(&arena, 8, 8));
}

static void an_empty_arena_gives_nothing(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0);
    assert_null(arena_take(&arena, 1));
}

static void memory_that_is_zero_is_not_written_to(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[64] = { 0 };
    struct arena arena;
    arena_init_zero(&arena, memory, sizeof memory);
    memory[20] = 7; /* it would be gone if anybody cleared it */
    const uint8_t *piece = arena_take(&arena, sizeof memory);
    assert_ptr_equal(piece, memory);
    assert_int_equal(piece[20], 7);
}

static void a_raw_piece_is_left_as_it_is(void **state)
{
    (void)state;
    _Alignas(16) uint8_t memory[64];
    struct arena arena;
    memset(memory, 7, sizeof memory);
    arena_init(&arena, memory, sizeof memory);
    const uint8_t *piece = arena_take_raw(&arena, 20);
    assert_ptr_equal(piece, memory);
    assert_int_equal(piece[0], 7);
    assert_null(arena_take_raw(&arena, 33)); /* the next one begins at 32 */
    assert_int_equal(((uint8_t *)arena_take(&arena, 32))[31], 0);
    assert_int_equal(memory[20], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(a_piece_that_does_not_fit_changes_nothing),
        cmocka_unit_test(an_array_whose_size_overflows_does_not_fit),
        cmocka_unit_test(an_empty_arena_gives_nothing),
        cmocka_unit_test(memory_that_is_zero_is_not_written_to),
        cmocka_unit_test(a_raw_piece_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
