#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/range.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

/* Digits at *at, moved past; false when there are none or too many. */
static bool take_number(const char **at, uint64_t *out)
{
    if (!isdigit((unsigned char)**at)) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

/* first-last, first- or -last; a bound that is not there is left alone. False when malformed; S3
 * and OSS ignore what is, and also more than one range. */
static bool parse_bounds(const char *header, uint64_t *first, uint64_t *last)
{
    if (strncasecmp(header, "bytes=", 6) != 0) {
        return false;
    }
    const char *at = header + 6;
    bool has_first = take_number(&at, first);
    if (*at != '-') {
        return false;
    }
    at++;
    bool has_last = take_number(&at, last);
    at += strspn(at, " ");
    return *at == '\0' && (has_first || has_last);
}

struct range range_parse(const char *header, uint64_t object_size, bool lenient)
{
    struct range whole = { .kind = RANGE_WHOLE, .offset = 0, .size = object_size };
    struct range none = { .kind = RANGE_UNSATISFIABLE };
    uint64_t first = UINT64_MAX;
    uint64_t last = UINT64_MAX;
    if (header == NULL || !parse_bounds(header, &first, &last)) {
        return whole;
    }
    if (first == UINT64_MAX) {
        if (lenient && (last == 0 || last > object_size)) {
            return whole;
        }
        uint64_t size = last < object_size ? last : object_size;
        struct range tail = { .kind = RANGE_PART, .offset = object_size - size, .size = size };
        return size == 0 ? none : tail;
    }
    if (first > last) {
        return whole;
    }
    if (first >= object_size) {
        return lenient ? whole : none;
    }
    if (last >= object_size && last != UINT64_MAX && lenient) {
        return whole;
    }
    uint64_t end = last < object_size ? last + 1 : object_size;
    return (struct range){ .kind = RANGE_PART, .offset = first, .size = end - first };
}

bool range_etag_listed(const char *list, const char *etag)
{
    size_t bare_size = strlen(etag) - 2;
    const char *bare = etag + 1;
    for (const char *at = list; at != NULL;) {
        const char *end = strchr(at, ',');
        size_t size = end == NULL ? strlen(at) : (size_t)(end - at);
        while (size > 0 && (*at == ' ' || *at == '"')) {
            at++;
            size--;
        }
        while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '"')) {
            size--;
        }
        if ((size == 1 && *at == '*') || (size == bare_size && strncasecmp(at, bare, size) == 0)) {
            return true;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return false;
}
