/* tests/fuzz/fuzz_capability.c: capabilities from strangers, as they are and with a right MAC; and
 * what we make from any terms admits what the terms say. */
#include <stdlib.h>

#include <sodium.h>

#include "wire/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AT_KEY 2 /* in a capability (wire/trust.c) */
#define AT_DATASET 46
#define AT_SOURCES 62
#define MAC_SIZE 16

static const struct cluster_key key = { .capability = { 1, 2, 3 }, .number = 7 };

/* A stranger's bytes and a key of their own choice; only the MAC could let them in. */
static void try_forged(struct span bytes)
{
    struct capability_use use = { .wall_us = 0 };
    if (bytes.size >= AT_SOURCES + MAC_SIZE) {
        memcpy(use.dataset.b, bytes.data + AT_DATASET, ID_SIZE);
    }
    CHECK(capability_check(&key, bytes, &use) != ERR_OK);
}

/* As if the stranger had the key: then every bound must hold by itself. */
static void try_sealed(struct span bytes)
{
    struct capability_use use = { .key = span_text("train/0001"), .wall_us = 0 };
    if (bytes.size < AT_SOURCES + ID_SIZE + MAC_SIZE) {
        return;
    }
    uint8_t *copy = malloc(bytes.size);
    size_t body = bytes.size - MAC_SIZE;
    CHECK(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    copy[0] = copy[0] == 1 ? 2 : copy[0]; /* of the version that holds */
    put_u32(copy + AT_KEY, (uint32_t)cluster_key_id(&key).v);
    (void)crypto_generichash(copy + body, MAC_SIZE, copy, body, key.capability,
                             sizeof key.capability);
    memcpy(use.dataset.b, copy + AT_DATASET, ID_SIZE);
    memcpy(use.source.b, copy + AT_SOURCES, ID_SIZE);
    enum err err = capability_check(&key, span_of(copy, bytes.size), &use);
    CHECK(err == ERR_OK || err == ERR_DENIED || err == ERR_EXPIRED || err == ERR_MALFORMED ||
          err == ERR_VERSION);
    free(copy);
}

/* Cut the input into prefixes, and ask for keys below each. */
static void try_terms(struct span bytes)
{
    uint8_t made[CAPABILITY_SIZE_MAX];
    struct capability_terms terms = { .life_us = 1 };
    while (terms.source_count < CAPABILITY_SOURCES_MAX && bytes.size > 0) {
        size_t size = (size_t)bytes.data[0] * 4;
        size = size < bytes.size - 1 ? size : bytes.size - 1;
        terms.sources[terms.source_count].source.b[0] = (uint8_t)terms.source_count;
        terms.sources[terms.source_count].prefix = span_of(bytes.data + 1, size);
        terms.source_count++;
        bytes = span_of(bytes.data + 1 + size, bytes.size - 1 - size);
    }
    size_t size = capability_make(&key, &terms, made);
    for (uint32_t i = 0; i < terms.source_count; i++) {
        struct capability_use use = { .source = terms.sources[i].source,
                                      .key = terms.sources[i].prefix };
        CHECK(capability_check(&key, span_of(made, size), &use) == ERR_OK);
        use.wall_us = 1;
        CHECK(capability_check(&key, span_of(made, size), &use) == ERR_EXPIRED);
        use.wall_us = 0;
        use.source.b[1] = 1;
        CHECK(capability_check(&key, span_of(made, size), &use) == ERR_DENIED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_of(data, size);
    try_forged(bytes);
    try_sealed(bytes);
    try_terms(bytes);
    return 0;
}
