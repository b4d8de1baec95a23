/* node/io/meta_actor.h: what a node keeps beside blocks, in LMDB: datasets, roots, pages.
 *
 * Takes NODE_META_PUT, NODE_META_GET and NODE_META_DELETE; gives NODE_META_RECORD for each stored
 * dataset at start and then NODE_META_READY, and one NODE_META for each effect. A PUT is answered
 * when it is durable; those that come together are committed together. NODE_META_DISK when writes
 * begin to fail, and when one has succeeded again, or a disk that was full has room; so, too, of the
 * files that others write in the same directory, as they tell it. */
#pragma once
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/core/node.h"
#include "node/io/queue.h"

struct meta_actor;

struct meta_actor_options {
    struct queue *out; /* of the peer thread */
    const char
        *dir; /* exists, outlives the actor; NULL: files without a name, gone with the process */
};

/* ERR_VERSION: written by a newer Atoll; nothing was touched. Others with a line in `why`. */
enum err meta_actor_start(const struct meta_actor_options *options, struct meta_actor **out,
                          struct text *why) MUST_USE;
/* Waits, once, until NODE_META_READY is in `out`: what is put there afterwards finds the datasets
 * known. ERR_TIMEOUT: not within `most_us`, whole seconds. */
enum err meta_actor_wait_ready(struct meta_actor *meta, usec_t most_us) MUST_USE;
/* Answers what was taken, joins. */
void meta_actor_stop(struct meta_actor **meta);
/* What the last write of another file in that directory came to: 0, or its errno. */
void meta_actor_wrote_file(struct meta_actor *meta, int failed);
/* Copies key and value. ERR_NOMEM: not taken, no answer will come. */
enum err meta_actor_do(struct meta_actor *meta, const struct node_effect *effect) MUST_USE;
