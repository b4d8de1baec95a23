#include "gossip/seal.h"

#include <sodium.h>

#include "base/hash.h"

#define CHECKSUM 8u
#define WORDS (SEAL_WINDOW / 64)
#define STRANGERS 64u /* senders that are no members (yet) */

struct seal_window { /* what every packet looks at comes first */
    uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE];
    uint64_t highest;
    bool is_used;
    uint64_t bits[WORDS]; /* of counter c: bit c mod SEAL_WINDOW */
    struct map_node by_sender;
    struct key_id under; /* the key of its last packet, and what is derived of that */
    uint8_t key[TRUST_KEY_SIZE];
};

/* Two for each member: the process before a restart may still have packets on the way. */
static uint32_t window_limit(uint32_t members_max)
{
    return 2 * members_max + STRANGERS;
}

size_t seal_memory(uint32_t members_max)
{
    size_t windows = window_limit(members_max);
    /* Buckets: the next power of two, so at most twice as many. */
    return windows * sizeof(struct seal_window) + 2 * windows * sizeof(void *) + 64;
}

static void derive(const struct seal_key *under, const uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE],
                   uint8_t key[TRUST_KEY_SIZE])
{
    int failed = crypto_generichash(key, TRUST_KEY_SIZE, sender, ID_SIZE + GOSSIP_BOOT_SIZE,
                                    under->gossip, TRUST_KEY_SIZE);
    CHECK(failed == 0);
}

static void add_key(struct seal *seal, const struct cluster_key *key, bool retired)
{
    uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE];
    struct seal_key *to = &seal->keys[seal->key_count++];
    to->id = cluster_key_id(key);
    to->retired = retired;
    memcpy(to->gossip, key->gossip, sizeof to->gossip);
    memcpy(sender, seal->self.b, ID_SIZE);
    memcpy(sender + ID_SIZE, seal->boot, GOSSIP_BOOT_SIZE);
    derive(to, sender, to->own);
}

void seal_keys(struct seal *seal, const struct keyring *ring)
{
    sodium_memzero(seal->keys, sizeof seal->keys);
    seal->key_count = 0;
    if (seal->insecure) {
        return;
    }
    CHECK(ring->count > 0 && ring->present < ring->count);
    for (uint32_t i = 0; i < ring->count; i++) {
        add_key(seal, &ring->keys[i], false);
    }
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        add_key(seal, &ring->retired[i], true);
    }
    seal->present = ring->present;
}

enum err seal_init(struct seal *seal, struct arena *mem, const struct gossip_options *options)
{
    uint8_t name[16];
    struct hasher h;
    hasher_init(&h, "atoll gossip");
    hasher_span(&h, options->cluster);
    hasher_end(&h, name);
    memset(seal, 0, sizeof *seal);
    seal->cluster = get_u64(name);
    seal->insecure = options->insecure;
    seal->self = options->self.id;
    memcpy(seal->boot, options->boot, GOSSIP_BOOT_SIZE);
    seal_keys(seal, &options->ring);
    seal->window_count = window_limit(options->members_max);
    seal->windows = arena_array(mem, seal->window_count, sizeof *seal->windows);
    if (seal->windows == NULL) {
        return ERR_NOMEM;
    }
    return map_init(&seal->by_sender, mem, seal->window_count);
}

static void nonce_of(uint64_t counter, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    put_u64(nonce + 4, counter);
}

static uint64_t checksum_of(const struct seal *seal, const uint8_t *packet, size_t size)
{
    return hash64(packet, size, seal->cluster);
}

static uint16_t hint_of(const struct seal_key *key)
{
    return (uint16_t)key->id.v;
}

size_t seal_close(struct seal *seal, uint8_t *packet, size_t body_size)
{
    return seal_close_under(seal, seal->present, packet, body_size);
}

