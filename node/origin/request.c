/* node/origin/request.c: from what is wanted to a signed URL and headers. */
#include "node/origin/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/origin/listing.h"

/* Text that goes into the request's one buffer; returned strings stay where they are. */
static const char *keep(struct text *text, size_t start)
{
    text_char(text, '\0');
    return text->data + start;
}

static void header(struct signed_request *out, struct text *text, struct pair pair)
{
    size_t start = text->used;
    CHECK(out->header_count < REQUEST_HEADERS_MAX);
    text_span(text, pair.name);
    text_str(text, ": ");
    text_span(text, pair.value);
    out->headers[out->header_count++] = keep(text, start);
}

static void add_query(struct sign_request *sign, const char *name, struct span value)
{
    CHECK(sign->query_count < SIGN_PAIRS_MAX);
    sign->query[sign->query_count++] = (struct pair){ span_text(name), value };
}

static void add_header(struct sign_request *sign, const char *name, struct span value)
{
    CHECK(sign->header_count < SIGN_PAIRS_MAX);
    sign->headers[sign->header_count++] = (struct pair){ span_text(name), value };
}

static void list_query(struct sign_request *sign, const struct request *request, char *limit)
{
    add_query(sign, "list-type", span_text("2"));
    add_query(sign, "encoding-type", span_text("url"));
    snprintf(limit, 16, "%" PRIu32, request->limit);
    add_query(sign, "max-keys", span_text(limit));
    if (request->prefix.size > 0) {
        add_query(sign, "prefix", request->prefix);
    }
    if (request->delimited) {
        add_query(sign, "delimiter", span_text("/"));
    }
    if (request->continuation.size > 0) {
        add_query(sign, "continuation-token", request->continuation);
    } else if (request->after.size > 0) {
        add_query(sign, "start-after", request->after);
    }
}

/* Host name as it is sent and signed: with the bucket in front, or without. */
static void host_of(const struct source *source, struct text *out)
{
    if (!source->path_style) {
        text_str(out, source->bucket);
        text_char(out, '.');
    }
    text_str(out, source->host);
}

/* The path as the URL has it, not encoded. */
static void url_path(const struct source *source, const struct request *request, struct text *out)
{
    text_char(out, '/');
    if (source->path_style) {
        text_str(out, source->bucket);
        text_char(out, '/');
    }
    if (request->kind != REQUEST_LIST) {
        text_span(out, request->key);
    }
}

/* The path as it is signed: OSS always names the bucket. */
static void sign_path(const struct source *source, const struct request *request, struct text *out)
{
    if (source->kind == SOURCE_OSS && !source->path_style) {
        text_char(out, '/');
        text_str(out, source->bucket);
    }
    url_path(source, request, out);
}

static void vendor_headers(const struct source *source, struct sign_request *sign,
                           const char *stamp, struct span token)
{
    bool oss = source->kind == SOURCE_OSS;
    add_header(sign, oss ? "x-oss-content-sha256" : "x-amz-content-sha256", sign->payload);
    add_header(sign, oss ? "x-oss-date" : "x-amz-date", span_text(stamp));
    if (token.size > 0) {
        add_header(sign, oss ? "x-oss-security-token" : "x-amz-security-token", token);
    }
}

static void get_headers(const struct source *source, const struct request *request,
                        struct sign_request *sign, struct text *scratch)
{
    size_t start = scratch->used;
    text_str(scratch, "bytes=");
    text_u64(scratch, request->offset);
    text_char(scratch, '-');
    text_u64(scratch, request->offset + request->size - 1);
    add_header(sign, "range", span_of(scratch->data + start, scratch->used - start));
    if (request->pin.size > 0) {
        start = scratch->used;
        text_char(scratch, '"');
        text_span(scratch, request->pin);
        text_char(scratch, '"');
        add_header(sign, "if-match", span_of(scratch->data + start, scratch->used - start));
    }
    if (source->kind == SOURCE_OSS) {
        add_header(sign, "x-oss-range-behavior", span_text("standard"));
    }
}

