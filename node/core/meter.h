/* node/core/meter.h: what a node serves, in bytes a second, and what all nodes serve on average.
 *
 * The own rate is a moving mean, so what has just been agreed on shows in it only after a while;
 * that is added by itself (meter_expect). The mean of all is made of what gossip and answers told of
 * some dozens of others: nobody knows all of a thousand. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define METER_SAMPLES 64u
#define METER_TOLD 32u
#define METER_RATE_MOST (1ull << 44) /* bytes a second: nobody serves that */
/* What an answer costs beside its bytes. */
#define METER_REQUEST_BYTES 4096u

struct meter_sample {
    uint64_t rate;
    usec_t at_us;
};

struct meter {
    uint64_t floor;
    usec_t step_us;  /* the last step; 0: none yet */
    uint64_t bytes;  /* since then */
    uint64_t rate;   /* a moving mean */
    int64_t due;     /* what will come on top of it */
    uint64_t mean;   /* of all nodes, as of the last step */
    uint64_t passed; /* microseconds of the last step */
    uint64_t told[METER_TOLD];
    uint32_t told_count;
    struct meter_sample samples[METER_SAMPLES]; /* a ring */
    uint32_t next_sample;
};

/* `floor`: below that many bytes a second balance is worth nothing. */
void meter_init(struct meter *meter, uint64_t floor);
/* So much went out, as one answer. */
void meter_served(struct meter *meter, uint64_t bytes);
/* What others serve, of whom gossip has heard lately; at most METER_TOLD of them. */
void meter_told(struct meter *meter, const uint64_t *rates, uint32_t count);
/* What somebody said that he serves just now. */
void meter_sample(struct meter *meter, usec_t now_us, uint64_t rate);
/* So much more (or less) will be served from now on. */
void meter_expect(struct meter *meter, int64_t rate);
/* The end of a step. true: the own rate is suddenly much higher, and no mean of what was before. */
bool meter_step(struct meter *meter, usec_t now_us);
/* With what is expected. */
uint64_t meter_now(const struct meter *meter);
/* Is more served in this step than the share of a node? */
bool meter_is_busy(const struct meter *meter, usec_t now_us);

/* What `value` has become after a step, and what a step adds to a moving mean. */
#define METER_KEEP 39750u /* of 65536, see meter.c */
/* value * of_65536 / 65536, rounded down. */
uint64_t meter_part(uint64_t value, uint32_t of_65536);
static inline uint64_t meter_gain(uint64_t value)
{
    return value - meter_part(value, METER_KEEP);
}

/* Readers of others are taken up to 3 % above the mean. So there is a little more room than has to be
 * found, and whoever looks for it finds it soon. */
static inline uint64_t meter_level(uint64_t mean)
{
    return mean + mean / 32;
}
/* Others are asked from 6 % on: less is noise. */
static inline uint64_t meter_trigger(uint64_t mean)
{
    return mean + mean / 16;
}
/* What was granted is cut from 8 % on. */
static inline uint64_t meter_cut(uint64_t mean)
{
    return mean + mean / 12;
}
