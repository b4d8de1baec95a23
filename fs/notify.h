/* fs/notify.h: tells the kernel to forget names and inodes.
 *
 * Thread: "notify", one: such a call waits while the kernel holds the directory, which can be for a
 * request that the peer thread has yet to answer. Takes: notifications. Gives: nothing. */
#pragma once
#include "base/check.h"
#include "base/err.h"
#include "fs/core/mount.h"
#include "fs/kernel.h"

struct notify;

enum err notify_start(struct kernel *kernel, struct notify **out) MUST_USE;
/* Joins; what is still waiting is dropped. Before kernel_stop, with the session still mounted or
 * already gone. */
void notify_stop(struct notify **notify);
/* A DROP_ENTRY or DROP_INODE effect; copied. Without memory it is left out: timeouts end it. */
void notify_push(struct notify *notify, const struct mount_effect *effect);
