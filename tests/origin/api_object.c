#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/origin/api.h"
#include "tests/origin/range.h"
#include "tests/origin/stream.h"

/* Where the CRC of an object is not known yet, it is worked out on the first request that shows
 * it, which holds up its thread: 1 GiB takes about a quarter of a second. Larger objects then show
 * none, as old objects of OSS do. */
#define CRC_LAZY_MAX (1ull << 30)

/* An object found, opened, and what is asked of it. */
struct reading {
    struct object *object;
    int fd;
    char etag[OBJECT_ETAG_SIZE]; /* as the origin claims it to be */
    struct range range;
    uint32_t part; /* 0: none was asked for */
};

/* A version may be replaced between the look-up and the opening of its file: then look again. */
static bool find_and_open(struct request *request, struct bucket *bucket, struct reading *out)
{
    struct store *store = request->server->store;
    for (int attempt = 0; attempt < 5; attempt++) {
        struct object *object = store_find(store, bucket, request->address.key);
        if (object == NULL) {
            return false;
        }
        int fd = store_object_open(store, bucket, object);
        if (fd >= 0 || object->kind == OBJECT_GENERATED) {
            *out = (struct reading){ .object = object, .fd = fd };
            return true;
        }
        object_unref(object);
    }
    return false;
}

static void reading_fini(struct reading *reading)
{
    if (reading->fd >= 0) {
        close(reading->fd);
    }
    object_unref(reading->object);
}

/* The faults "etag" and "changed" show another ETag; "changed" also lets conditions see it. */
static void set_etag(const struct request *request, bool shown, struct reading *reading)
{
    bool other = request->plan.has[FAULT_CHANGED] || (shown && request->plan.has[FAULT_ETAG]);
    object_etag(reading->object, request->dialect == DIALECT_OSS, reading->etag);
    if (other) {
        reading->etag[1] = reading->etag[1] == '0' ? '1' : '0';
    }
}

static enum fail check_conditions(const struct request *request, const struct reading *reading)
{
    const char *match = request_field(request, "if-match");
    const char *none_match = request_field(request, "if-none-match");
    if (match != NULL && !range_etag_listed(match, reading->etag)) {
        return FAIL_PRECONDITION;
    }
    if (none_match != NULL && range_etag_listed(none_match, reading->etag)) {
        return FAIL_NOT_MODIFIED;
    }
    return FAIL_NONE;
}

static enum fail choose_range(const struct request *request, struct reading *reading)
{
    const struct fault_plan *plan = &request->plan;
    const char *number = request_param(request, "partNumber");
    uint64_t part = 0;
    if (number != NULL) {
        if (!text_u64(number, &part) || part < 1 || part > 10000) {
            return FAIL_ARGUMENT;
        }
        reading->part = (uint32_t)part;
        reading->range.kind = reading->object->size > 0 ? RANGE_PART : RANGE_WHOLE;
        bool has = object_part(reading->object, reading->part, &reading->range.offset,
                               &reading->range.size);
        return has ? FAIL_NONE : FAIL_PART_NUMBER;
    }
    const char *behavior = request_field(request, "x-oss-range-behavior");
    bool lenient = request->dialect == DIALECT_OSS &&
                   (behavior == NULL || !text_same_nocase(behavior, "standard"));
    const char *header = plan->has[FAULT_WHOLE] ? NULL : request_field(request, "range");
    reading->range = range_parse(header, reading->object->size, lenient);
    if (plan->has[FAULT_SHORT_RANGE] && reading->range.kind == RANGE_PART &&
        reading->range.size > 1) {
        reading->range.size /= 2;
    }
    return reading->range.kind == RANGE_UNSATISFIABLE ? FAIL_RANGE : FAIL_NONE;
}

static void add_range_headers(const struct request *request, const struct reading *reading,
                              struct text *headers)
{
    if (reading->range.kind != RANGE_PART) {
        return;
    }
    uint64_t first = reading->range.offset + (request->plan.has[FAULT_WRONG_RANGE] ? 1 : 0);
    text_printf(headers, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\n", first,
                first + reading->range.size - 1, reading->object->size);
    if (reading->part > 0 && reading->object->part_count > 0) {
        text_printf(headers, "x-amz-mp-parts-count: %u\n", object_parts(reading->object));
    }
}

