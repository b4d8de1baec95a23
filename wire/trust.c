/* wire/trust.c: bytes that are signed, and bytes that are authenticated.
 *
 *   grant       size u16, magic u16, format version u16, key id u32, expiry u64 (seconds), client
 *               key, count u8, names (size u8, bytes), ed25519 signature of all that precedes
 *   capability  format version u8, count u8, key u32 (half of its id), expiry u64 (microseconds), client key,
 *               dataset id, sources (id, size u16 and hash of the prefix), MAC of all that precedes
 *
 * Neither has room for fields that an old version would skip: each could be a restriction. */
#include "wire/trust.h"

#include <sodium.h>

#include "base/hash.h"

#define GRANT_VERSION 1u
#define GRANT_MAGIC 0x4741u /* "AG" */
#define GRANT_AT_MAGIC 2
#define GRANT_AT_VERSION 4
#define GRANT_AT_KEY_ID 6
#define GRANT_AT_EXPIRES 10
#define GRANT_AT_CLIENT 18
#define GRANT_AT_COUNT 50
#define GRANT_HEAD 51u
#define GRANT_LEAST (GRANT_HEAD + crypto_sign_BYTES)
#define DATASET_NAME_BYTES 64u

#define CAPABILITY_VERSION 2u
#define CAPABILITY_AT_COUNT 1
#define CAPABILITY_AT_KEY 2
#define CAPABILITY_AT_EXPIRES 6
#define CAPABILITY_AT_CLIENT 14
#define CAPABILITY_AT_DATASET 46
#define CAPABILITY_HEAD 62u
#define MAC_SIZE 16u
#define PREFIX_MAX 1024u
#define PREFIX_HASH_SIZE 16u
#define SOURCE_SIZE (ID_SIZE + 2u + PREFIX_HASH_SIZE)

_Static_assert(crypto_sign_SECRETKEYBYTES == TRUST_SIGN_SECRET_SIZE, "ed25519");
_Static_assert(crypto_sign_PUBLICKEYBYTES == TRUST_KEY_SIZE, "ed25519");
_Static_assert(GRANT_LEAST + GRANT_DATASETS_MAX * (1 + DATASET_NAME_BYTES) == GRANT_SIZE_MAX,
               "a grant with all its names");
_Static_assert(CAPABILITY_HEAD + CAPABILITY_SOURCES_MAX * SOURCE_SIZE + MAC_SIZE ==
                   CAPABILITY_SIZE_MAX,
               "a capability with all its sources");

static void blake2b_128(struct span bytes, struct span key, uint8_t out[16])
{
    int failed = crypto_generichash(out, 16, bytes.data, bytes.size, key.data, key.size);
    CHECK(failed == 0);
}

/* ---- keys -------------------------------------------------------------------------------- */

struct key_id cluster_key_id(const struct cluster_key *key)
{
    struct hasher h;
    uint8_t hash[16];
    hasher_init(&h, "atoll key");
    hasher_u64(&h, key->era);
    hasher_u64(&h, key->number);
    hasher_u64(&h, key->ttl_s);
    hasher_span(&h, span_of(key->gossip, sizeof key->gossip));
    hasher_span(&h, span_of(key->capability, sizeof key->capability));
    hasher_span(&h, span_of(key->sign_secret, sizeof key->sign_secret));
    hasher_end(&h, hash);
    const uint64_t v = get_u64(hash);
    return (struct key_id){ .v = v != 0 ? v : 1 };
}

const uint8_t *cluster_key_sign_public(const struct cluster_key *key)
{
    /* An ed25519 secret key ends in its public key. */
    return key->sign_secret + TRUST_SIGN_SECRET_SIZE - TRUST_KEY_SIZE;
}

static void derive(const uint8_t secret[TRUST_KEY_SIZE], const char *label,
                   uint8_t out[TRUST_KEY_SIZE])
{
    struct span text = span_text(label);
    int failed =
        crypto_generichash(out, TRUST_KEY_SIZE, text.data, text.size, secret, TRUST_KEY_SIZE);
    CHECK(failed == 0);
}

void cluster_key_derive(const uint8_t secret[TRUST_KEY_SIZE], struct cluster_key *out)
{
    derive(secret, "atoll gossip key", out->gossip);
    derive(secret, "atoll capability key", out->capability);
}

/* ---- grants ------------------------------------------------------------------------------ */

uint32_t trust_key_id(const uint8_t sign_public[TRUST_KEY_SIZE])
{
    uint8_t hash[16];
    blake2b_128(span_of(sign_public, TRUST_KEY_SIZE), span_of(NULL, 0), hash);
    return get_u32(hash);
}

static size_t grant_size(const struct grant *grant)
{
    size_t size = GRANT_LEAST;
    CHECK(grant->dataset_count <= GRANT_DATASETS_MAX);
    for (uint32_t i = 0; i < grant->dataset_count; i++) {
        CHECK(grant->datasets[i].size > 0 && grant->datasets[i].size <= DATASET_NAME_BYTES);
        size += 1 + grant->datasets[i].size;
    }
    return size;
}

