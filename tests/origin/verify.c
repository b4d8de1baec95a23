#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/verify.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* What a V4 request says of its own signature; all point into `storage` or the request. */
struct v4_claim {
    enum dialect dialect;
    const char *key_id;
    struct sign_scope scope;
    const char *time;
    const char *signature;
    const char *token;
    uint64_t expires_s;
    char *storage;
};

static const char *query_or_empty(const struct signed_request *request, const char *name)
{
    const char *value = query_get(request->query, name);
    return value == NULL ? "" : value;
}

/* Split ID/date/region/service/last from its end, since an ID may hold a slash. */
static bool parse_credential(char *credential, const char *last, struct v4_claim *claim)
{
    const char *parts[4];
    for (size_t i = 0; i < 4; i++) {
        char *slash = strrchr(credential, '/');
        if (slash == NULL) {
            return false;
        }
        *slash = '\0';
        parts[3 - i] = slash + 1;
    }
    claim->key_id = credential;
    claim->scope.date = parts[0];
    claim->scope.region = parts[1];
    claim->scope.service = parts[2];
    return strcmp(parts[3], last) == 0;
}

static const char *credential_end(enum dialect dialect)
{
    return dialect == DIALECT_S3 ? "aws4_request" : "aliyun_v4_request";
}

/* "Credential=…, SignedHeaders=…, Signature=…", the scheme's name already cut off. */
static bool parse_header_claim(const struct signed_request *request, const char *header,
                               struct v4_claim *claim)
{
    claim->storage = text_dup(header, strlen(header));
    claim->scope.headers = "";
    char *credential = NULL;
    char *rest = claim->storage;
    for (char *part = strsep(&rest, ","); part != NULL; part = strsep(&rest, ",")) {
        part += strspn(part, " ");
        if (text_starts(part, "Credential=")) {
            credential = strchr(part, '=') + 1;
        } else if (text_starts(part, "SignedHeaders=") || text_starts(part, "AdditionalHeaders=")) {
            claim->scope.headers = strchr(part, '=') + 1;
        } else if (text_starts(part, "Signature=")) {
            claim->signature = strchr(part, '=') + 1;
        } else {
            return false;
        }
    }
    bool s3 = claim->dialect == DIALECT_S3;
    const char *payload = sign_field(request, s3 ? "x-amz-content-sha256" : "x-oss-content-sha256");
    claim->time = sign_field(request, s3 ? "x-amz-date" : "x-oss-date");
    claim->token = sign_field(request, s3 ? "x-amz-security-token" : "x-oss-security-token");
    claim->scope.payload = payload == NULL && !s3 ? "UNSIGNED-PAYLOAD" : payload;
    return credential != NULL && claim->signature != NULL && claim->time != NULL &&
           claim->scope.payload != NULL &&
           parse_credential(credential, credential_end(claim->dialect), claim);
}

static bool parse_query_claim(const struct signed_request *request, struct v4_claim *claim)
{
    bool s3 = claim->dialect == DIALECT_S3;
    const char *credential = query_or_empty(request, s3 ? "X-Amz-Credential" : "x-oss-credential");
    const char *payload = sign_field(request, s3 ? "x-amz-content-sha256" : "x-oss-content-sha256");
    claim->storage = text_dup(credential, strlen(credential));
    claim->scope.headers =
        query_or_empty(request, s3 ? "X-Amz-SignedHeaders" : "x-oss-additional-headers");
    claim->time = query_or_empty(request, s3 ? "X-Amz-Date" : "x-oss-date");
    claim->signature = query_or_empty(request, s3 ? "X-Amz-Signature" : "x-oss-signature");
    claim->token = query_get(request->query, s3 ? "X-Amz-Security-Token" : "x-oss-security-token");
    claim->scope.payload = payload == NULL ? "UNSIGNED-PAYLOAD" : payload;
    claim->scope.presigned = true;
    return text_u64(query_or_empty(request, s3 ? "X-Amz-Expires" : "x-oss-expires"),
                    &claim->expires_s) &&
           claim->expires_s <= 7 * 24 * 3600 &&
           parse_credential(claim->storage, credential_end(claim->dialect), claim);
}

