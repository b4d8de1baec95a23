/* node/origin/file.h: a directory as a store. Keys are paths below the root; nothing outside it is
 * ever opened (RESOLVE_BENEATH), symbolic links that stay inside it are followed, other kinds of
 * files are not shown. The pin is size, mtime and inode: a file changed in place has another one. */
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/origin/listing.h"

#define FILE_PIN_MAX 80

/* An open version of a file. */
struct file_version {
    int fd;
    uint64_t size;
    usec_t mtime_us;
    char pin[FILE_PIN_MAX];
};

/* Open the file `key` below `root`. An empty pin takes any version. ERR_SOURCE_NOT_FOUND: not
 * there, or not a regular file; ERR_CHANGED: there with another pin, or gone while a pin was
 * given; ERR_SOURCE_DENIED. `why` gets a line. */
enum err file_open(const char *root, struct span key, struct span pin, struct file_version *out,
                   struct text *why) MUST_USE;
/* Read exactly `size` bytes. ERR_CHANGED: the file became another one meanwhile. */
enum err file_read(const struct file_version *file, uint64_t offset, uint8_t *data, uint64_t size)
    MUST_USE;
void file_close(struct file_version *file);

/* The directory listed last, kept between its pages. All zero is empty. One thread. */
struct file_lister {
    char *directory; /* root + prefix */
    char **names;    /* sorted as keys: a directory's with "/" at its end */
    size_t count;
};
void file_lister_fini(struct file_lister *lister);

struct file_page {
    const char *root;
    struct span prefix; /* "" or ends in "/" */
    struct span after;  /* key: entries behind it; empty: from the start */
    uint32_t limit;
};

/* One page as ListObjectsV2 with delimiter "/" would give it: entries in key order; `next` is the
 * last key when more follow. A prefix that is no directory gives an empty page, a root that is none
 * ERR_SOURCE_NOT_FOUND. Give *out to listing_fini. */
enum err file_list(struct file_lister *lister, const struct file_page *page, struct listing *out,
                   struct text *why) MUST_USE;
