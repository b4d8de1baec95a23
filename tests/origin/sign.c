#include "tests/origin/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One line of a canonical query or of canonical headers, before sorting. */
struct line {
    char *name;
    char *value;
};

static int by_name_and_value(const void *a, const void *b)
{
    const struct line *left = a;
    const struct line *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : strcmp(left->value, right->value);
}

static void free_lines(struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(lines[i].name);
        free(lines[i].value);
    }
    free(lines);
}

static char *lower(const char *name)
{
    char *copy = text_dup(name, strlen(name));
    for (char *c = copy; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    return copy;
}

static char *encoded(const char *string)
{
    struct text text = { 0 };
    text_uri(&text, string, strlen(string), URI_QUERY);
    return text.bytes;
}

const char *sign_field(const struct signed_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (strcasecmp(request->fields[i].name, name) == 0) {
            return request->fields[i].value;
        }
    }
    return NULL;
}

bool sign_listed(const char *headers, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = headers; at != NULL && *at != '\0';) {
        const char *end = strchr(at, ';');
        size_t listed = end == NULL ? strlen(at) : (size_t)(end - at);
        if (listed == size && strncasecmp(at, name, size) == 0) {
            return true;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return false;
}

/* A header's value as both schemes sign it: no blanks around it; AWS folds the ones within. */
static char *trimmed(const char *value, bool fold)
{
    struct text text = { 0 };
    text_clear(&text);
    value += strspn(value, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t')) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        bool repeated = fold && value[i] == ' ' && i > 0 && value[i - 1] == ' ';
        if (!repeated) {
            text_add(&text, &value[i], 1);
        }
    }
    return text.bytes;
}

/* All values of one header, joined by commas in the order they came. */
static char *joined(const struct signed_request *request, const char *name, bool fold)
{
    struct text text = { 0 };
    text_clear(&text);
    bool first = true;
    for (size_t i = 0; i < request->field_count; i++) {
        if (strcasecmp(request->fields[i].name, name) == 0) {
            char *value = trimmed(request->fields[i].value, fold);
            text_puts(&text, first ? "" : ",");
            text_puts(&text, value);
            free(value);
            first = false;
        }
    }
    return text.bytes;
}

/* The query's parameters, all but `without`, encoded and sorted. AWS writes "name=" for an empty
 * value where OSS writes "name". */
static void add_query(const struct query *query, const char *without, bool always_equals,
                      struct text *out)
{
    struct line *lines = text_alloc((query->count + 1) * sizeof *lines);
    size_t count = 0;
    for (size_t i = 0; i < query->count; i++) {
        if (strcmp(query->params[i].name, without) != 0) {
            lines[count++] = (struct line){ .name = encoded(query->params[i].name),
                                            .value = encoded(query->params[i].value) };
        }
    }
    qsort(lines, count, sizeof *lines, by_name_and_value);
    for (size_t i = 0; i < count; i++) {
        bool equals = always_equals || lines[i].value[0] != '\0';
        text_printf(out, "%s%s%s%s", i > 0 ? "&" : "", lines[i].name, equals ? "=" : "",
                    lines[i].value);
    }
    free_lines(lines, count);
}

void sign_aws4_canonical(const struct signed_request *request, const struct sign_scope *scope,
                         struct text *out)
{
    text_printf(out, "%s\n", request->method);
    char *path = text_alloc(strlen(request->path) + 1);
    if (text_uri_decode(request->path, strlen(request->path), false, path)) {
        text_uri(out, path, strlen(path), URI_PATH);
    }
    free(path);
    text_puts(out, "\n");
    add_query(request->query, "X-Amz-Signature", true, out);
    text_puts(out, "\n");
    char *names = lower(scope->headers);
    char *rest = names;
    while (rest != NULL && *rest != '\0') {
        char *end = strchr(rest, ';');
        if (end != NULL) {
            *end = '\0';
        }
        char *value = joined(request, rest, true);
        text_printf(out, "%s:%s\n", rest, value);
        free(value);
        rest = end == NULL ? NULL : end + 1;
    }
    free(names);
    text_printf(out, "\n%s\n%s", scope->headers, scope->payload);
}

static bool oss4_signs(const struct sign_scope *scope, const char *name)
{
    return strcasecmp(name, "content-type") == 0 || strcasecmp(name, "content-md5") == 0 ||
           strncasecmp(name, "x-oss-", 6) == 0 || sign_listed(scope->headers, name);
}

/* The headers that `wanted` picks, lower-case and sorted, each once. */
static void add_oss_headers(const struct signed_request *request, const struct sign_scope *scope,
                            struct text *out)
{
    struct line *lines = text_alloc((request->field_count + 1) * sizeof *lines);
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        const char *name = request->fields[i].name;
        bool first = sign_field(request, name) == request->fields[i].value;
        bool wanted = scope != NULL ? oss4_signs(scope, name) : strncasecmp(name, "x-oss-", 6) == 0;
        if (first && wanted) {
            lines[count++] =
                (struct line){ .name = lower(name), .value = joined(request, name, false) };
        }
    }
    qsort(lines, count, sizeof *lines, by_name_and_value);
    for (size_t i = 0; i < count; i++) {
        text_printf(out, "%s:%s\n", lines[i].name, lines[i].value);
    }
    free_lines(lines, count);
}

