/* tests/fuzz/fuzz_grant.c: grants from strangers, as they are and signed with the cluster's key. What
 * holds encodes to the same bytes. */
#include <stdlib.h>

#include <sodium.h>

#include "wire/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_KEY_ID 6 /* in a grant (wire/trust.c) */
#define AT_CLIENT 18

static uint8_t sign_public[TRUST_KEY_SIZE];
static uint8_t sign_secret[TRUST_SIGN_SECRET_SIZE];

static void make_keys(void)
{
    static const uint8_t seed[crypto_sign_SEEDBYTES] = { 1 };
    (void)crypto_sign_seed_keypair(sign_public, sign_secret, seed);
}

static void check_holds(struct span bytes, const struct grant *grant)
{
    uint8_t again[GRANT_SIZE_MAX];
    size_t used = 0;
    CHECK(grant->dataset_count <= GRANT_DATASETS_MAX);
    for (uint32_t i = 0; i < grant->dataset_count; i++) {
        CHECK(grant_admits(grant, grant->datasets[i]));
    }
    CHECK(grant_encode_sign(grant, sign_secret, again, sizeof again, &used) == ERR_OK);
    CHECK(span_equal(span_of(again, used), bytes));
}

/* Only what already has the shape of a grant is worth a signature. */
static void try_signed(struct span bytes)
{
    uint8_t client[TRUST_KEY_SIZE];
    struct grant grant;
    uint8_t *copy = malloc(bytes.size);
    size_t body = bytes.size - crypto_sign_BYTES;
    CHECK(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    memcpy(client, copy + AT_CLIENT, sizeof client);
    put_u32(copy + AT_KEY_ID, trust_key_id(sign_public));
    (void)crypto_sign_detached(copy + body, NULL, copy, body, sign_secret);
    struct span signed_bytes = span_of(copy, bytes.size);
    enum err err = grant_verify(signed_bytes, sign_public, client, 0, &grant);
    CHECK(err == ERR_OK || err == ERR_DENIED);
    if (err == ERR_OK) {
        check_holds(signed_bytes, &grant);
    }
    free(copy);
}

/* The same bytes with a head that fits them: most random ones fail there. */
static void try_mended(const uint8_t *data, size_t size)
{
    static const uint8_t nobody[TRUST_KEY_SIZE];
    uint8_t bytes[GRANT_SIZE_MAX];
    struct grant grant;
    if (size < 115 || size > sizeof bytes) {
        return;
    }
    memcpy(bytes, data, size);
    put_u16(bytes, (uint16_t)size);
    memcpy(bytes + 2, "AG\1", 3); /* magic, format version */
    bytes[5] = 0;
    enum err err = grant_verify(span_of(bytes, size), sign_public, nobody, 0, &grant);
    if (err != ERR_MALFORMED) {
        try_signed(span_of(bytes, size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nobody[TRUST_KEY_SIZE];
    struct grant grant;
    struct span rest = span_of(data, size);
    struct span one;
    if (sign_public[0] == 0 && sign_public[1] == 0) {
        make_keys();
    }
    while (grant_next(&rest, &one)) {
        enum err err = grant_verify(one, sign_public, nobody, 0, &grant);
        if (err == ERR_OK) {
            check_holds(one, &grant);
        } else if (err == ERR_UNAUTHENTICATED || err == ERR_DENIED) {
            try_signed(one);
        }
    }
    try_mended(data, size);
    return 0;
}
