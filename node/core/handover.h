/* node/core/handover.h: after the ring has changed, blocks go to the nodes that own them now.
 *
 * Whoever holds blocks of others *offers* them, by id, one message at a time to each owner. The
 * owner takes what it has not: it asks what a block is, checks that, and reads it as it reads from
 * any node (peek.c), behind readers and within a share of the region. It answers the offer when each
 * entry has come to an end, so that the giver knows what is left. Nothing is taken from who gives:
 * it goes on serving, and what nobody asks it for is thrown out in its time.
 *
 * The walk that offers begins a second after the last change of a ring, when the disks have told
 * what they hold and when a dataset appears; at once when this node leaves. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/asks.h"
#include "node/core/blocks.h"
#include "node/core/calls.h"
#include "node/core/record.h"

#define HANDOVER_ENTRY_SIZE 48u   /* messages.def: BLOCK_OFFER */
#define HANDOVER_ENTRIES_MAX 256u /* of an offer: 12 KiB, under what a socket for requests takes */
#define HANDOVER_BYTES_MAX (64u << 20) /* of the blocks of an offer, or one block */
#define HANDOVER_OFFER_US SEC(60)      /* an offer is answered in that time, or made again */
#define HANDOVER_QUIET_US SEC(1)

struct flight;
struct link;

/* A copy of what another node owned (flights.h) is ours now: it is written as what we own is. false:
 * that cannot be, so it does not count. */
bool handover_keep_copy(struct node *node, struct block *block);

/* How an entry of an offer ended. HAD, TAKEN and FULL are for good. */
enum handover_end {
    HANDOVER_NOT_YET = 0,
    HANDOVER_HAD = 1,
    HANDOVER_TAKEN = 2,
    HANDOVER_DECLINED = 3, /* not mine by my ring, or I am leaving, or I do not know the dataset */
    HANDOVER_FAILED = 4,   /* it could not be read, or is on its way here for somebody else */
    HANDOVER_FULL = 5,     /* only in place of something else */
};

/* An offer being filled, or made and not answered. */
struct give {
    struct node_id to;
    bool in_use;
    uint64_t call;   /* 0: being filled */
    usec_t since_us; /* it was made */
    uint32_t count;
    uint64_t bytes;
    struct {
        uint32_t
            block; /* number in its pool, and part of its id: the entry may be another's by then */
        uint32_t hash;
    } entries[HANDOVER_ENTRIES_MAX];
};

enum handover_pass {
    HANDOVER_COUNT,  /* what there is to do */
    HANDOVER_MEMORY, /* what readers have used last goes first */
    HANDOVER_ALL,
};

/* An offer of another node. */
struct take {
    struct ask ask;
    struct list all;
    struct list pulls;
    struct node_id from;
    uint32_t count;
    uint32_t next; /* entry that nobody has looked at */
    uint8_t ends[HANDOVER_ENTRIES_MAX];
    uint8_t entries[HANDOVER_ENTRIES_MAX * HANDOVER_ENTRY_SIZE];
};

/* One entry of it on its way: first what it is, then, by a flight, its bytes. */
struct pull {
    struct list of_take;
    struct take *take; /* NULL: who offered it does not wait any more */
    struct node_id from;
    uint32_t at; /* in the offer */
    uint64_t call;
    struct block_id id;
    uint32_t size;
    struct place place;
    struct dataset_id dataset;
};

/* BLOCK_ASK that waits for a disk. */
struct tell {
    struct ask ask;
    struct list waiting; /* of a flight */
    struct block_id id;
};

/* A block that is read from disk to be told: its header, too. */
struct load {
    uint8_t header[RECORD_HEADER_SIZE];
};

struct handover {
    /* giving */
    struct timer timer; /* the next step, or the next walk */
    bool walking;
    bool settled; /* the last walk left nothing that another one would do */
    enum handover_pass pass;
    uint32_t cursor;
    uint32_t passed;    /* blocks of this pass whose owner is slow: once more */
    uint32_t unsettled; /* of this walk: declined, failed, or still on their way here */
    uint32_t tries;
    uint32_t given_now; /* since the last that was told in the log */
    usec_t told_us;
    struct give *gives;
    uint32_t give_count;
    uint64_t left; /* blocks and bytes that are to go, as far as the walk has counted */
    uint64_t left_bytes;
    uint64_t untold; /* blocks of which it is not kept what they are */
    /* taking */
    struct timer take_timer;
    struct list taking; /* struct take */
    struct pool takes;
    struct pool pulls;
    uint64_t taking_bytes;
    /* telling */
    struct pool tells;
    struct pool loads;
};

size_t handover_memory(const struct node_options *options);
enum err handover_init(struct handover *handover, struct arena *mem,
                       const struct node_options *options) MUST_USE;
/* Deadlines of what others ask. */
uint32_t handover_timers(void);

/* Something has changed: begin (anew) after a second of quiet, or at once when leaving. */
void handover_wake(struct node *node);
/* This node leaves, and what could be handed over is. */
bool handover_is_over(const struct node *node);
/* For the log: what could not be handed over, as far as it is known. */
void handover_tell_end(struct node *node);
void handover_on_timer(struct node *node);

void handover_on_offer(struct node *node, struct link *link,
                       const struct message_block_offer *offer);
void handover_on_take_timer(struct node *node);
void handover_on_take_gone(struct node *node, struct ask *ask);
/* The flight of a pull is over. */
void handover_on_pulled(struct node *node, struct pull *pull, bool whole);

void handover_on_ask(struct node *node, struct link *link, const struct message_block_ask *ask);
void handover_on_tell_gone(struct node *node, struct ask *ask);
/* The disk has read a block, with its header when `load` is not NULL, which is given back. */
void handover_on_loaded(struct node *node, struct block *block, struct load *load, enum err err);
/* A flight that BLOCK_ASKs wait for is over. */
void handover_on_told(struct node *node, struct list *tells);

enum call_more handover_on_answer(struct node *node, const struct call *call,
                                  const struct message *message, struct payload payload);
void handover_on_failure(struct node *node, const struct call *call, enum err err);

/* ---- between handover.c and handover_take.c ------------------------------------------------ */

void handover_on_offered(struct node *node, struct give *give, const struct message *message);
void handover_on_offer_lost(struct node *node, struct give *give);
void handover_on_what(struct node *node, struct pull *pull, const struct message *message);
void handover_on_what_lost(struct node *node, struct pull *pull);
size_t handover_give_memory(const struct node_options *options);
enum err handover_give_init(struct handover *handover, struct arena *mem,
                            const struct node_options *options) MUST_USE;
/* The block is all here, and this node could say what it is. */
bool handover_can_tell(const struct block *block);
/* Is it this node's by the present ring? Not when the dataset is unknown. */
bool handover_owns(struct node *node, struct dataset_id dataset, struct place place);
/* The block is in memory, and this node can say what it is without asking the disk. */
static inline bool handover_knows(const struct block *block)
{
    return block_is_whole(block) && block->object != NULL;
}
