/* base/rng.c: a counter through a keyed mix: any stream can be named, none needs warming up. */
#include "base/rng.h"

#include "base/check.h"
#include "base/hash.h"

void rng_init(struct rng *rng, uint64_t seed, uint64_t stream)
{
    rng->key = hash64_mix(hash64_mix(seed, 0), stream);
    rng->counter = 0;
}

uint64_t rng_next(struct rng *rng)
{
    rng->counter++;
    return hash64_mix(rng->key, rng->counter);
}

/* Lemire's method: the high word of a product, redrawn where the low word shows a bias. */
uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    CHECK(bound > 0);
    uint64_t threshold = (0 - bound) % bound;
    for (;;) {
        unsigned __int128 product = (unsigned __int128)rng_next(rng) * bound;
        if ((uint64_t)product >= threshold) {
            return (uint64_t)(product >> 64);
        }
    }
}

int64_t rng_between(struct rng *rng, int64_t low, int64_t high)
{
    CHECK(low <= high);
    uint64_t distance = (uint64_t)high - (uint64_t)low;
    uint64_t offset = distance == UINT64_MAX ? rng_next(rng) : rng_below(rng, distance + 1);
    return (int64_t)((uint64_t)low + offset);
}

bool rng_chance(struct rng *rng, uint32_t per_million)
{
    CHECK(per_million <= 1000000);
    return rng_below(rng, 1000000) < per_million;
}
