/* node/origin/sign.c: the two dialects of version 4 signatures. */
#include "node/origin/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#define CANONICAL_MAX 16384u

static const char hex_upper[] = "0123456789ABCDEF";

void sign_time(time_t when, char *stamp, char *day)
{
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(stamp, 17, "%Y%m%dT%H%M%SZ", &tm);
    memcpy(day, stamp, 8);
    day[8] = '\0';
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void sign_encode(struct text *out, struct span raw, bool keep_slash)
{
    for (size_t i = 0; i < raw.size; i++) {
        uint8_t c = raw.data[i];
        if (is_unreserved(c) || (keep_slash && c == '/')) {
            text_char(out, (char)c);
            continue;
        }
        text_char(out, '%');
        text_char(out, hex_upper[c >> 4]);
        text_char(out, hex_upper[c & 15]);
    }
}

/* Encoded names and values in one buffer, so that they can be sorted by encoded bytes. */
struct encoded {
    struct span name;
    struct span value;
};

static int encoded_compare(const struct encoded *a, const struct encoded *b)
{
    int order = span_compare(a->name, b->name);
    return order != 0 ? order : span_compare(a->value, b->value);
}

static void encoded_sort(struct encoded *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct encoded item = items[i];
        uint32_t at = i;
        while (at > 0 && encoded_compare(&item, &items[at - 1]) < 0) {
            items[at] = items[at - 1];
            at--;
        }
        items[at] = item;
    }
}

static struct span encode_part(struct text *scratch, struct span raw)
{
    size_t start = scratch->used;
    sign_encode(scratch, raw, false);
    return span_of(scratch->data + start, scratch->used - start);
}

void sign_query(struct text *out, const struct sign_request *request)
{
    char buffer[CANONICAL_MAX];
    struct text scratch;
    struct encoded items[SIGN_PAIRS_MAX];
    text_init(&scratch, buffer, sizeof buffer);
    for (uint32_t i = 0; i < request->query_count; i++) {
        items[i].name = encode_part(&scratch, request->query[i].name);
        items[i].value = encode_part(&scratch, request->query[i].value);
    }
    out->overflow = out->overflow || scratch.overflow;
    encoded_sort(items, request->query_count);
    for (uint32_t i = 0; i < request->query_count; i++) {
        if (i > 0) {
            text_char(out, '&');
        }
        text_span(out, items[i].name);
        if (items[i].value.size > 0 || request->dialect == SIGN_S3) {
            text_char(out, '=');
            text_span(out, items[i].value);
        }
    }
}

static bool is_listed(struct span names, struct span name)
{
    size_t start = 0;
    for (size_t i = 0; names.size > 0 && i <= names.size; i++) {
        if (i < names.size && names.data[i] != ';') {
            continue;
        }
        if (span_equal(span_of(names.data + start, i - start), name)) {
            return true;
        }
        start = i + 1;
    }
    return false;
}

static bool is_signed(const struct sign_request *request, struct span name)
{
    if (request->dialect == SIGN_S3) {
        return true;
    }
    return span_starts_with(name, span_text("x-oss-")) ||
           span_equal(name, span_text("content-type")) ||
           span_equal(name, span_text("content-md5")) || is_listed(request->additional, name);
}

static struct span trimmed(struct span value)
{
    while (value.size > 0 && value.data[0] == ' ') {
        value = span_of(value.data + 1, value.size - 1);
    }
    while (value.size > 0 && value.data[value.size - 1] == ' ') {
        value.size--;
    }
    return value;
}

/* The signed headers in order; their number. */
static uint32_t signed_headers(const struct sign_request *request, struct encoded *items)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (is_signed(request, request->headers[i].name)) {
            items[count].name = request->headers[i].name;
            items[count].value = trimmed(request->headers[i].value);
            count++;
        }
    }
    encoded_sort(items, count);
    return count;
}

static void signed_names(struct text *out, const struct sign_request *request)
{
    struct encoded items[SIGN_PAIRS_MAX];
    uint32_t count = signed_headers(request, items);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            text_char(out, ';');
        }
        text_span(out, items[i].name);
    }
}

void sign_canonical(struct text *out, const struct sign_request *request)
{
    struct encoded items[SIGN_PAIRS_MAX];
    uint32_t count = signed_headers(request, items);
    text_str(out, request->method);
    text_char(out, '\n');
    sign_encode(out, request->path, true);
    text_char(out, '\n');
    sign_query(out, request);
    text_char(out, '\n');
    for (uint32_t i = 0; i < count; i++) {
        text_span(out, items[i].name);
        text_char(out, ':');
        text_span(out, items[i].value);
        text_char(out, '\n');
    }
    text_char(out, '\n');
    if (request->dialect == SIGN_S3) {
        signed_names(out, request);
    } else {
        text_span(out, request->additional);
    }
    text_char(out, '\n');
    text_span(out, request->payload);
}

