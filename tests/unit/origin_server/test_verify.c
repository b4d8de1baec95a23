/* tests/unit/origin_server/test_verify.c: the vectors of the AWS documentation and of the SDKs of
 * Alibaba: a request that carries the signature of one has to be accepted. */
#include "tests/origin/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

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

static enum verdict_kind judge(const struct arrival *arrival, char canonical_sha256[65])
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

static void assert_accepted(struct arrival *arrival, const char *when, const char *sha256)
{
    char found[65];
    arrival->now_s = text_time_basic(when);
    assert_int_equal(judge(arrival, found), VERDICT_GOOD);
    if (sha256 != NULL) {
        assert_string_equal(found, sha256);
    }
}

static struct arrival aws_get(void)
{
    return (struct arrival){
        .method = "GET",
        .path = "/test.txt",
        .bucket = "examplebucket",
        .key = "test.txt",
        .fields = { { "Authorization",
                      "AWS4-HMAC-SHA256 " AWS_SCOPE
                      ",SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                      "Signature="
                      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
                    AWS_HOST,
                    { "Range", "bytes=0-9" },
                    { "x-amz-content-sha256", EMPTY_SHA256 },
                    AWS_DATE },
    };
}

static struct arrival oss_put(void)
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

static void aws_get_of_a_range_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    assert_accepted(&arrival, "20130524T000000Z",
                    "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
}

static void aws_put_of_a_key_with_a_dollar_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = {
        .method = "PUT",
        .path = "/test$file.text", /* a client may leave it unencoded: it is signed as %24 */
        .fields = { { "authorization",
                      "AWS4-HMAC-SHA256 " AWS_SCOPE ", SignedHeaders=date;host;"
                      "x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature="
                      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
                    AWS_HOST,
                    { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
                    AWS_DATE,
                    { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                    { "x-amz-content-sha256",
                      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" } },
    };
    assert_accepted(&arrival, "20130524T000000Z",
                    "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d");
}

static struct arrival aws_bucket_get(const char *query, const char *authorization)
{
    return (struct arrival){
        .method = "GET",
        .path = "/",
        .query = query,
        .fields = { { "Authorization", authorization },
                    AWS_HOST,
                    AWS_DATE,
                    { "x-amz-content-sha256", EMPTY_SHA256 } },
    };
}

static void aws_get_of_a_sub_resource_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = aws_bucket_get(
        "lifecycle", "AWS4-HMAC-SHA256 " AWS_SCOPE
                     ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    assert_accepted(&arrival, "20130524T000000Z",
                    "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca");
}

static void aws_listing_is_accepted_in_any_order_of_its_query(void **state)
{
    (void)state;
    struct arrival arrival = aws_bucket_get(
        "prefix=J&max-keys=2", "AWS4-HMAC-SHA256 " AWS_SCOPE
                               ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
                               "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    assert_accepted(&arrival, "20130524T000000Z",
                    "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7");
}

static struct arrival aws_presigned(void)
{
    return (struct arrival){
        .method = "GET",
        .path = "/test.txt",
        .query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
                 "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&"
                 "X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
                 "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        .fields = { AWS_HOST },
    };
}

static void aws_presigned_get_is_accepted_until_it_expires(void **state)
{
    (void)state;
    struct arrival arrival = aws_presigned();
    assert_accepted(&arrival, "20130524T000000Z",
                    "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04");
    assert_accepted(&arrival, "20130525T000000Z", NULL);
    arrival.now_s++;
    assert_int_equal(judge(&arrival, NULL), VERDICT_EXPIRED);
}

static void aws_seed_of_a_chunked_put_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = {
        .method = "PUT",
        .path = "/examplebucket/chunkObject.txt",
        .fields = { { "Authorization",
                      "AWS4-HMAC-SHA256 " AWS_SCOPE
                      ",SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;"
                      "x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature="
                      "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9" },
                    { "Host", "s3.amazonaws.com" },
                    AWS_DATE,
                    { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                    { "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
                    { "Content-Encoding", "aws-chunked" },
                    { "x-amz-decoded-content-length", "66560" },
                    { "Content-Length", "66824" } },
    };
    assert_accepted(&arrival, "20130524T000000Z", NULL);
}

static void oss4_put_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    assert_accepted(&arrival, "20231216T162057Z",
                    "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4");
}

static void oss4_put_with_a_token_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.keys = "ak:sk:token";
    arrival.fields[0].value = "OSS4-HMAC-SHA256 " OSS_SCOPE(
        "20231217") ",Signature="
                    "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea";
    arrival.fields[1].value = "20231217T034736Z";
    arrival.fields[8] = (struct field){ "x-oss-security-token", "token" };
    assert_accepted(&arrival, "20231217T034736Z",
                    "69494678fb11579d4ee12996e2796d9e2ba43c34aa4c723c4aec018f3d6b86b8");
}

static void oss4_put_with_additional_headers_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.fields[0].value = "OSS4-HMAC-SHA256 " OSS_SCOPE(
        "20231216") ",AdditionalHeaders=abc;zabc,Signature="
                    "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f";
    arrival.fields[1].value = "20231216T172512Z";
    assert_accepted(&arrival, "20231216T172512Z",
                    "16b86004ed2cc3406dd7a13081bd940ef6a5ad49e508da2d4fdf84e8a5dd2145");
}

static void oss4_put_to_a_cloud_box_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.fields[0].value =
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cb-123/oss-cloudbox/aliyun_v4_request,Signature="
        "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43";
    assert_accepted(&arrival, "20231216T162057Z", NULL);
}

static struct arrival oss_presigned(const char *query)
{
    return (struct arrival){
        .method = "PUT",
        .path = "/bucket/1234%2B-/123/1.txt",
        .query = query,
        .bucket = "bucket",
        .key = "1234+-/123/1.txt",
        .fields = { { "content-type", "application/octet-stream" }, OSS_FIELDS },
    };
}

static void oss4_presigned_put_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_presigned(
        OSS_QUERY "&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20231217T025437Z"
                  "&x-oss-credential=ak%2F20231217%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
                  "&x-oss-expires=599&x-oss-signature="
                  "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe");
    assert_accepted(&arrival, "20231217T025437Z",
                    "48814c11f278d51662015bf2f896b66ca10b6de0187ed8d952e341bbce0aa336");
}

static void oss4_presigned_put_with_a_token_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_presigned(
        OSS_QUERY "&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20231217T035628Z"
                  "&x-oss-credential=ak%2F20231217%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
                  "&x-oss-expires=599&x-oss-security-token=token&x-oss-signature="
                  "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5");
    arrival.keys = "ak:sk:token";
    assert_accepted(&arrival, "20231217T035628Z", NULL);
}