enum err grant_encode_sign(const struct grant *grant,
                           const uint8_t sign_secret[TRUST_SIGN_SECRET_SIZE], uint8_t *buffer,
                           size_t room, size_t *used)
{
    size_t size = grant_size(grant);
    if (size > room) {
        return ERR_FULL;
    }
    /* An ed25519 secret key ends in its public key. */
    const uint8_t *sign_public = sign_secret + TRUST_SIGN_SECRET_SIZE - TRUST_KEY_SIZE;
    put_u16(buffer, (uint16_t)size);
    put_u16(buffer + GRANT_AT_MAGIC, GRANT_MAGIC);
    put_u16(buffer + GRANT_AT_VERSION, GRANT_VERSION);
    put_u32(buffer + GRANT_AT_KEY_ID, trust_key_id(sign_public));
    put_u64(buffer + GRANT_AT_EXPIRES, grant->expires_wall_s);
    memcpy(buffer + GRANT_AT_CLIENT, grant->client_key, TRUST_KEY_SIZE);
    buffer[GRANT_AT_COUNT] = (uint8_t)grant->dataset_count;
    size_t at = GRANT_HEAD;
    for (uint32_t i = 0; i < grant->dataset_count; i++) {
        buffer[at] = (uint8_t)grant->datasets[i].size;
        memcpy(buffer + at + 1, grant->datasets[i].data, grant->datasets[i].size);
        at += 1 + grant->datasets[i].size;
    }
    CHECK(at + crypto_sign_BYTES == size);
    int failed = crypto_sign_detached(buffer + at, NULL, buffer, at, sign_secret);
    CHECK(failed == 0);
    *used = size;
    return ERR_OK;
}

bool grant_next(struct span *from, struct span *grant)
{
    if (from->size < GRANT_LEAST) {
        return false;
    }
    size_t size = get_u16(from->data);
    if (size < GRANT_LEAST || size > from->size) {
        return false;
    }
    *grant = span_of(from->data, size);
    *from = span_of(from->data + size, from->size - size);
    return true;
}

/* The names between head and signature, without a gap. */
static bool read_names(struct span bytes, struct grant *out)
{
    size_t at = GRANT_HEAD;
    size_t end = bytes.size - crypto_sign_BYTES;
    out->dataset_count = bytes.data[GRANT_AT_COUNT];
    if (out->dataset_count > GRANT_DATASETS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out->dataset_count; i++) {
        size_t size = at < end ? bytes.data[at] : 0;
        if (size == 0 || size > DATASET_NAME_BYTES || size > end - at - 1) {
            return false;
        }
        out->datasets[i] = span_of(bytes.data + at + 1, size);
        at += 1 + size;
    }
    return at == end;
}

