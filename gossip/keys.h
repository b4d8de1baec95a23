/* gossip/keys.h: the keys of the cluster in one machine; for the files of this folder alone.
 *
 * keys.c takes a rotation through its steps: a new key is installed (and told as such when it is
 * durable), used as soon as every living member has it or somebody is seen to use it, and the others
 * retired some time after every living member uses it. stages.c keeps how far each member is.
 * exchange.c asks a node that has a newer key for its ring, and gives ours to who asks. */
#pragma once
#include "base/map.h"
#include "gossip/datagram.h"
#include "gossip/keyring.h"

#define KEYS_BUCKETS 64u

/* How far a member is with the newest key; void when it is another incarnation. */
struct key_seen {
    struct node_id id;
    uint64_t incarnation;
    enum key_stage stage;
};

/* What to go back to when a new key cannot be kept. */
struct keys_before {
    struct keyring ring;
    uint64_t newest_serial;
    usec_t used_us;
};

struct keys {
    /* What each step looks at. */
    usec_t keep_at_us; /* say KEYRING again */
    usec_t look_at_us; /* next look at who has what */
    usec_t spread_at_us;
    usec_t stages_told_us;
    uint64_t rotate_id; /* of an operator who waits; 0: none */
    bool stages_changed;
    bool tell_ring;
    bool tell_rotated;
    struct keyring ring;    /* count 0: insecure */
    uint64_t serial;        /* of the ring: grows with each change */
    uint64_t kept;          /* the last one that is durable */
    uint64_t newest_serial; /* with which the newest key came */
    usec_t used_us;         /* every living member uses the newest since then; USEC_NEVER */
    /* stages.c */
    struct key_seen *seen;             /* by place in the roster */
    uint32_t *order;                   /* living peers by bucket, then by id */
    uint32_t starts[KEYS_BUCKETS + 1]; /* of each bucket, in `order` */
    uint32_t sums[KEYS_BUCKETS];
    uint64_t order_digest; /* of the roster that `order` was made of; 0: none */
    uint32_t next_bucket;  /* told first in the next packet */
    usec_t progress_us;    /* a stage has risen, or the newest key came */
    usec_t reply_at_us;    /* not before */
    /* exchange.c */
    uint8_t secret[TRUST_KEY_SIZE];
    uint8_t public_key[TRUST_KEY_SIZE];
    uint32_t ask_number;
    uint32_t ask_turn; /* which key an unknown one is asked about with */
    usec_t asked_us;
    uint64_t gives;
    usec_t old_given_us; /* when somebody with a retired key was last given the ring, */
    usec_t old_shown_us; /* and shown that there is another */
    /* an operator who waits */
    uint64_t rotate_serial; /* with which their key came; newest_serial as long as none is newer */
    uint64_t failed;        /* the last serial that could not be written */
    usec_t rotate_until_us;
    enum err rotated;
    struct keys_before before;
};

struct gossip;
struct gossip_options;
struct arrival;
struct peer;

/* ---- keys.c ---- */

size_t keys_memory(uint32_t members_max);
enum err keys_init(struct gossip *g, struct arena *mem, const struct gossip_options *options)
    MUST_USE;
void keys_rotate(struct gossip *g, uint64_t id, const struct key_rotation *rotation);
void keys_kept(struct gossip *g, uint64_t serial, enum err err);
/* The ring is another one now. `was_newest`: id of the newest key before. */
void keys_changed(struct gossip *g, struct key_id was_newest);
/* The newest key is here, and durably so. */
bool keys_has_newest(const struct gossip *g);
void keys_tick(struct gossip *g);
usec_t keys_deadline(const struct gossip *g);
/* What waits until it has room among the effects. */
bool keys_wait(const struct gossip *g);
void keys_flush(struct gossip *g);

/* ---- stages.c ---- */

/* A packet of this member, in its present incarnation, shows that it is so far. */
void stages_heard(struct gossip *g, struct peer *peer, enum key_stage stage);
void stages_hear(struct gossip *g, const struct arrival *a, const struct datagram_stages *stages);
/* The newest key is another one: nobody is known to have it. */
void stages_forget(struct gossip *g);
/* The lowest stage of all living members, and whether one of them has the highest. */
enum key_stage stages_lowest(struct gossip *g, bool *any_uses);
/* Has a living member beside this one the newest key on its disk? */
bool stages_elsewhere(const struct gossip *g);
enum key_stage stages_of(const struct gossip *g, uint32_t peer);
void stages_tick(struct gossip *g);

/* ---- exchange.c ---- */

/* Say, at the front of a packet, which is our newest key; nothing when there is only one. */
void exchange_fill(struct gossip *g, struct datagram *d);
void exchange_newest(struct gossip *g, const struct arrival *a,
                     const struct datagram_newest *newest);
/* Packets that were not sealed with one of our keys: with none of those we know, or a retired one. */
void exchange_unknown(struct gossip *g, const struct address *from);
void exchange_retired(struct gossip *g, const struct arrival *a, struct span sections);
/* A packet of kind KEYS_ASK or KEYS_GIVE. */
void exchange_act(struct gossip *g, const struct arrival *a, struct span sections);
