/* base/hash.c: BLAKE2b of libsodium, XXH3, and a mix of two words. */
#include "base/hash.h"

#include <xxhash.h>

#include "base/check.h"

void hasher_init(struct hasher *h, const char *domain)
{
    CHECK(domain != NULL && domain[0] != '\0');
    int failed = crypto_generichash_init(&h->state, NULL, 0, 16);
    CHECK(failed == 0);
    hasher_span(h, span_text(domain));
}

static void add(struct hasher *h, const uint8_t *data, size_t size)
{
    int failed = crypto_generichash_update(&h->state, data, size);
    CHECK(failed == 0);
}

void hasher_span(struct hasher *h, struct span part)
{
    hasher_u64(h, part.size);
    if (part.size > 0) {
        add(h, part.data, part.size);
    }
}

void hasher_u64(struct hasher *h, uint64_t value)
{
    uint8_t bytes[8];
    put_u64(bytes, value);
    add(h, bytes, sizeof bytes);
}

void hasher_end(struct hasher *h, uint8_t out[16])
{
    int failed = crypto_generichash_final(&h->state, out, 16);
    CHECK(failed == 0);
}

uint64_t hash64(const void *data, size_t size, uint64_t seed)
{
    CHECK(data != NULL || size == 0);
    return XXH3_64bits_withSeed(data, size, seed);
}

/* Two rounds of a 64 x 64 -> 128 bit product, as in wyhash. The operands are added back between the
 * rounds, so that no value of one word makes the other one vanish. */
uint64_t hash64_mix(uint64_t a, uint64_t b)
{
    const uint64_t first = UINT64_C(0xa0761d6478bd642f);  /* odd, half of the bits set */
    const uint64_t second = UINT64_C(0xe7037ed1a0b428db); /* likewise */
    unsigned __int128 product = (unsigned __int128)(a ^ first) * (b ^ second);
    uint64_t low = (uint64_t)product ^ a;
    uint64_t high = (uint64_t)(product >> 64) ^ b;
    product = (unsigned __int128)(low ^ second) * (high ^ first);
    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ low;
}
