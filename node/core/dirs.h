/* node/core/dirs.h: directories as this node knows them, and requests for them.
 *
 * A directory is known by its newest generation: in memory, in this node's metadata store, or with
 * another rank of its root's place. The owner of that place lists it when nobody has a root that is
 * fresh enough for the dataset's policy; whoever asks meanwhile waits for the same listing.
 *
 * The storage key of a directory is its id; for a dataset with a node selector the id mixed with
 * the selector, because another pool has other ranks. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/calls.h"
#include "node/core/memory.h"
#include "node/core/rings.h"
#include "wire/dataset.h"
#include "wire/dir.h"

#define DIR_RANKS (RING_RANKS + RINGS_KEPT)
#define DIR_DATASETS 4u       /* whose numbers one directory counts for */
#define DIR_ONCE_US SEC(3600) /* policy once: a mount asks again after that */
#define DIR_RELIST_US SEC(1)  /* a proven stale directory is listed again at most so often */
#define DIR_ADMIN_US SEC(60)  /* for an operator's refresh of one directory */
#define DIR_EMPTY_ROOT_SIZE (512u + DIR_PREFIX_MAX) /* more than a root without shards takes */
#define DIR_ACTING_US MSEC(400) /* for the roots of other ranks: listing again costs far more */

struct gather;
struct link;
struct meta_ask;
struct work;
struct snapshot;
struct catalog_item;

struct dir {
    struct map_node by_key;
    struct list recent; /* linked while nothing is going on */
    struct dir_id key;
    bool looked; /* this node's store was asked since the root was last lost */
    bool known;
    bool exists; /* known: a prefix with a key below it or a marker */
    uint64_t generation;
    uint64_t checked_us; /* hybrid wall time: its listing began then, or a later equal one */
    usec_t aged_from_us; /* monotonic: the same moment, so that no clock that is set moves it */
    usec_t listed_us;    /* monotonic: the last listing by this node ended; 0: none */
    usec_t rest_us;      /* monotonic: not to be listed before, for lack of memory */
    uint32_t busy;       /* listings in a row that lacked it */
    struct buffer *root; /* cached; NULL: not in memory, or does not exist */
    uint32_t root_size;
    struct work *work;
    struct dir_id id; /* exists: of its newest root, and so are files and bytes */
    uint64_t files;
    uint64_t bytes;
    struct catalog_item *counts_for[DIR_DATASETS]; /* while this node owns it */
};

enum work_stage {
    WORK_IDLE,
    WORK_LOAD,   /* this node's store */
    WORK_RANKS,  /* other ranks */
    WORK_REST,   /* until it may be listed again */
    WORK_QUEUED, /* too many listings at once */
    WORK_LIST,
    WORK_FAIL, /* those who waited for the listing are told */
};

/* What goes on about one directory. */
struct work {
    struct dir *dir;
    struct list waiters; /* struct meta_ask */
    struct list queued;
    struct timer timer;
    enum work_stage stage;
    uint64_t io;
    uint64_t calls[DIR_RANKS];
    uint32_t calls_open;
    bool asked_ranks;
    struct snapshot *snapshot;
    enum err err;
    usec_t failed_us; /* monotonic: who asked later is not failed */
    bool is_set;      /* the rest is set by the first DIR_GET */
    struct dir_id id;
    struct source_id source;
    struct dataset_id dataset;
    uint32_t prefix_size;
    uint32_t text_size;
    uint8_t prefix[DIR_PREFIX_MAX];
    char selector[SELECTOR_MAX + 1];
    char text[256]; /* of err */
};

struct dirs {
    struct map by_key;
    struct pool pool;
    struct pool works;
    struct pool snapshots;
    struct list recent; /* the longest unused first */
    struct list queue;  /* works that wait for a snapshot */
};

size_t dirs_memory(const struct node_options *options);
uint32_t dirs_timers(const struct node_options *options);
enum err dirs_init(struct dirs *dirs, struct arena *mem, const struct node_options *options)
    MUST_USE;

struct dir_id dirs_key(struct dir_id id, struct span selector);
/* Is that the directory's key in the pool of this dataset? Another pool has it by another key. */
bool dirs_is_of_pool(struct dir_id id, struct dir_id key, const struct dataset *dataset);
/* The one with this key, made when it is new; NULL: no room. */
struct dir *dirs_take(struct node *node, struct dir_id key);
struct dir *dirs_find(const struct node *node, struct dir_id key);

