/* fs/core/mount.h: the brain of one mount as a pure machine: facts in, effects out (docs/mount.md).
 *
 * FUSE requests and messages of nodes come in as events; answers to FUSE, messages and kernel
 * notifications go out as effects. A node id of FUSE (`ino` of an inode) stands for one (path, pin);
 * st_ino is a hash of the path, so that it is stable. Received payloads are kept as the block cache
 * until RELEASE; `memory` bounds their sum together with what is asked for and not yet here.
 *
 * Spans and pointers in an effect hold until the next mount_step. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/marks.h"
#include "base/time.h"
#include "ring/ring.h"
#include "ring/view.h"
#include "wire/link.h"

#define MOUNT_EFFECTS_MAX 64
#define MOUNT_REPLY_PIECES 18 /* a READ of 1 MiB touches 17 chunks at most */
#define MOUNT_SEEDS_MAX 16
#define MOUNT_ROOT_INO 1

struct mount;

struct mount_options {
    char dataset[65];
    char prefix[1025]; /* below the dataset; "" or ends in "/" */
    char cluster[65];
    uint32_t slots_log2;
    uint8_t session[ID_SIZE]; /* random */
    uint64_t seed;
    struct span grants; /* of the client file; empty under --insecure; must outlive the mount */
    char name[65];      /* of this host, for people */
    uint64_t memory;    /* bytes of payload held or asked for */
    uint32_t inodes_max;
    uint32_t pages_max;    /* directory pages cached */
    uint32_t requests_max; /* FUSE requests in progress */
    bool hard;             /* wait for ever when all ranks are silent */
    usec_t timeo_us;       /* else that long */
    uint32_t uid, gid, file_mode, dir_mode;
    uint32_t read_max;  /* largest READ of the kernel; at most 1 MiB */
    uint32_t nodes_max; /* members known at a time; 0: 256 */
    usec_t start_us;    /* not ready after that long: MOUNT_READY with an error; 0: 10 s */
    struct marks *marks;
};

enum mount_event_kind {
    MOUNT_TICK,
    MOUNT_SEEDS, /* addresses to start from (resolved again when asked) */
    MOUNT_LINK_UP,
    MOUNT_LINK_DOWN,
    MOUNT_MESSAGE,
    MOUNT_RING,
    MOUNT_OP,         /* a FUSE request */
    MOUNT_INTERRUPT,  /* the kernel gave up waiting for a request */
    MOUNT_MORE_NODES, /* reserved for a cluster that grows: addresses changed */
};

enum mount_op_kind {
    OP_LOOKUP,      /* parent ino, name */
    OP_FORGET,      /* ino, count; no reply */
    OP_GETATTR,     /* ino */
    OP_OPEN,        /* ino */
    OP_READ,        /* handle (or ino with handle 0: opens need not be told), offset, size */
    OP_RELEASE,     /* handle */
    OP_OPENDIR,     /* ino */
    OP_READDIR,     /* handle, offset, size */
    OP_READDIRPLUS, /* handle, offset, size */
    OP_RELEASEDIR,  /* handle */
    OP_STATFS,
};

struct mount_op {
    uint64_t id; /* the shell's: names the request in REPLY_* */
    enum mount_op_kind kind;
    uint64_t ino;
    uint64_t handle;
    uint64_t offset;
    uint32_t size;
    uint64_t count; /* FORGET */
    struct span name;
};

struct mount_event {
    enum mount_event_kind kind;
    union {
        struct {
            const struct address *addresses; /* of control sockets */
            uint32_t count;
        } seeds;
        struct {
            struct link_id link;
            enum link_purpose purpose;
            struct address address; /* as CONNECT named it */
        } link_up;
        struct {
            struct link_id link;
        } link_down;
        struct {
            struct link_id link;
            struct span frame;
            struct payload payload; /* ours from now on: give it back by RELEASE */
        } message;
        struct {
            uint64_t id;
            const struct ring *ring;
        } ring;
        struct mount_op op;
        struct {
            uint64_t id;
        } interrupt;
    };
};

