/* node/core/node.h: one cache node as a pure machine: facts in, effects out (docs/node.md).
 *
 * Whoever runs it (node/io/peer.c, or the simulator) hands it one event at a time with the time of
 * that event, then carries out the effects in order. Nothing here waits, allocates or draws
 * randomness of its own. All block bytes live in the region given at start: that is the budget.
 *
 * Effects that do not fit (a fan-out) wait inside: node_deadline is then in the past, and the next
 * TICK goes on. Spans and pointers in an effect hold until the next node_step, except buffers of
 * FETCH, DISK_READ and DISK_WRITE, which hold until the event that ends them, and payloads of SEND,
 * which hold until SENT. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/marks.h"
#include "base/text.h"
#include "base/time.h"
#include "gossip/keyring.h"
#include "ring/ring.h"
#include "ring/view.h"
#include "wire/link.h"
#include "wire/trust.h"

#define NODE_EFFECTS_MAX 64
#define NODE_TIERS_MAX 4
#define BLOCK_SIZE_MIN 65536u
#define BLOCK_SIZE_MAX 16777216u
#define BLOCK_SIZE_DEFAULT 4194304u
#define EXTENT_SIZE 16777216u
#define FETCH_PARTS_MAX 64 /* blocks that one ranged GET may fill */

struct node;

struct node_options {
    struct node_id id;
    uint64_t incarnation;
    char name[MEMBER_NAME_MAX + 1];
    char cluster[65];
    uint32_t slots_log2;
    bool insecure;
    struct keyring ring;              /* not looked at when insecure, as the next one */
    uint8_t link_key[TRUST_KEY_SIZE]; /* our CURVE public key on the links that we open */
    uint64_t seed;
    uint8_t *region; /* all block and page bytes; page aligned */
    size_t region_size;
    uint64_t hot_floor;    /* bytes a second: who serves less hands nobody on; 0: SHARES_FLOOR */
    uint32_t links_max;    /* sessions of peers and mounts, two links each */
    uint32_t requests_max; /* reads in progress */
    uint32_t blocks_max;   /* blocks known: in memory, on disk, in flight */
    uint32_t directories_max;
    uint32_t datasets_max;
    uint32_t members_max; /* of the view; 0: 1024 */
    uint32_t
        rings_ahead; /* of selectors that nobody has asked for yet; 0: as many as there is a place for */
    usec_t drain_us; /* how long leaving may take; 0: it is at once */
    struct {
        uint64_t quota;        /* bytes of segments; 0: no such tier */
        uint32_t segment_size; /* bytes of one segment file */
    } tier[NODE_TIERS_MAX];
    uint32_t tier_count;
    uint32_t weight;         /* that the operator wants, at most 65535; the member record's, too */
    uint32_t weight_default; /* what it is when he does not say */
    char credentials[MEMBER_CREDENTIALS_MAX + 1]; /* names this node can use, at its start */
    uint32_t credentials_broken;                  /* files that cannot be used as they are */
    const char *seeds;    /* what --seeds says, for words to people; NULL: there are none */
    const char *data_dir; /* what --data-dir says, for words to people; NULL: there is none */
    struct marks *marks;  /* may be NULL */
};

/* ---- what happens to a node ------------------------------------------------------------- */

