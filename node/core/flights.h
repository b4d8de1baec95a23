/* node/core/flights.h: blocks under way: one flight for a block, however many wait for it.
 *
 * A flight waits for the disks to tell what they hold, or reads the block from disk, or asks other
 * nodes for it (peek.c), or reads it from the source (fetch.c). Waiters get chunks as they arrive.
 *
 * What comes from elsewhere is to be written to disk. When the disk has as much to write as it may
 * hold of the memory (store.h), flights stand in line before they begin, for 5 s at most. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/blocks.h"
#include "node/core/node.h"
#include "node/core/objects.h"
#include "wire/message.h"

#define PEEKS_MAX 19              /* earlier owners of eight tables, three ranks, eight copies */
#define FLIGHT_PATIENCE_US SEC(5) /* a reader waits so long for other blocks to be written */

struct fetch;
struct pull;
struct read;

enum flight_phase {
    FLIGHT_TIERS, /* the disks have not yet told what they hold */
    FLIGHT_LINE,  /* the disk has others to write first */
    FLIGHT_DISK,
    FLIGHT_PEEK,
    FLIGHT_GATHER, /* nobody has it: a moment for neighbours to find out the same */
    FLIGHT_SOURCE,
};

struct flight {
    struct list queued; /* on flights.tiers in FLIGHT_TIERS, flights.line in FLIGHT_LINE */
    struct list waiters;
    struct block *block;
    struct buffer *buffer; /* held; NULL in FLIGHT_TIERS, and FLIGHT_LINE when nothing is here */
    struct object *object; /* from FLIGHT_PEEK on; before, the waiters have it */
    enum flight_phase phase;
    bool owes;         /* to the disk (store_owe) */
    bool extent;       /* the neighbours will be wanted too */
    bool acting;       /* in place of a silent owner */
    bool differing;    /* asked for by a node whose view is another one */
    bool ahead;        /* begun before anybody asked for it */
    bool copy;         /* another node's: from there only, and not to be written to disk */
    usec_t since_us;   /* FLIGHT_LINE: by node_active; FLIGHT_PEEK */
    struct list tells; /* BLOCK_ASKs that wait for it (handover.h) */
    struct pull *pull; /* its block was offered to this node; NULL: it was not */
    /* FLIGHT_PEEK and FLIGHT_GATHER */
    struct timer timer; /* the next one is asked beside those that have not answered */
    struct node_id candidates[PEEKS_MAX];
    uint64_t calls[PEEKS_MAX]; /* 0: over */
    uint32_t candidate_count;
    uint32_t sure_count; /* of them; those behind are silent to the asker */
    uint32_t next_candidate;
    /* FLIGHT_SOURCE */
    struct fetch *fetch;
};

struct flights {
    struct pool pool;
    struct list tiers;
    struct timer timer; /* goes on with `tiers` */
    struct list line;
    uint32_t line_count;
    struct timer line_timer; /* goes on with `line` */
    struct block_id turn;    /* whose turn it is just now */
    uint64_t ahead;          /* bytes of flights that began before anybody asked */
};

size_t flights_memory(const struct node_options *options);
uint32_t flights_timers(const struct node_options *options);
enum err flights_init(struct flights *flights, struct arena *mem,
                      const struct node_options *options) MUST_USE;

/* A flight for a block that has none; `object` is referenced (NULL: see above); the block's buffer,
 * if it has one, is held. NULL: too many. */
struct flight *flight_new(struct node *node, struct block *block, struct object *object,
                          enum flight_phase phase);
/* May that block be brought here now? Else stand in line, by a flight in FLIGHT_LINE: in its turn
 * its waiters are routed again. */
bool flights_may_begin(const struct node *node, struct block_id id, uint32_t size);
/* A flight, with its memory, for a block that nobody has asked for yet. NULL: the block is known
 * already, or read-ahead has its share, or the disk has enough to write. */
struct flight *flight_ahead(struct node *node, struct object *object, uint32_t index,
                            enum flight_phase phase);
/* Have read-ahead and the disk that much room? */
bool flights_room_ahead(const struct node *node, uint32_t size);
/* Hold the block's buffer from now on. */
void flight_hold(struct node *node, struct flight *flight);
void flight_wait(struct flight *flight, struct read *read);
/* More of the block has arrived. */
void flight_wake(struct node *node, struct flight *flight);
/* The whole block is in memory: the flight ends. */
void flight_done(struct node *node, struct flight *flight);
/* It will not come: waiters are told, what has arrived stays. */
void flight_fail(struct node *node, struct flight *flight, enum err err, usec_t retry_us);
/* It is the copy of another node's block: no debt to the disk. */
void flight_is_copy(struct node *node, struct flight *flight);
/* The owner has not given it: who came for the copy is sent back, the others begin anew. */
void flight_no_copy(struct node *node, struct flight *flight);
/* Waiters begin anew, as if they had just asked. */
void flight_reroute(struct node *node, struct flight *flight);
enum data_tier flight_tier(const struct flight *flight);

void flights_on_disk(struct node *node, struct flight *flight, enum err err);
void flights_on_record(struct node *node, struct block *block);
void flights_on_tiers_ready(struct node *node);
void flights_on_tiers_timer(struct node *node);
/* The disk has written something, or is waited for no more. */
void flights_on_room(struct node *node);
void flights_on_line_timer(struct node *node);