static void oss4_presigned_put_with_additional_headers_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss_presigned(
        OSS_QUERY "&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20231217T033009Z"
                  "&x-oss-credential=ak%2F20231217%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
                  "&x-oss-expires=599&x-oss-additional-headers=abc%3Bzabc&x-oss-signature="
                  "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7");
    assert_accepted(&arrival, "20231217T033009Z", NULL);
}

static struct arrival c_sdk_put(const char *query, const char *date, const char *authorization)
{
    return (struct arrival){
        .method = "PUT",
        .path = "/any", /* OSS signs the bucket and key, however they were addressed */
        .query = query,
        .bucket = "oss-bucket-test",
        .key = "test-sign-V4/-!@#$%^&*()/abcdefjhijklmnoqprstuvwxyz/123456789",
        .fields = { { "Authorization", authorization },
                    { "x-oss-date", date },
                    { "x-oss-head1", "value" },
                    { "content-type", "application/octet-stream" },
                    OSS_UNSIGNED },
    };
}

static void oss4_put_of_special_characters_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = c_sdk_put(
        NULL, "20221016T091431Z",
        "OSS4-HMAC-SHA256 " OSS_SCOPE(
            "20221016") ",Signature="
                        "5028172a0a3806285979896982bee6e36e915cbf428ee7100a809e1f0ff43b64");
    assert_accepted(&arrival, "20221016T091431Z",
                    "7221e4c227789bc6b353ce327af4f8d35ce269913a9809bfc8202cbf33f2715b");
}