enum node_event_kind {
    NODE_TICK,         /* time passed */
    NODE_LINK_UP,      /* a connection opened, by us (CONNECT) or to us */
    NODE_LINK_DOWN,    /* it is gone, with all that was unsent */
    NODE_MESSAGE,      /* one frame and perhaps a payload arrived */
    NODE_SENT,         /* the payload of a SEND is not needed any more */
    NODE_VIEW,         /* gossip published another view */
    NODE_PEER_CATALOG, /* gossip: this member's catalog differs from ours */
    NODE_RING,         /* a RING_BUILD is done */
    NODE_FETCHED,      /* a FETCH got further, or ended */
    NODE_LISTED,       /* a LIST or HEAD ended */
    NODE_DISK,         /* a DISK_* ended */
    NODE_DISK_RECORD,  /* start: one record found in a segment */
    NODE_DISK_READY,   /* start: all records of the tier were given; or the tier failed (err) */
    NODE_META,         /* a META_GET, META_PUT or META_DELETE ended */
    NODE_META_RECORD,  /* start: one stored dataset record */
    NODE_META_READY,   /* start: all of them were given */
    NODE_META_DISK,    /* what is kept beside blocks cannot be written, or can be again */
    NODE_ADMIN,        /* an operator asks */
    NODE_WEIGHT_KEPT,  /* a WEIGHT_KEEP is done */
    NODE_CREDENTIALS,  /* the files of credentials are other ones now */
    NODE_LEAVE,        /* leave in order: finish what is in hand, take nothing new */
    NODE_KEYS,         /* gossip: the ring of keys, and how far members are with the newest */
    NODE_KEY_ROTATED,  /* gossip: the answer to a KEY_ROTATE */
    NODE_SEEDS,        /* gossip: nobody has ever answered at the seeds, or somebody has now */
    NODE_LOADS,        /* gossip: what some others serve; after a LOAD */
};

/* One name a listing or HEAD gave; spans hold during the step. */
struct listed {
    struct span key; /* whole key, or common prefix ending in "/" */
    struct span pin; /* empty for a common prefix */
    uint64_t size;
    int64_t mtime_us;
    bool is_prefix;
};

/* What a disk record says of itself (node/core/record.h). */
struct disk_record {
    struct block_id block;
    struct source_id source;
    struct place place;
    struct dataset_id dataset;
    uint32_t segment;
    uint32_t offset;      /* of the record in its segment */
    uint32_t header_size; /* payload starts behind it */
    uint32_t payload_size;
};

enum admin_kind {
    ADMIN_STATUS,
    ADMIN_NODES,
    ADMIN_NODE_WEIGHT, /* argument: "NAME WEIGHT" or "NAME auto"; the name must be ours */
    ADMIN_RING,
    ADMIN_RING_DIFF, /* argument: selector, name of who goes, "WEIGHT[,ZONE]" of who comes; lines */
    ADMIN_WHERE,     /* argument: "DATASET/path" */
    ADMIN_DATASET_CREATE, /* argument: a record of wire/dataset.h, without version and writer */
    ADMIN_DATASET_LIST,
    ADMIN_DATASET_SHOW,
    ADMIN_DATASET_DELETE,
    ADMIN_DATASET_REFRESH, /* argument: "DATASET[/prefix]" */
    ADMIN_KEYS,
    ADMIN_KEY_ROTATE, /* argument: gossip/keyring.h, key_rotation_encode */
    ADMIN_READY,      /* ERR_OK when the node takes reads; text has a line for each check */
    ADMIN_METRICS,    /* Prometheus text */
};

