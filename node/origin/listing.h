/* node/origin/listing.h: the XML of ListObjectsV2 and of errors, read by expat with every length
 * bounded. A page is whole or it is refused: there is no partial listing. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/time.h"

#define LISTING_BODY_MAX (8u << 20)
#define LISTING_ENTRIES_MAX 2048 /* a page holds at most 1,000 */
#define PIN_MAX 256

struct listing_entry {
    struct span key; /* decoded */
    struct span pin; /* ETag without quotes; empty for a common prefix */
    uint64_t size;
    usec_t mtime_us;
    bool is_prefix;
};

struct listing {
    struct listing_entry *entries; /* in byte order of keys */
    uint32_t count;
    struct span next; /* continuation; empty on the last page */
    bool truncated;
    char *memory; /* what the spans point into */
};

/* Parse one page. ERR_SOURCE_PROTOCOL: not a ListBucketResult, not well formed, over a limit, an
 * object without size or usable ETag, silent about IsTruncated, or truncated without a token. ERR_NOMEM. *out is untouched on failure; give it to listing_fini. */
enum err listing_parse(struct span body, struct listing *out) MUST_USE;
void listing_fini(struct listing *listing);

/* <Error><Code/><Message/>...: what the store said; empty strings where it said nothing. */
struct store_error {
    char code[65];
    char message[257];
};
/* Never fails: garbage gives empty strings. */
void store_error_parse(struct span body, struct store_error *out);

/* Can it be told in a header, quoted? 1 to 256 visible ASCII letters, no quotes. */
bool pin_is_valid(struct span pin);

/* "2026-11-22T16:43:00.000Z" (listings) and "Sun, 22 Nov 2026 16:43:00 GMT" (headers) as wall
 * microseconds; false when it is neither. */
bool parse_iso8601(struct span text, usec_t *out);
bool parse_http_date(struct span text, usec_t *out);
