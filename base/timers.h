/* base/timers.h: deadlines in a 4-ary heap. Intrusive: a timer lives in the item it belongs to. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/time.h"

struct timer {
    usec_t at_us;
    uint64_t order; /* ties go to the one set first: same history, same order */
    uint32_t index; /* 0 when not set, else place in the heap + 1 */
    uint32_t kind;  /* the owner's: which CONTAINER_OF to apply */
};

/* A place in the heap. It has the keys, too: comparing them must not look at every timer. */
struct timer_slot {
    usec_t at_us;
    uint64_t order;
    struct timer *timer;
};

struct timers {
    struct timer_slot *heap;
    uint32_t count;
    uint32_t limit;
    uint64_t next_order;
};

size_t timers_memory(uint32_t limit);
enum err timers_init(struct timers *timers, struct arena *mem, uint32_t limit) MUST_USE;
/* Sets or moves; at most `limit` are set at once (CHECKed: size it by what it serves). */
void timers_set(struct timers *timers, struct timer *timer, usec_t at_us);
void timers_cancel(struct timers *timers, struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->index != 0;
}
/* USEC_NEVER when none is set. */
usec_t timers_next(const struct timers *timers);
/* Take off the earliest timer that is due, or NULL. */
struct timer *timers_expire(struct timers *timers, usec_t now_us);
