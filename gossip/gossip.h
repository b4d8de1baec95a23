/* gossip/gossip.h: who is in the cluster, as a pure machine: facts in, effects out (docs/gossip.md).
 *
 * Whoever runs it (node/io, or the simulator) hands it one event at a time with the time of that
 * event, carries out the effects in order, and sends a TICK when gossip_deadline has come. A process
 * is one machine for its whole life; nothing here waits, allocates or draws randomness of its own.
 *
 * What others may believe is the published view (gossip_at): suspicion stays inside, and what moves
 * the ring is published by whole cuts, so that several crashes or joins move it once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/marks.h"
#include "base/time.h"
#include "gossip/keyring.h"
#include "ring/view.h"

#define GOSSIP_EFFECTS_MAX 64
#define GOSSIP_PACKET_MAX 1200 /* bytes of a datagram: passes every path unfragmented */
#define GOSSIP_SEEDS_MAX 64    /* more are ignored */
#define GOSSIP_BOOT_SIZE 16

struct gossip;
struct records;

struct gossip_options {
    struct span cluster; /* its name, 1 to 64 bytes: in every packet, also when insecure */
    bool insecure;       /* packets carry a checksum instead of a seal */
    struct keyring ring; /* the cluster's keys; not looked at when insecure */
    struct member self;  /* facts, with one ENDPOINT_GOSSIP where others reach us;
                                      incarnation = max(last persisted + 1, wall clock ms << 16).
                                      version and state are not looked at */
    uint8_t boot[GOSSIP_BOOT_SIZE]; /* random bytes, new for each process */
    uint8_t secret[TRUST_KEY_SIZE]; /* the same: under what follows from it keys travel */
    uint64_t seed;                  /* of every random choice */
    uint32_t members_max;           /* members and tombstones together */
    struct records *records; /* gossip/records.h: shared by many machines in one thread; NULL:
                                       one of its own */
    struct marks *marks;     /* may be NULL */
};

enum gossip_event_kind {
    GOSSIP_START,    /* once, first */
    GOSSIP_TICK,     /* time passed */
    GOSSIP_PACKET,   /* a datagram came */
    GOSSIP_SEEDS,    /* what the seeds resolve to now; may be none; replaces the last answer */
    GOSSIP_EVIDENCE, /* an authenticated answer came from this node on the data path just now */
    GOSSIP_FACTS,    /* our own facts changed: weights, labels, credentials, zone, endpoints */
    GOSSIP_CATALOG,  /* digest of our own dataset catalog */
    GOSSIP_LOAD,     /* what we serve, told with every packet (gossip_loads) */
    GOSSIP_READY,    /* warming is over: we may own */
    GOSSIP_LEAVE,    /* first without `drained`: own nothing any more; then with it: say goodbye */
    GOSSIP_ROTATE,   /* an operator wants another key: answered by ROTATED */
    GOSSIP_KEPT,     /* the ring of KEYRING is on disk, or cannot be written */
};

struct gossip_event {
    enum gossip_event_kind kind;
    union {
        struct {
            struct address from;
            uint8_t *data; /* opened in place: its bytes change */
            size_t size;
        } packet;
        struct {
            const struct address *addresses; /* copied */
            uint32_t count;
        } seeds;
        struct {
            struct node_id node;
        } evidence;
        struct {
            struct member self; /* id, incarnation, version and state are not looked at */
        } facts;
        struct {
            uint64_t digest;
        } catalog;
        struct {
            uint64_t rate; /* bytes a second */
        } load;
        struct {
            bool drained;
        } leave;
        struct {
            uint64_t id; /* comes back with ROTATED; not 0 */
            const struct key_rotation *rotation;
        } rotate;
        struct {
            uint64_t serial;
            enum err err; /* SYSTEM: it could not be written; it is asked for again */
        } kept;
    };
};

enum gossip_effect_kind {
    GOSSIP_SEND,            /* one datagram */
    GOSSIP_VIEW,            /* the published view changed (gossip_at), or the gathering is over */
    GOSSIP_RESOLVE,         /* resolve the seeds (again) and give SEEDS, also when there are none */
    GOSSIP_PERSIST,         /* write our incarnation to disk; a restart needs a higher one */
    GOSSIP_LEFT,            /* enough members know that we left: the process may end */
    GOSSIP_PEER_CATALOG,    /* a member's catalog digest differs from ours: pull */
    GOSSIP_IDENTITY_IN_USE, /* an older process lives with our id: end with that error */
    GOSSIP_KEYRING,         /* the ring changed (gossip_ring): keep it, and give KEPT; comes again
                               until then */
    GOSSIP_STAGES,          /* what is known of members and their keys changed: gossip_stages */
    GOSSIP_ROTATED,         /* the new key is kept here and by another member (alone: here).
                               ERR_TIMEOUT: that is not known; ERR_ROTATING: another rotation
                               goes on; else: nothing was begun */
    GOSSIP_MEMBER_JOINED,   /* the rest is for the log: a member entered the view */
    GOSSIP_MEMBER_SUSPECT,  /* the first observer reports it unreachable */
    GOSSIP_MEMBER_REFUTED,  /* it is well, or (our own id) we had to say that we are */
    GOSSIP_MEMBER_DEAD,     /* a cut took it out of the view */
    GOSSIP_MEMBER_LEFT,     /* it left in order */
    GOSSIP_HELD_BACK,       /* we were removed alive, and own again after gossip_stats' held_s */
};

