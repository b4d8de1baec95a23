/* base/timers.c: a 4-ary heap; each timer knows its place in it. */
#include "base/timers.h"

#define WIDTH 4u /* half the depth of a binary heap; four children share a cache line or two */

static bool goes_before(const struct timer_slot *a, const struct timer_slot *b)
{
    /* Without a branch: nobody could foretell it. */
    return (a->at_us < b->at_us) | ((a->at_us == b->at_us) & (a->order < b->order));
}

static void put(struct timers *timers, uint32_t at, struct timer_slot slot)
{
    timers->heap[at] = slot;
    slot.timer->index = at + 1;
}

static void sift_up(struct timers *timers, uint32_t at, struct timer_slot slot)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / WIDTH;
        if (!goes_before(&slot, &timers->heap[parent])) {
            break;
        }
        put(timers, at, timers->heap[parent]);
        at = parent;
    }
    put(timers, at, slot);
}

/* The earliest child of `at`, or `count` when it has none. */
static uint32_t earliest_child(const struct timers *timers, uint32_t at)
{
    uint64_t first = (uint64_t)at * WIDTH + 1;
    if (first >= timers->count) {
        return timers->count;
    }
    uint32_t best = (uint32_t)first;
    for (uint64_t child = first + 1; child < first + WIDTH && child < timers->count; child++) {
        const bool is_earlier = goes_before(&timers->heap[child], &timers->heap[best]);
        best = is_earlier ? (uint32_t)child : best;
    }
    return best;
}

static void sift_down(struct timers *timers, uint32_t at, struct timer_slot slot)
{
    for (;;) {
        uint32_t child = earliest_child(timers, at);
        if (child == timers->count || !goes_before(&timers->heap[child], &slot)) {
            break;
        }
        put(timers, at, timers->heap[child]);
        at = child;
    }
    put(timers, at, slot);
}

size_t timers_memory(uint32_t limit)
{
    return limit * sizeof(struct timer_slot) + 16;
}

enum err timers_init(struct timers *timers, struct arena *mem, uint32_t limit)
{
    struct timer_slot *heap = arena_array(mem, limit, sizeof *heap);
    if (heap == NULL) {
        return ERR_NOMEM;
    }
    *timers = (struct timers){ .heap = heap, .limit = limit };
    return ERR_OK;
}

/* `slot` takes the place of `was`, or goes from there to where it belongs. */
static void replace(struct timers *timers, uint32_t at, const struct timer_slot *was,
                    struct timer_slot slot)
{
    if (goes_before(&slot, was)) {
        sift_up(timers, at, slot);
    } else {
        sift_down(timers, at, slot);
    }
}

void timers_set(struct timers *timers, struct timer *timer, usec_t at_us)
{
    const struct timer_slot slot = { .at_us = at_us,
                                     .order = timers->next_order++,
                                     .timer = timer };
    timer->at_us = at_us;
    timer->order = slot.order;
    if (timer->index != 0) {
        const uint32_t at = timer->index - 1;
        CHECK(at < timers->count && timers->heap[at].timer == timer);
        const struct timer_slot was = timers->heap[at];
        replace(timers, at, &was, slot);
        return;
    }
    CHECK(timers->count < timers->limit);
    timers->count++;
    sift_up(timers, timers->count - 1, slot);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->index == 0) {
        return;
    }
    uint32_t at = timer->index - 1;
    CHECK(at < timers->count && timers->heap[at].timer == timer);
    const struct timer_slot gone = timers->heap[at];
    timer->index = 0;
    timers->count--;
    const struct timer_slot last = timers->heap[timers->count];
    timers->heap[timers->count].timer = NULL;
    if (last.timer == timer) {
        return;
    }
    replace(timers, at, &gone, last);
}

usec_t timers_next(const struct timers *timers)
{
    return timers->count == 0 ? USEC_NEVER : timers->heap[0].at_us;
}

struct timer *timers_expire(struct timers *timers, usec_t now_us)
{
    if (timers->count == 0 || timers->heap[0].at_us > now_us) {
        return NULL;
    }
    struct timer *timer = timers->heap[0].timer;
    timers_cancel(timers, timer);
    return timer;
}
