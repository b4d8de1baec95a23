/* node/origin/sign.h: request signatures of S3 (AWS Signature Version 4) and OSS (V4).
 *
 * Sources: docs of both vendors as collected in docs/sources.md; proven by their published vectors
 * in tests/unit/node/origin/test_sign.c. The two differ on purpose in how an empty query value is
 * written, which headers are signed, and what the path is. */
#pragma once
#include <stdint.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

#define SIGN_HEX_SIZE 65
#define SIGN_PAIRS_MAX 24
#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

enum sign_dialect { SIGN_S3, SIGN_OSS };

struct credential {
    char access_key_id[129];
    char access_key_secret[129];
    char security_token[2049]; /* "" when the keys are lasting ones */
};

/* A name and a value, neither encoded. */
struct pair {
    struct span name;
    struct span value;
};

/* What is signed. Headers must hold all that the dialect signs, names in lower case:
 * S3: host, x-amz-date, x-amz-content-sha256 and every other one given here;
 * OSS: x-oss-* and content-type, plus those listed in `additional` (sorted, lower case). */
struct sign_request {
    enum sign_dialect dialect;
    const char *method;
    struct span path; /* not encoded; S3: as in the URL; OSS: "/bucket/key" always */
    struct pair query[SIGN_PAIRS_MAX];
    uint32_t query_count;
    struct pair headers[SIGN_PAIRS_MAX];
    uint32_t header_count;
    struct span additional; /* OSS: "abc;zabc"; empty: none */
    struct span payload;    /* hex SHA-256 of the body, or UNSIGNED_PAYLOAD */
    const char *region;
    const char *product; /* "s3"; "oss" or "oss-cloudbox" */
    time_t when;
};

/* The derived key of one day, region, product and secret, kept between requests by one thread.
 * All zero is an empty cache. */
struct sign_key {
    uint8_t key[32];
    uint8_t tag[32]; /* hash of what it was derived from */
};

/* "20231216T162057Z" and its first 8 characters; buffers of 17 and 9. */
void sign_time(time_t when, char *stamp, char *day);
/* Percent encoding with upper-case hex; unreserved A-Z a-z 0-9 - . _ ~ stay, "/" if asked. */
void sign_encode(struct text *out, struct span raw, bool keep_slash);
/* "k=v&k=v": encoded and sorted by encoded name. OSS writes an empty value as "k". */
void sign_query(struct text *out, const struct sign_request *request);
/* The canonical request; for tests and for telling a person why a signature did not match. */
void sign_canonical(struct text *out, const struct sign_request *request);
/* Hex signature in `hex` (SIGN_HEX_SIZE). ERR_FULL: the request is over 16 KiB. */
enum err sign_signature(const struct sign_request *request, const struct credential *credential,
                        struct sign_key *key, char *hex) MUST_USE;
/* The whole value of the Authorization header. */
enum err sign_authorization(const struct sign_request *request, const struct credential *credential,
                            struct sign_key *key, struct text *out) MUST_USE;