static enum verdict_kind check_time(const struct v4_claim *claim, int64_t now_s)
{
    int64_t time_s = text_time_basic(claim->time);
    if (time_s < 0 || strncmp(claim->time, claim->scope.date, strlen(claim->scope.date)) != 0 ||
        strlen(claim->scope.date) != 8) {
        return VERDICT_MALFORMED;
    }
    if (time_s > now_s + VERIFY_SKEW_S) {
        return VERDICT_SKEWED;
    }
    if (claim->scope.presigned) {
        return time_s + (int64_t)claim->expires_s < now_s ? VERDICT_EXPIRED : VERDICT_GOOD;
    }
    return time_s < now_s - VERIFY_SKEW_S ? VERDICT_SKEWED : VERDICT_GOOD;
}

static enum verdict_kind check_token(const struct key *key, const char *token)
{
    if (key->token == NULL) {
        return token == NULL ? VERDICT_GOOD : VERDICT_TOKEN_WRONG;
    }
    if (token == NULL) {
        return VERDICT_TOKEN_MISSING;
    }
    return strcmp(key->token, token) == 0 ? VERDICT_GOOD : VERDICT_TOKEN_WRONG;
}

/* AWS refuses a request whose Host or x-amz-* headers are outside the signature. */
static bool signs_what_it_must(const struct signed_request *request, const struct v4_claim *claim)
{
    if (claim->dialect == DIALECT_OSS) {
        return true;
    }
    bool good = sign_listed(claim->scope.headers, "host");
    for (size_t i = 0; i < request->field_count; i++) {
        const char *name = request->fields[i].name;
        bool must = strncasecmp(name, "x-amz-", 6) == 0;
        good = good && (!must || sign_listed(claim->scope.headers, name));
    }
    return good;
}

static bool same_secret(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && CRYPTO_memcmp(a, b, strlen(a)) == 0;
}

static bool signature_matches(const struct signed_request *request, const struct v4_claim *claim,
                              const char *secret, struct verdict *out)
{
    uint8_t key[32];
    char signature[SIGN_HEX_SIZE];
    if (claim->dialect == DIALECT_S3) {
        sign_aws4_canonical(request, &claim->scope, &out->canonical);
        sign_aws4_string(&claim->scope, claim->time, out->canonical.bytes, &out->string_to_sign);
        sign_aws4_key(secret, &claim->scope, key);
    } else {
        sign_oss4_canonical(request, &claim->scope, &out->canonical);
        sign_oss4_string(&claim->scope, claim->time, out->canonical.bytes, &out->string_to_sign);
        sign_oss4_key(secret, &claim->scope, key);
    }
    sign_v4(key, out->string_to_sign.bytes, signature);
    return same_secret(signature, claim->signature);
}

static enum verdict_kind judge_v4(const struct signed_request *request,
                                  const struct verify_policy *policy, const struct v4_claim *claim,
                                  struct verdict *out)
{
    const char *service = claim->scope.service;
    bool s3 = claim->dialect == DIALECT_S3;
    if (s3 ? strcmp(service, "s3") != 0
           : strcmp(service, "oss") != 0 && strcmp(service, "oss-cloudbox") != 0) {
        return VERDICT_MALFORMED;
    }
    if (policy->region != NULL && strcmp(policy->region, claim->scope.region) != 0) {
        return VERDICT_WRONG_REGION;
    }
    const struct key *key = keys_find(policy->keys, claim->key_id);
    if (key == NULL) {
        return VERDICT_UNKNOWN_KEY;
    }
    enum verdict_kind kind = check_time(claim, policy->now_s);
    if (kind != VERDICT_GOOD) {
        return kind;
    }
    if (!signs_what_it_must(request, claim)) {
        return VERDICT_HEADER_UNSIGNED;
    }
    kind = check_token(key, claim->token);
    if (kind == VERDICT_TOKEN_MISSING) {
        return kind;
    }
    if (!signature_matches(request, claim, key->secret, out)) {
        return VERDICT_WRONG_SIGNATURE;
    }
    return kind;
}

static enum verdict_kind verify_v4(const struct signed_request *request,
                                   const struct verify_policy *policy, const char *header,
                                   struct verdict *out)
{
    struct v4_claim claim = { .dialect = out->dialect };
    bool parsed = header != NULL ? parse_header_claim(request, header, &claim)
                                 : parse_query_claim(request, &claim);
    enum verdict_kind kind = parsed ? judge_v4(request, policy, &claim, out) : VERDICT_MALFORMED;
    free(claim.storage);
    return kind;
}

