/* fs/point.h: the directory a mount appears at. */
#pragma once
#include <stdbool.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

/* Is `dir` (absolute) fit to be mounted on? A stale mount of Atoll there (its process is gone) is
 * unmounted first, and *recovered set. Refused with a line in `why`: missing, no directory, mounted
 * already, or not empty unless `nonempty`. Nothing is changed then. */
enum err point_check(const char *dir, bool nonempty, bool *recovered, struct text *why) MUST_USE;
/* Is "/dev/fd/N" an open /dev/fuse? Refused with a line in `why`. */
enum err point_check_descriptor(const char *dir, struct text *why) MUST_USE;
/* Let the kernel read further ahead than its 128 KiB; only root may: others keep the default. */
void point_read_ahead(const char *dir, unsigned kib);
