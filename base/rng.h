/* base/rng.h: seeded random numbers, one stream for each owner and purpose. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t key;
    uint64_t counter;
};

/* Streams with different (seed, stream) are independent. */
void rng_init(struct rng *rng, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *rng);
/* 0 <= result < bound; bound > 0. No modulo bias. */
uint64_t rng_below(struct rng *rng, uint64_t bound);
/* low <= result <= high. */
int64_t rng_between(struct rng *rng, int64_t low, int64_t high);
/* true with probability per_million / 1e6. */
bool rng_chance(struct rng *rng, uint32_t per_million);
