/* wire/dataset.h: a dataset's record, as it is stored, gossiped by digest and pulled.
 *
 * Last writer wins by (version, writer). A deleted record stays as a tombstone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/text.h"
#include "base/time.h"

#define DATASET_NAME_MAX 64 /* [a-z0-9][a-z0-9._-]* */
#define DATASET_NAME_RULE \
    "a dataset's name is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit"
#define DATASET_ROWS_MAX 8
#define DATASET_RECORD_MAX 8192

enum metadata_policy {
    METADATA_ONCE = 0,   /* a listing is believed until a refresh */
    METADATA_TTL = 1,    /* ... for ttl_us */
    METADATA_ALWAYS = 2, /* checked on every open of a directory */
};

/* One row: what is below `path` of the dataset ("" is its root) is below `prefix` of the source. */
struct dataset_row {
    char path[256];
    char uri[512];     /* of the whole source: scheme://bucket, or file:///root/ */
    char prefix[1025]; /* key prefix in the source; "" or ends in "/" */
    char endpoint[256];
    char region[64];
    char credential[65];
    struct source_id source;
};

struct dataset {
    char name[DATASET_NAME_MAX + 1];
    struct dataset_row rows[DATASET_ROWS_MAX];
    uint32_t row_count;
    uint32_t block_size;
    char selector[129];
    enum metadata_policy policy;
    usec_t ttl_us;
    uint64_t refreshed; /* bumped by `refresh`: listings of an older number are stale */
    uint64_t version;   /* hybrid logical clock: wall microseconds, never backwards */
    struct node_id writer;
    bool deleted;
};

/* By DATASET_NAME_RULE. */
bool dataset_is_name(const char *name);
/* NULL when it is fine, else a line for a person that says what is wrong and what to do. */
const char *dataset_fault(const struct dataset *dataset);
/* ERR_FULL: does not fit DATASET_RECORD_MAX. */
enum err dataset_encode(const struct dataset *dataset, uint8_t *buffer, size_t room, size_t *used)
    MUST_USE;
/* ERR_VERSION: written by a newer Atoll. ERR_MALFORMED also when dataset_fault finds something. */
enum err dataset_decode(struct span record, struct dataset *out) MUST_USE;
/* As dataset_decode for what a person wrote: dataset_fault then tells what is wrong with it. */
enum err dataset_decode_draft(struct span record, struct dataset *out) MUST_USE;
/* Which of two records of one name stays: true when `b` replaces `a`. */
bool dataset_supersedes(const struct dataset *b, const struct dataset *a);
/* The row that shows `path` (longest match; NULL: none). `path` is relative, without a slash at
 * its ends. */
const struct dataset_row *dataset_row_of(const struct dataset *dataset, struct span path);
/* Append the key of `path`, which `row` shows, in the row's source. false: it does not fit. */
bool dataset_key_of(const struct dataset_row *row, struct span path, struct text *out);
/* Is `key` (or a listing below the prefix `key`) something that the dataset shows? */
bool dataset_shows(const struct dataset *dataset, struct source_id source, struct span key);
