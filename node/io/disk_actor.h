/* node/io/disk_actor.h: one tier of blocks on disk: segment files in a directory.
 *
 *   DIR/atoll-tier.json     marker: format version, a UUID; locked by the node that uses it
 *   DIR/segments/0000002a   records back to back (node/core/record.h)
 *
 * Takes NODE_DISK_WRITE, NODE_DISK_READ and NODE_DISK_DROP; gives NODE_DISK_RECORD for each record
 * found at start and then NODE_DISK_READY, and one NODE_DISK for each WRITE and READ. What is read
 * was checked against the checksums in its header. Buffers are the node's until NODE_DISK. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/core/node.h"
#include "node/io/queue.h"

#define DISK_UUID_SIZE 33 /* 32 hex digits and a zero */

struct disk_actor;

struct disk_actor_options {
    struct queue *out; /* of the peer thread */
    uint32_t tier;
    const char *dir;
    uint64_t quota;
    const char *uuid; /* what the marker must say; NULL: this node has not used the directory yet */
};

/* ERR_INVALID and others with a line in `why`: no such directory, not the disk it was, in use by
 * another node, or less room than the quota. `uuid` (DISK_UUID_SIZE) gets the marker's. */
enum err disk_actor_start(const struct disk_actor_options *options, struct disk_actor **out,
                          char *uuid, struct text *why) MUST_USE;
/* Answers what was taken, joins. */
void disk_actor_stop(struct disk_actor **disk);
/* ERR_NOMEM: not taken, no answer will come. */
enum err disk_actor_do(struct disk_actor *disk, const struct node_effect *effect) MUST_USE;
/* The node could not start: when the tier was new, stopping leaves no trace of it. */
void disk_actor_abandon(struct disk_actor *disk);
