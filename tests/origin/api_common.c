#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/api.h"

struct bucket *api_bucket_of(struct request *request, enum MHD_Result *result)
{
    const char *name = request->address.bucket;
    struct bucket *bucket = name == NULL ? NULL : store_bucket(request->server->store, name);
    if (bucket == NULL) {
        struct text extra = { 0 };
        text_puts(&extra, "<BucketName>");
        text_xml(&extra, name == NULL ? "" : name, name == NULL ? 0 : strlen(name));
        text_puts(&extra, "</BucketName>");
        *result = reply_fail(request, FAIL_NO_BUCKET, extra.bytes);
        text_fini(&extra);
    }
    return bucket;
}

enum fail api_check_body(struct request *request, uint8_t md5[16])
{
    uint8_t sha256[32] = { 0 };
    char hex[65];
    body_digests(request->body, md5, sha256);
    text_hex(sha256, sizeof sha256, hex);
    const char *said = request->payload;
    if (said != NULL && strlen(said) == 64 && !text_same_nocase(said, hex)) {
        return FAIL_SHA256;
    }
    const char *said_md5 = request_field(request, "content-md5");
    uint8_t decoded[16];
    if (said_md5 != NULL && (text_unbase64(said_md5, decoded, sizeof decoded) != 16 ||
                             memcmp(decoded, md5, sizeof decoded) != 0)) {
        return FAIL_DIGEST;
    }
    return FAIL_NONE;
}

static bool is_kept(const char *name)
{
    static const char *const names[] = { "content-type",        "content-encoding", "cache-control",
                                         "content-disposition", "content-language", "expires" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text_same_nocase(name, names[i])) {
            return true;
        }
    }
    return strncasecmp(name, "x-amz-meta-", 11) == 0 || strncasecmp(name, "x-oss-meta-", 11) == 0;
}

char *api_kept_headers(const struct request *request)
{
    struct text kept = { 0 };
    for (size_t i = 0; i < request->field_count; i++) {
        if (is_kept(request->fields[i].name)) {
            text_printf(&kept, "%s: %s\n", request->fields[i].name, request->fields[i].value);
        }
    }
    return kept.bytes;
}

static void add_entity(const char *entity, size_t size, struct text *out)
{
    static const struct {
        const char *name;
        const char *text;
    } known[] = { { "amp", "&" }, { "lt", "<" }, { "gt", ">" }, { "quot", "\"" }, { "apos", "'" } };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].name) == size && memcmp(known[i].name, entity, size) == 0) {
            text_puts(out, known[i].text);
            return;
        }
    }
    if (size > 1 && entity[0] == '#') {
        /* ASCII alone: a client sends other characters as they are. */
        long code = entity[1] == 'x' ? strtol(entity + 2, NULL, 16) : strtol(entity + 1, NULL, 10);
        char character = (char)(code > 0 && code < 128 ? code : '?');
        text_add(out, &character, 1);
    }
}

char *api_xml_next(const char **at, const char *name)
{
    struct text tag = { 0 };
    text_printf(&tag, "<%s>", name);
    const char *start = strstr(*at, tag.bytes);
    start = start == NULL ? NULL : start + tag.size;
    text_clear(&tag);
    text_printf(&tag, "</%s>", name);
    const char *end = start == NULL ? NULL : strstr(start, tag.bytes);
    struct text value = { 0 };
    text_clear(&value);
    for (const char *c = start; end != NULL && c < end; c++) {
        const char *semicolon = *c == '&' ? memchr(c, ';', (size_t)(end - c)) : NULL;
        if (semicolon == NULL) {
            text_add(&value, c, 1);
        } else {
            add_entity(c + 1, (size_t)(semicolon - c - 1), &value);
            c = semicolon;
        }
    }
    if (end == NULL) {
        text_fini(&value);
    } else {
        *at = end + tag.size;
    }
    text_fini(&tag);
    return value.bytes;
}

void api_add_crc(const struct request *request, uint64_t crc, struct text *headers)
{
    if (request->dialect == DIALECT_OSS) {
        text_printf(headers, "x-oss-hash-crc64ecma: %" PRIu64 "\n", crc);
    }
}