enum mount_effect_kind {
    MOUNT_SEND,
    MOUNT_RELEASE,
    MOUNT_CONNECT, /* open one link to an address */
    MOUNT_CLOSE,
    MOUNT_RING_BUILD,
    MOUNT_RING_DROP,
    MOUNT_RESOLVE,   /* resolve the seeds again, answer by MOUNT_SEEDS */
    MOUNT_REPLY_ERR, /* errno, or 0 for an empty success */
    MOUNT_REPLY_ENTRY,
    MOUNT_REPLY_ATTR,
    MOUNT_REPLY_OPEN, /* also OPENDIR */
    MOUNT_REPLY_DATA,
    MOUNT_REPLY_DIR, /* entries for READDIR and READDIRPLUS */
    MOUNT_REPLY_STATFS,
    MOUNT_DROP_ENTRY, /* kernel: forget this name under that parent */
    MOUNT_DROP_INODE, /* kernel: drop attributes and cached bytes of an inode */
    MOUNT_LOG,
    MOUNT_ABANDON, /* no need to go on trying to connect there (may be ignored) */
    MOUNT_READY,   /* once: requests are served; or an error: the mount cannot start */
};

struct mount_attr {
    uint64_t st_ino;
    uint64_t size;
    int64_t mtime_us;
    bool is_dir;
};

struct mount_entry {
    uint64_t ino; /* 0 in READDIRPLUS: no inode, the kernel must look it up */
    struct mount_attr attr;
    usec_t entry_us; /* the kernel may believe the name that long */
    usec_t attr_us;
};

struct mount_dirent {
    struct span name;
    uint64_t next; /* offset to continue after this entry */
    struct mount_entry entry;
};

#define MOUNT_DIRENTS_MAX 512 /* a 128 KiB READDIRPLUS reply holds about that many */

struct mount_effect {
    enum mount_effect_kind kind;
    union {
        struct {
            struct link_id link;
            struct span frame;
        } send;
        struct {
            uint64_t token;
        } release;
        struct {
            struct address address;
            enum link_purpose purpose;
        } connect;
        struct {
            struct link_id link;
        } close;
        struct {
            uint64_t id;
            struct span selector;
            const struct member *members;
            uint32_t count;
            uint32_t slots_log2;
            const struct ring *previous; /* to begin from, or NULL; may be dropped meanwhile */
        } ring_build;
        struct {
            const struct ring *ring;
        } ring_drop;
        struct {
            uint64_t id;
            int err; /* errno, positive */
        } reply_err;
        struct {
            uint64_t id;
            struct mount_entry entry; /* ino 0: a negative entry, to be believed entry_us */
        } reply_entry;
        struct {
            uint64_t id;
            struct mount_attr attr;
            usec_t attr_us;
        } reply_attr;
        struct {
            uint64_t id;
            uint64_t handle;
            bool keep_cache;
            bool cache_dir;
        } reply_open;
        struct {
            uint64_t id;
            struct span pieces[MOUNT_REPLY_PIECES]; /* sum may be less than asked at the end */
            uint32_t count;
        } reply_data;
        struct {
            uint64_t id;
            bool plus;
            const struct mount_dirent
                *entries;   /* the shell packs as many as fit `size` and tells */
            uint32_t count; /* none how many: offsets carry on by themselves */
            uint32_t size;
        } reply_dir;
        struct {
            uint64_t id;
            uint64_t bytes;
            uint64_t files;
        } reply_statfs;
        struct {
            uint64_t parent;
            struct span name;
            bool expire; /* not wrong, only old: look it up again at its next use */
        } drop_entry;
        struct {
            uint64_t ino;
        } drop_inode;
        struct {
            int level; /* enum log_level of node/core/node.h: 0 error .. 3 debug */
            struct span text;
        } log;
        struct {
            struct address address;
            enum link_purpose purpose;
        } abandon;
        struct {
            enum err err;
            struct span text; /* one line for a person when err is set */
        } ready;
    };
};

struct mount_effects {
    struct mount_effect items[MOUNT_EFFECTS_MAX];
    uint32_t count;
};

size_t mount_memory(const struct mount_options *options);
enum err mount_new(struct arena *mem, const struct mount_options *options, struct mount **out)
    MUST_USE;
void mount_step(struct mount *mount, struct now now, const struct mount_event *event,
                struct mount_effects *effects);
usec_t mount_deadline(const struct mount *mount);

struct mount_totals {
    uint64_t memory_used; /* held and asked for */
    uint64_t memory_size;
    uint64_t ops_open;
    uint64_t requests_open;
    uint64_t bytes_read;
    uint64_t failovers; /* questions that went to a next rank */
    uint64_t elsewhere; /* that an owner has sent to another node */
    uint64_t silences;  /* times a node was found silent */
    usec_t longest_stall_us;
    uint64_t ring_digest;
    uint64_t inodes;
    uint64_t bytes_received; /* payload */
    uint64_t bytes_corrupt;  /* of it, thrown away for a wrong checksum */
    uint64_t prefetch_bytes; /* asked for before anybody read there */
    bool ready;
};
void mount_totals(const struct mount *mount, struct mount_totals *out);
