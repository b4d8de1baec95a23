/* fs/core/internal.h: what the parts of a mount hold and offer each other; nobody outside fs/core
 * includes it. A function starts with its file's name.
 *
 * Work is driven by lists, not by calls into the depth: an event changes state and puts requests
 * (`op`), questions to nodes (`call`) and payloads to give back on lists; mount_step works these
 * off while the effects of the step have room, and asks for another step when they had not. */
#pragma once
#include "base/buddy.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "fs/core/blocks.h"
#include "fs/core/limits.h"
#include "fs/core/mount.h"
#include "fs/core/net.h"
#include "fs/core/tree.h"
#include "wire/dataset.h"

/* ---- op.c: requests of the kernel ------------------------------------------------------------ */

struct op_wait {
    struct list link; /* block->waiters */
    struct op *op;
};

struct op {
    struct mount_op in; /* its name is in `name` */
    uint8_t name[NAME_ROOM];
    struct list link; /* m->runnable, or where it waits */
    struct list all;
    struct map_node by_id;
    struct timer timer;
    usec_t started_us;
    struct call *call;       /* NAME */
    struct folder *folder;   /* that it uses */
    enum err err;            /* it ends with; OK: it goes on */
    struct listing *listing; /* kept while a page is on its way */
    struct block *blocks[OP_BLOCKS];
    struct op_wait waits[OP_BLOCKS];
    uint32_t block_count;
    bool noted; /* read-ahead knows of it */
    bool interrupted;
    bool again;  /* the kernel asks a second time for what was not to be had in time */
    bool ready;  /* on m->runnable */
    bool queued; /* has waited for room: it stays in front */
};

struct handle {
    uint32_t generation;
    bool used;
    uint64_t ino;
    struct listing *listing; /* NULL: a directory that only rows make */
    bool started;            /* entries were given */
    uint32_t shard;          /* where the last entries came from ... */
    uint64_t shard_first;    /* ... and the index of that page's first entry */
};

size_t op_memory(const struct mount_options *options);
enum err op_init(struct mount *m, struct arena *mem) MUST_USE;
void op_on_event(struct mount *m, const struct mount_op *in);
void op_on_interrupt(struct mount *m, uint64_t id);
void op_timer(struct mount *m, struct op *op);
void op_pump(struct mount *m);
void op_wake(struct mount *m, struct op *op);
/* Bytes of this block have come. */
void op_wake_block(struct mount *m, struct block *block);
void op_wake_all(struct mount *m, struct list *waiters);
void op_wait(struct op *op, struct list *waiters);
/* For budget, or an entry of a table: first come, first served. */
void op_wait_room(struct mount *m, struct op *op);
/* It ends with this failure as soon as there is room for the reply. */
void op_fail(struct mount *m, struct op *op, enum err err);
/* The same after a pause. */
void op_fail_later(struct mount *m, struct op *op, enum err err, usec_t wait_us);
void op_fail_all(struct mount *m, struct list *waiters, enum err err);
/* Push the answer; op_end must follow when it is filled in. */
struct mount_effect *op_reply(struct mount *m, struct op *op, enum mount_effect_kind kind);
void op_end(struct mount *m, struct op *op);
/* Both at once. */
void op_reply_err(struct mount *m, struct op *op, enum err err);
void op_start_done(struct mount *m);

/* ---- again.c: requests whose time was over a moment ago --------------------------------------- */

struct again {
    enum mount_op_kind kind;
    uint64_t ino;
    uint64_t from; /* READ: its range; LOOKUP: of its name's hash */
    uint64_t end;
    usec_t until_us; /* that long a second one is known as such */
};

size_t again_memory(const struct mount_options *options);
enum err again_init(struct mount *m, struct arena *mem) MUST_USE;
/* Its time is over. */
void again_note(struct mount *m, const struct op *op);
/* Does it ask for what has just failed for lack of time? */
bool again_is(const struct mount *m, const struct op *op);

/* ---- lookup.c, readdir.c, read.c: how each goes on -------------------------------------------- */

void lookup_run(struct mount *m, struct op *op);
/* A name call was answered. */
void lookup_on_answer(struct mount *m, struct call *call, const struct message_dir_root *answer);
void lookup_failed(struct mount *m, struct call *call, enum err err);
void lookup_encode(struct mount *m, struct call *call, struct message_dir_get *out);

size_t readdir_memory(const struct mount_options *options);
enum err readdir_init(struct mount *m, struct arena *mem) MUST_USE;
/* Entries of one more reply. */
bool readdir_has_room(const struct mount *m);
void readdir_open(struct mount *m, struct op *op);
void readdir_run(struct mount *m, struct op *op);
void readdir_release(struct mount *m, uint64_t handle);

void read_run(struct mount *m, struct op *op);
/* Pins and waits of a read end. */
void read_detach(struct mount *m, struct op *op);
/* A range of a block cannot be had: requests that need it fail. */
void read_failed(struct mount *m, struct block *block, struct chunks range, enum err err);
/* The object id of a file's inode, computed once. false: its key is too long. */
bool read_object_id(struct mount *m, struct inode *inode, struct block_source *out,
                    uint8_t key[KEY_MAX]);

/* ---- effect.c ---------------------------------------------------------------------------------- */

