/* tests/unit/origin_server/arrival.h: requests that come to the verifier, for its tests. Include it
 * behind cmocka.h. */
#ifndef ATOLL_TESTS_UNIT_ORIGIN_SERVER_ARRIVAL_H
#define ATOLL_TESTS_UNIT_ORIGIN_SERVER_ARRIVAL_H

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/verify.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define AWS_DATE                         \
    {                                    \
        "x-amz-date", "20130524T000000Z" \
    }
#define AWS_SCOPE "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
#define AWS_HOST                                 \
    {                                            \
        "Host", "examplebucket.s3.amazonaws.com" \
    }
#define OSS_SCOPE(date) "Credential=ak/" date "/cn-hangzhou/oss/aliyun_v4_request"
#define OSS_QUERY "param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2&%7Cparam2&param2"
#define OSS_FIELDS                                                       \
    { "x-oss-head1", "value" }, { "abc", "value" }, { "ZAbc", "value" }, \
    {                                                                    \
        "XYZ", "value"                                                   \
    }
#define OSS_UNSIGNED                               \
    {                                              \
        "x-oss-content-sha256", "UNSIGNED-PAYLOAD" \
    }

static const char *const keys_text =
    "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
    "ak:sk\n"
    "temporary:sk:token\n";

/* A request, and when it comes. Unnamed members are absent. */
struct arrival {
    const char *method;
    const char *path;
    const char *query;
    const char *bucket;
    const char *key;
    int64_t now_s;
    const char *region;
    const char *keys;
    struct field fields[12];
};

/* The verdict; with `canonical_sha256`, the hash of what was signed too. */
static inline enum verdict_kind judge(const struct arrival *arrival, char canonical_sha256[65])
{
    struct query query;
    assert_true(query_init(&query, arrival->query));
    struct signed_request request = { .method = arrival->method,
                                      .path = arrival->path,
                                      .query = &query,
                                      .fields = arrival->fields,
                                      .bucket = arrival->bucket,
                                      .key = arrival->key };
    while (request.field_count < 12 && arrival->fields[request.field_count].name != NULL) {
        request.field_count++;
    }
    struct keys *keys = keys_new(arrival->keys != NULL ? arrival->keys : keys_text);
    struct verify_policy policy = { .keys = keys,
                                    .region = arrival->region,
                                    .now_s = arrival->now_s };
    struct verdict verdict;
    verify_request(&request, &policy, &verdict);
    if (canonical_sha256 != NULL) {
        uint8_t digest[32];
        assert_non_null(verdict.canonical.bytes);
        SHA256((const uint8_t *)verdict.canonical.bytes, verdict.canonical.size, digest);
        text_hex(digest, sizeof digest, canonical_sha256);
    }
    enum verdict_kind kind = verdict.kind;
    verify_fini(&verdict);
    keys_free(&keys);
    query_fini(&query);
    return kind;
}

static inline void assert_accepted(struct arrival *arrival, const char *when, const char *sha256)
{
    char found[65];
    arrival->now_s = text_time_basic(when);
    assert_int_equal(judge(arrival, found), VERDICT_GOOD);
    if (sha256 != NULL) {
        assert_string_equal(found, sha256);
    }
}

/* Vector A of the Go SDK. */
static inline struct arrival oss_put(void)
{
    return (struct arrival){
        .method = "PUT",
        .path = "/1234%2B-/123/1.txt",
        .query = OSS_QUERY,
        .bucket = "bucket",
        .key = "1234+-/123/1.txt",
        .fields = { { "Authorization",
                      "OSS4-HMAC-SHA256 " OSS_SCOPE("20231216") ",Signature="
                                                                "e21d18daa82167720f9b1047ae7e7f1ce7"
                                                                "cb77a31e8203a7d5f4624fa0284afe" },
                    { "x-oss-date", "20231216T162057Z" },
                    { "Content-Type", "text/plain" },
                    OSS_UNSIGNED,
                    OSS_FIELDS },
    };
}

#endif
