/* node/io/clock.c: reads CLOCK_MONOTONIC and CLOCK_REALTIME. */
#include "node/io/clock.h"

#include <time.h>

static usec_t read_clock(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return (usec_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

usec_t clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

usec_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

struct now clock_now(void)
{
    return (struct now){ .mono_us = clock_mono_us(), .wall_us = clock_wall_us() };
}
