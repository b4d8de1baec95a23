/* sim/trial/reader_inside.h: what reader.c (the steps of a job) and reader_jobs.c (which job is
 * next) share. Nobody else includes it. */
#pragma once
#include "sim/trial/reader.h"
#include "sim/trial/tree.h"

#define READS_MAX 4u /* of one file at a time, as a kernel reads ahead */
#define READ_SIZE 131072u
#define DEPTH_MAX 12u
#define LIST_BYTES 32768u
#define PAUSE_US MSEC(250)     /* at most, between two files; a listing is followed by eight such */
#define OUTDATED_US SEC(1)     /* a listing begins that much before what it shows, at most */
#define SOURCE_BACK_US SEC(30) /* after trouble with the source all listings are as usual again */
#define TOGETHER_US MSEC(700)  /* one file after the other, for all */
#define AGAIN_MAX 20u          /* times a file may change under the reader */
#define KEPT_MAX 256u          /* inodes that the kernel goes on knowing */

enum phase {
    PHASE_IDLE,
    PHASE_WALK,    /* LOOKUP of one component */
    PHASE_GETATTR, /* of what was found */
    PHASE_OPEN,
    PHASE_READ,
    PHASE_RELEASE,
    PHASE_OPENDIR,
    PHASE_READDIR,
    PHASE_RELEASEDIR,
};

enum job { JOB_FILE, JOB_PIECES, JOB_LIST, JOB_ABSENT };

struct pending {
    uint64_t id; /* 0: free */
    uint64_t offset;
    uint32_t size;
    usec_t since_us;
};

struct reader {
    struct trial *trial;
    struct host_mount *mount;
    uint32_t number;
    struct rng rng;
    struct happening next; /* a job, after a pause */
    bool running;
    bool held_back;
    bool done;
    enum reader_pattern pattern;
    uint32_t *order; /* of files, shuffled or not */
    uint32_t order_count;
    uint32_t order_at;
    uint64_t next_id;
    struct reader_totals totals;

    /* the job */
    enum phase phase;
    enum job job;
    char path[1200];              /* in the dataset */
    const char *rest;             /* of it, to be walked */
    struct source_object *object; /* NULL: a directory, or nothing */
    int version;
    uint32_t again;
    uint64_t handle;
    uint64_t offset; /* to be read next */
    uint64_t end;
    uint32_t pieces;
    uint32_t window;
    bool failed_stale;
    uint64_t walked[DEPTH_MAX]; /* inodes looked up, to be forgotten */
    uint32_t walked_count;
    uint32_t keeps;          /* inodes that are forgotten late: none, or KEPT_MAX */
    uint64_t kept[KEPT_MAX]; /* a ring of them */
    uint32_t kept_at;
    uint64_t dir_offset;
    struct tree_seen seen;
    struct pending pending[READS_MAX];
};

/* The world it lives in. */
static inline struct world *world_of(const struct reader *r)
{
    return r->trial->world;
}

/* Does that entry, of the name or path told, keep the meaning of its inode? */
bool reader_knows(const struct reader *r, const struct mount_entry *entry, struct span name);
/* Choose the next file, or directory, in the reader's order. */
void reader_pick_file(struct reader *r);
void reader_pick_directory(struct reader *r);
/* Which files, in which order. */
void reader_make_order(struct reader *r);
