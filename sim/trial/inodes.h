/* sim/trial/inodes.h: a number of an inode stands for one version of one path, for ever (docs/posix.md). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct inodes; /* what one life of a mount has told its kernel */

struct inodes *inodes_new(void);
void inodes_free(struct inodes **inodes);
/* false: that number was told for something else before. `version` is 0 for a directory. */
bool inodes_tell(struct inodes *inodes, uint64_t ino, struct span path, uint64_t version);