static void hmac(const uint8_t *key, size_t key_size, struct span data, uint8_t out[32])
{
    unsigned int size = 32;
    const uint8_t *made = HMAC(EVP_sha256(), key, (int)key_size, data.data, data.size, out, &size);
    CHECK(made != NULL && size == 32);
}

/* Which derivation a cached key belongs to. */
static void key_tag(const struct sign_request *request, const char *secret, const char *day,
                    uint8_t tag[32])
{
    char buffer[512];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, request->dialect == SIGN_S3 ? "AWS4" : "aliyun_v4");
    text_str(&text, secret);
    text_char(&text, '\n');
    text_str(&text, day);
    text_char(&text, '\n');
    text_str(&text, request->region);
    text_char(&text, '\n');
    text_str(&text, request->product);
    SHA256((const uint8_t *)text.data, text.used, tag);
    OPENSSL_cleanse(buffer, sizeof buffer);
}

static const char *scope_end(const struct sign_request *request)
{
    return request->dialect == SIGN_S3 ? "aws4_request" : "aliyun_v4_request";
}

static void derive_key(const struct sign_request *request, const struct credential *credential,
                       const char *day, struct sign_key *key)
{
    uint8_t tag[32];
    uint8_t step[32];
    char seed[160];
    struct text text;
    key_tag(request, credential->access_key_secret, day, tag);
    if (memcmp(tag, key->tag, sizeof tag) == 0) {
        return;
    }
    text_init(&text, seed, sizeof seed);
    text_str(&text, request->dialect == SIGN_S3 ? "AWS4" : "aliyun_v4");
    text_str(&text, credential->access_key_secret);
    hmac((const uint8_t *)seed, text.used, span_text(day), step);
    hmac(step, 32, span_text(request->region), step);
    hmac(step, 32, span_text(request->product), step);
    hmac(step, 32, span_text(scope_end(request)), key->key);
    memcpy(key->tag, tag, sizeof tag);
    OPENSSL_cleanse(seed, sizeof seed);
    OPENSSL_cleanse(step, sizeof step);
}

static void scope(struct text *out, const struct sign_request *request, const char *day)
{
    text_str(out, day);
    text_char(out, '/');
    text_str(out, request->region);
    text_char(out, '/');
    text_str(out, request->product);
    text_char(out, '/');
    text_str(out, scope_end(request));
}

static const char *algorithm(const struct sign_request *request)
{
    return request->dialect == SIGN_S3 ? "AWS4-HMAC-SHA256" : "OSS4-HMAC-SHA256";
}

enum err sign_signature(const struct sign_request *request, const struct credential *credential,
                        struct sign_key *key, char *hex)
{
    char canonical[CANONICAL_MAX];
    char to_sign[512];
    char stamp[17];
    char day[9];
    uint8_t digest[32];
    struct text text;
    text_init(&text, canonical, sizeof canonical);
    sign_canonical(&text, request);
    if (text.overflow) {
        return ERR_FULL;
    }
    SHA256((const uint8_t *)text.data, text.used, digest);
    sign_time(request->when, stamp, day);
    text_init(&text, to_sign, sizeof to_sign);
    text_str(&text, algorithm(request));
    text_char(&text, '\n');
    text_str(&text, stamp);
    text_char(&text, '\n');
    scope(&text, request, day);
    text_char(&text, '\n');
    text_hex(&text, digest, sizeof digest);
    if (text.overflow) {
        return ERR_FULL;
    }
    derive_key(request, credential, day, key);
    hmac(key->key, sizeof key->key, span_of(text.data, text.used), digest);
    text_init(&text, hex, SIGN_HEX_SIZE);
    text_hex(&text, digest, sizeof digest);
    return ERR_OK;
}

enum err sign_authorization(const struct sign_request *request, const struct credential *credential,
                            struct sign_key *key, struct text *out)
{
    char hex[SIGN_HEX_SIZE];
    char stamp[17];
    char day[9];
    enum err err = sign_signature(request, credential, key, hex);
    if (err != ERR_OK) {
        return err;
    }
    sign_time(request->when, stamp, day);
    text_str(out, algorithm(request));
    text_str(out, " Credential=");
    text_str(out, credential->access_key_id);
    text_char(out, '/');
    scope(out, request, day);
    if (request->dialect == SIGN_S3) {
        text_str(out, ",SignedHeaders=");
        signed_names(out, request);
    } else if (request->additional.size > 0) {
        text_str(out, ",AdditionalHeaders=");
        text_span(out, request->additional);
    }
    text_str(out, ",Signature=");
    text_str(out, hex);
    return out->overflow ? ERR_FULL : ERR_OK;
}
