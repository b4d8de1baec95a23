/* node/core/catalog.h: the datasets of the cluster, as this node knows them.
 *
 * Every node has all records, tombstones included, in memory and in its metadata store. A change is
 * made on any node, is durable there and on one other before it is acknowledged, and reaches the
 * rest by a push and by gossip of the digest: who sees another digest pulls. The last writer wins,
 * by a hybrid logical clock; a record from the future is refused. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/calls.h"
#include "node/core/node.h"
#include "wire/dataset.h"

#define CATALOG_OPS_MAX 8u                   /* changes by operators at once */
#define CATALOG_KEEPS_MAX 64u                /* records on their way to this node's store */
#define CATALOG_AHEAD_US ((uint64_t)SEC(60)) /* a record further ahead of our clock is refused */
#define CATALOG_ACK_US SEC(5)                /* wait for a second copy of a change */

struct link;
struct meta_ask;

struct catalog_item {
    struct map_node by_id;
    struct list all;
    struct dataset_id id;
    struct dataset dataset;
    uint64_t files; /* of the directories this node owns */
    uint64_t bytes;
    uint64_t peer_files; /* what the other members said last */
    uint64_t peer_bytes;
    uint64_t sum_files; /* being added up */
    uint64_t sum_bytes;
};

/* A description of a source that the shell has. */
struct catalog_source {
    struct map_node by_id;
    struct source_id id;
    uint64_t told; /* hash of what was told */
};

enum catalog_change { CATALOG_CREATE, CATALOG_DELETE, CATALOG_REFRESH };

/* A change by an operator. */
struct catalog_op {
    struct list all;
    enum catalog_change change;
    uint64_t admin;
    struct dataset draft;
    uint32_t row;       /* CREATE: being probed */
    uint32_t empty_row; /* CREATE: 1 + the first below whose prefix there is nothing; 0: none */
    uint64_t io;
    uint64_t call;
    struct timer timer;
    usec_t give_up_us;
    struct node_id tried[8]; /* members that did not acknowledge */
    uint32_t tried_count;
    uint32_t record_size;
    uint8_t record[DATASET_RECORD_MAX];
};

/* A record of another node on its way to this node's store. */
struct catalog_keep {
    struct meta_ask *ask; /* to be acknowledged; NULL: nobody waits */
    uint32_t size;
    uint8_t record[DATASET_RECORD_MAX];
};

struct catalog {
    struct map by_id;
    struct map sources;
    struct pool items;
    struct pool source_pool;
    struct pool ops;
    struct pool keeps;
    struct list all;  /* in order of appearance */
    struct list open; /* ops */
    uint64_t clock;
    uint64_t digest;
    bool loaded;
    uint64_t pull;          /* call under way */
    struct node_id untried; /* who was said to differ, when it could not be asked; zero: nobody */
    struct list pulls;      /* asks of others that are being answered */
    struct timer timer;
};

size_t catalog_memory(const struct node_options *options);
enum err catalog_init(struct catalog *catalog, struct arena *mem,
                      const struct node_options *options) MUST_USE;

/* Everything, deleted ones too; pass NULL first. */
struct catalog_item *catalog_next(const struct node *node, const struct catalog_item *after);
struct catalog_item *catalog_item(const struct node *node, struct dataset_id id);
/* Datasets that are not deleted. */
uint64_t catalog_living(const struct node *node);
/* The dataset's first row with that source; NULL: none. */
const struct dataset_row *catalog_row(const struct dataset *dataset, struct source_id source);
/* This node's directories of the dataset have so many more files and bytes; modulo 2^64, so that less
 * is the negative, and a root that lies about them does no more than spoil the numbers. */
void catalog_count(struct catalog_item *item, uint64_t files, uint64_t bytes);

/* Put a record in place of what is known of its name; false: it does not supersede. ERR_FULL in
 * *err: too many datasets. */
bool catalog_install(struct node *node, const struct dataset *dataset, enum err *err);
/* Send a record to every member that can be reached now; the others will pull. */
void catalog_push(struct node *node, const struct dataset *dataset);
/* Pushes NODE_SOURCE for one row where the shell does not know it so. */
void catalog_tell_source(struct node *node, const struct dataset_row *row);
/* Does this node have the credential that the row names? */
bool catalog_has_credential(const struct node *node, const struct dataset_row *row);

/* catalog_change.c: operators. */
void catalog_create(struct node *node, uint64_t admin, struct span record);
void catalog_delete(struct node *node, uint64_t admin, struct span name);
void catalog_refresh(struct node *node, uint64_t admin, struct span argument);
void catalog_on_probe(struct node *node, struct catalog_op *op, const struct node_event *event);
void catalog_on_op_put(struct node *node, struct catalog_op *op, enum err err);
enum call_more catalog_on_pushed(struct node *node, const struct call *call,
                                 const struct message *message);
void catalog_on_push_failed(struct node *node, const struct call *call, enum err err);
void catalog_on_op_timer(struct node *node, struct catalog_op *op);

/* catalog_sync.c: other members. */
void catalog_on_stored(struct node *node, struct span value);
void catalog_on_loaded(struct node *node);
void catalog_on_peer(struct node *node, struct node_id peer);
/* Requests can be sent to this peer from now on. */
void catalog_on_open(struct node *node, struct node_id peer);
void catalog_on_record(struct node *node, struct link *link,
                       const struct message_catalog_record *message);
void catalog_on_pull(struct node *node, struct link *link,
                     const struct message_catalog_pull *message);
enum call_more catalog_on_pulled(struct node *node, const struct call *call,
                                 const struct message *message);
void catalog_on_pull_failed(struct node *node, const struct call *call, enum err err);
void catalog_on_timer(struct node *node);
void catalog_on_kept(struct node *node, struct catalog_keep *keep, enum err err);
void catalog_on_gone(struct node *node, struct meta_ask *ask);
