/* tests/unit/origin_server/test_verify.c: the vectors of the AWS documentation, which have to be
 * accepted as they are, and what has to be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/origin_server/arrival.h"

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
