/* fs/core/blocks.h: bytes of files, and which of them are asked for: block.c, evict.c, ahead.c. */
#pragma once
#include "base/crc.h"
#include "base/list.h"
#include "base/map.h"
#include "fs/core/cell.h"
#include "fs/core/limits.h"
#include "fs/core/mount.h"
#include "wire/message.h"

struct mount;
struct call;
struct op;
struct block;
struct inode;
struct folder;
struct sheet;
struct peer;
struct listing;

/* ---- block.c: objects, blocks, received pieces, and the budget ------------------------------ */

/* One version of one file, as blocks need it; lives as long as it has blocks. */
struct object {
    struct map_node by_id;
    struct object_id id;
    struct dir_id dir;
    uint64_t listed; /* generation that showed it */
    struct source_id source;
    struct cell_ref key;
    struct cell_ref pin;
    uint64_t size;
    struct place place; /* of a small file */
    uint32_t holders;   /* its blocks, and whoever uses it just now */
};

struct piece {
    struct list link; /* of its block by offset, then m->dead */
    uint32_t offset;
    uint32_t size;
    uint32_t given; /* bytes handed to the kernel */
    const uint8_t *data;
    uint64_t token;
};

struct block {
    struct map_node by_id;
    struct list lru;
    struct list pieces;
    struct list waiters; /* struct op_wait */
    struct object *object;
    uint32_t index;
    uint32_t size;
    uint32_t pins;  /* requests that read from it */
    uint32_t calls; /* that fill it */
    uint64_t given; /* bytes handed to the kernel */
    bool ahead;     /* some of it was asked for ahead of a reader */
    usec_t used_us;
    uint64_t have[BLOCK_WORDS];  /* chunks that are here */
    uint64_t asked[BLOCK_WORDS]; /* chunks that a call brings */
};

/* Where a file's bytes are: what block_object makes an object of. */
struct block_source {
    struct object_id id;
    struct dir_id dir;
    uint64_t listed;
    uint32_t row;
    struct span key;
    struct span pin;
    uint64_t size;
    struct place place;
};

/* A range of chunks of a block, [first, end). */
struct chunks {
    uint32_t first;
    uint32_t end;
};

/* Cells that keys and pins take. */
uint32_t block_cells(const struct mount_options *options);
size_t block_memory(const struct mount_options *options);
enum err block_init(struct mount *m, struct arena *mem) MUST_USE;
struct object *block_object_find(const struct mount *m, struct object_id id);
/* Found or made, and held until block_object_drop; NULL: no room. */
struct object *block_object(struct mount *m, const struct block_source *source);
void block_object_drop(struct mount *m, struct object *object);
struct block *block_find(const struct mount *m, const struct object *object, uint32_t index);
/* Found or made, the object held by the caller; NULL: no room. */
struct block *block_get(struct mount *m, struct object *object, uint32_t index);
/* Nothing holds it, nothing fills it. */
void block_free(struct mount *m, struct block *block);
/* Frees it when nothing holds it. */
void block_finish(struct mount *m, struct block *block);
bool block_has(const struct block *block, struct chunks range);
/* The first run within `range` that is neither here nor asked for; false: there is none. */
bool block_missing(const struct block *block, struct chunks range, struct chunks *out);
uint32_t block_chunk_bytes(const struct block *block, struct chunks range);
/* Make room for `bytes` more, by eviction; `ahead` takes nothing that is still to be read and leaves
 * an eighth of the budget alone. */
bool block_room(struct mount *m, uint64_t bytes, bool ahead);
/* Ask for chunks that block_missing named. false: no call, or no room. The caller has pinned the
 * block, or settles it afterwards. */
bool block_ask(struct mount *m, struct block *block, struct chunks range, bool extent, bool ahead);
bool block_on_data(struct mount *m, struct call *call, const struct message_data *answer,
                   struct payload payload);
void block_failed(struct mount *m, struct call *call, enum err err);
void block_encode(struct mount *m, struct call *call, struct message_get *out);
enum narrow { NARROW_ASK, NARROW_DONE, NARROW_FULL };
/* Before a call is sent (again): only what is still missing, reserved. DONE: all of it is here, and
 * the call is no more. FULL: there is no room for it now. */
enum narrow block_narrow(struct mount *m, struct call *call);
/* The call's reservation is its caller's from now on. */
uint32_t block_unreserve(struct mount *m, struct call *call);
/* These chunks are not here any more. */
void block_lose(struct block *block, struct chunks range);
/* Up to `size` bytes from `offset` in one piece of memory; they are here. */
struct span block_bytes(const struct block *block, uint32_t offset, uint32_t size);
/* Bytes [from, to) of it are with the kernel now. */
void block_given(struct mount *m, struct block *block, uint32_t from, uint32_t to);
/* A received payload that is kept: counted until block_piece_free. NULL: no room in the table. */
struct piece *block_piece(struct mount *m, struct payload payload);
void block_piece_free(struct mount *m, struct piece *piece);
void block_release_pump(struct mount *m);
/* An eviction or an answer made room: whoever waits for it tries again. */
void block_room_changed(struct mount *m);

/* ---- evict.c: what goes when there is no room ------------------------------------------------ */

/* The list on which the block is to wait, NULL: on none. It is not pinned. */
struct list *evict_list(struct mount *m, const struct block *block);
/* One block, or a part of one, or one page, goes; false: there is none. `ahead`: nothing that is
 * wanted more than a guess. */
bool evict_one(struct mount *m, bool ahead);
/* What the kernel has had whole for a while goes. */
void evict_consumed(struct mount *m);

/* ---- ahead.c: what will be read next --------------------------------------------------------- */

struct stream {
    struct map_node by_id;
    struct list lru;
    struct object_id id;
    uint64_t next;   /* end of the last read */
    uint64_t ahead;  /* asked for up to here */
    uint32_t window; /* 0: not sequential so far */
    usec_t used_us;
};

/* What a read tells about the reads to come. */
struct hint {
    uint64_t target; /* worth asking for up to here */
    bool extent;     /* the neighbours in the extent will be wanted */
    struct stream *stream;
};

size_t ahead_memory(const struct mount_options *options);
enum err ahead_init(struct mount *m, struct arena *mem) MUST_USE;
/* A large file is read from `offset` to `end`. */
void ahead_note(struct mount *m, const struct object *object, struct hint *out, uint64_t offset,
                uint64_t end);
/* Ask for what lies ahead of the stream. */
void ahead_stream(struct mount *m, struct object *object, const struct hint *hint);
/* A small file is read: perhaps those behind it in its directory are next. true: they are. */
bool ahead_neighbours(struct mount *m, struct inode *inode);
