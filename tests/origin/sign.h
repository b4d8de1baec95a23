/* tests/origin/sign.h: what a signature is made over, and the signature, for the three schemes that
 * the origin takes: AWS SigV4, OSS V4 and OSS V1.
 *
 * Written from the schemes' descriptions alone, apart from the signers of node/origin, so that a
 * mistake in one cannot hide in the other. */
#ifndef ATOLL_TESTS_ORIGIN_SIGN_H
#define ATOLL_TESTS_ORIGIN_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/origin/query.h"
#include "tests/origin/text.h"

struct field {
    const char *name;
    const char *value;
};

/* A request as it came. `path` is still encoded; `bucket` and `key` are decoded, NULL for none. */
struct signed_request {
    const char *method;
    const char *path;
    const struct query *query;
    const struct field *fields;
    size_t field_count;
    const char *bucket;
    const char *key;
};

/* The scope of a V4 signature, and the parts of a canonical request that its sender chose. */
struct sign_scope {
    const char *date;    /* 20130524 */
    const char *region;  /* us-east-1 */
    const char *service; /* s3, oss, oss-cloudbox */
    const char *headers; /* SignedHeaders, AdditionalHeaders: "a;b", "" for none */
    const char *payload; /* last line of the canonical request */
    bool presigned;      /* the signature is in the query */
};

#define SIGN_HEX_SIZE 65

/* The value of a header (names compare without case), NULL when there is none. */
const char *sign_field(const struct signed_request *request, const char *name);
/* Whether "a;b;c" names it. */
bool sign_listed(const char *headers, const char *name);

void sign_aws4_canonical(const struct signed_request *request, const struct sign_scope *scope,
                         struct text *out);
void sign_oss4_canonical(const struct signed_request *request, const struct sign_scope *scope,
                         struct text *out);
/* `time` as sent, "20130524T000000Z". */
void sign_aws4_string(const struct sign_scope *scope, const char *time, const char *canonical,
                      struct text *out);
void sign_oss4_string(const struct sign_scope *scope, const char *time, const char *canonical,
                      struct text *out);
void sign_aws4_key(const char *secret, const struct sign_scope *scope, uint8_t out[32]);
void sign_oss4_key(const char *secret, const struct sign_scope *scope, uint8_t out[32]);
/* HMAC-SHA256 of the string to sign, in hex. */
void sign_v4(const uint8_t key[32], const char *string_to_sign, char out[SIGN_HEX_SIZE]);

/* `date` is the Date line: the header's text, or Expires of the query form. */
void sign_oss1_string(const struct signed_request *request, const char *date, struct text *out);
/* In base64; the result belongs to the caller. */
char *sign_oss1(const char *secret, const char *string_to_sign);

#endif
