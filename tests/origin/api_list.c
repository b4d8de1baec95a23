#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/api.h"

#define NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

/* A listing under way: how it was asked for. */
struct listing {
    bool v2;
    bool url; /* encoding-type=url */
    bool oss;
    bool owner;
    uint64_t max_keys;
    const char *prefix;
    const char *delimiter;
    const char *after; /* start-after, or marker of V1 */
    const char *token; /* NULL: the first page */
    char *token_after; /* what the token says */
};

static const char *param_or_empty(const struct request *request, const char *name)
{
    const char *value = request_param(request, name);
    return value == NULL ? "" : value;
}

/* A token is the last name of the page before, in hex behind a letter: nothing that a client could
 * take for a name. */
static char *token_of(struct index_span name)
{
    char *token = text_alloc(2 * name.size + 2);
    token[0] = 'p';
    text_hex((const uint8_t *)name.bytes, name.size, token + 1);
    return token;
}

/* NULL when it is none of ours. The caller's. */
static char *token_name(const char *token)
{
    size_t size = strlen(token);
    if (token[0] != 'p' || size % 2 != 1) {
        return NULL;
    }
    char *name = text_alloc(size / 2 + 1);
    if (!text_unhex(token + 1, (uint8_t *)name, size / 2)) {
        free(name);
        return NULL;
    }
    return name;
}

static enum fail listing_init(const struct request *request, struct listing *out)
{
    const char *type = param_or_empty(request, "list-type");
    const char *most = request_param(request, "max-keys");
    const char *encoding = param_or_empty(request, "encoding-type");
    struct listing listing = { .v2 = strcmp(type, "2") == 0,
                               .url = strcmp(encoding, "url") == 0,
                               .oss = request->dialect == DIALECT_OSS,
                               .owner = strcmp(param_or_empty(request, "fetch-owner"), "true") == 0,
                               .prefix = param_or_empty(request, "prefix"),
                               .delimiter = param_or_empty(request, "delimiter") };
    listing.after = param_or_empty(request, listing.v2 ? "start-after" : "marker");
    listing.token = listing.v2 ? request_param(request, "continuation-token") : NULL;
    listing.max_keys = listing.oss ? 100 : 1000;
    if ((type[0] != '\0' && !listing.v2) || (encoding[0] != '\0' && !listing.url) ||
        (most != NULL && !text_u64(most, &listing.max_keys))) {
        return FAIL_ARGUMENT;
    }
    if (listing.max_keys > 1000) {
        if (listing.oss) {
            return FAIL_ARGUMENT; /* S3 lowers it instead */
        }
        listing.max_keys = 1000;
    }
    if (listing.token != NULL) {
        listing.token_after = token_name(listing.token);
        if (listing.token_after == NULL) {
            return FAIL_ARGUMENT;
        }
    }
    *out = listing;
    return FAIL_NONE;
}

static void add_name(const struct listing *listing, struct index_span name, struct text *xml)
{
    if (listing->url) {
        text_uri(xml, name.bytes, name.size, listing->oss ? URI_QUERY : URI_FORM);
    } else {
        text_xml(xml, name.bytes, name.size);
    }
}

static void add_element(const struct listing *listing, const char *tag, const char *value,
                        struct text *xml)
{
    text_printf(xml, "<%s>", tag);
    add_name(listing, (struct index_span){ .bytes = value, .size = strlen(value) }, xml);
    text_printf(xml, "</%s>", tag);
}

static void add_owner(struct text *xml)
{
    text_puts(xml, "<Owner><ID>1</ID><DisplayName>atoll</DisplayName></Owner>");
}

static void add_object(const struct listing *listing, const struct object *object, struct text *xml)
{
    char modified[40];
    char etag[OBJECT_ETAG_SIZE];
    text_format_iso(object->mtime_ns / 1000000000, modified);
    object_etag(object, listing->oss, etag);
    text_puts(xml, "<Contents><Key>");
    add_name(listing, (struct index_span){ .bytes = object->key, .size = object->key_size }, xml);
    text_printf(xml, "</Key><LastModified>%s</LastModified><ETag>", modified);
    text_xml(xml, etag, strlen(etag));
    text_printf(xml, "</ETag>%s<Size>%" PRIu64 "</Size>",
                !listing->oss            ? ""
                : object->part_count > 0 ? "<Type>Multipart</Type>"
                                         : "<Type>Normal</Type>",
                object->size);
    text_printf(xml, "<StorageClass>%s</StorageClass>", listing->oss ? "Standard" : "STANDARD");
    if (listing->owner || !listing->v2) {
        add_owner(xml);
    }
    text_puts(xml, "</Contents>");
}

