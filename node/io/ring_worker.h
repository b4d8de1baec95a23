/* node/io/ring_worker.h: builds rings off the thread that serves reads.
 *
 * Thread: "ring", one. Takes: copies of members. Gives: NODE_RING or the caller's own item, through
 * the callback on that thread. A ring lives in memory of its own until ring_worker_drop. */
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "ring/ring.h"
#include "ring/view.h"

struct ring_worker;

/* `ring` is NULL when it could not be built. */
typedef void ring_worker_done(void *self, uint64_t id, const struct ring *ring);

struct ring_request {
    uint64_t id;
    struct span selector;
    const struct member *members;
    uint32_t count;
    const struct ring *previous; /* to begin from (ring/ring.h); one of this worker's, or NULL */
};

enum err ring_worker_start(uint32_t slots_log2, ring_worker_done *done, void *self,
                           struct ring_worker **out) MUST_USE;
/* Joins. Frees every ring that was not dropped. */
void ring_worker_stop(struct ring_worker **worker);
/* Copies selector and members; `previous` may be dropped before it is done. ERR_NOMEM: nothing will
 * come. */
enum err ring_worker_build(struct ring_worker *worker, const struct ring_request *request) MUST_USE;
/* Any thread. NULL is fine. */
void ring_worker_drop(struct ring_worker *worker, const struct ring *ring);
