/* node/origin/file.h: a directory as a store. Keys are paths below the root; nothing outside it is
 * ever opened (RESOLVE_BENEATH), symbolic links that stay inside it are followed, other kinds of
 * files are not shown. The pin is size, mtime and inode: a file changed in place has another one. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

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

/* For file_list.c: open `path` below a directory; -1 with errno. Size, mtime and pin. */
int file_open_beneath(int directory, const char *path, int flags);
void file_describe(const struct stat *st, struct file_version *out);

/* The directories read last, one for each depth, kept for the next page. All zero is empty. */
struct file_names;
struct file_lister {
    struct file_names **levels;
    size_t count;
};
void file_lister_fini(struct file_lister *lister);

struct file_page {
    const char *root;
    struct span prefix;       /* as in S3: keys that begin with it */
    struct span after;        /* keys behind it, as start-after; empty: from the start */
    struct span continuation; /* `next` of the page before; then `after` does not count */
    uint32_t limit;
    bool delimited; /* directories instead of what is in them */
};

/* One page as ListObjectsV2 would give it: entries in key order; `next` is the last key when more
 * follow. An empty directory is shown as an empty object "directory/", as stores do it. Keys over
 * 1,024 bytes are left out. A prefix that is no directory gives an empty page, a root that is none
 * ERR_SOURCE_NOT_FOUND. Give *out to listing_fini. One thread for each lister. */
enum err file_list(struct file_lister *lister, const struct file_page *page, struct listing *out,
                   struct text *why) MUST_USE;
