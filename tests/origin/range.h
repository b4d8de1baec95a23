/* tests/origin/range.h: Range, If-Match and If-None-Match. */
#ifndef ATOLL_TESTS_ORIGIN_RANGE_H
#define ATOLL_TESTS_ORIGIN_RANGE_H

#include <stdbool.h>
#include <stdint.h>

enum range_kind {
    RANGE_WHOLE,         /* 200 and all bytes: no header, or one to be ignored */
    RANGE_PART,          /* 206 */
    RANGE_UNSATISFIABLE, /* 416 */
};

struct range {
    enum range_kind kind;
    uint64_t offset;
    uint64_t size;
};

/* `header` may be NULL. `lenient` is OSS without "x-oss-range-behavior: standard": a range that
 * reaches beyond the object is ignored. */
struct range range_parse(const char *header, uint64_t object_size, bool lenient);

/* Whether a list of ETags ("*", quoted or bare, commas between) names this one, quotes included.
 * Hex digits compare without case, since OSS and S3 differ in it. */
bool range_etag_listed(const char *list, const char *etag);

#endif
