/* sim/disk.h: the disks of one host: segment files of its tiers, and what it keeps beside blocks.
 *
 * What was answered is durable. A write that was under way when the process died is there in part:
 * torn. Whoever owns a node's host owns its disk; it outlives the process. */
#pragma once
#include "node/core/node.h"
#include "sim/world.h"

struct disk;

/* How the disk is; may be changed at any time. */
struct disk_weather {
    usec_t latency_us; /* of one operation, at least; and up to twice that */
    uint64_t rate;     /* bytes a second */
    uint32_t failing; /* reads and writes of blocks that fail, per million; a write leaves a part */
};

struct disk *disk_new(struct world *world, uint32_t host);
void disk_free(struct disk **disk);
struct disk_weather *disk_weather(struct disk *disk);

/* What node effects ask for; the answers come by disk_answer of the host. */
typedef void disk_answer(struct process *process, const struct node_event *event);
void disk_attach(struct disk *disk, struct process *process, disk_answer *answer);
/* Start: every record and dataset, then READY of each tier and of the metadata. */
void disk_scan(struct disk *disk, uint32_t tiers);
void disk_do(struct disk *disk, const struct node_effect *effect);
/* The process died: writes under way are torn, or not there. */
void disk_crash(struct disk *disk);
/* A new, empty disk. */
void disk_wipe(struct disk *disk);
/* Change one bit of one record; false: there is none. */
bool disk_flip(struct disk *disk);
/* Is that the value of any key of that space? */
bool disk_keeps(const struct disk *disk, enum meta_space space, struct span value);
uint64_t disk_bytes(const struct disk *disk);