static void add_head(const struct request *request, const struct listing *listing,
                     const struct index_page *page, struct text *xml)
{
    text_printf(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult%s>",
                listing->oss ? "" : " xmlns=\"" NAMESPACE "\"");
    text_printf(xml, "<Name>%s</Name>", request->address.bucket);
    add_element(listing, "Prefix", listing->prefix, xml);
    if (!listing->v2) {
        add_element(listing, "Marker", listing->after, xml);
    } else if (listing->after[0] != '\0') {
        add_element(listing, "StartAfter", listing->after, xml);
    }
    if (listing->token != NULL) {
        text_printf(xml, "<ContinuationToken>%s</ContinuationToken>", listing->token);
    }
    text_printf(xml, "<MaxKeys>%" PRIu64 "</MaxKeys>", listing->max_keys);
    if (listing->delimiter[0] != '\0' || listing->oss) {
        add_element(listing, "Delimiter", listing->delimiter, xml);
    }
    if (listing->url) {
        text_puts(xml, "<EncodingType>url</EncodingType>");
    }
    if (listing->v2) {
        text_printf(xml, "<KeyCount>%zu</KeyCount>", page->count);
    }
    text_printf(xml, "<IsTruncated>%s</IsTruncated>", page->truncated ? "true" : "false");
}

/* S3 leaves NextMarker out where there is no delimiter; OSS has it always. */
static void add_next(const struct listing *listing, const struct index_page *page, struct text *xml)
{
    if (!page->truncated || page->count == 0) {
        return;
    }
    struct index_span last = page->entries[page->count - 1].name;
    if (listing->v2) {
        char *token = token_of(last);
        text_printf(xml, "<NextContinuationToken>%s</NextContinuationToken>", token);
        free(token);
    } else if (listing->oss || listing->delimiter[0] != '\0') {
        text_puts(xml, "<NextMarker>");
        add_name(listing, last, xml);
        text_puts(xml, "</NextMarker>");
    }
}

static struct index_span span_of(const char *string)
{
    return (struct index_span){ .bytes = string, .size = strlen(string) };
}

enum MHD_Result api_list_objects(struct request *request)
{
    enum MHD_Result result = MHD_NO;
    struct bucket *bucket = api_bucket_of(request, &result);
    if (bucket == NULL) {
        return result;
    }
    struct listing listing = { 0 };
    enum fail fail = listing_init(request, &listing);
    if (fail != FAIL_NONE) {
        return reply_fail(request, fail, NULL);
    }
    const char *after = listing.token_after != NULL ? listing.token_after : listing.after;
    const struct index_query query = { .prefix = span_of(listing.prefix),
                                       .delimiter = span_of(listing.delimiter),
                                       .after = span_of(after),
                                       .most = (size_t)listing.max_keys };
    struct index_page page = { 0 };
    struct text xml = { 0 };
    pthread_rwlock_rdlock(&bucket->lock);
    index_list(&bucket->index, &query, &page);
    add_head(request, &listing, &page, &xml);
    add_next(&listing, &page, &xml);
    for (size_t i = 0; i < page.count; i++) {
        if (page.entries[i].object != NULL) {
            add_object(&listing, page.entries[i].object, &xml);
        } else {
            text_puts(&xml, "<CommonPrefixes><Prefix>");
            add_name(&listing, page.entries[i].name, &xml);
            text_puts(&xml, "</Prefix></CommonPrefixes>");
        }
    }
    pthread_rwlock_unlock(&bucket->lock);
    text_puts(&xml, "</ListBucketResult>\n");
    index_page_fini(&page);
    free(listing.token_after);
    return reply_xml(request, 200, &xml);
}