struct node_event {
    enum node_event_kind kind;
    union {
        struct {
            struct link_id link;
            enum link_purpose purpose;
            bool outbound;
            struct node_id node; /* outbound: whom CONNECT named */
            struct link_peer peer;
        } link_up;
        struct {
            struct link_id link;
        } link_down;
        struct {
            struct link_id link;
            struct span frame;
            struct payload payload; /* ours from now on: give it back by RELEASE */
        } message;
        struct {
            uint64_t token;
        } sent;
        struct {
            const struct member *members; /* in any order, tombstones included; copied */
            uint32_t count;
            bool gathering; /* too little is known yet to say who owns */
        } view;
        struct {
            struct node_id node;
        } peer_catalog;
        struct {
            uint64_t id;             /* of the RING_BUILD */
            const struct ring *ring; /* holds until RING_DROP; NULL when it failed */
        } ring;
        struct {
            uint64_t id;
            uint64_t
                bytes; /* of the range are in their buffers, in order: whole chunks, checksums too */
            bool ended;
            enum err err;     /* when ended: OK only when all bytes are there */
            usec_t retry_us;  /* the source asked to wait that long; 0: it did not */
            struct span text; /* when it failed: what was said of it, for a person */
        } fetched;
        struct {
            uint64_t id;
            enum err err; /* HEAD: ERR_SOURCE_NOT_FOUND is an ordinary outcome */
            const struct listed *entries;
            uint32_t count;
            struct span next; /* continuation; empty: this was the last page */
            usec_t retry_us;
            struct span text; /* the source's own words on a failure */
            bool mute;        /* it had none: `text` is what its status means */
        } listed;
        struct {
            uint64_t id;
            enum err err;   /* ERR_CORRUPT: read, but torn or flipped */
            usec_t took_us; /* of the device; waiting for one's turn is not in it */
        } disk;
        struct {
            uint32_t tier;
            struct disk_record record;
        } disk_record;
        struct {
            uint32_t tier;
            enum err err;
            uint32_t next_segment; /* the first number never used */
        } disk_ready;
        struct {
            uint64_t id;
            enum err err; /* META_GET: ERR_NOT_FOUND */
            struct span value;
        } meta;
        struct {
            struct span value;
        } meta_record;
        struct {
            enum err err; /* OK: it can be; FULL: there is no room */
        } meta_disk;
        struct {
            uint64_t id;
            enum admin_kind kind;
            struct span argument;
        } admin;
        struct {
            enum err err;
        } weight_kept;
        struct {
            const struct keyring *ring;
            const struct key_holder *holders; /* living members; copied */
            uint32_t count;
            usec_t end_us; /* gossip_keys_end */
        } keys;
        struct {
            uint64_t id;
            enum err err;
        } key_rotated;
        struct {
            bool silent;
        } seeds;
        struct {
            const uint64_t *rates; /* bytes a second; copied */
            uint32_t count;
        } loads;
        struct {
            struct span names; /* that can be used, as in node_options */
            uint32_t broken;   /* files that cannot be used as they are */
        } credentials;
    };
};

/* ---- what it wants done ------------------------------------------------------------------ */

enum node_effect_kind {
    NODE_SEND,
    NODE_RELEASE,    /* a received payload is not needed any more */
    NODE_CONNECT,    /* open control and data links to a node; LINK_UP comes for each, however long
                        it takes; said again, an attempt under way goes on */
    NODE_CLOSE,      /* close one link (the other side sees LINK_DOWN; we get none) */
    NODE_RING_BUILD, /* off this thread; answered by NODE_RING */
    NODE_RING_DROP,
    NODE_SOURCE, /* describes a source before its first use, and when it changes */
    NODE_FETCH,  /* one ranged GET, one attempt; answered by FETCHED, at least one with ended */
    NODE_FETCH_CANCEL, /* its FETCHED with ended still comes */
    NODE_LIST,         /* one page */
    NODE_HEAD,
    NODE_DISK_WRITE, /* a whole record: header and payload */
    NODE_DISK_READ,  /* part of a payload; the disk actor checks chunks against the header */
    NODE_DISK_DROP,  /* unlink a segment file; no answer */
    NODE_META_PUT,
    NODE_META_GET,
    NODE_META_DELETE,
    NODE_ADMIN_REPLY,
    NODE_EVIDENCE,    /* to gossip: this member answered just now */
    NODE_CATALOG,     /* to gossip: digest of our catalog */
    NODE_OWNING,      /* to gossip: the node is ready to own */
    NODE_WEIGHT,      /* to gossip: our weight is another one now */
    NODE_WEIGHT_KEEP, /* for the next starts; answered by WEIGHT_KEPT when it is durable */
    NODE_LOAD,        /* to gossip: what we serve; answered by LOADS */
    NODE_KEY_ROTATE,  /* to gossip: an operator wants another key; answered by KEY_ROTATED */
    NODE_LOG,
    NODE_DRAINED, /* LEAVE: nothing is in hand any more, and what could be handed over is */
};

/* Where one block's share of a ranged GET goes. */
struct fetch_part {
    uint8_t *data;      /* `size` bytes */
    uint8_t *checksums; /* u64 little endian for each chunk, filled before the chunk is reported */
    uint32_t size;
};

