/* node/io/queue.h: items handed from any thread to one that owns the queue.
 *
 * Items are intrusive: whoever pushes one has given it away. A pushed item is seen whole by the
 * taker (a mutex lies between). The taker either polls queue_fd beside other descriptors and takes
 * all that is there, or blocks in queue_pop; several threads may block on one queue. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/time.h"

struct queue;

struct queue_item {
    struct queue_item *next;
};

enum err queue_new(struct queue **out) MUST_USE;
/* Whoever frees it has made sure that nobody pushes any more; items left inside are the caller's
 * to take out before. */
void queue_free(struct queue **queue);

void queue_push(struct queue *queue, struct queue_item *item);
/* Everything pushed so far, oldest first, as a list; NULL when empty. Resets queue_fd. */
struct queue_item *queue_take(struct queue *queue);
/* Readable while items wait. Stays the queue's. */
int queue_fd(const struct queue *queue);

/* The oldest item; waits at most `wait_us` (USEC_NEVER: for ever). NULL: time is up, or the queue
 * is closed and empty. Does not touch queue_fd: do not mix with queue_take. */
struct queue_item *queue_pop(struct queue *queue, usec_t wait_us);
/* Wakes all that wait in queue_pop; what is inside can still be popped. */
void queue_close(struct queue *queue);
