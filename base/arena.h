/* base/arena.h: memory handed to pure code once, at start. Nothing is freed one by one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base;
    size_t size;
    size_t used;
    bool is_zero; /* what is not taken yet */
};

/* The memory stays the caller's and must outlive everything built in it. */
void arena_init(struct arena *arena, void *memory, size_t size);
/* The same with memory that is all zeros, as new pages are: what is taken is not cleared again, so
 * that a table made for ten thousand takes no memory for those who never come. */
void arena_init_zero(struct arena *arena, void *memory, size_t size);
/* Zeroed, aligned to 16; NULL when it does not fit (then nothing changed). */
void *arena_take(struct arena *arena, size_t size);
/* As arena_take for an array; NULL also when count * size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* The same with whatever is there: for what is always written before it is read. */
void *arena_take_raw(struct arena *arena, size_t size);
void *arena_array_raw(struct arena *arena, size_t count, size_t size);
