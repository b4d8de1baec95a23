/* node/core/dirbuild.h: one directory while it is listed: names sorted, then cut into pages.
 *
 * A source lists keys in byte order, and a common prefix ends in "/": "a-/" comes before "a/", so a
 * directory can arrive after names that sort behind it. Entries are held until the listing is well
 * past them and then cut off the front in pages. A directory that arrives after its page was cut is
 * LATE: it is a proper prefix of a page's first name, so there are few; an edit puts it in.
 *
 * Pages keep the fences of the generation before (`old`), which only split: an entry that did not
 * change is found in exactly one old page and keeps its place. The bytes are the caller's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "node/core/node.h"
#include "wire/dir.h"

#define LISTED_KEY_MAX 1024u
#define DIRBUILD_ADOPTED_MAX 8u

/* An entry that was handed out before the listing got there: the snapshot takes its place over. */
struct dirbuild_adopted {
    uint8_t name[ENTRY_NAME_MAX];
    uint8_t pin[PIN_MAX];
    uint32_t name_size;
    uint32_t pin_size;
    uint64_t size;
    struct place place;
};

struct dirbuild {
    struct dir_id dir;
    uint64_t generation;
    struct root old; /* when has_old; its bytes outlive the build */
    bool has_old;
    bool cut_any;
    bool cut_last;
    uint32_t segment; /* of old: the one being filled */
    uint8_t *memory;  /* entries from the front, their order from the back */
    size_t size;
    size_t used;
    uint32_t count;
    uint8_t lower[ENTRY_NAME_MAX]; /* fence of the next page */
    uint32_t lower_size;
    uint64_t files;
    uint64_t directories;
    uint64_t bytes;
    uint64_t hidden;
    uint64_t digest;
    bool marker; /* an object of the directory's own name exists */
    struct dirbuild_adopted adopted[DIRBUILD_ADOPTED_MAX];
    uint32_t adopted_count;
};

/* `old` may be NULL. Until dirbuild_give no entry fits. */
void dirbuild_init(struct dirbuild *build, struct dir_id dir, uint64_t generation,
                   const struct root *old);
/* Bytes of memory in which all that is held and these would fit. */
size_t dirbuild_need(const struct dirbuild *build, const struct listed *entries, uint32_t count);
/* Do they fit in the memory it has? */
bool dirbuild_fits(const struct dirbuild *build, const struct listed *entries, uint32_t count);
/* Move into other memory of at least dirbuild_need bytes; the earlier memory is free then. */
void dirbuild_give(struct dirbuild *build, uint8_t *memory, size_t size);
/* Keep a place that was handed out; false: no room for more. */
bool dirbuild_adopt(struct dirbuild *build, const struct entry *entry);

/* What a listed key is below `prefix`. */
enum dirbuild_kind {
    DIRBUILD_SHOWN,  /* *out is set; its spans point into the key and pin */
    DIRBUILD_MARKER, /* the directory itself */
    DIRBUILD_HIDDEN, /* no POSIX name, or a key or pin over its limit */
};
enum dirbuild_kind dirbuild_classify(struct span prefix, const struct listed *listed,
                                     struct entry *out);

enum dirbuild_put {
    DIRBUILD_PUT,
    DIRBUILD_LATE,     /* a directory whose page is cut: keep the name for an edit */
    DIRBUILD_DISORDER, /* a file whose page is cut: the source does not list in order */
};
/* A directory replaces a file of its name, a second entry of one name is ignored. It must fit
 * (CHECK). */
enum dirbuild_put dirbuild_put(struct dirbuild *build, const struct entry *entry);

/* The next page. Spans hold until the next put, give or write. */
struct dirbuild_cut {
    uint32_t take;
    size_t size_max; /* bytes the page has at most */
    struct span lower;
    struct span upper;
};
/* false: nothing can be cut yet (`last`: the listing is over and all is cut). */
bool dirbuild_next(struct dirbuild *build, bool last, struct dirbuild_cut *out);
/* Write the page of dirbuild_next and let go of its entries; returns its size. */
size_t dirbuild_write(struct dirbuild *build, const struct dirbuild_cut *cut, uint8_t *buffer,
                      size_t room);

/* ---- pages that exist --------------------------------------------------------------------- */

/* The writer of a page keeps room for the longest fence. */
#define DIRBUILD_PAGE_SLACK 512u

/* Copy `page` with the places that `old` gives its unchanged entries; `room` is at least the size
 * of `page` and DIRBUILD_PAGE_SLACK. Returns the size; *same: old has exactly these entries between these fences. */
size_t dirbuild_join(const struct page *page, const struct page *old, uint8_t *buffer, size_t room,
                     bool *same);

/* A page again, with directories put in. */
struct dirbuild_edit {
    const struct page *page;
    const struct span *names; /* ascending, distinct, between the page's fences */
    uint32_t name_count;
    uint64_t generation; /* of the pages to be written */
};
/* What an edit changes in the sums of the build. */
struct dirbuild_sums {
    uint64_t added;    /* directories */
    uint64_t replaced; /* files */
    uint64_t replaced_bytes;
    uint64_t digest; /* to be added */
};
/* Entries of the result; over PAGE_ENTRIES_MAX it goes into two pages. */
uint32_t dirbuild_edit_count(const struct dirbuild_edit *edit, struct dirbuild_sums *sums);
/* Bytes that one page of the result has at most. */
size_t dirbuild_edit_size(const struct dirbuild_edit *edit);
/* Write entries first .. first + count of the result; returns the size of the page. */
struct dirbuild_part {
    uint32_t first;
    uint32_t count;
};
size_t dirbuild_edit_write(const struct dirbuild_edit *edit, struct dirbuild_part part,
                           uint8_t *buffer, size_t room);

/* Sum it over all entries: the digest of a root. */
uint64_t dirbuild_digest(const struct entry *entry);
