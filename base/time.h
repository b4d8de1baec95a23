/* base/time.h: time as pure code is handed it. */
#pragma once
#include <stdint.h>

/* Microseconds. Monotonic unless the name says wall. */
typedef int64_t usec_t;

#define USEC_NEVER INT64_MAX
#define MSEC(n) ((usec_t)(n)*1000)
#define SEC(n) ((usec_t)(n)*1000000)

/* One reading of both clocks. Deadlines and waiting use mono_us only; wall_us (since 1970) is for
 * records that outlive the process: incarnations, catalog versions, capability expiry. */
struct now {
    usec_t mono_us;
    usec_t wall_us;
};

static inline usec_t usec_min(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

/* first * 2^times, at most `most`. */
static inline usec_t usec_doubled(usec_t first, uint32_t times, usec_t most)
{
    return times < 30 && first << times < most ? first << times : most;
}

static inline usec_t usec_max(usec_t a, usec_t b)
{
    return a > b ? a : b;
}
