/* node/core/moves.h: after the ring has changed, directories go to the nodes that keep them now.
 *
 * Roots and pages are durable on the first ranks of their places. When these are others than they
 * were, the first of the earlier keepers of a root that is still there sees to it that the root and
 * those pages of it that have moved are durable on the present ones (copies.h), whether anybody asks
 * for the directory or not. Begins and ends with the hand-over of blocks.
 *
 * The same walk counts the directories that are this node's now, and no others (dirs_count). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/timers.h"
#include "node/core/copies.h"
#include "node/core/pages.h"
#include "node/core/rings.h"

/* What VIEW.directories says to a node that leaves. */
enum moves_said {
    MOVES_UNSAID = 0,    /* earlier versions say nothing */
    MOVES_UNDER_WAY = 1, /* wait: what you have may be needed */
    MOVES_TRIED = 2,     /* all that had to go from here has gone, or was tried */
};

#define MOVES_MAX 16u /* directories at the same time */

/* One directory on its way. */
struct move {
    bool in_use;
    struct dir_id key;
    struct dir_id id;
    uint64_t generation;
    struct source_id source;
    char selector[SELECTOR_MAX + 1];
    struct buffer *root; /* held; NULL: it is being read from the store */
    uint32_t root_size;
    uint32_t shard;      /* the next one, or the one that is on its way */
    struct buffer *page; /* held while it is copied */
    struct page_waiter waiter;
    struct copies copies;
};

struct moves {
    struct timer timer;
    bool walking;
    bool settled;
    bool tried;      /* a walk has ended since the last change */
    uint32_t cursor; /* in the table of directories */
    uint32_t open;
    uint32_t failed; /* of this walk */
    uint32_t tries;
    struct move *all;
};

size_t moves_memory(void);
enum err moves_init(struct moves *moves, struct arena *mem) MUST_USE;
/* A ring is new or has changed, a dataset shows something else, or this node leaves. */
void moves_wake(struct node *node);
/* Nothing is left that this node would have to see to. */
bool moves_are_over(const struct node *node);
/* What this node has to say to that one, of its walk without it. */
enum moves_said moves_without(const struct node *node, struct node_id leaver);
void moves_on_timer(struct node *node);
/* The store has answered for the root of one. */
void moves_on_root(struct node *node, struct move *move, enum err err, struct span value);