static void oss4_put_of_special_characters_with_a_query_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = c_sdk_put(
        OSS_QUERY, "20221016T040719Z",
        "OSS4-HMAC-SHA256 " OSS_SCOPE(
            "20221016") ",Signature="
                        "16e58322c5aafb55edd82813b02d6521caab8194882c786bf0e77b7987a63979");
    assert_accepted(&arrival, "20221016T040719Z", NULL);
}

static void oss4_listing_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = {
        .method = "GET",
        .path = "/",
        .query = "list-type=2&prefix=a/&delimiter=%2F&encoding-type=url&max-keys=1000&"
                 "start-after=a%2Fb%20c",
        .bucket = "bucket",
        .keys = "ak:sk:token",
        .fields = { { "Authorization",
                      "OSS4-HMAC-SHA256 " OSS_SCOPE("20231216") ",Signature="
                                                                "2d2be55fba5579c5bc6c94db356b4f2c89"
                                                                "036691d937c4a4d554f035962d7e86" },
                    { "x-oss-date", "20231216T162057Z" },
                    OSS_UNSIGNED,
                    { "x-oss-security-token", "token" } },
    };
    assert_accepted(&arrival, "20231216T162057Z", NULL);
}

static struct arrival oss1_put(const char *query, const char *authorization)
{
    return (struct arrival){
        .method = "PUT",
        .path = "/nelson",
        .query = query,
        .bucket = "examplebucket",
        .key = "nelson",
        .fields = { { "Authorization", authorization },
                    { "Content-MD5", "eB5eJF1ptWaXm4bijSPyxw==" },
                    { "Content-Type", "text/html" },
                    { "Date", "Wed, 28 Dec 2022 10:27:41 GMT" },
                    { "x-oss-meta-author", "alice" },
                    { "x-oss-meta-magic", " abracadabra " },
                    { "x-oss-date", "Wed, 28 Dec 2022 10:27:41 GMT" } },
        .now_s = text_time_http("Wed, 28 Dec 2022 10:27:41 GMT"),
    };
}

static void oss1_put_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = oss1_put(NULL, "OSS ak:kSHKmLxlyEAKtZPkJhG9bZb5k7M=");
    assert_int_equal(judge(&arrival, NULL), VERDICT_GOOD);
}

static void oss1_signs_sub_resources_and_no_other_parameters(void **state)
{
    (void)state;
    struct arrival arrival = oss1_put("prefix=x&acl", "OSS ak:/afkugFbmWDQ967j1vr6zygBLQk=");
    assert_int_equal(judge(&arrival, NULL), VERDICT_GOOD);
    arrival.query = "prefix=x";
    assert_int_equal(judge(&arrival, NULL), VERDICT_WRONG_SIGNATURE);
}

static void oss1_signature_of_the_sdk_is_reproduced(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        { "GET\n\n\nWed, 28 Dec 2022 10:27:41 GMT\nx-oss-date:Wed, 28 Dec 2022 10:27:41 GMT\n"
          "/examplebucket/?resourceGroup",
          "vkQmfuUDyi1uDi3bKt67oemssIs=" },
        { "GET\n\n\nWed, 28 Dec 2022 10:27:41 GMT\nx-oss-date:Wed, 28 Dec 2022 10:27:41 GMT\n"
          "/examplebucket/?acl&resourceGroup",
          "x3E5TgOvl/i7PN618s5mEvpJDYk=" },
    };
    for (size_t i = 0; i < 2; i++) {
        char *signature = sign_oss1("sk", vectors[i][0]);
        assert_string_equal(signature, vectors[i][1]);
        free(signature);
    }
}

static void oss1_presigned_get_is_accepted_until_it_expires(void **state)
{
    (void)state;
    struct arrival arrival = {
        .method = "GET",
        .path = "/bucket/key",
        .query = "versionId=versionId&OSSAccessKeyId=ak&Expires=1699807420&Signature="
                 "dcLTea%2BYh9ApirQ8o8dOPqtvJXQ%3D",
        .bucket = "bucket",
        .key = "key",
        .now_s = 1699807420,
    };
    assert_int_equal(judge(&arrival, NULL), VERDICT_GOOD);
    arrival.now_s++;
    assert_int_equal(judge(&arrival, NULL), VERDICT_EXPIRED);
}

