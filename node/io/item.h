/* node/io/item.h: what the actors of a node send its peer thread: one event in one allocation.
 *
 * Spans and arrays of the event point into the bytes behind the item (item_room) or into what the
 * sender says. The peer thread steps the node with the event and calls `free`. */
#pragma once
#include <stddef.h>

#include "node/core/node.h"
#include "node/io/queue.h"

struct item {
    struct queue_item queue; /* first: a queue's item is cast back */
    void (*free)(struct item *item);
    struct node_event event;
};

/* Zeroed, with `room` bytes behind it and `free` set. NULL: no memory. */
struct item *item_new(enum node_event_kind kind, size_t room);
void *item_room(struct item *item);
/* An item for which there must be memory: when there is none the process says so and ends. For
 * small facts whose loss nobody could make good (the end of a job, a changed view). */
struct item *item_must(enum node_event_kind kind, size_t room);

static inline struct item *item_of(struct queue_item *queue)
{
    return (struct item *)(void *)queue;
}
