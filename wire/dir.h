/* wire/dir.h: directory metadata as it is stored and sent: entries, pages and roots (DESIGN 8).
 *
 * A page is the payload of one shard: entries sorted by name, found by binary search in the bytes
 * as they arrived. A root names a directory's pages of one generation. All is little endian, ends
 * in a CRC-64 of what precedes it, and has a format version: ERR_VERSION for a newer one. Headers,
 * entries and shards tell their size, so that fields added later are skipped. Opening validates
 * every bound once; what is opened points into the caller's bytes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/next.h"

#define ENTRY_NAME_MAX 255
#define DIR_PREFIX_MAX 1024u
#define PIN_MAX 256
#define SMALL_FILE_MAX (1u << 20) /* up to here a file lives in the run of its page */
#define PAGE_ENTRIES_MAX 1024u
#define PAGE_SMALL_BYTES_MAX (16u << 20) /* sum of the sizes of its small files: an extent */

#define ENTRY_SIZE_MAX (30 + ENTRY_NAME_MAX + PIN_MAX + NEXT_BYTES)
/* The largest page this version writes; one over PAGE_SIZE_LIMIT is refused unread. */
#define PAGE_SIZE_MAX \
    (52 + NEXT_BYTES + 2 * ENTRY_NAME_MAX + PAGE_ENTRIES_MAX * (ENTRY_SIZE_MAX + 4))
#define PAGE_SIZE_LIMIT (1u << 20)
#define ROOT_SIZE_MAX (1u << 20) /* as in DIR_ROOT: some 16 million entries */

/* ---- entries ----------------------------------------------------------------------------- */

enum entry_type { ENTRY_FILE = 1, ENTRY_DIR = 2 };

struct entry {
    struct span name; /* entry_name_is_valid */
    uint8_t type;     /* enum entry_type */
    uint64_t size;    /* at most INT64_MAX */
    int64_t mtime_us;
    struct span pin;
    struct place place; /* of a file up to SMALL_FILE_MAX: of its run; 0 for all others */
};

/* What a POSIX directory can show: 1 to ENTRY_NAME_MAX bytes, no "/", no zero, not "." or "..". */
bool entry_name_is_valid(struct span name);
/* Does it obey what is said above? An entry that does not is refused by decoders, and a bug (CHECK)
 * when it is encoded. */
bool entry_is_valid(const struct entry *entry);
/* ERR_FULL: does not fit `room`. */
enum err entry_encode(const struct entry *entry, uint8_t *buffer, size_t room, size_t *used)
    MUST_USE;
/* One entry that fills all of `bytes`. */
enum err entry_decode(struct span bytes, struct entry *out) MUST_USE;

/* ---- pages ------------------------------------------------------------------------------- */

/* Fields are the writer's own. The buffer is the caller's until page_writer_end. */
struct page_writer {
    uint8_t *buffer;
    size_t room;
    size_t used;
    size_t last_at; /* of the last entry */
    uint32_t count;
    uint64_t small_bytes;
    struct span lower;
};

struct page_start {
    struct dir_id dir;
    uint64_t generation;
    struct span lower; /* fence: at most ENTRY_NAME_MAX bytes; names are at or after it */
};

/* ERR_FULL: not even an empty page fits. */
enum err page_writer_init(struct page_writer *writer, uint8_t *buffer, size_t room,
                          const struct page_start *start) MUST_USE;
/* Names must ascend (CHECK). ERR_FULL: the buffer, PAGE_ENTRIES_MAX or PAGE_SMALL_BYTES_MAX; the
 * page stays as it was and can be ended. */
enum err page_writer_add(struct page_writer *writer, const struct entry *entry) MUST_USE;
/* `upper` is the fence no name reaches (CHECK); empty: the page goes to the end. Returns the size
 * of the page, which begins where the buffer does. */
size_t page_writer_end(struct page_writer *writer, struct span upper);

/* Fields may be read. */
struct page {
    struct span bytes; /* the whole page */
    struct dir_id dir;
    uint64_t generation;
    struct span lower;
    struct span upper;
    uint32_t count;
    uint64_t small_bytes;
    uint64_t crc; /* the page's last 8 bytes; SHARD, SHARD_OFFER and roots repeat it */
    const uint8_t *offsets;
};

/* ERR_MALFORMED, ERR_CORRUPT (checksum), ERR_VERSION. `bytes` must outlive *out. */
enum err page_open(struct span bytes, struct page *out) MUST_USE;
uint32_t page_count(const struct page *page);
/* index < page_count. */
void page_entry(const struct page *page, uint32_t index, struct entry *out);
bool page_find(const struct page *page, struct span name, struct entry *out);
/* Index of the first entry at or after `name`; page_count when there is none. */
uint32_t page_lower_bound(const struct page *page, struct span name);
/* Is `name` between this page's fences? */
bool page_covers(const struct page *page, struct span name);

/* ---- roots ------------------------------------------------------------------------------- */

/* Shards ascend by their lower fence; the first one's is empty. A directory without entries may
 * have none. */
struct root_shard {
    struct span lower;
    struct place place; /* of the page: place_of_shard of the fence it had when first written */
    uint32_t entries;
    uint32_t page_bytes;
    uint64_t page_crc;
};

struct root_head {
    struct dir_id dir;
    uint64_t generation;
    int64_t listed_wall_us;
    uint64_t files; /* files + directories = entries of all shards */
    uint64_t directories;
    uint64_t bytes;
    uint64_t hidden; /* keys that no name can show */
    uint64_t digest; /* of the entries: the same after a refresh that found no change */
};

/* Fields are the writer's own. */
struct root_writer {
    uint8_t *buffer;
    size_t room;
    size_t used;
    size_t head_size;
    size_t last_at;
    uint32_t count;
    uint64_t entries;
};

/* `prefix` of the directory's keys: at most DIR_PREFIX_MAX bytes (CHECK); copied. ERR_FULL: not even
 * a root without shards fits. */
enum err root_writer_init(struct root_writer *writer, uint8_t *buffer, size_t room,
                          struct span prefix) MUST_USE;
/* Fences must ascend from the empty one (CHECK). ERR_FULL: the buffer, or ROOT_SIZE_MAX. */
enum err root_writer_add(struct root_writer *writer, const struct root_shard *shard) MUST_USE;
/* CHECKs that files + directories is what the shards hold. Returns the size of the root. */
size_t root_writer_end(struct root_writer *writer, const struct root_head *head);

/* Fields may be read. */
struct root {
    struct root_head head;
    struct span prefix; /* empty: none, or not said. Believe it where it makes head.dir. */
    struct span bytes;
    uint32_t shards;
    uint64_t crc;
    const uint8_t *offsets;
};

/* As page_open. */
enum err root_open(struct span bytes, struct root *out) MUST_USE;
/* index < root->shards. */
void root_shard(const struct root *root, uint32_t index, struct root_shard *out);
/* Index of the shard that covers `name`; false when there are no shards. */
bool root_shard_for(const struct root *root, struct span name, uint32_t *index);
