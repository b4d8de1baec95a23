/* node/io/disk_files.h: the files of one tier: marker, lock, segments, and open descriptors.
 * Any thread; for disk_actor.c alone. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

struct disk_files;

/* Make or check the marker and take the lock. See disk_actor_start. */
enum err disk_files_open(const char *dir, uint64_t quota, const char *expected_uuid,
                         struct disk_files **out, struct text *why) MUST_USE;
void disk_files_close(struct disk_files **files);
/* When the marker was made by disk_files_open, closing removes it again. */
void disk_files_abandon(struct disk_files *files);
const char *disk_files_uuid(const struct disk_files *files);

/* Numbers of the segments that are there, sorted; the caller frees. */
enum err disk_files_list(struct disk_files *files, uint32_t **out, uint32_t *count) MUST_USE;
/* A descriptor of a segment, until disk_files_give. `create`: make it when it is not there. -1 with
 * errno. */
int disk_files_take(struct disk_files *files, uint32_t segment, bool create);
void disk_files_give(struct disk_files *files, uint32_t segment);
void disk_files_unlink(struct disk_files *files, uint32_t segment);