/* Roots. `bytes` is a whole valid root, newer than what is known: it is copied into memory, and
 * counted (dirs_count). ERR_FULL: no memory; nothing changed then. */
enum err dirs_adopt(struct node *node, struct dir *dir, struct span bytes) MUST_USE;
/* The same with the bytes in a buffer already; takes the reference over. */
void dirs_adopt_buffer(struct node *node, struct dir *dir, struct buffer *buffer, uint32_t size);
/* Listed, and nothing there. */
/* Its listing began at that wall time. */
void dirs_set_checked(const struct node *node, struct dir *dir, uint64_t checked_us);
void dirs_set_absent(struct node *node, struct dir *dir, uint64_t generation, uint64_t checked_us);
/* Make the root durable in this node's store; not waited for. */
void dirs_keep_root(struct node *node, struct dir *dir);
/* Is this node among the first META_COPIES of the root's place? */
bool dirs_keeps(struct node *node, struct dir_id id, struct span selector);
/* pages_on_evict for a root. */
void dirs_on_evict(struct node *node, uint32_t index);
/* The numbers of statfs: who owns a directory by the present ring counts it, for the datasets that
 * show it. Which these are tells the prefix in its root. */
void dirs_count(struct node *node, struct dir *dir, struct span prefix);
/* It is asked for by this dataset, which may be younger than the root; or the root says no prefix. */
void dirs_count_for(struct node *node, struct dir *dir, struct dataset_id id);
/* Count it no more where it belongs to another node now. */
void dirs_uncount_others(struct node *node, struct dir *dir);
/* A dataset's record changed its rows or is deleted: nothing counts for it any more. */
void dirs_forget_dataset(struct node *node, const struct catalog_item *item);

/* Requests. */
void dirs_on_get(struct node *node, struct link *link, const struct message_dir_get *get);
void dirs_on_root_get(struct node *node, struct link *link, const struct message_root_get *get);
/* An operator has one directory listed again; answered by ADMIN_REPLY. */
void dirs_refresh(struct node *node, const struct dataset *dataset, struct span path,
                  uint64_t admin);
/* The root of a directory, for a question that is being gathered. dirs_root_ask: NULL: too many
 * requests. dirs_root_find ends in report_on_root or report_on_root_failed, perhaps inside. */
struct meta_ask *dirs_root_ask(struct node *node, struct dataset_id dataset, struct gather *gather);
struct dir_about {
    struct source_id source;
    struct span prefix;
    struct span selector;
};
void dirs_root_find(struct node *node, struct meta_ask *ask, const struct dir_about *about);
void dirs_on_gone(struct node *node, struct meta_ask *ask);
enum call_more dirs_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload);
void dirs_on_failure(struct node *node, const struct call *call, enum err err);
void dirs_on_root_load(struct node *node, struct work *work, enum err err, struct span value);
void dirs_on_work_timer(struct node *node, struct work *work);
/* The snapshot of this work is published or found unchanged (ERR_OK), or given up. It is freed. */
void dirs_on_snapshot(struct node *node, struct work *work, enum err err, struct span text);

/* ---- between dirs.c, dirs_answer.c and dirs_work.c --------------------------------------- */

/* Is what is known fresh enough for this ask? */
bool dirs_is_fresh(const struct node *node, const struct dir *dir, const struct meta_ask *ask);
/* Answer from what is known and fresh. false: the root is not in memory, or no room for it in this
 * step (`*later`). */
bool dirs_answer(struct node *node, struct dir *dir, struct meta_ask *ask, bool *later);
/* Answer by one entry (NULL: absent), looked up beside a listing. */
void dirs_answer_entry(struct node *node, struct work *work, struct meta_ask *ask,
                       const struct entry *entry);
/* Pass an ask on to the owner; and what came back. */
void dirs_forward(struct node *node, struct work *work, struct meta_ask *ask, struct node_id owner);
enum call_more dirs_on_forwarded(struct node *node, struct meta_ask *ask,
                                 const struct message *message);
/* NULL: too much is going on. */
struct work *work_take(struct node *node, struct dir *dir);
void work_set_selector(struct work *work, struct span selector);
/* One more that waits: it may be answered, and the work be over, at once. */
void work_add(struct node *node, struct work *work, struct meta_ask *ask);
/* See what its waiters need next. */
void work_advance(struct node *node, struct work *work);
void work_free_if_idle(struct node *node, struct work *work);
