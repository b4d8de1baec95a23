/* fs/kernel.h: the FUSE session: requests of the kernel in, replies out.
 *
 * Threads: "fuse" xN, which read requests and push them, and whoever replies (the peer thread).
 * Each request has a number while it is open; a reply to a number that is not open is a bug. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "fs/core/mount.h"
#include "node/io/queue.h"

struct kernel;

enum kernel_item_kind {
    KERNEL_OP,
    KERNEL_INTERRUPT,
    KERNEL_OTHER, /* not of a fuse thread: the owner of the queue put it there for itself */
};

/* What a fuse thread pushes. The taker frees it by kernel_item_free. */
struct kernel_item {
    struct queue_item queue;
    enum kernel_item_kind kind;
    struct mount_op op; /* its name points behind the item */
    uint64_t interrupted;
};

struct kernel_options {
    const char *dir;
    const char *name; /* shown as the mounted device, and what mount(8) compares with fstab */
    bool allow_other;
    bool noexec;
    uint32_t uid, gid, file_mode, dir_mode;
    uint32_t threads;
    uint32_t read_max;
    struct queue *out;
    int ended_fd; /* an eventfd that is written when the session ended by itself (unmounted) */
};

/* Mounts. ERR_SYSTEM with a line in `why`. */
enum err kernel_mount(const struct kernel_options *options, struct kernel **out, struct text *why)
    MUST_USE;
/* Starts the threads; from now on requests are pushed. */
enum err kernel_run(struct kernel *kernel) MUST_USE;
/* Stops the threads; requests go on being open. Then nothing is pushed any more. */
void kernel_quiesce(struct kernel *kernel);
/* Unmounts (lazily), fails what is open, frees. After kernel_quiesce, on any thread. */
void kernel_stop(struct kernel **kernel);
void kernel_item_free(struct kernel_item *item);

/* Carry out a REPLY_* effect. true, for REPLY_ENTRY and REPLY_DIR with plus: the kernel did not
 * take the answer, so what it named must be forgotten again by the caller. */
bool kernel_reply(struct kernel *kernel, const struct mount_effect *effect) MUST_USE;
/* Notifications; they can block until the kernel has let go: not for the peer thread. */
void kernel_drop_entry(struct kernel *kernel, uint64_t parent, const char *name, bool expire);
void kernel_drop_inode(struct kernel *kernel, uint64_t ino);