static void add_object_headers(const struct request *request, struct reading *reading,
                               struct text *headers)
{
    struct object *object = reading->object;
    char modified[40];
    uint64_t crc = 0;
    bool oss = request->dialect == DIALECT_OSS;
    text_format_http(object->mtime_ns / 1000000000, modified);
    text_printf(headers, "ETag: %s\nLast-Modified: %s\nAccept-Ranges: bytes\n", reading->etag,
                modified);
    if (object->meta == NULL || strcasestr(object->meta, "content-type:") == NULL) {
        text_printf(headers, "Content-Type: %s\n",
                    oss ? "application/octet-stream" : "binary/octet-stream");
    }
    if (object->meta != NULL) {
        text_puts(headers, object->meta);
    }
    if (oss) {
        text_printf(headers, "x-oss-object-type: %s\nx-oss-storage-class: Standard\n",
                    object->part_count > 0 ? "Multipart" : "Normal");
    }
    bool cheap = atomic_load(&object->crc_known) || object->size <= CRC_LAZY_MAX;
    if (oss && cheap && object_crc64(object, reading->fd, &crc)) {
        api_add_crc(request, crc, headers);
    }
    add_range_headers(request, reading, headers);
}

static enum MHD_Result refuse_range(struct request *request, const struct reading *reading,
                                    enum fail fail)
{
    struct text extra = { 0 };
    const char *header = request_field(request, "range");
    text_puts(&extra, "<RangeRequested>");
    text_xml(&extra, header == NULL ? "" : header, header == NULL ? 0 : strlen(header));
    text_printf(&extra, "</RangeRequested><ActualObjectSize>%" PRIu64 "</ActualObjectSize>",
                reading->object->size);
    enum MHD_Result result = reply_fail(request, fail, extra.bytes);
    text_fini(&extra);
    return result;
}

static enum MHD_Result refuse(struct request *request, const struct reading *reading,
                              enum fail fail)
{
    if (fail == FAIL_RANGE) {
        return refuse_range(request, reading, fail);
    }
    struct text extra = { 0 };
    if (fail == FAIL_NOT_MODIFIED) {
        text_printf(&extra, "ETag: %s\n", reading->etag);
    } else if (fail == FAIL_PRECONDITION) {
        text_puts(&extra, "<Condition>If-Match</Condition>");
    }
    enum MHD_Result result = reply_fail(request, fail, extra.bytes);
    text_fini(&extra);
    return result;
}

enum MHD_Result api_object_read(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    struct reading reading = { .fd = -1 };
    if (!find_and_open(request, bucket, &reading)) {
        struct text extra = { 0 };
        text_puts(&extra, "<Key>");
        text_xml(&extra, request->address.key, strlen(request->address.key));
        text_puts(&extra, "</Key>");
        result = reply_fail(request, FAIL_NO_KEY, extra.bytes);
        text_fini(&extra);
        return result;
    }
    set_etag(request, false, &reading);
    enum fail fail = check_conditions(request, &reading);
    fail = fail == FAIL_NONE ? choose_range(request, &reading) : fail;
    if (fail != FAIL_NONE) {
        result = refuse(request, &reading, fail);
    } else {
        struct text headers = { 0 };
        set_etag(request, true, &reading);
        add_object_headers(request, &reading, &headers);
        struct MHD_Response *response = stream_response(request, reading.object, reading.fd,
                                                        reading.range.offset, reading.range.size);
        reading.fd = -1;
        reply_common(request, response);
        reply_headers(response, headers.bytes);
        result = reply_queue(request, reading.range.kind == RANGE_PART ? 206 : 200, response,
                             reading.range.size);
        text_fini(&headers);
    }
    reading_fini(&reading);
    return result;
}

