/* Signatures against vectors: of the Go and C SDKs of OSS, and of Amazon's pages on S3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/sha.h>
#include <string.h>

#include "node/origin/sign.h"

struct words {
    const char *name, *value;
};

struct vector {
    const char *method, *path;
    struct words query[8];
    struct words headers[8];
    const char *additional;
    const char *payload; /* NULL: UNSIGNED-PAYLOAD */
    const char *region, *product;
    time_t when;
    const char *canonical_hash; /* NULL: not published */
    const char *key;            /* NULL: not published */
    const char *signature;
};

static const struct credential oss_keys = { .access_key_id = "ak", .access_key_secret = "sk" };
static const struct credential s3_keys = {
    .access_key_id = "AKIAIOSFODNN7EXAMPLE",
    .access_key_secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

static void make(struct sign_request *request, enum sign_dialect dialect, const struct vector *v)
{
    memset(request, 0, sizeof *request);
    request->dialect = dialect;
    request->method = v->method;
    request->path = span_text(v->path);
    request->payload = span_text(v->payload == NULL ? UNSIGNED_PAYLOAD : v->payload);
    request->region = v->region;
    request->product = v->product;
    request->when = v->when;
    request->additional = span_text(v->additional == NULL ? "" : v->additional);
    for (uint32_t i = 0; i < 8 && v->query[i].name != NULL; i++) {
        request->query[request->query_count++] =
            (struct pair){ span_text(v->query[i].name), span_text(v->query[i].value) };
    }
    for (uint32_t i = 0; i < 8 && v->headers[i].name != NULL; i++) {
        request->headers[request->header_count++] =
            (struct pair){ span_text(v->headers[i].name), span_text(v->headers[i].value) };
    }
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char buffer[65];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_hex(&text, bytes, 32);
    assert_string_equal(buffer, hex);
}

static void expect(enum sign_dialect dialect, const struct vector *v)
{
    struct sign_request request;
    struct sign_key key = { 0 };
    char canonical[4096], hex[SIGN_HEX_SIZE];
    uint8_t digest[32];
    struct text text;
    make(&request, dialect, v);
    text_init(&text, canonical, sizeof canonical);
    sign_canonical(&text, &request);
    SHA256((const uint8_t *)canonical, text.used, digest);
    if (v->canonical_hash != NULL) {
        assert_hex(digest, v->canonical_hash);
    }
    assert_int_equal(
        sign_signature(&request, dialect == SIGN_OSS ? &oss_keys : &s3_keys, &key, hex), ERR_OK);
    if (v->key != NULL) {
        assert_hex(key.key, v->key);
    }
    assert_string_equal(hex, v->signature);
}

/* ---- OSS ---- */

#define GO_PATH "/bucket/1234+-/123/1.txt"
#define GO_QUERY                                                                  \
    {                                                                             \
        { "param1", "value1" }, { "+param1", "value3" }, { "|param1", "value4" }, \
            { "+param2", "" }, { "|param2", "" },                                 \
        {                                                                         \
            "param2", ""                                                          \
        }                                                                         \
    }
#define GO_HEADERS                                                                           \
    { "x-oss-head1", "value" }, { "abc", "value" }, { "zabc", "value" }, { "xyz", "value" }, \
        { "content-type", "text/plain" },                                                    \
    {                                                                                        \
        "x-oss-content-sha256", UNSIGNED_PAYLOAD                                             \
    }

/* A */
static void oss_signs_a_put_with_odd_parameters(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = { GO_HEADERS, { "x-oss-date", "20231216T162057Z" } },
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702743657,
        .canonical_hash = "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4",
        .key = "b412a03b134ebddd720f5167b5de6db66620ebb3b01cff4d49e3ccb09f8de97f",
        .signature = "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

static void oss_writes_the_canonical_request_of_the_sdk(void **state)
{
    struct vector v = { .method = "PUT",
                        .path = GO_PATH,
                        .query = GO_QUERY,
                        .headers = { GO_HEADERS, { "x-oss-date", "20231216T162057Z" } },
                        .region = "cn-hangzhou",
                        .product = "oss",
                        .when = 1702743657 };
    struct sign_request request;
    char canonical[4096];
    struct text text;
    (void)state;
    make(&request, SIGN_OSS, &v);
    text_init(&text, canonical, sizeof canonical);
    sign_canonical(&text, &request);
    assert_string_equal(canonical,
                        "PUT\n/bucket/1234%2B-/123/1.txt\n"
                        "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2"
                        "\ncontent-type:text/plain\nx-oss-content-sha256:UNSIGNED-PAYLOAD\n"
                        "x-oss-date:20231216T162057Z\nx-oss-head1:value\n\n\nUNSIGNED-PAYLOAD");
}

/* B */
static void oss_signs_a_session_token(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = { GO_HEADERS,
                     { "x-oss-date", "20231217T034736Z" },
                     { "x-oss-security-token", "token" } },
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702784856,
        .canonical_hash = "69494678fb11579d4ee12996e2796d9e2ba43c34aa4c723c4aec018f3d6b86b8",
        .key = "0e11d77e422d3484e84ee6b628fdf2a85f3788e1a597f23116b477efb407e94e",
        .signature = "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

/* C */
static void oss_signs_additional_headers(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = { GO_HEADERS, { "x-oss-date", "20231216T172512Z" } },
        .additional = "abc;zabc",
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702747512,
        .canonical_hash = "16b86004ed2cc3406dd7a13081bd940ef6a5ad49e508da2d4fdf84e8a5dd2145",
        .signature = "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

/* D */
static void oss_signs_for_a_cloudbox(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = { GO_HEADERS, { "x-oss-date", "20231216T162057Z" } },
        .region = "cb-123",
        .product = "oss-cloudbox",
        .when = 1702743657,
        .signature = "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

/* The query form has its parameters besides those of the request: more than a vector holds. */
static void expect_query_form(const struct vector *v, const struct words *more)
{
    struct sign_request request;
    struct sign_key key = { 0 };
    char canonical[4096], hex[SIGN_HEX_SIZE];
    uint8_t digest[32];
    struct text text;
    make(&request, SIGN_OSS, v);
    for (; more->name != NULL; more++) {
        request.query[request.query_count++] =
            (struct pair){ span_text(more->name), span_text(more->value) };
    }
    text_init(&text, canonical, sizeof canonical);
    sign_canonical(&text, &request);
    SHA256((const uint8_t *)canonical, text.used, digest);
    if (v->canonical_hash != NULL) {
        assert_hex(digest, v->canonical_hash);
    }
    assert_int_equal(sign_signature(&request, &oss_keys, &key, hex), ERR_OK);
    assert_string_equal(hex, v->signature);
}

#define QUERY_HEADERS                                                                            \
    {                                                                                            \
        { "x-oss-head1", "value" }, { "abc", "value" }, { "zabc", "value" }, { "xyz", "value" }, \
        {                                                                                        \
            "content-type", "application/octet-stream"                                           \
        }                                                                                        \
    }

/* E */
static void oss_signs_in_the_query(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = QUERY_HEADERS,
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702781677,
        .canonical_hash = "48814c11f278d51662015bf2f896b66ca10b6de0187ed8d952e341bbce0aa336",
        .signature = "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe",
    };
    struct words more[] = { { "x-oss-signature-version", "OSS4-HMAC-SHA256" },
                            { "x-oss-credential", "ak/20231217/cn-hangzhou/oss/aliyun_v4_request" },
                            { "x-oss-date", "20231217T025437Z" },
                            { "x-oss-expires", "599" },
                            { NULL, NULL } };
    (void)state;
    expect_query_form(&v, more);
}

/* F */
static void oss_signs_in_the_query_with_a_token(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = QUERY_HEADERS,
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702785388,
        .signature = "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5",
    };
    struct words more[] = { { "x-oss-signature-version", "OSS4-HMAC-SHA256" },
                            { "x-oss-credential", "ak/20231217/cn-hangzhou/oss/aliyun_v4_request" },
                            { "x-oss-date", "20231217T035628Z" },
                            { "x-oss-expires", "599" },
                            { "x-oss-security-token", "token" },
                            { NULL, NULL } };
    (void)state;
    expect_query_form(&v, more);
}

/* G */
static void oss_signs_in_the_query_with_additional_headers(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = GO_PATH,
        .query = GO_QUERY,
        .headers = QUERY_HEADERS,
        .additional = "abc;zabc",
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702783809,
        .signature = "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7",
    };
    struct words more[] = { { "x-oss-signature-version", "OSS4-HMAC-SHA256" },
                            { "x-oss-credential", "ak/20231217/cn-hangzhou/oss/aliyun_v4_request" },
                            { "x-oss-date", "20231217T033009Z" },
                            { "x-oss-expires", "599" },
                            { "x-oss-additional-headers", "abc;zabc" },
                            { NULL, NULL } };
    (void)state;
    expect_query_form(&v, more);
}

#define C_PATH "/oss-bucket-test/test-sign-V4/-!@#$%^&*()/abcdefjhijklmnoqprstuvwxyz/123456789"

/* H */
static void oss_signs_a_key_full_of_punctuation(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = C_PATH,
        .headers = { { "x-oss-head1", "value" },
                     { "content-type", "application/octet-stream" },
                     { "x-oss-content-sha256", UNSIGNED_PAYLOAD },
                     { "x-oss-date", "20221016T091431Z" } },
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1665911671,
        .canonical_hash = "7221e4c227789bc6b353ce327af4f8d35ce269913a9809bfc8202cbf33f2715b",
        .signature = "5028172a0a3806285979896982bee6e36e915cbf428ee7100a809e1f0ff43b64",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

/* I */
static void oss_signs_that_key_with_parameters(void **state)
{
    struct vector v = {
        .method = "PUT",
        .path = C_PATH,
        .query = GO_QUERY,
        .headers = { { "x-oss-head1", "value" },
                     { "content-type", "application/octet-stream" },
                     { "x-oss-content-sha256", UNSIGNED_PAYLOAD },
                     { "x-oss-date", "20221016T040719Z" } },
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1665893239,
        .signature = "16e58322c5aafb55edd82813b02d6521caab8194882c786bf0e77b7987a63979",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

static void oss_signs_a_listing_with_a_token(void **state)
{
    struct vector v = {
        .method = "GET",
        .path = "/bucket/",
        .query = { { "delimiter", "/" },
                   { "encoding-type", "url" },
                   { "list-type", "2" },
                   { "max-keys", "1000" },
                   { "prefix", "a/" },
                   { "start-after", "a/b c" } },
        .headers = { { "x-oss-content-sha256", UNSIGNED_PAYLOAD },
                     { "x-oss-date", "20231216T162057Z" },
                     { "x-oss-security-token", "token" } },
        .region = "cn-hangzhou",
        .product = "oss",
        .when = 1702743657,
        .signature = "2d2be55fba5579c5bc6c94db356b4f2c89036691d937c4a4d554f035962d7e86",
    };
    (void)state;
    expect(SIGN_OSS, &v);
}

/* ---- S3 ---- */

#define S3_TIME 1369353600 /* 20130524T000000Z */
static const struct words s3_host = { "host", "examplebucket.s3.amazonaws.com" };
static const struct words s3_date = { "x-amz-date", "20130524T000000Z" };
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_KEY "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378"

static void s3_signs_a_ranged_get(void **state)
{
    struct vector v = {
        .method = "GET",
        .path = "/test.txt",
        .headers = { s3_host,
                     s3_date,
                     { "range", "bytes=0-9" },
                     { "x-amz-content-sha256", EMPTY } },
        .payload = EMPTY,
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .canonical_hash = "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
        .key = S3_KEY,
        .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

static void s3_signs_a_put(void **state)
{
    static const char body[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    struct vector v = {
        .method = "PUT",
        .path = "/test$file.text",
        .headers = { s3_host,
                     s3_date,
                     { "date", "Fri, 24 May 2013 00:00:00 GMT" },
                     { "x-amz-content-sha256", body },
                     { "x-amz-storage-class", "REDUCED_REDUNDANCY" } },
        .payload = body,
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .canonical_hash = "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
        .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

static void s3_signs_a_parameter_without_a_value(void **state)
{
    struct vector v = {
        .method = "GET",
        .path = "/",
        .query = { { "lifecycle", "" } },
        .headers = { s3_host, s3_date, { "x-amz-content-sha256", EMPTY } },
        .payload = EMPTY,
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .canonical_hash = "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
        .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

static void s3_signs_a_listing(void **state)
{
    struct vector v = {
        .method = "GET",
        .path = "/",
        .query = { { "prefix", "J" }, { "max-keys", "2" } },
        .headers = { s3_host, s3_date, { "x-amz-content-sha256", EMPTY } },
        .payload = EMPTY,
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .canonical_hash = "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
        .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

static void s3_signs_in_the_query(void **state)
{
    struct vector v = {
        .method = "GET",
        .path = "/test.txt",
        .query = { { "X-Amz-Algorithm", "AWS4-HMAC-SHA256" },
                   { "X-Amz-Credential",
                     "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request" },
                   { "X-Amz-Date", "20130524T000000Z" },
                   { "X-Amz-Expires", "86400" },
                   { "X-Amz-SignedHeaders", "host" } },
        .headers = { s3_host },
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .canonical_hash = "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04",
        .signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

static void s3_signs_the_head_of_a_chunked_put(void **state)
{
    static const char streaming[] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    struct vector v = {
        .method = "PUT",
        .path = "/examplebucket/chunkObject.txt",
        .headers = { { "host", "s3.amazonaws.com" },
                     s3_date,
                     { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                     { "x-amz-content-sha256", streaming },
                     { "content-encoding", "aws-chunked" },
                     { "x-amz-decoded-content-length", "66560" },
                     { "content-length", "66824" } },
        .payload = streaming,
        .region = "us-east-1",
        .product = "s3",
        .when = S3_TIME,
        .signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    };
    (void)state;
    expect(SIGN_S3, &v);
}

/* ---- around them ---- */

static const struct vector some = { .method = "GET",
                                    .path = "/bucket/key",
                                    .headers = { { "host", "h" } },
                                    .region = "us-east-1",
                                    .product = "s3",
                                    .when = S3_TIME };

static void the_header_says_who_signed_what(void **state)
{
    struct sign_request request;
    struct sign_key key = { 0 };
    char buffer[1024];
    struct text text;
    struct vector v = some;
    (void)state;
    v.headers[1] = s3_date;
    text_init(&text, buffer, sizeof buffer);
    make(&request, SIGN_S3, &v);
    assert_int_equal(sign_authorization(&request, &s3_keys, &key, &text), ERR_OK);
    buffer[strlen(buffer) - 64] = '\0';
    assert_string_equal(buffer, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
                                "us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,"
                                "Signature=");
    text_init(&text, buffer, sizeof buffer);
    v.additional = "host";
    make(&request, SIGN_OSS, &v);
    assert_int_equal(sign_authorization(&request, &oss_keys, &key, &text), ERR_OK);
    buffer[strlen(buffer) - 64] = '\0';
    assert_string_equal(buffer, "OSS4-HMAC-SHA256 Credential=ak/20130524/us-east-1/s3/"
                                "aliyun_v4_request,AdditionalHeaders=host,Signature=");
}

static void a_kept_key_is_not_used_for_another_day_region_or_secret(void **state)
{
    struct sign_request request;
    struct sign_key kept = { 0 };
    char first[SIGN_HEX_SIZE], fresh[SIGN_HEX_SIZE], again[SIGN_HEX_SIZE];
    (void)state;
    make(&request, SIGN_S3, &some);
    assert_int_equal(sign_signature(&request, &s3_keys, &kept, first), ERR_OK);
    for (int i = 0; i < 3; i++) {
        struct credential keys = s3_keys;
        struct sign_key none = { 0 };
        make(&request, SIGN_S3, &some);
        request.when += i == 0 ? 86400 : 0;
        request.region = i == 1 ? "eu-west-1" : request.region;
        keys.access_key_secret[0] = (char)(i == 2 ? 'x' : keys.access_key_secret[0]);
        assert_int_equal(sign_signature(&request, &keys, &none, fresh), ERR_OK);
        assert_int_equal(sign_signature(&request, &keys, &kept, again), ERR_OK);
        assert_string_equal(fresh, again);
        assert_string_not_equal(fresh, first);
    }
}

static void a_request_that_is_too_long_is_not_signed(void **state)
{
    static char path[16384];
    struct sign_request request;
    struct sign_key key = { 0 };
    char hex[SIGN_HEX_SIZE];
    (void)state;
    memset(path, '%', sizeof path - 1);
    make(&request, SIGN_S3, &some);
    request.path = span_text(path);
    assert_int_equal(sign_signature(&request, &s3_keys, &key, hex), ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oss_signs_a_put_with_odd_parameters),
        cmocka_unit_test(oss_writes_the_canonical_request_of_the_sdk),
        cmocka_unit_test(oss_signs_a_session_token),
        cmocka_unit_test(oss_signs_additional_headers),
        cmocka_unit_test(oss_signs_for_a_cloudbox),
        cmocka_unit_test(oss_signs_in_the_query),
        cmocka_unit_test(oss_signs_in_the_query_with_a_token),
        cmocka_unit_test(oss_signs_in_the_query_with_additional_headers),
        cmocka_unit_test(oss_signs_a_key_full_of_punctuation),
        cmocka_unit_test(oss_signs_that_key_with_parameters),
        cmocka_unit_test(oss_signs_a_listing_with_a_token),
        cmocka_unit_test(s3_signs_a_ranged_get),
        cmocka_unit_test(s3_signs_a_put),
        cmocka_unit_test(s3_signs_a_parameter_without_a_value),
        cmocka_unit_test(s3_signs_a_listing),
        cmocka_unit_test(s3_signs_in_the_query),
        cmocka_unit_test(s3_signs_the_head_of_a_chunked_put),
        cmocka_unit_test(the_header_says_who_signed_what),
        cmocka_unit_test(a_kept_key_is_not_used_for_another_day_region_or_secret),
        cmocka_unit_test(a_request_that_is_too_long_is_not_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
