/* gossip/seal.h: the outside of a gossip packet: whose it is, that it is whole, and that it is new.
 *
 *   0  u8   protocol version
 *   1  u8   1: insecure
 *   2  u16  which key: the low half of its id; under --insecure 0
 *   4  u64  hash of the cluster's name
 *  12  16   sender's node id
 *  28  16   sender's boot id
 *  44  u64  counter: starts at 1 with the process, grows with each packet
 *  52  ...  body, sealed by ChaCha20-Poly1305 with the 52 bytes before it as associated data
 *           16 bytes of tag; under --insecure the body in clear and 8 bytes of checksum
 *
 * The key is a keyed BLAKE2b of (sender, boot) under a gossip key of the cluster, so a counter of 64
 * bits is a nonce that never repeats, whichever of the ring's keys is used. A packet is taken once:
 * 1,024 counters back are remembered for each (sender, boot), over all keys. What does not open
 * leaves no trace. */
#pragma once
#include "base/map.h"
#include "gossip/gossip.h"
#include "gossip/keyring.h"

#define SEAL_VERSION 1
#define SEAL_HEADER 52u
#define SEAL_TAG 16u
#define SEAL_BODY_MAX (GOSSIP_PACKET_MAX - SEAL_HEADER - SEAL_TAG)
#define SEAL_WINDOW 1024u

#define SEAL_KEYS_MAX (KEYRING_KEYS_MAX + KEYRING_RETIRED_MAX)

struct seal_window; /* what we remember of one (sender, boot) */

struct seal_key {
    struct key_id id;
    bool retired;
    uint8_t gossip[TRUST_KEY_SIZE];
    uint8_t own[TRUST_KEY_SIZE]; /* derived: of our own packets */
};

struct seal {
    uint64_t cluster;
    bool insecure;
    struct seal_key
        keys[SEAL_KEYS_MAX]; /* in the order of the ring, newest first; then the retired */
    uint32_t key_count;
    uint32_t present;
    struct node_id self;
    uint8_t boot[GOSSIP_BOOT_SIZE];
    uint64_t counter;
    struct seal_window *windows;
    uint32_t window_count;
    uint32_t window_used;
    struct map by_sender;
    uint32_t hand; /* goes round: what was not used since it last came by makes room */
};

enum seal_verdict {
    SEAL_GOOD,
    SEAL_FOREIGN,  /* another protocol version, or another cluster */
    SEAL_UNSEALED, /* too short, forged, changed on the way */
    SEAL_UNKNOWN,  /* sealed under a key that we do not have */
    SEAL_RETIRED,  /* opened, with a key that proves no more than that its sender was of us */
    SEAL_REPLAYED, /* seen, or too old to know */
    SEAL_OWN,      /* made by this process */
};

#define SEAL_NO_WINDOW 0u

struct seal_opened {
    uint32_t window; /* after GOOD: a hint for the next packet of this process */
    struct node_id sender;
    uint8_t boot[GOSSIP_BOOT_SIZE];
    struct span body; /* in the packet's own bytes */
    uint32_t key;     /* place in seal.keys; not under --insecure */
};

size_t seal_memory(uint32_t members_max);
enum err seal_init(struct seal *seal, struct arena *mem, const struct gossip_options *options)
    MUST_USE;
/* The ring has changed. Nothing when insecure. */
void seal_keys(struct seal *seal, const struct keyring *ring);
/* The body is at packet + SEAL_HEADER already, with room for SEAL_TAG behind it. Returns the size
 * of the packet. */
size_t seal_close(struct seal *seal, uint8_t *packet, size_t body_size);
/* The same under another key than the present one: its place in seal.keys. */
size_t seal_close_under(struct seal *seal, uint32_t key, uint8_t *packet, size_t body_size);
/* Whose packet it says it is; false: too short to say. */
bool seal_sender(const uint8_t *packet, size_t size, struct node_id *out);
/* Opens in place. *out holds after GOOD, RETIRED and OWN. `hint`: where to look first for what is
 * remembered of the sender, or SEAL_NO_WINDOW. */
enum seal_verdict seal_open(struct seal *seal, uint8_t *packet, size_t size, uint32_t hint,
                            struct seal_opened *out);
/* Is that what is remembered of this very process? */
bool seal_is_of(const struct seal *seal, uint32_t window, struct node_id sender,
                const uint8_t boot[GOSSIP_BOOT_SIZE]);
