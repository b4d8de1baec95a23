/* tests/origin/verify.h: whether a request is signed, by whom, and rightly. */
#ifndef ATOLL_TESTS_ORIGIN_VERIFY_H
#define ATOLL_TESTS_ORIGIN_VERIFY_H

#include "tests/origin/keys.h"
#include "tests/origin/sign.h"

enum dialect {
    DIALECT_S3,
    DIALECT_OSS,
};

enum verdict_kind {
    VERDICT_GOOD,
    VERDICT_ANONYMOUS,
    VERDICT_MALFORMED,
    VERDICT_UNKNOWN_KEY,
    VERDICT_WRONG_SIGNATURE,
    VERDICT_SKEWED,
    VERDICT_EXPIRED,
    VERDICT_TOKEN_MISSING,
    VERDICT_TOKEN_WRONG,
    VERDICT_HEADER_UNSIGNED,
    VERDICT_WRONG_REGION,
};

struct verify_policy {
    const struct keys *keys;
    const char *region; /* NULL: any */
    int64_t now_s;
};

struct verdict {
    enum verdict_kind kind;
    enum dialect dialect;
    bool scheme_v1;
    /* What was signed, as the server computes it; empty where it did not come to that. */
    struct text canonical;
    struct text string_to_sign;
};

/* 15 minutes: what both S3 and OSS allow between the client's clock and theirs. */
#define VERIFY_SKEW_S (15 * 60)

/* Judge the request. The verdict needs verify_fini whatever it is. */
void verify_request(const struct signed_request *request, const struct verify_policy *policy,
                    struct verdict *out);
void verify_fini(struct verdict *verdict);

#endif