size_t seal_close_under(struct seal *seal, uint32_t key, uint8_t *packet, size_t body_size)
{
    CHECK(body_size <= SEAL_BODY_MAX && (seal->insecure || key < seal->key_count));
    uint8_t *body = packet + SEAL_HEADER;
    uint8_t nonce[12];
    unsigned long long tag_size = 0;
    seal->counter++;
    memset(packet, 0, SEAL_HEADER);
    packet[0] = SEAL_VERSION;
    packet[1] = seal->insecure ? 1 : 0;
    put_u64(packet + 4, seal->cluster);
    memcpy(packet + 12, seal->self.b, ID_SIZE);
    memcpy(packet + 28, seal->boot, GOSSIP_BOOT_SIZE);
    put_u64(packet + 44, seal->counter);
    if (seal->insecure) {
        size_t covered = SEAL_HEADER + body_size;
        put_u64(packet + covered, checksum_of(seal, packet, covered));
        return covered + CHECKSUM;
    }
    put_u16(packet + 2, hint_of(&seal->keys[key]));
    nonce_of(seal->counter, nonce);
    int failed = crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        body, body + body_size, &tag_size, body, body_size, packet, SEAL_HEADER, NULL, nonce,
        seal->keys[key].own);
    CHECK(failed == 0 && tag_size == SEAL_TAG);
    return SEAL_HEADER + body_size + SEAL_TAG;
}

static struct seal_window *find_window(const struct seal *seal, const uint8_t *sender,
                                       uint32_t hint)
{
    if (hint != SEAL_NO_WINDOW && hint <= seal->window_used &&
        memcmp(seal->windows[hint - 1].sender, sender, sizeof seal->windows[0].sender) == 0) {
        return &seal->windows[hint - 1];
    }
    uint64_t hash = hash64(sender, ID_SIZE + GOSSIP_BOOT_SIZE, 0);
    for (struct map_node *n = map_first(&seal->by_sender, hash); n != NULL; n = map_next(n)) {
        struct seal_window *window = CONTAINER_OF(n, struct seal_window, by_sender);
        if (memcmp(window->sender, sender, sizeof window->sender) == 0) {
            return window;
        }
    }
    return NULL;
}

/* A window for a sender that has just proven itself. */
static struct seal_window *add_window(struct seal *seal, const uint8_t *sender)
{
    struct seal_window *window;
    if (seal->window_used < seal->window_count) {
        window = &seal->windows[seal->window_used++];
    } else {
        while (seal->windows[seal->hand].is_used) {
            seal->windows[seal->hand].is_used = false;
            seal->hand = (seal->hand + 1) % seal->window_count;
        }
        window = &seal->windows[seal->hand];
        seal->hand = (seal->hand + 1) % seal->window_count;
        map_remove(&seal->by_sender, &window->by_sender);
    }
    memset(window, 0, sizeof *window);
    memcpy(window->sender, sender, sizeof window->sender);
    map_insert(&seal->by_sender, &window->by_sender, hash64(sender, sizeof window->sender, 0));
    return window;
}

static bool is_new(const struct seal_window *window, uint64_t counter)
{
    if (counter > window->highest) {
        return true;
    }
    uint64_t word = window->bits[counter / 64 % WORDS];
    return window->highest - counter < SEAL_WINDOW && (word >> (counter % 64) & 1) == 0;
}

static void remember(struct seal_window *window, uint64_t counter)
{
    if (counter > window->highest && counter - window->highest >= SEAL_WINDOW) {
        memset(window->bits, 0, sizeof window->bits);
        window->highest = counter;
    }
    while (window->highest < counter) { /* a word at a time */
        const uint64_t first = window->highest + 1;
        const uint64_t last = counter < (first | 63) ? counter : first | 63;
        const uint64_t between = ~0ull >> (63 - (last - first)) << first % 64;
        window->bits[first / 64 % WORDS] &= ~between;
        window->highest = last;
    }
    window->bits[counter / 64 % WORDS] |= 1ull << (counter % 64);
}

static bool checksum_holds(const struct seal *seal, const uint8_t *packet, struct span body)
{
    const size_t covered = SEAL_HEADER + body.size;
    return get_u64(packet + covered) == checksum_of(seal, packet, covered);
}

/* In place, when it opens. */
static bool decrypt(uint8_t *packet, struct span body, const uint8_t *key)
{
    uint8_t text[SEAL_BODY_MAX]; /* the library wipes what it could not open; another key may yet */
    uint8_t nonce[12];
    nonce_of(get_u64(packet + 44), nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(text, NULL, body.data, body.size,
                                                           body.data + body.size, packet,
                                                           SEAL_HEADER, nonce, key) != 0) {
        return false;
    }
    memcpy(packet + SEAL_HEADER, text, body.size);
    return true;
}

/* What a packet was sealed with, and what follows for its sender. */
struct opening {
    uint32_t key;
    uint8_t derived[TRUST_KEY_SIZE];
};

