/* fs/reply.h: REPLY_* effects as answers of libfuse. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "fs/core/mount.h"
#include "fs/kernel.h"

struct fuse_req;

/* The request that the effect answers. */
uint64_t reply_number(const struct mount_effect *effect);
/* Answer it. true: as kernel_reply. */
bool reply_send(const struct kernel_options *options, struct fuse_req *request,
                const struct mount_effect *effect) MUST_USE;
