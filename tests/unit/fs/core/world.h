/* tests/unit/fs/core/world.h: a mount among up to three nodes that answer from tables, in virtual
 * time. Nodes can be silent, lose their links, be busy, lie in a checksum. Every step checks the
 * budget; everything asked and answered is recorded. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "fs/core/mount.h"
#include "wire/dataset.h"
#include "wire/message.h"

#define WORLD_NODES 3u
#define WORLD_FILES 4096u
#define WORLD_ASKS 20000u
#define WORLD_REPLIES 8192u
#define WORLD_ENTRIES 4096u
#define WORLD_FOR_EVER 3600000000u

struct world_file {
    char key[1025]; /* in the source */
    char pin[40];
    uint64_t size;
};

struct world_node {
    struct node_id id;
    bool silent;         /* gets and says nothing, connections stay */
    bool down;           /* connections are refused */
    bool pending;        /* answers nothing but PENDING, every 100 ms */
    usec_t lazy_us;      /* works that long, and says nothing meanwhile */
    uint32_t mute_after; /* silent after so many parts; 0: never */
    uint32_t busy;       /* so many GETs are answered BUSY */
    uint32_t lies;       /* so many parts have a wrong checksum */
    uint32_t stale;      /* so many GETs are answered DENIED */
    enum err fail;       /* every GET is answered so */
    uint32_t
        names; /* GETs that allow it are answered by the name of that node, less one; 0: none */
    bool names_stranger; /* ... or of one that nobody knows */
    enum err dir_fail;
    bool no_pages;    /* SHARD_GET: NOT_FOUND */
    bool slow;        /* DIR_GET with a name is answered by the entry alone */
    bool called_dead; /* in every view */
};

/* What the mount asked a node. */
struct world_ask {
    usec_t at_us;
    uint32_t node;
    enum message_kind kind;
    uint64_t request;
    uint64_t mode;
    uint64_t index, offset, length;
    uint64_t extent;
    uint64_t newer_than;
    bool elsewhere; /* it may be handed on */
    size_t silent;  /* ids listed */
    char key[1025]; /* or prefix + name */
    char pin[40];
};

struct world_entry {
    char name[256];
    uint64_t next;
    struct mount_entry entry;
};

/* What the mount answered one request. */
struct world_reply {
    bool done;
    usec_t at_us;
    enum mount_effect_kind kind;
    int err;
    struct mount_entry entry;
    struct mount_attr attr;
    uint64_t handle;
    bool keep_cache;
    uint8_t *data;
    uint32_t size;
    uint32_t pieces;
    struct world_entry *entries;
    uint32_t count;
    uint64_t bytes, files;
};

struct world_event;
struct world_payload;

struct world {
    struct mount *mount;
    struct mount_options options;
    struct dataset dataset;
    struct marks marks;
    usec_t now_us;
    usec_t stopped_us; /* the mount does not run until then */
    struct world_node nodes[WORLD_NODES];
    uint32_t node_count;
    struct world_file *files;
    uint32_t file_count;
    uint64_t generation;
    uint64_t fresh_us; /* of listings */
    uint32_t part_size;
    usec_t latency_us;
    uint64_t capability; /* what nodes hand out and take: its number */
    uint64_t capability_us;
    uint32_t capabilities; /* DATASET_GETs answered */
    enum err dataset_err;
    bool dataset_silent; /* nodes do not answer when asked for it */
    enum err hello_err;
    bool ready;
    enum err ready_err;
    char ready_text[256];
    struct world_ask *asks;
    uint32_t ask_count;
    struct world_reply *replies;
    uint64_t next_op;
    struct mount_effect drops[256];
    char drop_names[256][256];
    uint32_t drop_count;
    uint64_t payload_bytes; /* held by the mount */
    uint64_t payload_most;
    uint32_t steps;
    char log[16384]; /* a line each */
    size_t log_size;
    /* inside */
    struct world_event *events;
    struct world_payload *held;
    uint32_t event_count;
    uint64_t next_link, next_token, next_order;
    struct {
        uint64_t link;
        uint32_t node;
        enum link_purpose purpose;
    } links[256];
    uint32_t link_count;
    void *memory;
    void *ring_memory[64];
    uint32_t rings;
};

/* Options and dataset may be changed between make and begin. */
struct world *world_make(uint32_t nodes);
/* Runs until the mount is ready. */
void world_begin(struct world *w);
void world_free(struct world *w);
void world_file(struct world *w, const char *key, uint64_t size, const char *pin);
/* The byte of a version of a file at an offset. */
uint8_t world_byte(const char *key, const char *pin, uint64_t offset);

/* Time passes. */
void world_run(struct world *w, usec_t for_us);
/* Until the request is answered; at most `for_us`. */
const struct world_reply *world_wait(struct world *w, uint64_t op, usec_t for_us);
uint64_t world_op(struct world *w, struct mount_op op);
void world_interrupt(struct world *w, uint64_t op);
/* All links of the node go down, and cannot be opened again until `down` is false. */
void world_cut(struct world *w, uint32_t node);

/* The mount is told to forget; there is no answer. */
void world_forget(struct world *w, uint64_t ino, uint64_t count);
/* A frame arrives out of nowhere, over the i-th open link, with so many bytes of payload. */
void world_inject(struct world *w, uint32_t link, struct span frame, uint32_t payload);

/* Three nodes, and "big": 8 MiB, "v1". */
struct world *world_with_file(void);
/* The same with all links up; the inode of the file. */
struct world *world_settled(uint64_t *ino);
/* 4 KiB of it are asked for; they must be right. */
uint64_t world_start_read(struct world *w, uint64_t ino, uint64_t offset);
void world_check_read(const struct world_reply *reply, uint64_t offset);

/* Shorthands that wait for the answer. */
const struct world_reply *world_lookup(struct world *w, uint64_t parent, const char *name);
uint64_t world_ino(struct world *w, const char *path);
const struct world_reply *world_read(struct world *w, uint64_t ino, uint64_t offset, uint32_t size);
uint64_t world_opendir(struct world *w, uint64_t ino);
const struct world_reply *world_readdir(struct world *w, uint64_t handle, uint64_t offset,
                                        uint32_t size);
/* Are the bytes those of this version? */
bool world_is(const struct world_reply *reply, const char *key, const char *pin, uint64_t offset);

uint32_t world_count(const struct world *w, enum message_kind kind);
/* The i-th question of that kind; NULL: there are not so many. */
const struct world_ask *world_ask(const struct world *w, enum message_kind kind, uint32_t i);
/* The first rank of this place. */
uint32_t world_rank(const struct world *w, struct place place, uint32_t rank);
/* Of a block of a file in the root of the source. */
uint32_t world_block_rank(const struct world *w, const char *key, uint32_t index, uint32_t rank);
struct mount_totals world_totals(const struct world *w);