static enum err grant_parse(struct span bytes, struct grant *out)
{
    if (bytes.size < GRANT_LEAST || get_u16(bytes.data) != bytes.size ||
        get_u16(bytes.data + GRANT_AT_MAGIC) != GRANT_MAGIC) {
        return ERR_MALFORMED;
    }
    uint16_t version = get_u16(bytes.data + GRANT_AT_VERSION);
    if (version != GRANT_VERSION) {
        return version > GRANT_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    out->key_id = get_u32(bytes.data + GRANT_AT_KEY_ID);
    out->expires_wall_s = get_u64(bytes.data + GRANT_AT_EXPIRES);
    memcpy(out->client_key, bytes.data + GRANT_AT_CLIENT, TRUST_KEY_SIZE);
    return read_names(bytes, out) ? ERR_OK : ERR_MALFORMED;
}

enum err grant_verify(struct span bytes, const uint8_t sign_public[TRUST_KEY_SIZE],
                      const uint8_t client_key[TRUST_KEY_SIZE], usec_t wall_us, struct grant *out)
{
    struct grant grant = { .dataset_count = 0 };
    CHECK(wall_us >= 0);
    enum err err = grant_parse(bytes, &grant);
    if (err != ERR_OK) {
        return err;
    }
    if (grant.key_id != trust_key_id(sign_public)) {
        return ERR_UNAUTHENTICATED;
    }
    /* What costs nothing comes first; a signature takes some 100 microseconds. */
    bool expired = grant.expires_wall_s <= (uint64_t)wall_us / 1000000;
    if (expired || memcmp(grant.client_key, client_key, TRUST_KEY_SIZE) != 0) {
        return ERR_DENIED;
    }
    size_t body = bytes.size - crypto_sign_BYTES;
    if (crypto_sign_verify_detached(bytes.data + body, bytes.data, body, sign_public) != 0) {
        return ERR_UNAUTHENTICATED;
    }
    *out = grant;
    return ERR_OK;
}

uint32_t grant_key_id(struct span bytes)
{
    CHECK(bytes.size >= GRANT_LEAST);
    return get_u32(bytes.data + GRANT_AT_KEY_ID);
}

bool grant_admits(const struct grant *grant, struct span dataset)
{
    for (uint32_t i = 0; i < grant->dataset_count; i++) {
        if (span_equal(grant->datasets[i], span_text("*")) ||
            span_equal(grant->datasets[i], dataset)) {
            return true;
        }
    }
    return false;
}

/* ---- capabilities ------------------------------------------------------------------------ */

static void put_source(uint8_t *to, const struct capability_source *source)
{
    CHECK(source->prefix.size <= PREFIX_MAX);
    memcpy(to, source->source.b, ID_SIZE);
    put_u16(to + ID_SIZE, (uint16_t)source->prefix.size);
    blake2b_128(source->prefix, span_of(NULL, 0), to + ID_SIZE + 2);
}

/* The MAC of the first `size` bytes. */
static void make_mac(const struct cluster_key *key, const uint8_t *data, size_t size,
                     uint8_t out[MAC_SIZE])
{
    blake2b_128(span_of(data, size), span_of(key->capability, TRUST_KEY_SIZE), out);
}

static uint32_t key_half(const struct cluster_key *key)
{
    return (uint32_t)cluster_key_id(key).v;
}

size_t capability_make(const struct cluster_key *key, const struct capability_terms *terms,
                       uint8_t out[CAPABILITY_SIZE_MAX])
{
    CHECK(terms->source_count <= CAPABILITY_SOURCES_MAX);
    CHECK(terms->wall_us >= 0 && terms->life_us > 0 && terms->life_us <= CAPABILITY_LIFE_US_MAX);
    out[0] = CAPABILITY_VERSION;
    out[CAPABILITY_AT_COUNT] = (uint8_t)terms->source_count;
    put_u32(out + CAPABILITY_AT_KEY, key_half(key));
    put_u64(out + CAPABILITY_AT_EXPIRES, (uint64_t)terms->wall_us + (uint64_t)terms->life_us);
    memcpy(out + CAPABILITY_AT_CLIENT, terms->client_key, TRUST_KEY_SIZE);
    memcpy(out + CAPABILITY_AT_DATASET, terms->dataset.b, ID_SIZE);
    size_t at = CAPABILITY_HEAD;
    for (uint32_t i = 0; i < terms->source_count; i++) {
        put_source(out + at, &terms->sources[i]);
        at += SOURCE_SIZE;
    }
    make_mac(key, out, at, out + at);
    return at + MAC_SIZE;
}

/* Does one of the sources admit this key? Hashes no prefix of another source or of a longer size. */
static bool admits_key(const uint8_t *sources, uint32_t count, const struct capability_use *use)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *source = sources + (size_t)i * SOURCE_SIZE;
        size_t size = get_u16(source + ID_SIZE);
        uint8_t hash[PREFIX_HASH_SIZE];
        if (memcmp(source, use->source.b, ID_SIZE) != 0 || size > use->key.size) {
            continue;
        }
        blake2b_128(span_of(use->key.data, size), span_of(NULL, 0), hash);
        if (memcmp(hash, source + ID_SIZE + 2, PREFIX_HASH_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

/* Is it as long as it says? */
static enum err capability_shape(struct span capability)
{
    if (capability.size < CAPABILITY_HEAD + MAC_SIZE || capability.data[0] == 0) {
        return ERR_MALFORMED;
    }
    if (capability.data[0] != CAPABILITY_VERSION) {
        return capability.data[0] > CAPABILITY_VERSION ? ERR_VERSION : ERR_OTHER_KEY;
    }
    size_t count = capability.data[CAPABILITY_AT_COUNT];
    bool whole = capability.size == CAPABILITY_HEAD + count * SOURCE_SIZE + MAC_SIZE;
    return whole && count <= CAPABILITY_SOURCES_MAX ? ERR_OK : ERR_MALFORMED;
}

enum err capability_check(const struct cluster_key *key, struct span capability,
                          const struct capability_use *use)
{
    CHECK(use->wall_us >= 0);
    enum err err = capability_shape(capability);
    if (err != ERR_OK) {
        return err;
    }
    const uint8_t *data = capability.data;
    if (get_u32(data + CAPABILITY_AT_KEY) != key_half(key)) {
        return ERR_OTHER_KEY;
    }
    if (memcmp(data + CAPABILITY_AT_DATASET, use->dataset.b, ID_SIZE) != 0) {
        return ERR_DENIED;
    }
    uint8_t mac[MAC_SIZE];
    size_t body = capability.size - MAC_SIZE;
    make_mac(key, data, body, mac);
    if (sodium_memcmp(mac, data + body, MAC_SIZE) != 0) {
        return ERR_DENIED;
    }
    if (get_u64(data + CAPABILITY_AT_EXPIRES) <= (uint64_t)use->wall_us) {
        return ERR_EXPIRED;
    }
    bool admitted = admits_key(data + CAPABILITY_HEAD, data[CAPABILITY_AT_COUNT], use);
    return admitted ? ERR_OK : ERR_DENIED;
}
