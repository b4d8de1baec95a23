/* node/io/fetch.h: the actor that talks to object stores (docs/sources.md).
 *
 * The peer thread hands it the effects NODE_SOURCE, NODE_FETCH, NODE_FETCH_CANCEL, NODE_LIST and
 * NODE_HEAD; NODE_FETCHED and NODE_LISTED come back as items of node/io/item.h. One attempt per
 * job: when to try again is decided by the node's core. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/core/node.h"
#include "node/io/queue.h"
#include "node/io/secrets.h"
#include "ring/view.h"

struct fetch;

struct fetch_options {
    struct queue *out;           /* of the peer thread */
    const char *credentials_dir; /* NULL: no named credentials */
    bool environment;            /* the credential "" is that of the environment (a private node) */
    secrets_changed *changed;    /* what fetch_credentials says has changed; may be NULL */
    void *self;                  /* of changed */
    const char *const *allow_roots; /* directories that file:// may show */
    uint32_t allow_root_count;
    uint32_t threads; /* curl multis; 2 is enough for 10 Gbit/s */
};

/* Starts its threads. All strings are copied. ERR_INVALID with a line in `why`: the directory of
 * credentials cannot be read, or others can read it. */
enum err fetch_start(const struct fetch_options *options, struct fetch **out, struct text *why)
    MUST_USE;
/* Ends every job without an answer, joins, frees. */
void fetch_stop(struct fetch **fetch);

/* Carry out one of the five effects; what the effect points to is copied, buffers of parts apart.
 * ERR_NOMEM: a job was not taken and no answer will come. A job for a source that was never
 * described, or whose description is wrong, is answered with the reason. */
enum err fetch_do(struct fetch *fetch, const struct node_effect *effect) MUST_USE;

/* Names of the credentials that can be used now, comma separated and sorted, for the member's
 * record. `out` holds MEMBER_CREDENTIALS_MAX + 1. Returns how many files cannot be used as they are.
 * Any thread. */
uint32_t fetch_credentials(struct fetch *fetch, char *out);

struct fetch_totals {
    uint64_t requests[3]; /* GET, LIST, HEAD */
    uint64_t bytes;       /* of object data */
    uint64_t failed;
    uint64_t open; /* jobs taken and not ended */
};
void fetch_totals(struct fetch *fetch, struct fetch_totals *out);