/* "x-amz-meta-atoll-generate: size=20GiB,seed=3" makes a generated object; false when malformed. */
static bool make_generated(const struct request *request, const char *setting, struct object **out)
{
    uint64_t size = 0;
    uint64_t seed = 0;
    if (!generate_object_parse(setting, &size, &seed)) {
        return false;
    }
    const char *key = request->address.key;
    struct object *object = object_new(key, strlen(key), OBJECT_GENERATED);
    object->id = seed;
    object->size = size;
    *out = object;
    return true;
}

static struct object *make_stored(struct request *request, const uint8_t md5[16])
{
    const char *key = request->address.key;
    struct object *object = object_new(key, strlen(key), OBJECT_STORED);
    object->id = request->file_id;
    object->size = body_size(request->body);
    memcpy(object->digest, md5, 16);
    atomic_store(&object->crc, body_crc64(request->body));
    atomic_store(&object->crc_known, true);
    request->file_id = 0; /* the object's now */
    return object;
}

/* If-None-Match: * of PUT: only where there is nothing yet. */
static bool put_is_refused(struct request *request, struct bucket *bucket)
{
    const char *none_match = request_field(request, "if-none-match");
    struct object *known = none_match == NULL
                               ? NULL
                               : store_find(request->server->store, bucket, request->address.key);
    object_unref(known);
    return known != NULL;
}

enum MHD_Result api_object_put(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct server *server = request->server;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    uint8_t md5[16];
    enum fail fail = request->body == NULL ? FAIL_INTERNAL : api_check_body(request, md5);
    if (request_own_field(request, "copy-source") != NULL) {
        fail = FAIL_NOT_IMPLEMENTED;
    }
    if (fail == FAIL_NONE && put_is_refused(request, bucket)) {
        fail = FAIL_PRECONDITION;
    }
    struct object *object = NULL;
    const char *setting = request_own_field(request, "meta-atoll-generate");
    if (fail == FAIL_NONE && setting != NULL && !make_generated(request, setting, &object)) {
        fail = FAIL_ARGUMENT;
    }
    if (fail != FAIL_NONE) {
        return reply_fail(request, fail, NULL);
    }
    object = object == NULL ? make_stored(request, md5) : object;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    object->mtime_ns = (now.tv_sec + server->clock_offset_s) * 1000000000ll + now.tv_nsec;
    object->meta = api_kept_headers(request);
    store_put(server->store, bucket, object_ref(object));
    struct text headers = { 0 };
    char etag[OBJECT_ETAG_SIZE];
    object_etag(object, request->dialect == DIALECT_OSS, etag);
    text_printf(&headers, "ETag: %s\n", etag);
    if (atomic_load(&object->crc_known)) {
        api_add_crc(request, atomic_load(&object->crc), &headers);
    }
    result = reply_empty(request, 200, headers.bytes);
    text_fini(&headers);
    object_unref(object);
    return result;
}

enum MHD_Result api_object_delete(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    store_delete(request->server->store, bucket, request->address.key);
    return reply_empty(request, 204, NULL);
}

enum MHD_Result api_object_delete_many(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    uint8_t md5[16];
    enum fail fail = request->body == NULL ? FAIL_XML : api_check_body(request, md5);
    if (fail != FAIL_NONE || body_size(request->body) == 0) {
        return reply_fail(request, fail == FAIL_NONE ? FAIL_XML : fail, NULL);
    }
    struct text xml = { 0 };
    text_puts(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult>");
    const char *at = body_text(request->body)->bytes;
    bool quiet = strstr(at, "<Quiet>true</Quiet>") != NULL;
    for (char *key = api_xml_next(&at, "Key"); key != NULL; key = api_xml_next(&at, "Key")) {
        store_delete(request->server->store, bucket, key);
        if (!quiet) {
            text_puts(&xml, "<Deleted><Key>");
            text_xml(&xml, key, strlen(key));
            text_puts(&xml, "</Key></Deleted>");
        }
        free(key);
    }
    text_puts(&xml, "</DeleteResult>\n");
    return reply_xml(request, 200, &xml);
}