static void oss1_presigned_get_with_a_token_is_accepted(void **state)
{
    (void)state;
    struct arrival arrival = {
        .method = "GET",
        .path = "/bucket/key%2B123",
        .query = "security-token=token&versionId=versionId&OSSAccessKeyId=ak&Expires=1699808204&"
                 "Signature=jzKYRrM5y6Br0dRFPaTGOsbrDhY%3D",
        .bucket = "bucket",
        .key = "key+123",
        .keys = "ak:sk:token",
        .now_s = 1699808204,
    };
    assert_int_equal(judge(&arrival, NULL), VERDICT_GOOD);
}

static void a_changed_request_is_refused(void **state)
{
    (void)state;
    int64_t now_s = text_time_basic("20130524T000000Z");
    struct arrival other_path = aws_get();
    other_path.path = "/test.txu";
    struct arrival other_range = aws_get();
    other_range.fields[2].value = "bytes=0-8";
    struct arrival other_query = aws_get();
    other_query.query = "partNumber=1";
    struct arrival other_method = aws_get();
    other_method.method = "HEAD";
    struct arrival *all[] = { &other_path, &other_range, &other_query, &other_method };
    for (size_t i = 0; i < 4; i++) {
        all[i]->now_s = now_s;
        assert_int_equal(judge(all[i], NULL), VERDICT_WRONG_SIGNATURE);
    }
}

static void a_changed_oss_request_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.now_s = text_time_basic("20231216T162057Z");
    arrival.bucket = "other";
    assert_int_equal(judge(&arrival, NULL), VERDICT_WRONG_SIGNATURE);
}

static void an_unsigned_oss_header_may_change(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.fields[5].value = "another"; /* abc, which AdditionalHeaders does not name */
    assert_accepted(&arrival, "20231216T162057Z", NULL);
}

static void a_wrong_secret_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    arrival.keys = "AKIAIOSFODNN7EXAMPLE:other";
    arrival.now_s = text_time_basic("20130524T000000Z");
    assert_int_equal(judge(&arrival, NULL), VERDICT_WRONG_SIGNATURE);
}

static void an_unknown_key_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    arrival.keys = "other:secret";
    arrival.now_s = text_time_basic("20130524T000000Z");
    assert_int_equal(judge(&arrival, NULL), VERDICT_UNKNOWN_KEY);
}

static void a_clock_more_than_fifteen_minutes_off_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    int64_t signed_s = text_time_basic("20130524T000000Z");
    static const struct {
        int64_t offset_s;
        enum verdict_kind kind;
    } cases[] = { { 900, VERDICT_GOOD },
                  { -900, VERDICT_GOOD },
                  { 901, VERDICT_SKEWED },
                  { -901, VERDICT_SKEWED } };
    for (size_t i = 0; i < 4; i++) {
        arrival.now_s = signed_s + cases[i].offset_s;
        assert_int_equal(judge(&arrival, NULL), cases[i].kind);
    }
}

static void a_temporary_key_needs_its_token(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.now_s = text_time_basic("20231216T162057Z");
    arrival.keys = "ak:sk:token";
    assert_int_equal(judge(&arrival, NULL), VERDICT_TOKEN_MISSING);
    arrival.fields[8] = (struct field){ "x-oss-security-token", "token" };
    assert_int_equal(judge(&arrival, NULL), VERDICT_WRONG_SIGNATURE);
}

static void a_signed_token_that_is_not_the_keys_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = oss_put();
    arrival.fields[0].value = "OSS4-HMAC-SHA256 " OSS_SCOPE(
        "20231217") ",Signature="
                    "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea";
    arrival.fields[1].value = "20231217T034736Z";
    arrival.fields[8] = (struct field){ "x-oss-security-token", "token" };
    arrival.now_s = text_time_basic("20231217T034736Z");
    arrival.keys = "ak:sk:another";
    assert_int_equal(judge(&arrival, NULL), VERDICT_TOKEN_WRONG);
    arrival.keys = "ak:sk";
    assert_int_equal(judge(&arrival, NULL), VERDICT_TOKEN_WRONG);
}

static void an_aws_header_outside_the_signature_is_refused(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    arrival.now_s = text_time_basic("20130524T000000Z");
    arrival.fields[5] = (struct field){ "x-amz-meta-a", "b" };
    assert_int_equal(judge(&arrival, NULL), VERDICT_HEADER_UNSIGNED);
}

