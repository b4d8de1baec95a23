/* base/arena.h: memory handed to pure code once, at start. Nothing is freed one by one. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base;
    size_t size;
    size_t used;
};

/* The memory stays the caller's and must outlive everything built in it. */
void arena_init(struct arena *arena, void *memory, size_t size);
/* Zeroed, aligned to 16; NULL when it does not fit (then nothing changed). */
void *arena_take(struct arena *arena, size_t size);
/* As arena_take for an array; NULL also when count * size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