/* `node` and `incarnation` are set in all that are about a member; self for PERSIST. */
struct gossip_effect {
    enum gossip_effect_kind kind;
    struct node_id node;
    uint64_t incarnation;
    union {
        struct {
            struct address to;
            struct span bytes; /* in the packets below */
        } send;
        struct {
            uint64_t digest;
        } catalog;
        struct {
            uint64_t serial;
        } keyring;
        struct {
            uint64_t id;
            enum err err; /* ROTATING: the last one is not over; BUSY: another operator waits;
                             UNSUPPORTED: insecure; SYSTEM: the key could not be kept, and all is
                             as it was; TIMEOUT: it is still being written */
        } rotated;
    };
};

/* What does not fit waits inside: gossip_deadline is then in the past. */
struct gossip_effects {
    struct gossip_effect items[GOSSIP_EFFECTS_MAX];
    uint32_t count;
    uint8_t packets[GOSSIP_EFFECTS_MAX][GOSSIP_PACKET_MAX];
};

struct gossip_stats {
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t received_packets; /* that were ours, whole, new and well formed */
    uint64_t received_bytes;
    uint64_t dropped_foreign;   /* another cluster's name, or another protocol version */
    uint64_t dropped_unsealed;  /* forged, changed on the way, or garbage */
    uint64_t dropped_key;       /* sealed under a key that is unknown here, or retired */
    uint64_t dropped_replayed;  /* seen before, or too old to know */
    uint64_t dropped_malformed; /* sealed with our key, but not as packets are */
    uint64_t dropped_own;       /* our own, come back */
    uint64_t dropped_budget;    /* not sent: over the budget of its class */
    uint64_t cuts;              /* that we were the first to apply */
    uint64_t refutations;       /* how often we had to say that we live */
    uint32_t held_s;            /* until we may own again; 0: we are not held back */
    uint32_t removals;          /* how often we were removed alive, one soon after the other */
    uint32_t health;            /* 0: well .. 8: our own timers come late, we accuse nobody */
    uint32_t loss_permille;     /* of round trips to the median member that we probe */
};

/* Bytes of arena that gossip_new takes. `shared`: as in the options, NULL: records of its own. */
size_t gossip_memory(uint32_t members_max, const struct records *shared);
/* ERR_NOMEM: the arena is too small. ERR_INVALID: the cluster's name, the id or the gossip endpoint
 * is missing or too long, or the ring is none. */
enum err gossip_new(struct arena *mem, const struct gossip_options *options, struct gossip **out)
    MUST_USE;
/* Gives back the shared records it refers to; of the machine itself only its memory is left then. One that
 * has records of its own needs no end. */
void gossip_end(struct gossip *gossip);
/* `effects` is written anew. After LEFT or IDENTITY_IN_USE the machine does nothing any more. */
void gossip_step(struct gossip *gossip, struct now now, const struct gossip_event *event,
                 struct gossip_effects *effects);
/* When the next TICK is due (mono_us). A TICK that comes much later than this tells the machine
 * that its own process stood still. */
usec_t gossip_deadline(const struct gossip *gossip);

/* The published view, us and tombstones included: a member a place, in no particular order. A place
 * may be empty: false. */
uint32_t gossip_places(const struct gossip *gossip);
bool gossip_at(const struct gossip *gossip, uint32_t place, struct member *out);
/* false: not in the view. */
bool gossip_find(const struct gossip *gossip, struct node_id id, struct member *out);
/* How many the view holds, tombstones included. */
uint32_t gossip_count(const struct gossip *gossip);
/* Of the view's living members with all they say of themselves: equal views, equal digests. */
uint64_t gossip_digest(const struct gossip *gossip);
/* Too little is known yet to say who owns: no ring may be made of the view. So it is from the start
 * until the cluster is met, or begun together, or there is nobody to wait for; and never again. */
bool gossip_is_gathering(const struct gossip *gossip);
/* Who owns as the view has it: where nobody does, all who are warming; nobody while gathering. */
struct gossip_owners {
    uint64_t digest; /* of their ids */
    uint32_t count;
};
struct gossip_owners gossip_owners(const struct gossip *gossip);
/* The part of an owner in that digest, which is their sum. */
uint64_t gossip_owner(struct node_id id);
/* Our own record as published. */
struct member gossip_self(const struct gossip *gossip);
/* The keys we hold; `count` is 0 when insecure. Valid until the next gossip_step. */
const struct keyring *gossip_ring(const struct gossip *gossip);
/* When, by the monotonic clock, all but the newest of them end; USEC_NEVER: there are none, or not
 * all members were known to use the newest at one time. A member that is not heard then, because it
 * has just started, is waited for beyond that. */
usec_t gossip_keys_end(const struct gossip *gossip);
/* How far each living member is with the newest key, at most `most` of them; returns how many there
 * are. */
uint32_t gossip_stages(const struct gossip *gossip, struct key_holder *out, uint32_t most);
/* What other living members serve, in bytes a second, of whom we have heard lately: at most `most`.
 * Some sixteen of a large cluster, all of a small one. */
uint32_t gossip_loads(const struct gossip *gossip, uint64_t *out, uint32_t most);
const struct gossip_stats *gossip_stats(const struct gossip *gossip);
/* Bytes of what waits to be told to others. */
uint64_t gossip_backlog(const struct gossip *gossip);