void sign_oss4_canonical(const struct signed_request *request, const struct sign_scope *scope,
                         struct text *out)
{
    text_printf(out, "%s\n/", request->method);
    if (request->bucket != NULL) {
        text_uri(out, request->bucket, strlen(request->bucket), URI_PATH);
        text_puts(out, "/");
    }
    if (request->key != NULL) {
        text_uri(out, request->key, strlen(request->key), URI_PATH);
    }
    text_puts(out, "\n");
    add_query(request->query, "x-oss-signature", false, out);
    text_puts(out, "\n");
    add_oss_headers(request, scope, out);
    text_printf(out, "\n%s\n%s", scope->headers, scope->payload);
}

static void add_v4_string(const struct sign_scope *scope, const char *const names[2],
                          const char *time, const char *canonical, struct text *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char hex[SIGN_HEX_SIZE];
    SHA256((const uint8_t *)canonical, strlen(canonical), digest);
    text_hex(digest, sizeof digest, hex);
    text_printf(out, "%s\n%s\n%s/%s/%s/%s\n%s", names[0], time, scope->date, scope->region,
                scope->service, names[1], hex);
}

void sign_aws4_string(const struct sign_scope *scope, const char *time, const char *canonical,
                      struct text *out)
{
    static const char *const names[2] = { "AWS4-HMAC-SHA256", "aws4_request" };
    add_v4_string(scope, names, time, canonical, out);
}

void sign_oss4_string(const struct sign_scope *scope, const char *time, const char *canonical,
                      struct text *out)
{
    static const char *const names[2] = { "OSS4-HMAC-SHA256", "aliyun_v4_request" };
    add_v4_string(scope, names, time, canonical, out);
}

static void hmac_sha256(const void *key, size_t key_size, const char *message, uint8_t out[32])
{
    unsigned size = 32;
    if (HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)message, strlen(message), out,
             &size) == NULL) {
        abort();
    }
}

static void derive_key(const char *prefix, const char *secret, const struct sign_scope *scope,
                       const char *last, uint8_t out[32])
{
    struct text first = { 0 };
    text_printf(&first, "%s%s", prefix, secret);
    uint8_t date[32];
    uint8_t region[32];
    uint8_t service[32];
    hmac_sha256(first.bytes, first.size, scope->date, date);
    hmac_sha256(date, sizeof date, scope->region, region);
    hmac_sha256(region, sizeof region, scope->service, service);
    hmac_sha256(service, sizeof service, last, out);
    text_fini(&first);
}

void sign_aws4_key(const char *secret, const struct sign_scope *scope, uint8_t out[32])
{
    derive_key("AWS4", secret, scope, "aws4_request", out);
}

void sign_oss4_key(const char *secret, const struct sign_scope *scope, uint8_t out[32])
{
    derive_key("aliyun_v4", secret, scope, "aliyun_v4_request", out);
}

void sign_v4(const uint8_t key[32], const char *string_to_sign, char out[SIGN_HEX_SIZE])
{
    uint8_t digest[32];
    hmac_sha256(key, 32, string_to_sign, digest);
    text_hex(digest, sizeof digest, out);
}

/* The sub-resources that V1 signs (Go SDK v2, signer v1); others of the query are left out. */
static bool oss1_signs(const char *name)
{
    static const char *const names[] = {
        "acl",
        "bucketInfo",
        "location",
        "stat",
        "delete",
        "append",
        "tagging",
        "objectMeta",
        "uploads",
        "uploadId",
        "partNumber",
        "security-token",
        "position",
        "response-content-type",
        "response-content-language",
        "response-expires",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "restore",
        "callback",
        "callback-var",
        "versions",
        "versioning",
        "versionId",
        "sequential",
        "continuation-token",
        "regionList",
        "cloudboxes",
        "symlink",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "x-oss-", 6) == 0;
}

static void add_oss1_resource(const struct signed_request *request, struct text *out)
{
    text_puts(out, "/");
    if (request->bucket != NULL) {
        text_printf(out, "%s/", request->bucket);
    }
    text_puts(out, request->key == NULL ? "" : request->key);
    const struct query *query = request->query;
    struct line *lines = text_alloc((query->count + 1) * sizeof *lines);
    size_t count = 0;
    for (size_t i = 0; i < query->count; i++) {
        const char *name = query->params[i].name;
        const char *value = query->params[i].value;
        if (oss1_signs(name)) {
            lines[count++] = (struct line){ .name = text_dup(name, strlen(name)),
                                            .value = text_dup(value, strlen(value)) };
        }
    }
    qsort(lines, count, sizeof *lines, by_name_and_value);
    for (size_t i = 0; i < count; i++) {
        text_printf(out, "%s%s%s%s", i > 0 ? "&" : "?", lines[i].name,
                    lines[i].value[0] != '\0' ? "=" : "", lines[i].value);
    }
    free_lines(lines, count);
}

void sign_oss1_string(const struct signed_request *request, const char *date, struct text *out)
{
    const char *md5 = sign_field(request, "content-md5");
    const char *type = sign_field(request, "content-type");
    text_printf(out, "%s\n%s\n%s\n%s\n", request->method, md5 == NULL ? "" : md5,
                type == NULL ? "" : type, date);
    add_oss_headers(request, NULL, out);
    add_oss1_resource(request, out);
}

char *sign_oss1(const char *secret, const char *string_to_sign)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = sizeof digest;
    if (HMAC(EVP_sha1(), secret, (int)strlen(secret), (const uint8_t *)string_to_sign,
             strlen(string_to_sign), digest, &size) == NULL) {
        abort();
    }
    return text_base64(digest, size);
}
