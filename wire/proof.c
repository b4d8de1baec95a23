#include "wire/proof.h"

#include <sodium.h>

#define MAC_SIZE 16u

static void add(crypto_generichash_state *hash, const void *data, size_t size)
{
    int failed = crypto_generichash_update(hash, data, size);
    CHECK(failed == 0);
}

void proof_make(const struct cluster_key *key, const struct proof_terms *terms,
                uint8_t out[PROOF_SIZE])
{
    static const char domain[] = "atoll proof of a node";
    const uint8_t side = (uint8_t)terms->side;
    crypto_generichash_state hash;
    int failed = crypto_generichash_init(&hash, key->gossip, sizeof key->gossip, MAC_SIZE);
    CHECK(failed == 0);
    add(&hash, domain, sizeof domain);
    add(&hash, &side, sizeof side);
    add(&hash, terms->node.b, sizeof terms->node.b);
    add(&hash, terms->session, sizeof terms->session);
    add(&hash, terms->client_key, sizeof terms->client_key);
    put_u64(out, cluster_key_id(key).v);
    failed = crypto_generichash_final(&hash, out + 8, MAC_SIZE);
    CHECK(failed == 0);
}

bool proof_holds(const struct cluster_key *key, const struct proof_terms *terms, struct span proofs)
{
    uint8_t wanted[PROOF_SIZE];
    proof_make(key, terms, wanted);
    for (size_t at = 0; at + PROOF_SIZE <= proofs.size && at < PROOFS_MAX * PROOF_SIZE;
         at += PROOF_SIZE) {
        if (sodium_memcmp(wanted, proofs.data + at, PROOF_SIZE) == 0) {
            return true;
        }
    }
    return false;
}
