/* base/buddy.h: a region of memory as a binary buddy system, 4 KiB to 16 MiB in one piece.
 *
 * All block bytes of a process live in one region of a size fixed at start: this is the budget.
 * The tail of a power of two that a request does not need is given back at once, in pages. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"

#define BUDDY_PAGE 4096u
#define BUDDY_ORDERS 13 /* 4 KiB << 12 = 16 MiB */

struct buddy;

/* `region` is `size` bytes (a multiple of BUDDY_PAGE), page aligned, the caller's; the bookkeeping
 * comes from `mem`. */
enum err buddy_new(struct arena *mem, uint8_t *region, size_t size, struct buddy **out) MUST_USE;
/* NULL when no piece is free; size <= 16 MiB. */
void *buddy_take(struct buddy *buddy, size_t size);
/* `size` as in buddy_take. */
void buddy_give(struct buddy *buddy, void *piece, size_t size);
/* Bytes handed out, in whole pages, and bytes in all. */
size_t buddy_used(const struct buddy *buddy);
size_t buddy_size(const struct buddy *buddy);
/* Bytes of bookkeeping a region of this size takes from its arena. */
size_t buddy_overhead(size_t region_size);
