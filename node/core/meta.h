/* node/core/meta.h: the metadata half of a node: its state, requests to it, its clock. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/marks.h"
#include "base/pool.h"
#include "node/core/catalog.h"
#include "node/core/dirs.h"
#include "node/core/internal.h"
#include "node/core/meta_io.h"
#include "node/core/moves.h"
#include "node/core/offers.h"
#include "node/core/outages.h"
#include "node/core/pages.h"
#include "node/core/report.h"

/* Kinds of the timers of this half. */
enum meta_timer_kind {
    TIMER_DIR_WORK = TIMER_META_FIRST,
    TIMER_DIR_SNAPSHOT,
    TIMER_CATALOG_OP,
    TIMER_CATALOG_PULLS,
    TIMER_META_PAGES,
    TIMER_REPORT,
    TIMER_OUTAGES,
    TIMER_MOVES,
};

#define META_COPIES 2u /* of every root, page and dataset record, where there are two nodes */
#define META_SILENT_MAX 4u

enum meta_ask_kind {
    META_ASK_DIR,  /* DIR_GET */
    META_ASK_ROOT, /* ROOT_GET */
    META_ASK_PAGE, /* SHARD_GET */
    META_ASK_PULL, /* CATALOG_PULL */
    META_ASK_KEEP, /* CATALOG_RECORD to be acknowledged */
    META_ASK_TAKE, /* SHARD_OFFER, ROOT_OFFER */
};

/* A request to this node that waits for something. */
struct meta_ask {
    struct ask ask;
    struct list waiting; /* with whom it waits */
    enum meta_ask_kind kind;
    uint64_t call;       /* it was passed on by that call */
    uint64_t generation; /* DIR: newer than; ROOT: this one, 0: any */
    struct dataset_id dataset;
    enum get_mode mode;
    uint32_t hops;
    uint64_t trace;
    struct node_id silent[META_SILENT_MAX];
    uint32_t silent_count;
    uint32_t name_size;
    uint8_t name[ENTRY_NAME_MAX];
    uint32_t cursor; /* PULL: next record */
    bool may_search; /* PAGE: with other ranks */
    uint64_t admin;  /* not 0: an operator asks, there is no link */
    usec_t asked_us;
    void *owner; /* what works for it alone */
};

struct meta {
    struct marks *marks;
    enum err disk_err; /* of the disk below --data-dir; OK: it can be written */
    struct meta_io io;
    struct pool asks;
    struct catalog catalog;
    struct dirs dirs;
    struct pages pages;
    struct offers offers;
    struct moves moves;
    struct reports reports;
    struct outages outages;
};

/* Open an ask. NULL: it was refused, and the asker has been told. */
struct meta_ask *meta_ask_open(struct node *node, struct link *link, enum meta_ask_kind kind,
                               uint64_t request, uint64_t remaining_us);
/* For an operator's request `admin`. NULL: too many. */
struct meta_ask *meta_ask_admin(struct node *node, enum meta_ask_kind kind, uint64_t admin);
/* Close and free; it is on no list and has no call any more. */
void meta_ask_end(struct node *node, struct meta_ask *ask);
/* FAIL (or the operator's reply), then the end. */
void meta_ask_fail(struct node *node, struct meta_ask *ask, enum err err, struct span text);

/* Count a failed LIST or HEAD by its kind. */
void meta_count_error(struct node *node, enum err err);
/* Hybrid logical clock: wall time that never goes back and is past everything seen. */
uint64_t meta_clock(struct node *node);
void meta_clock_saw(struct node *node, uint64_t version);