/* V1 dates are those of HTTP; the query form has an expiry instead. */
static enum verdict_kind check_v1_time(const char *date, bool presigned, int64_t now_s)
{
    uint64_t expires_s = 0;
    if (presigned) {
        if (!text_u64(date, &expires_s)) {
            return VERDICT_MALFORMED;
        }
        return (int64_t)expires_s < now_s ? VERDICT_EXPIRED : VERDICT_GOOD;
    }
    int64_t time_s = text_time_http(date);
    if (time_s < 0) {
        return VERDICT_MALFORMED;
    }
    return llabs((long long)(time_s - now_s)) > VERIFY_SKEW_S ? VERDICT_SKEWED : VERDICT_GOOD;
}

/* The query's own signature parameters are no part of what it signs; none of them is a
 * sub-resource, so sign_oss1_string leaves them out by itself. */
static enum verdict_kind verify_oss1(const struct signed_request *request,
                                     const struct verify_policy *policy, const char *header,
                                     struct verdict *out)
{
    bool presigned = header == NULL;
    struct text id = { 0 };
    const char *signature = query_get(request->query, "Signature");
    const char *date = query_get(request->query, "Expires");
    const char *token = query_get(request->query, "security-token");
    if (presigned) {
        text_puts(&id, query_or_empty(request, "OSSAccessKeyId"));
    } else {
        const char *colon = strrchr(header, ':');
        size_t id_size = colon == NULL ? 0 : (size_t)(colon - header);
        text_add(&id, header, id_size);
        signature = colon == NULL ? NULL : colon + 1;
        date = sign_field(request, "x-oss-date");
        date = date != NULL ? date : sign_field(request, "date");
        token = sign_field(request, "x-oss-security-token");
    }
    const struct key *key = keys_find(policy->keys, id.bytes);
    text_fini(&id);
    if (signature == NULL || date == NULL) {
        return VERDICT_MALFORMED;
    }
    if (key == NULL) {
        return VERDICT_UNKNOWN_KEY;
    }
    enum verdict_kind kind = check_v1_time(date, presigned, policy->now_s);
    kind = kind == VERDICT_GOOD ? check_token(key, token) : kind;
    if (kind != VERDICT_GOOD && kind != VERDICT_TOKEN_WRONG) {
        return kind;
    }
    sign_oss1_string(request, date, &out->string_to_sign);
    char *expected = sign_oss1(key->secret, out->string_to_sign.bytes);
    bool same = same_secret(expected, signature);
    free(expected);
    return same ? kind : VERDICT_WRONG_SIGNATURE;
}

static bool any_oss_field(const struct signed_request *request)
{
    bool any = false;
    for (size_t i = 0; i < request->field_count; i++) {
        any = any || strncasecmp(request->fields[i].name, "x-oss-", 6) == 0;
    }
    return any;
}

void verify_request(const struct signed_request *request, const struct verify_policy *policy,
                    struct verdict *out)
{
    *out = (struct verdict){ .dialect = any_oss_field(request) ? DIALECT_OSS : DIALECT_S3 };
    const char *header = sign_field(request, "authorization");
    if (header != NULL && text_starts(header, "AWS4-HMAC-SHA256 ")) {
        out->dialect = DIALECT_S3;
        out->kind = verify_v4(request, policy, strchr(header, ' ') + 1, out);
    } else if (header != NULL && text_starts(header, "OSS4-HMAC-SHA256 ")) {
        out->dialect = DIALECT_OSS;
        out->kind = verify_v4(request, policy, strchr(header, ' ') + 1, out);
    } else if (header != NULL && text_starts(header, "OSS ")) {
        out->dialect = DIALECT_OSS;
        out->scheme_v1 = true;
        out->kind = verify_oss1(request, policy, header + 4, out);
    } else if (header != NULL) {
        out->kind = VERDICT_MALFORMED;
    } else if (query_get(request->query, "X-Amz-Algorithm") != NULL) {
        out->dialect = DIALECT_S3;
        out->kind = verify_v4(request, policy, NULL, out);
    } else if (query_get(request->query, "x-oss-signature-version") != NULL) {
        out->dialect = DIALECT_OSS;
        out->kind = verify_v4(request, policy, NULL, out);
    } else if (query_get(request->query, "OSSAccessKeyId") != NULL) {
        out->dialect = DIALECT_OSS;
        out->scheme_v1 = true;
        out->kind = verify_oss1(request, policy, NULL, out);
    } else {
        out->kind = VERDICT_ANONYMOUS;
    }
}

void verify_fini(struct verdict *verdict)
{
    text_fini(&verdict->canonical);
    text_fini(&verdict->string_to_sign);
}
