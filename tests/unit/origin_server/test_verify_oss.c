/* tests/unit/origin_server/test_verify_oss.c: the vectors of Alibaba's SDKs, V4 and V1: a request
 * that carries the signature of one has to be accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/origin_server/arrival.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
