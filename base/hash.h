/* base/hash.h: hashes. BLAKE2b where strangers choose the input, XXH3 inside tables. */
#pragma once
#include <sodium.h>

#include "base/bytes.h"

/* Incremental BLAKE2b-128. */
struct hasher {
    crypto_generichash_state state;
};

void hasher_init(struct hasher *h, const char *domain);
/* Adds the size (u64) and then the bytes, so that no two lists of parts collide. */
void hasher_span(struct hasher *h, struct span part);
void hasher_u64(struct hasher *h, uint64_t value);
void hasher_end(struct hasher *h, uint8_t out[16]);

/* XXH3: same value on every machine. */
uint64_t hash64(const void *data, size_t size, uint64_t seed);
/* A strong mix of two words (one multiplication-fold each way), for slots and timers. */
uint64_t hash64_mix(uint64_t a, uint64_t b);
