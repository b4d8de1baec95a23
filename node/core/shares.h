/* node/core/shares.h: who shall serve what is wanted most (docs/node.md, "Hot blocks").
 *
 * One machine a node, in two parts. As an owner it counts what it serves and which blocks it is
 * asked for; while it serves more than the mean of all it asks other nodes to take readers of its
 * hottest blocks, so many bytes a second each, and hands readers on at that rate. As anybody else it
 * grants such rates out of what it serves less than the mean.
 *
 * It knows nothing of messages or rings: whoever runs it carries questions and answers, and names
 * the nodes that may be asked. Nothing here has to be undone: what is not renewed ends by itself. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/time.h"
#include "node/core/meter.h"
#include "node/core/sketch.h"

#define SHARES_STEP_US MSEC(250)
#define SHARES_LEASE_US SEC(4)
#define SHARES_FLOOR (32ull << 20) /* bytes a second: what is less is no load for any machine */

/* A block as readers ask for it. */
struct shares_block {
    struct block_id id;
    struct place place;
    struct dataset_id dataset;
    uint32_t size;
};

/* A block that is counted. */
struct shares_track {
    struct shares_block block;
    uint64_t before; /* its weight after the last step */
    uint32_t nth;    /* places tried so far */
};

/* A block that is handed on. */
struct shared {
    struct shares_block block;
    struct list holders; /* struct share; the first is asked next */
    uint32_t item;       /* of the sketch */
    uint32_t count;
    uint64_t granted; /* bytes a second, all holders together */
};

struct share {
    struct list of_block;
    struct list all; /* in the order in which they were granted or renewed */
    struct shared *shared;
    struct node_id node;
    uint64_t rate;
    uint64_t used;  /* bytes since it was granted or renewed */
    int64_t credit; /* bytes */
    usec_t credit_us;
    usec_t since_us; /* it was granted or renewed */
    bool asked;      /* to renew */
};

/* One question that is out. */
struct shares_ask {
    struct shares_block block;
    struct node_id node;
    uint64_t rate; /* wanted, in bytes a second */
    uint64_t had;  /* granted before: this renews it */
    uint64_t mean; /* of all nodes, as the asker has it */
};

#define SHARES_WANTS 16u

/* What the last step wants to be rid of. */
struct shares_want {
    struct shares_block block;
    uint32_t item;
    uint64_t rest;  /* nobody else has taken */
    uint64_t left;  /* of that, to be asked for */
    uint64_t hoped; /* of that, from those that are being asked */
};

struct shares {
    struct sketch sketch;
    struct shares_track *tracks; /* of the items of the sketch, by number */
    struct pool shared;
    struct pool pool; /* struct share */
    struct pool asks; /* struct shares_ask */
    struct list all;
    struct node_id self;
    struct meter meter;
    struct shares_want wants[SHARES_WANTS];
    uint32_t want_count;
    uint32_t asks_left;
    uint32_t asked;   /* in this step, for more */
    uint32_t refused; /* of them */
    uint32_t rest;    /* steps without questions, after one in which all were refused */
    uint32_t rests;
};

size_t shares_memory(void);
/* `floor`, bytes a second: who serves less asks nobody. */
enum err shares_init(struct shares *shares, struct arena *mem, struct node_id self, uint64_t floor)
    MUST_USE;

/* A reader wants `bytes` of a block that this node owns. true: hand it on to *out. `out` may be NULL:
 * it is one that cannot be. */
bool shares_read(struct shares *shares, usec_t now_us, const struct shares_block *block,
                 uint32_t bytes, struct node_id *out);
/* That node cannot be reached: nobody is handed on to it any more. */
void shares_lost(struct shares *shares, struct node_id node);

/* Every SHARES_STEP_US. Then shares_next until it says false. */
void shares_step(struct shares *shares, usec_t now_us);

/* Which node is the `nth` (from 1) that may hold copies of a block? false: that is not known. */
struct shares_places {
    bool (*find)(void *owner, const struct shares_block *block, uint32_t nth, struct node_id *out);
    void *owner;
};
/* Its place, for whoever has the table: a node that has once held a copy is asked first again. */
struct place shares_place(struct place place, uint32_t nth);
/* The next question to put: *out is its number, for the answer. false: none now. */
bool shares_next(struct shares *shares, usec_t now_us, const struct shares_places *places,
                 uint32_t *out);
const struct shares_ask *shares_ask(const struct shares *shares, uint32_t number);
/* The answer: the rate that is granted from now on, and what the other one serves. */
void shares_granted(struct shares *shares, usec_t now_us, uint32_t number, uint64_t rate,
                    uint64_t load);
/* There was none. */
void shares_unanswered(struct shares *shares, uint32_t number);
/* Somebody else asks: how much of it do we take? */
uint64_t shares_grant(struct shares *shares, uint64_t rate, uint64_t had, uint64_t mean);

/* NULL: it is not handed on. */
const struct shared *shares_find(const struct shares *shares, struct block_id id);