/* CHECKed: ask effect_room first. */
struct mount_effect *effect_push(struct mount *m, enum mount_effect_kind kind);
/* Effects that can still be pushed, each with a frame. */
uint32_t effect_room(const struct mount *m);
uint8_t *effect_scratch(struct mount *m, size_t size);
void effect_send(struct mount *m, struct link_id link, const struct message *message);
void effect_err(struct mount *m, uint64_t id, int err);
/* enum log_level as a number; `text` is "event key=value". */
void effect_log(struct mount *m, int level, const struct text *text);

/* ---- tell.c: the log -------------------------------------------------------------------------- */

void tell_silent(struct mount *m, const struct peer *peer);
/* Before it counts as back. */
void tell_back(struct mount *m, const struct peer *peer);
/* All ranks of a place were asked, or cannot be. */
void tell_waiting(struct mount *m);
/* All nodes refuse us; once, until one does not. */
void tell_refused(struct mount *m, enum err err, struct span text);
/* A request ends with a failure; what every program meets (ENOENT, an interrupt) is not told. */
void tell_failed(struct mount *m, const struct op *op, enum err err);

/* ---- the whole --------------------------------------------------------------------------------- */

enum timer_kind {
    TIMER_OP,
    TIMER_CALL,
    TIMER_PEER,
    TIMER_HAIL,
    TIMER_START,
    TIMER_RENEW,
    TIMER_VIEW,
    TIMER_GHOST,
};

struct mount {
    struct mount_options options;
    struct marks *marks;
    struct rng rng;
    struct now now;
    usec_t awake_us; /* mono_us without the time we were not running */
    usec_t lag_us;
    usec_t grace_us; /* awake time: nobody's silence began before */
    usec_t due_us;   /* what mount_deadline last said */
    struct mount_effects *out;
    uint8_t *scratch;
    size_t scratch_used;
    struct timers timers;
    bool more; /* lists are not empty: step again at once */

    /* peer.c */
    struct pool peers;
    struct list peer_list;
    struct map peer_by_id;
    struct map link_by_id;
    struct hail hails[HAILS_MAX];
    struct address seeds[MOUNT_SEEDS_MAX];
    uint32_t seed_count;
    uint32_t seed_next;
    struct timer hail_timer;
    usec_t hail_us; /* not before: a seed has refused us */
    usec_t resolve_us;

    /* cluster.c */
    enum start_state start;
    enum err start_err;
    char start_text[256];
    struct timer start_timer;
    struct timer renew_timer;
    uint32_t renewals; /* answers to it, good or bad */
    struct timer view_timer;
    struct dataset dataset;
    bool dataset_known;
    bool plain; /* one row that shows all: no path of a row matters */
    struct dataset_id dataset_id;
    uint8_t capability[512];
    uint32_t capability_size;
    uint64_t files, bytes;
    usec_t totals_us;        /* when they were asked for by somebody who wanted to know */
    uint64_t dataset_number; /* of the question; 0: none is open */
    uint32_t dataset_misses;
    struct view *view;
    const struct ring *ring;
    uint64_t ring_id; /* of the build in progress; 0: none */
    uint64_t ring_next;
    bool ring_dirty;
    uint32_t slots_log2;
    uint64_t views; /* messages of it */
    usec_t died_us; /* when a member last became one that is gone */

    /* call.c */
    struct pool calls;
    struct pool ghosts_pool;
    struct map ghost_by_number;
    struct list sends, stalled, cancels, ghosts;
    struct timer ghost_timer;
    uint64_t next_number;
    usec_t waiting_told_us; /* 0: never */
    bool refusal_told;

    /* inode.c */
    struct cells cells;
    struct inode *inodes; /* [0] is unused, [1] the root */
    uint32_t inode_limit, inode_fresh, inode_free, inode_count;
    struct map inode_by_name;
    struct list inode_lru;
    struct list drops;
    struct list inode_waiters;
    usec_t shrunk_us;
    uint32_t expire_cursor; /* 0: no sweep */

    /* folder.c, sheet.c */
    struct pool folders, listings, sheets;
    struct map folder_by_id, sheet_by_id;
    struct list folder_lru, sheet_lru;
    struct buddy *roots;

    /* block.c */
    struct pool objects, blocks, pieces;
    struct map object_by_id, block_by_id;
    struct list consumed, spent, cold, fresh; /* blocks: evicted in this order */
    struct list dead;                         /* pieces to give back */
    struct list room_waiters;                 /* requests that wait for budget */
    uint64_t held, reserved;
    uint64_t sheet_bytes; /* of held: pages */
    uint64_t ahead_open;  /* of reserved: asked for ahead */

    /* ahead.c */
    struct pool streams;
    struct map stream_by_id;
    struct list stream_lru;

    /* op.c, again.c, readdir.c */
    struct again *agains; /* requests_max of them */
    uint32_t again_next;
    struct pool ops;
    struct map op_by_id;
    struct list op_list, runnable, start_waiters;
    struct handle *handles; /* [0] is unused */
    uint32_t handle_limit;
    uint32_t handle_next;
    struct mount_dirent *dirents;
    uint32_t dirents_used;

    struct mount_totals totals;
};
