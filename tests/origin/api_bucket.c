#include <string.h>

#include "tests/origin/api.h"

static void add_bucket(const struct bucket *bucket, void *context)
{
    struct text *xml = context;
    char created[40];
    text_format_iso(bucket->created_s, created);
    text_printf(xml, "<Bucket><Name>%s</Name><CreationDate>%s</CreationDate></Bucket>",
                bucket->name, created);
}

static enum MHD_Result list_buckets(struct request *request)
{
    struct text xml = { 0 };
    text_puts(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult>"
                    "<Owner><ID>1</ID><DisplayName>atoll</DisplayName></Owner><Buckets>");
    store_buckets(request->server->store, add_bucket, &xml);
    text_puts(&xml, "</Buckets></ListAllMyBucketsResult>\n");
    return reply_xml(request, 200, &xml);
}

static enum MHD_Result read_bucket(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    bool oss = request->dialect == DIALECT_OSS;
    const char *region = request->server->region;
    if (api_bucket_of(request, &result) == NULL) {
        return result;
    }
    if (strcmp(request->method, "HEAD") == 0) {
        struct text headers = { 0 };
        text_printf(&headers, "%s: %s%s\n", oss ? "x-oss-bucket-region" : "x-amz-bucket-region",
                    oss ? "oss-" : "",
                    region != NULL ? region
                    : oss          ? "cn-hangzhou"
                                   : "us-east-1");
        result = reply_empty(request, 200, headers.bytes);
        text_fini(&headers);
        return result;
    }
    struct text xml = { 0 };
    text_puts(&xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if (request_param(request, "location") != NULL) {
        /* S3 says nothing for us-east-1. */
        text_printf(&xml, "<LocationConstraint>%s%s</LocationConstraint>\n", oss ? "oss-" : "",
                    region != NULL ? region
                    : oss          ? "cn-hangzhou"
                                   : "");
    } else if (request_param(request, "versioning") != NULL) {
        text_puts(&xml, "<VersioningConfiguration/>\n");
    } else {
        text_fini(&xml);
        return reply_fail(request, FAIL_NOT_IMPLEMENTED, NULL);
    }
    return reply_xml(request, 200, &xml);
}

static enum MHD_Result create_bucket(struct request *request)
{
    if (request->query.count > 0 && request_param(request, "x-id") == NULL) {
        return reply_fail(request, FAIL_NOT_IMPLEMENTED, NULL);
    }
    if (store_bucket_create(request->server->store, request->address.bucket) == NULL) {
        return reply_fail(request, FAIL_BUCKET_NAME, NULL);
    }
    struct text headers = { 0 };
    text_printf(&headers, "Location: /%s\n", request->address.bucket);
    enum MHD_Result result = reply_empty(request, 200, headers.bytes);
    text_fini(&headers);
    return result;
}

static enum MHD_Result delete_bucket(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    if (!store_bucket_delete(request->server->store, bucket)) {
        return reply_fail(request, FAIL_NOT_EMPTY, NULL);
    }
    return reply_empty(request, 204, NULL);
}

enum MHD_Result api_bucket(struct request *request)
{
    const char *method = request->method;
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (request->address.bucket == NULL) {
        return strcmp(method, "GET") == 0 ? list_buckets(request)
                                          : reply_fail(request, FAIL_METHOD, NULL);
    }
    if (reads) {
        return read_bucket(request);
    }
    if (strcmp(method, "PUT") == 0) {
        return create_bucket(request);
    }
    if (strcmp(method, "DELETE") == 0) {
        return delete_bucket(request);
    }
    return reply_fail(request, FAIL_METHOD, NULL);
}
