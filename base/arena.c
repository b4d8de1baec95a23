/* base/arena.c: a bump allocator. */
#include "base/arena.h"

#include <string.h>

#include "base/check.h"

#define ALIGNMENT 16u

void arena_init(struct arena *arena, void *memory, size_t size)
{
    CHECK(memory != NULL || size == 0);
    *arena = (struct arena){ .base = memory, .size = size };
}

void arena_init_zero(struct arena *arena, void *memory, size_t size)
{
    arena_init(arena, memory, size);
    arena->is_zero = true;
}

void *arena_take_raw(struct arena *arena, size_t size)
{
    CHECK(arena->used <= arena->size);
    size_t room = arena->size - arena->used;
    size_t pad = (size_t)(-((uintptr_t)arena->base + arena->used) & (ALIGNMENT - 1));
    if (room < pad || room - pad < size) {
        return NULL;
    }
    void *piece = arena->base + arena->used + pad;
    arena->used += pad + size;
    return piece;
}

void *arena_array_raw(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return arena_take_raw(arena, bytes);
}

void *arena_take(struct arena *arena, size_t size)
{
    return arena_array(arena, 1, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    void *array = arena_array_raw(arena, count, size);
    if (array != NULL && !arena->is_zero) {
        memset(array, 0, count * size);
    }
    return array;
}
