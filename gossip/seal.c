#include "gossip/seal.h"

#include <sodium.h>

#include "base/hash.h"

#define CHECKSUM 8u
#define WORDS (SEAL_WINDOW / 64)
#define STRANGERS 64u /* senders that are no members (yet) */

struct seal_window {
    struct map_node by_sender;
    struct list by_use;
    uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE];
    uint8_t key[GOSSIP_KEY_SIZE];
    uint64_t highest;
    uint64_t bits[WORDS]; /* of counter c: bit c mod SEAL_WINDOW */
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

static void derive(const struct seal *seal, const uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE],
                   uint8_t key[GOSSIP_KEY_SIZE])
{
    int failed = crypto_generichash(key, GOSSIP_KEY_SIZE, sender, ID_SIZE + GOSSIP_BOOT_SIZE,
                                    seal->key, GOSSIP_KEY_SIZE);
    CHECK(failed == 0);
}

enum err seal_init(struct seal *seal, struct arena *mem, const struct gossip_options *options)
{
    uint8_t sender[ID_SIZE + GOSSIP_BOOT_SIZE];
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
    memcpy(seal->key, options->key, GOSSIP_KEY_SIZE);
    memcpy(sender, seal->self.b, ID_SIZE);
    memcpy(sender + ID_SIZE, seal->boot, GOSSIP_BOOT_SIZE);
    derive(seal, sender, seal->own_key);
    list_init(&seal->by_use);
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

size_t seal_close(struct seal *seal, uint8_t *packet, size_t body_size)
{
    CHECK(body_size <= SEAL_BODY_MAX);
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
    nonce_of(seal->counter, nonce);
    int failed = crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        body, body + body_size, &tag_size, body, body_size, packet, SEAL_HEADER, NULL, nonce,
        seal->own_key);
    CHECK(failed == 0 && tag_size == SEAL_TAG);
    return SEAL_HEADER + body_size + SEAL_TAG;
}

static struct seal_window *find_window(const struct seal *seal, const uint8_t *sender)
{
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
static struct seal_window *add_window(struct seal *seal, const uint8_t *sender, const uint8_t *key)
{
    struct seal_window *window;
    if (seal->window_used < seal->window_count) {
        window = &seal->windows[seal->window_used++];
    } else {
        window = CONTAINER_OF(list_first(&seal->by_use), struct seal_window, by_use);
        list_remove(&window->by_use);
        map_remove(&seal->by_sender, &window->by_sender);
    }
    memset(window, 0, sizeof *window);
    memcpy(window->sender, sender, sizeof window->sender);
    memcpy(window->key, key, sizeof window->key);
    map_insert(&seal->by_sender, &window->by_sender, hash64(sender, sizeof window->sender, 0));
    list_push_back(&seal->by_use, &window->by_use);
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
    while (window->highest < counter) {
        window->highest++;
        window->bits[window->highest / 64 % WORDS] &= ~(1ull << (window->highest % 64));
    }
    window->bits[counter / 64 % WORDS] |= 1ull << (counter % 64);
}

static bool unseal(const struct seal *seal, uint8_t *packet, struct span body, const uint8_t *key)
{
    uint8_t *text = packet + SEAL_HEADER;
    uint8_t nonce[12];
    if (seal->insecure) {
        size_t covered = SEAL_HEADER + body.size;
        return get_u64(packet + covered) == checksum_of(seal, packet, covered);
    }
    nonce_of(get_u64(packet + 44), nonce);
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               text, NULL, text, body.size, text + body.size, packet, SEAL_HEADER, nonce, key) == 0;
}

enum seal_verdict seal_open(struct seal *seal, uint8_t *packet, size_t size,
                            struct seal_opened *out)
{
    size_t trailer = seal->insecure ? CHECKSUM : SEAL_TAG;
    uint8_t fresh_key[GOSSIP_KEY_SIZE];
    if (size < SEAL_HEADER || size > GOSSIP_PACKET_MAX) {
        return SEAL_UNSEALED;
    }
    if (packet[0] != SEAL_VERSION || get_u64(packet + 4) != seal->cluster) {
        return SEAL_FOREIGN;
    }
    if (size < SEAL_HEADER + trailer || packet[1] != (seal->insecure ? 1 : 0) ||
        get_u16(packet + 2) != 0) {
        return SEAL_UNSEALED;
    }
    const uint8_t *sender = packet + 12;
    uint64_t counter = get_u64(packet + 44);
    struct seal_window *window = find_window(seal, sender);
    if (window != NULL && !is_new(window, counter)) {
        return SEAL_REPLAYED;
    }
    struct span body = span_of(packet + SEAL_HEADER, size - SEAL_HEADER - trailer);
    if (window == NULL) {
        derive(seal, sender, fresh_key);
    }
    if (counter == 0 || !unseal(seal, packet, body, window == NULL ? fresh_key : window->key)) {
        return SEAL_UNSEALED;
    }
    memcpy(out->sender.b, sender, ID_SIZE);
    memcpy(out->boot, sender + ID_SIZE, GOSSIP_BOOT_SIZE);
    out->body = body;
    if (node_id_equal(out->sender, seal->self) &&
        memcmp(out->boot, seal->boot, GOSSIP_BOOT_SIZE) == 0) {
        return SEAL_OWN;
    }
    if (window == NULL) {
        window = add_window(seal, sender, fresh_key);
    }
    remember(window, counter);
    list_remove(&window->by_use);
    list_push_back(&seal->by_use, &window->by_use);
    return SEAL_GOOD;
}