static void another_region_is_refused_where_one_is_set(void **state)
{
    (void)state;
    struct arrival arrival = aws_get();
    arrival.now_s = text_time_basic("20130524T000000Z");
    arrival.region = "eu-central-1";
    assert_int_equal(judge(&arrival, NULL), VERDICT_WRONG_REGION);
    arrival.region = "us-east-1";
    assert_int_equal(judge(&arrival, NULL), VERDICT_GOOD);
}

static void a_request_without_credentials_is_anonymous(void **state)
{
    (void)state;
    struct arrival arrival = { .method = "GET", .path = "/", .fields = { AWS_HOST } };
    assert_int_equal(judge(&arrival, NULL), VERDICT_ANONYMOUS);
}

static void a_malformed_authorization_is_told_apart(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "Bearer x",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 Credential=a/b/c,SignedHeaders=host,Signature=00",
        "AWS4-HMAC-SHA256 " AWS_SCOPE ",SignedHeaders=host",
        "AWS4-HMAC-SHA256 " AWS_SCOPE ",SignedHeaders=host,Signature=00,More=1",
        "OSS4-HMAC-SHA256 Signature=00",
        "OSS ",
        "OSS ak",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct arrival arrival = { .method = "GET",
                                   .path = "/",
                                   .fields = { { "Authorization", headers[i] },
                                               AWS_HOST,
                                               AWS_DATE,
                                               { "x-amz-content-sha256", EMPTY_SHA256 } } };
        assert_int_equal(judge(&arrival, NULL), VERDICT_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aws_get_of_a_range_is_accepted),
        cmocka_unit_test(aws_put_of_a_key_with_a_dollar_is_accepted),
        cmocka_unit_test(aws_get_of_a_sub_resource_is_accepted),
        cmocka_unit_test(aws_listing_is_accepted_in_any_order_of_its_query),
        cmocka_unit_test(aws_presigned_get_is_accepted_until_it_expires),
        cmocka_unit_test(aws_seed_of_a_chunked_put_is_accepted),
        cmocka_unit_test(oss4_put_is_accepted),
        cmocka_unit_test(oss4_put_with_a_token_is_accepted),
        cmocka_unit_test(oss4_put_with_additional_headers_is_accepted),
        cmocka_unit_test(oss4_put_to_a_cloud_box_is_accepted),
        cmocka_unit_test(oss4_presigned_put_is_accepted),
        cmocka_unit_test(oss4_presigned_put_with_a_token_is_accepted),
        cmocka_unit_test(oss4_presigned_put_with_additional_headers_is_accepted),
        cmocka_unit_test(oss4_put_of_special_characters_is_accepted),
        cmocka_unit_test(oss4_put_of_special_characters_with_a_query_is_accepted),
        cmocka_unit_test(oss4_listing_is_accepted),
        cmocka_unit_test(oss1_put_is_accepted),
        cmocka_unit_test(oss1_signs_sub_resources_and_no_other_parameters),
        cmocka_unit_test(oss1_signature_of_the_sdk_is_reproduced),
        cmocka_unit_test(oss1_presigned_get_is_accepted_until_it_expires),
        cmocka_unit_test(oss1_presigned_get_with_a_token_is_accepted),
        cmocka_unit_test(a_changed_request_is_refused),
        cmocka_unit_test(a_changed_oss_request_is_refused),
        cmocka_unit_test(an_unsigned_oss_header_may_change),
        cmocka_unit_test(a_wrong_secret_is_refused),
        cmocka_unit_test(an_unknown_key_is_refused),
        cmocka_unit_test(a_clock_more_than_fifteen_minutes_off_is_refused),
        cmocka_unit_test(a_temporary_key_needs_its_token),
        cmocka_unit_test(a_signed_token_that_is_not_the_keys_is_refused),
        cmocka_unit_test(an_aws_header_outside_the_signature_is_refused),
        cmocka_unit_test(another_region_is_refused_where_one_is_set),
        cmocka_unit_test(a_request_without_credentials_is_anonymous),
        cmocka_unit_test(a_malformed_authorization_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