static enum seal_verdict unseal(const struct seal *seal, const struct seal_window *window,
                                uint8_t *packet, struct span body, struct opening *out)
{
    enum seal_verdict verdict = SEAL_UNKNOWN;
    if (seal->insecure) {
        return checksum_holds(seal, packet, body) ? SEAL_GOOD : SEAL_UNSEALED;
    }
    for (uint32_t i = 0; i < seal->key_count; i++) {
        const struct seal_key *key = &seal->keys[i];
        if (hint_of(key) != get_u16(packet + 2)) {
            continue;
        }
        if (window != NULL && window->under.v == key->id.v) {
            memcpy(out->derived, window->key, sizeof out->derived);
        } else {
            derive(key, packet + 12, out->derived);
        }
        out->key = i;
        if (decrypt(packet, body, out->derived)) {
            return key->retired ? SEAL_RETIRED : SEAL_GOOD;
        }
        verdict = SEAL_UNSEALED; /* two keys with one hint: the other may open it */
    }
    return verdict;
}

/* Which window that is, plus one. */
static uint32_t remember_sender(struct seal *seal, struct seal_window *window,
                                const uint8_t *packet, const struct opening *opening)
{
    if (window == NULL) {
        window = add_window(seal, packet + 12);
    }
    remember(window, get_u64(packet + 44));
    if (!seal->insecure) {
        window->under = seal->keys[opening->key].id;
        memcpy(window->key, opening->derived, sizeof window->key);
    }
    window->is_used = true;
    return (uint32_t)(window - seal->windows) + 1;
}

static bool is_own(const struct seal *seal, const struct seal_opened *opened)
{
    return node_id_equal(opened->sender, seal->self) &&
           memcmp(opened->boot, seal->boot, GOSSIP_BOOT_SIZE) == 0;
}

bool seal_sender(const uint8_t *packet, size_t size, struct node_id *out)
{
    if (size < SEAL_HEADER) {
        return false;
    }
    memcpy(out->b, packet + 12, sizeof out->b);
    return true;
}

bool seal_is_of(const struct seal *seal, uint32_t window, struct node_id sender,
                const uint8_t boot[GOSSIP_BOOT_SIZE])
{
    if (window == SEAL_NO_WINDOW) {
        return false;
    }
    CHECK(window <= seal->window_used);
    const uint8_t *own = seal->windows[window - 1].sender;
    return memcmp(own, sender.b, ID_SIZE) == 0 &&
           memcmp(own + ID_SIZE, boot, GOSSIP_BOOT_SIZE) == 0;
}

enum seal_verdict seal_open(struct seal *seal, uint8_t *packet, size_t size, uint32_t hint,
                            struct seal_opened *out)
{
    const size_t trailer = seal->insecure ? CHECKSUM : SEAL_TAG;
    struct opening opening = { .key = 0 };
    if (size < SEAL_HEADER || size > GOSSIP_PACKET_MAX) {
        return SEAL_UNSEALED;
    }
    if (packet[0] != SEAL_VERSION || get_u64(packet + 4) != seal->cluster) {
        return SEAL_FOREIGN;
    }
    const uint64_t counter = get_u64(packet + 44);
    if (size < SEAL_HEADER + trailer || packet[1] != (seal->insecure ? 1 : 0) || counter == 0 ||
        (seal->insecure && get_u16(packet + 2) != 0)) {
        return SEAL_UNSEALED;
    }
    struct seal_window *window = find_window(seal, packet + 12, hint);
    if (window != NULL && !is_new(window, counter)) {
        return SEAL_REPLAYED;
    }
    const struct span body = span_of(packet + SEAL_HEADER, size - SEAL_HEADER - trailer);
    enum seal_verdict verdict = unseal(seal, window, packet, body, &opening);
    if (verdict != SEAL_GOOD && verdict != SEAL_RETIRED) {
        return verdict;
    }
    memcpy(out->sender.b, packet + 12, ID_SIZE);
    memcpy(out->boot, packet + 28, GOSSIP_BOOT_SIZE);
    out->body = body;
    out->key = opening.key;
    out->window = SEAL_NO_WINDOW;
    if (is_own(seal, out)) {
        return SEAL_OWN;
    }
    if (verdict == SEAL_GOOD) { /* whoever has only a retired key makes nobody be forgotten */
        out->window = remember_sender(seal, window, packet, &opening);
    }
    return verdict;
}
