/* node/core/copies.h: make a page or a root durable on the first nodes of its place.
 *
 * The first META_COPIES ranks get it: this node by its own store, others by an offer, which they
 * answer when they have pulled and stored it. For a rank that fails the next one is asked. It is
 * done when no offer is open and at least one copy is durable. */
#pragma once
#include <stdint.h>

#include "node/core/calls.h"
#include "node/core/memory.h"
#include "node/core/pages.h"
#include "node/core/rings.h"

enum copies_kind { COPIES_PAGE, COPIES_ROOT };

struct copies {
    enum copies_kind kind;
    struct page_key key; /* of a root: without a fence */
    struct source_id source;
    struct buffer *buffer; /* held by the owner until the end */
    uint32_t size;
    uint64_t crc;
    struct node_id ranks[RING_RANKS];
    uint64_t calls[RING_RANKS];
    uint64_t io;
    uint32_t rank_count;
    uint32_t next;
    uint32_t open;
    uint32_t made;
    bool strayed; /* one of the first META_COPIES ranks has not got it */
    enum err err; /* of the last that failed */
    void (*done)(struct node *node, struct copies *copies, enum err err);
};

/* Everything down to `crc`, and `done`, is set. ERR_OK: `done` is called later, never inside;
 * otherwise nobody can take it now and nothing follows. */
enum err copies_start(struct node *node, struct copies *copies, struct span selector,
                      struct place place) MUST_USE;
/* The owner dies. The buffer must be held until the next step. */
void copies_cancel(struct node *node, struct copies *copies);

void copies_on_put(struct node *node, struct copies *copies, enum err err);
enum call_more copies_on_answer(struct node *node, const struct call *call,
                                const struct message *message);
void copies_on_failure(struct node *node, const struct call *call, enum err err);