static void write_url(const struct source *source, const struct request *request,
                      const struct sign_request *sign, struct text *text)
{
    char path[SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 4];
    struct text raw;
    text_init(&raw, path, sizeof path);
    url_path(source, request, &raw);
    text->overflow = text->overflow || raw.overflow;
    text_str(text, source->tls ? "https://" : "http://");
    host_of(source, text);
    sign_encode(text, span_of(raw.data, raw.used), true);
    if (sign->query_count > 0) {
        text_char(text, '?');
        sign_query(text, sign);
    }
}

static enum err authorize(struct sign_request *sign, const struct signer *signer,
                          struct signed_request *out, struct text *text)
{
    size_t start = text->used;
    if (signer->credential->access_key_id[0] == '\0') {
        return ERR_OK;
    }
    text_str(text, "authorization: ");
    if (sign_authorization(sign, signer->credential, signer->key, text) != ERR_OK) {
        return ERR_TOO_LARGE;
    }
    CHECK(out->header_count < REQUEST_HEADERS_MAX);
    out->headers[out->header_count++] = keep(text, start);
    return ERR_OK;
}

static void begin(struct sign_request *sign, const struct source *source, time_t when)
{
    memset(sign, 0, sizeof *sign);
    sign->dialect = source->kind == SOURCE_OSS ? SIGN_OSS : SIGN_S3;
    sign->payload = span_text(UNSIGNED_PAYLOAD);
    sign->region = source->region;
    sign->product = source->kind == SOURCE_OSS ? "oss" : "s3";
    sign->when = when;
}

/* Text that headers point into while they are signed. */
struct scratch {
    struct text text;
    char limit[16], stamp[17], day[9];
    char space[2 * SOURCE_HOST_MAX + 2 * SOURCE_BUCKET_MAX + SOURCE_PREFIX_MAX + 512];
};

static void describe(const struct source *source, const struct request *request,
                     struct sign_request *sign, struct scratch *scratch)
{
    size_t start;
    host_of(source, &scratch->text);
    add_header(sign, "host", span_of(scratch->text.data, scratch->text.used));
    start = scratch->text.used;
    sign_path(source, request, &scratch->text);
    sign->path = span_of(scratch->text.data + start, scratch->text.used - start);
    switch (request->kind) {
    case REQUEST_LIST:
        list_query(sign, request, scratch->limit);
        return;
    case REQUEST_GET:
        get_headers(source, request, sign, &scratch->text);
        return;
    case REQUEST_HEAD:
        return;
    }
}

/* A line end in a header's value would be a header of its own. */
static bool headers_are_valid(const struct sign_request *sign)
{
    for (uint32_t i = 0; i < sign->header_count; i++) {
        struct span value = sign->headers[i].value;
        for (size_t at = 0; at < value.size; at++) {
            if (value.data[at] < 0x20 || value.data[at] == 0x7f) {
                return false;
            }
        }
    }
    return true;
}

enum err request_sign(const struct source *source, const struct request *request,
                      const struct signer *signer, struct signed_request *out)
{
    struct sign_request sign;
    struct scratch scratch;
    struct text text;
    enum err err;
    CHECK(source->kind != SOURCE_FILE);
    CHECK(request->kind != REQUEST_GET || request->size > 0);
    if (request->kind == REQUEST_GET && request->pin.size > 0 && !pin_is_valid(request->pin)) {
        return ERR_INVALID;
    }
    begin(&sign, source, signer->when);
    text_init(&text, out->buffer, sizeof out->buffer);
    text_init(&scratch.text, scratch.space, sizeof scratch.space);
    sign_time(signer->when, scratch.stamp, scratch.day);
    out->header_count = 0;
    out->method = request->kind == REQUEST_HEAD ? "HEAD" : "GET";
    sign.method = out->method;
    describe(source, request, &sign, &scratch);
    if (signer->credential->access_key_id[0] != '\0') {
        struct span token = span_text(signer->credential->security_token);
        vendor_headers(source, &sign, scratch.stamp, token);
    }
    if (!headers_are_valid(&sign)) {
        return ERR_INVALID;
    }
    write_url(source, request, &sign, &text);
    out->url = keep(&text, 0);
    for (uint32_t i = 1; i < sign.header_count; i++) { /* 0 is host: the URL says it */
        header(out, &text, sign.headers[i]);
    }
    err = authorize(&sign, signer, out, &text);
    if (err != ERR_OK) {
        return err;
    }
    return text.overflow || scratch.text.overflow ? ERR_TOO_LARGE : ERR_OK;
}
