#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/origin/api.h"
#include "tests/origin/range.h"

/* Smallest part but the last one: S3's and OSS's documented limits. */
#define PART_MIN_S3 (5u << 20)
#define PART_MIN_OSS (100u << 10)

/* What a client's list of parts comes to. */
struct assembly {
    uint32_t numbers[UPLOADS_PARTS_MAX];
    uint32_t count;
};

enum MHD_Result api_upload_start(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    if (api_bucket_of(request, &result) == NULL) {
        return result;
    }
    char id[UPLOADS_ID_SIZE];
    uploads_start(request->server->uploads, request->name, api_kept_headers(request), id);
    struct text xml = { 0 };
    text_puts(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult>");
    text_printf(&xml, "<Bucket>%s</Bucket><Key>", request->address.bucket);
    text_xml(&xml, request->address.key, strlen(request->address.key));
    text_printf(&xml, "</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>\n", id);
    return reply_xml(request, 200, &xml);
}

static bool has_upload(const struct request *request)
{
    const char *id = request_param(request, "uploadId");
    return id != NULL && uploads_has(request->server->uploads, request->name, id);
}

enum MHD_Result api_upload_part(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    uint64_t number = 0;
    struct uploads_part part = { .file_id = request->file_id };
    enum fail fail = request->body == NULL ? FAIL_INTERNAL : api_check_body(request, part.md5);
    if (!text_u64(request_param(request, "partNumber"), &number) || number < 1 ||
        number > UPLOADS_PARTS_MAX) {
        fail = FAIL_ARGUMENT;
    }
    if (request_own_field(request, "copy-source") != NULL) {
        fail = FAIL_NOT_IMPLEMENTED;
    }
    struct uploads_part old = { 0 };
    part.size = request->body == NULL ? 0 : body_size(request->body);
    if (fail == FAIL_NONE &&
        (!has_upload(request) ||
         !uploads_set_part(request->server->uploads, request_param(request, "uploadId"),
                           (uint32_t)number, &part, &old))) {
        fail = FAIL_NO_UPLOAD;
    }
    if (fail != FAIL_NONE) {
        return reply_fail(request, fail, NULL);
    }
    request->file_id = 0; /* the upload's now */
    if (old.file_id != 0) {
        store_file_drop(request->server->store, bucket, old.file_id);
    }
    char hex[33];
    struct text headers = { 0 };
    text_hex(part.md5, sizeof part.md5, hex);
    for (char *c = hex; request->dialect == DIALECT_OSS && *c != '\0'; c++) {
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    }
    text_printf(&headers, "ETag: \"%s\"\n", hex);
    api_add_crc(request, body_crc64(request->body), &headers);
    result = reply_empty(request, 200, headers.bytes);
    text_fini(&headers);
    return result;
}

static enum fail check_part(const struct uploads_part *parts, const char *number_text,
                            const char *etag, struct assembly *out)
{
    uint64_t number = 0;
    if (etag == NULL || !text_u64(number_text, &number) || number < 1 ||
        number > UPLOADS_PARTS_MAX) {
        return FAIL_XML;
    }
    char quoted[36] = "\"";
    text_hex(parts[number - 1].md5, 16, quoted + 1);
    strcat(quoted, "\"");
    if (parts[number - 1].file_id == 0 || !range_etag_listed(etag, quoted)) {
        return FAIL_PART;
    }
    if (out->count > 0 && out->numbers[out->count - 1] >= number) {
        return FAIL_PART_ORDER;
    }
    out->numbers[out->count++] = (uint32_t)number;
    return FAIL_NONE;
}

static enum fail read_list(const struct request *request, const struct uploads_part *parts,
                           struct assembly *out)
{
    const char *at = body_text(request->body)->bytes;
    enum fail fail = FAIL_NONE;
    uint64_t smallest = request->dialect == DIALECT_OSS ? PART_MIN_OSS : PART_MIN_S3;
    out->count = 0;
    char *part = at == NULL ? NULL : api_xml_next(&at, "Part");
    while (part != NULL) {
        const char *number_at = part;
        const char *etag_at = part;
        char *number = api_xml_next(&number_at, "PartNumber");
        char *etag = api_xml_next(&etag_at, "ETag");
        fail =
            fail == FAIL_NONE ? check_part(parts, number == NULL ? "" : number, etag, out) : fail;
        free(number);
        free(etag);
        free(part);
        part = api_xml_next(&at, "Part");
    }
    for (uint32_t i = 0; fail == FAIL_NONE && i + 1 < out->count; i++) {
        fail = parts[out->numbers[i] - 1].size < smallest ? FAIL_PART_SIZE : FAIL_NONE;
    }
    return fail == FAIL_NONE && out->count == 0 ? FAIL_XML : fail;
}

static bool append_file(int from, int to, uint64_t size)
{
    while (size > 0) {
        ssize_t done = copy_file_range(from, NULL, to, NULL, size, 0);
        if (done <= 0) {
            return false;
        }
        size -= (uint64_t)done;
    }
    return true;
}

/* One file of all parts; 0 when the disk refuses. */
static uint64_t join_files(struct store *store, struct bucket *bucket,
                           const struct uploads_part *parts, const struct assembly *assembly)
{
    uint64_t id = 0;
    int out = store_file_create(store, bucket, &id);
    bool good = out >= 0;
    for (uint32_t i = 0; good && i < assembly->count; i++) {
        const struct uploads_part *part = &parts[assembly->numbers[i] - 1];
        int in = store_file_open(store, bucket, part->file_id);
        good = in >= 0 && append_file(in, out, part->size);
        if (in >= 0) {
            close(in);
        }
    }
    if (out >= 0) {
        close(out);
    }
    if (!good && out >= 0) {
        store_file_drop(store, bucket, id);
    }
    return good ? id : 0;
}

/* The MD5 of the parts' MD5s, and their sizes. */
static void describe(const struct uploads_part *parts, const struct assembly *assembly,
                     struct object *object)
{
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    unsigned size = 0;
    EVP_DigestInit_ex(md5, EVP_md5(), NULL);
    object->part_count = assembly->count;
    object->part_sizes = text_alloc(assembly->count * sizeof *object->part_sizes);
    for (uint32_t i = 0; i < assembly->count; i++) {
        const struct uploads_part *part = &parts[assembly->numbers[i] - 1];
        EVP_DigestUpdate(md5, part->md5, sizeof part->md5);
        object->part_sizes[i] = part->size;
        object->size += part->size;
    }
    EVP_DigestFinal_ex(md5, object->digest, &size);
    EVP_MD_CTX_free(md5);
}

static void drop_upload(struct request *request, struct bucket *bucket, char **meta)
{
    struct uploads_part *parts =
        uploads_end(request->server->uploads, request_param(request, "uploadId"), meta);
    for (uint32_t i = 0; parts != NULL && i < UPLOADS_PARTS_MAX; i++) {
        if (parts[i].file_id != 0) {
            store_file_drop(request->server->store, bucket, parts[i].file_id);
        }
    }
    free(parts);
}

static enum MHD_Result reply_completed(struct request *request, struct bucket *bucket,
                                       struct object *object)
{
    struct text xml = { 0 };
    char etag[OBJECT_ETAG_SIZE];
    object_etag(object, request->dialect == DIALECT_OSS, etag);
    text_puts(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult>");
    text_printf(&xml, "<Bucket>%s</Bucket><Key>", bucket->name);
    text_xml(&xml, object->key, object->key_size);
    text_puts(&xml, "</Key><ETag>");
    text_xml(&xml, etag, strlen(etag));
    text_puts(&xml, "</ETag></CompleteMultipartUploadResult>\n");
    return reply_xml(request, 200, &xml);
}

enum MHD_Result api_upload_complete(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct server *server = request->server;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    uint8_t md5[16];
    struct uploads_part *parts =
        has_upload(request) ? uploads_parts(server->uploads, request_param(request, "uploadId"))
                            : NULL;
    if (parts == NULL) {
        return reply_fail(request, FAIL_NO_UPLOAD, NULL);
    }
    struct assembly *assembly = text_alloc(sizeof *assembly);
    enum fail fail = request->body == NULL ? FAIL_XML : api_check_body(request, md5);
    fail = fail == FAIL_NONE ? read_list(request, parts, assembly) : fail;
    uint64_t id = fail == FAIL_NONE ? join_files(server->store, bucket, parts, assembly) : 0;
    if (fail != FAIL_NONE || id == 0) {
        result = reply_fail(request, fail == FAIL_NONE ? FAIL_INTERNAL : fail, NULL);
    } else {
        const char *key = request->address.key;
        struct object *object = object_new(key, strlen(key), OBJECT_STORED);
        object->id = id;
        object->mtime_ns = server_now_s(server) * 1000000000;
        describe(parts, assembly, object);
        drop_upload(request, bucket, &object->meta);
        store_put(server->store, bucket, object_ref(object));
        result = reply_completed(request, bucket, object);
        object_unref(object);
    }
    free(assembly);
    free(parts);
    return result;
}

enum MHD_Result api_upload_abort(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    if (!has_upload(request)) {
        return reply_fail(request, FAIL_NO_UPLOAD, NULL);
    }
    char *meta = NULL;
    drop_upload(request, bucket, &meta);
    free(meta);
    return reply_empty(request, 204, NULL);
}