enum meta_space { META_DATASET = 'd', META_ROOT = 'r', META_PAGE = 'p' };
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct node_effect {
    enum node_effect_kind kind;
    union {
        struct {
            struct link_id link;
            struct span frame;
            struct payload payload; /* token != 0: SENT with that token must follow, once */
        } send;
        struct {
            uint64_t token;
        } release;
        struct {
            struct node_id node;
            struct address control;
            struct address data;
        } connect;
        struct {
            struct link_id link;
        } close;
        struct {
            uint32_t weight;
            bool forget; /* KEEP: it is the default again */
        } weight;
        struct {
            uint64_t id;
            struct span selector;
            const struct member *members; /* of the node's view; copy before returning */
            uint32_t count;
            const struct ring *previous; /* to begin from, or NULL; may be dropped meanwhile */
        } ring_build;
        struct {
            const struct ring *ring;
        } ring_drop;
        struct {
            struct source_id source;
            struct span uri; /* of the whole source, without a dataset's prefix */
            struct span endpoint;
            struct span region;
            struct span credential;
        } source;
        struct {
            uint64_t id;
            struct source_id source;
            struct span key;
            struct span pin;
            uint64_t object_size;
            uint64_t offset;
            uint64_t size; /* the sum of the parts */
            const struct fetch_part *parts;
            uint32_t part_count;
            bool background;
        } fetch;
        struct {
            uint64_t id;
        } fetch_cancel;
        struct {
            uint64_t id;
            struct source_id source;
            struct span prefix;
            struct span after; /* start-after; used with an empty continuation only */
            struct span continuation;
            uint32_t limit;
            bool delimited; /* "/" as delimiter */
        } list;
        struct {
            uint64_t id;
            struct source_id source;
            struct span key;
        } head;
        struct {
            uint64_t id;
            uint32_t tier;
            uint32_t segment;
            uint32_t offset; /* of the record */
            struct span header;
            struct span payload;
        } disk_write;
        struct {
            uint64_t id;
            uint32_t tier;
            struct disk_record record;
            uint32_t offset; /* within the payload, a multiple of CHUNK_SIZE */
            uint32_t size;
            uint8_t *data;
            uint8_t *checksums;
            uint8_t *header; /* not NULL: the record's header goes there, too */
        } disk_read;
        struct {
            uint32_t tier;
            uint32_t segment;
        } disk_drop;
        struct {
            uint64_t id; /* PUT: answered when durable */
            enum meta_space space;
            struct span key;
            struct span value;
        } meta;
        struct {
            uint64_t id;
            enum err err;
            struct span text; /* JSON, or one line for a person when err is set */
        } admin_reply;
        struct {
            struct node_id node;
        } evidence;
        struct {
            uint64_t digest;
        } catalog;
        struct {
            uint64_t rate; /* bytes a second */
        } load;
        struct {
            uint64_t id;
            struct span rotation; /* key_rotation_encode */
        } key_rotate;
        struct {
            enum log_level level;
            struct span text; /* logfmt fields behind the event's name: "fetch.failed err=..." */
        } log;
    };
};

struct node_effects {
    struct node_effect items[NODE_EFFECTS_MAX];
    uint32_t count;
};

/* Bytes of arena for these options (the region apart). */
size_t node_memory(const struct node_options *options);
/* The node lives in `mem`. Starts by itself: the first step may be any event. */
enum err node_new(struct arena *mem, const struct node_options *options, struct node **out)
    MUST_USE;
/* One event. `effects` is emptied first. */
void node_step(struct node *node, struct now now, const struct node_event *event,
               struct node_effects *effects);
/* When the next TICK is due; USEC_NEVER: not before another event. */
usec_t node_deadline(const struct node *node);

/* For checkers and reports. */
struct node_totals {
    uint64_t region_used;
    uint64_t region_size;
    uint64_t requests_open;
    uint64_t fetches_open;
    uint64_t source_bytes;
    uint64_t source_gets;
    uint64_t source_lists;
    uint64_t source_heads;
    uint64_t served_bytes[5]; /* by enum data_tier: where the bytes were when asked */
    uint64_t view_digest;
    uint64_t ring_digest; /* of the pool of everybody; 0: none yet */
};
void node_totals(const struct node *node, struct node_totals *out);
