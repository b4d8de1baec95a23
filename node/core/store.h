/* node/core/store.h: blocks on disk: which segment holds them, what is written, what is dropped.
 *
 * A segment holds records of one source and only grows; it is dropped whole, the oldest first, when
 * the quota is reached. Blocks are written when they are complete in memory, and stay there until
 * they are. Reads check every chunk: a torn or flipped record is a miss.
 *
 * What is fetched faster than the disk writes would fill the memory, be thrown out and be read from
 * the source again. So blocks on their way here are debts to the disk as well as blocks that wait
 * to be written, and all of them hold at most half of the region: who wants to fetch more waits
 * (flights.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "node/core/blocks.h"
#include "node/core/node.h"
#include "node/core/objects.h"

#define STORE_OPEN_MAX 8u     /* sources written to at the same time, per tier */
#define STORE_WRITES_MAX 8u   /* records on their way to a disk */
#define STORE_DEBTS_MAX 2048u /* twice the GETs that may be open */
#define STORE_ERRORS_MAX 16u  /* failed writes in a row until a tier is taken out */

struct load;
struct read;

struct segment {
    struct map_node by_number;
    struct list of_tier; /* oldest first */
    struct list blocks;
    struct source_id source;
    uint32_t tier;
    uint32_t number;
    uint32_t used;
    uint32_t writes; /* under way */
    bool closed;     /* takes no more records */
};

struct tier {
    struct list segments;
    struct segment *open[STORE_OPEN_MAX]; /* most recently used first */
    uint64_t used;
    uint64_t blocks;
    uint32_t next_segment;
    uint32_t errors;
    bool ready;
    bool failed;
};

struct store {
    struct tier tier[NODE_TIERS_MAX];
    struct map by_number;
    struct pool segments;
    struct map by_id; /* operations under way */
    struct pool ops;
    struct list writes;    /* that wait for their turn */
    uint8_t *headers;      /* of records on their way to a disk */
    uint32_t headers_used; /* a bit for each */
    uint32_t writing;
    uint32_t write_count; /* they and those that wait */
    uint64_t dirty;       /* bytes of their blocks */
    uint32_t debt_count;
    uint64_t debts; /* bytes of blocks on their way here, and of `dirty` */
    bool behind;    /* fetches have waited too long: none waits until half of the debts is paid */
};

size_t store_memory(const struct node_options *options);
enum err store_init(struct store *store, struct arena *mem, const struct node_options *options)
    MUST_USE;
/* Has every tier told what it holds? */
bool store_is_ready(const struct node *node);
/* Bytes that may be fetched now; UINT64_MAX: one block always, and any when no disk takes writes, or
 * they have been waited for too long. */
uint64_t store_room(const struct node *node);
/* A block of that size will be offered; and will not, or has been: then others may begin. */
void store_owe(struct node *node, uint32_t size);
void store_forgive(struct node *node, uint32_t size);
/* Nobody waits for the disks from now on, until they have caught up. */
void store_give_up(struct node *node);
/* A block is complete in memory: write it, unless it is on disk already, or the disks are so far
 * behind that nobody waits for them. It cannot be evicted until it is written. */
void store_offer(struct node *node, struct block *block, struct object *object);
/* Read `size` bytes of the block from `offset` (a multiple of CHUNK_SIZE) into the start of
 * `buffer`; ends in flights_on_disk or reads_on_disk, whichever owner is given. The owner must not
 * wait for a block that it is told has failed: it is forgotten by then. false: too many at once. */
struct store_read {
    struct block *block;
    struct buffer *buffer;
    uint32_t offset; /* within the block */
    uint32_t into;   /* within the buffer: 0, or `offset` when the buffer is the block's */
    uint32_t size;
    uint8_t *header;   /* NULL, or room for the record's header until the end */
    struct load *load; /* whose that is (handover.h) */
    struct flight *flight;
    struct read *read;
};
bool store_read(struct node *node, const struct store_read *what);
/* The reader left: its buffer is held until the disk is done, then nobody is told. */
void store_forget_read(struct read *read);
/* Does a disk take what is in memory? */
bool store_takes(const struct node *node);
/* Throw out the oldest segment of any tier; false: there is none. */
bool store_drop_oldest(struct node *node);
void store_on_record(struct node *node, uint32_t tier, const struct disk_record *record);
void store_on_ready(struct node *node, const struct node_event *event);
void store_on_disk(struct node *node, const struct node_event *event);
/* Nothing is on its way to a disk. */
bool store_is_idle(const struct node *node);
