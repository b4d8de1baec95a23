/* Requests: where the bucket goes, how keys are written, which headers go along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "node/origin/request.h"

#define WHEN 1702743657 /* 20231216T162057Z */

static const struct credential nobody;
static const struct credential somebody = { .access_key_id = "ak", .access_key_secret = "sk" };

static struct source source_of(const char *uri, const char *endpoint)
{
    char prefix[SOURCE_PREFIX_MAX + 1], buffer[512];
    struct source source = { 0 };
    struct text why;
    struct source_text written = { .uri = span_text(uri),
                                   .endpoint = span_text(endpoint),
                                   .region = span_text("cn-hangzhou") };
    text_init(&why, buffer, sizeof buffer);
    assert_int_equal(source_parse(&written, &source, prefix, &why), ERR_OK);
    return source;
}

static enum err sign(const struct source *source, const struct request *request,
                     const struct credential *credential, struct signed_request *out)
{
    struct sign_key key = { 0 };
    struct signer signer = { .credential = credential, .key = &key, .when = WHEN };
    return request_sign(source, request, &signer, out);
}

static const char *header(const struct signed_request *request, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (strncmp(request->headers[i], name, size) == 0 && request->headers[i][size] == ':') {
            return request->headers[i] + size + 2;
        }
    }
    return NULL;
}

static const char *url_of(const char *uri, const char *endpoint, const struct request *request)
{
    static struct signed_request made;
    struct source source = source_of(uri, endpoint);
    assert_int_equal(sign(&source, request, &nobody, &made), ERR_OK);
    return made.url;
}

static struct request get(const char *key)
{
    return (struct request){ .kind = REQUEST_GET,
                             .key = span_text(key),
                             .pin = span_text("0A1B"),
                             .offset = 100,
                             .size = 50,
                             .object_size = 1000 };
}

static void the_bucket_is_in_the_host_or_in_the_path(void **state)
{
    struct request request = get("a/b");
    (void)state;
    assert_string_equal(url_of("s3://bucket", "", &request),
                        "https://bucket.s3.cn-hangzhou.amazonaws.com.cn/a/b");
    assert_string_equal(url_of("s3://bucket", "http://h:9000", &request),
                        "http://h:9000/bucket/a/b");
    assert_string_equal(url_of("oss://bucket", "", &request),
                        "https://bucket.oss-cn-hangzhou.aliyuncs.com/a/b");
    assert_string_equal(url_of("oss://bucket", "http://127.0.0.1:1", &request),
                        "http://127.0.0.1:1/bucket/a/b");
}

static void keys_are_percent_encoded_but_for_slashes(void **state)
{
    struct request request = get("a b/+%?#&=~_-.'\xc3\xa9//../x");
    (void)state;
    assert_string_equal(url_of("s3://b", "http://h", &request),
                        "http://h/b/a%20b/%2B%25%3F%23%26%3D~_-.%27%C3%A9//../x");
}

static void a_get_asks_for_its_range_of_its_version(void **state)
{
    struct source source = source_of("s3://b", "http://h");
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    assert_int_equal(sign(&source, &request, &somebody, &made), ERR_OK);
    assert_string_equal(made.method, "GET");
    assert_string_equal(header(&made, "range"), "bytes=100-149");
    assert_string_equal(header(&made, "if-match"), "\"0A1B\"");
    assert_string_equal(header(&made, "x-amz-date"), "20231216T162057Z");
    assert_string_equal(header(&made, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_null(header(&made, "x-oss-range-behavior"));
    assert_null(header(&made, "x-amz-security-token"));
    assert_non_null(strstr(header(&made, "authorization"),
                           "SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date"));
}

static void oss_is_told_to_treat_ranges_as_others_do(void **state)
{
    struct source source = source_of("oss://b", "");
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    assert_int_equal(sign(&source, &request, &somebody, &made), ERR_OK);
    assert_string_equal(header(&made, "x-oss-range-behavior"), "standard");
    assert_string_equal(header(&made, "x-oss-date"), "20231216T162057Z");
    assert_non_null(strstr(header(&made, "authorization"), "OSS4-HMAC-SHA256 Credential=ak/"
                                                           "20231216/cn-hangzhou/oss/"));
}

static void nobody_signs_nothing(void **state)
{
    struct source source = source_of("s3://b", "http://h");
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    assert_int_equal(sign(&source, &request, &nobody, &made), ERR_OK);
    assert_null(header(&made, "authorization"));
    assert_null(header(&made, "x-amz-date"));
    assert_string_equal(header(&made, "range"), "bytes=100-149");
}

static void a_session_token_goes_along(void **state)
{
    struct source source = source_of("s3://b", "http://h");
    struct credential credential = somebody;
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    memcpy(credential.security_token, "token", 6);
    assert_int_equal(sign(&source, &request, &credential, &made), ERR_OK);
    assert_string_equal(header(&made, "x-amz-security-token"), "token");
}

static void a_listing_says_what_it_wants(void **state)
{
    struct request request = { .kind = REQUEST_LIST,
                               .prefix = span_text("a b/"),
                               .after = span_text("a b/c"),
                               .limit = 1000,
                               .delimited = true };
    (void)state;
    assert_string_equal(url_of("s3://b", "http://h", &request),
                        "http://h/b/?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&"
                        "prefix=a%20b%2F&start-after=a%20b%2Fc");
    request.continuation = span_text("t=");
    request.delimited = false;
    assert_string_equal(url_of("oss://b", "", &request),
                        "https://b.oss-cn-hangzhou.aliyuncs.com/?continuation-token=t%3D&"
                        "encoding-type=url&list-type=2&max-keys=1000&prefix=a%20b%2F");
}

/* The signature of a listing against the vector that was made with another implementation. */
static void an_oss_listing_has_the_known_signature(void **state)
{
    struct source source = source_of("oss://bucket", "");
    struct credential credential = somebody;
    struct request request = { .kind = REQUEST_LIST,
                               .prefix = span_text("a/"),
                               .after = span_text("a/b c"),
                               .limit = 1000,
                               .delimited = true };
    struct signed_request made;
    (void)state;
    memcpy(credential.security_token, "token", 6);
    assert_int_equal(sign(&source, &request, &credential, &made), ERR_OK);
    assert_non_null(strstr(header(&made, "authorization"),
                           "Signature=2d2be55fba5579c5bc6c94db356b4f2c"
                           "89036691d937c4a4d554f035962d7e86"));
}

static void a_head_has_neither_range_nor_version(void **state)
{
    struct source source = source_of("s3://b", "http://h");
    struct request request = { .kind = REQUEST_HEAD, .key = span_text("k") };
    struct signed_request made;
    (void)state;
    assert_int_equal(sign(&source, &request, &somebody, &made), ERR_OK);
    assert_string_equal(made.method, "HEAD");
    assert_null(header(&made, "range"));
    assert_null(header(&made, "if-match"));
}

static void a_version_with_a_line_end_cannot_add_a_header(void **state)
{
    static const char *const wrong[] = { "a\r\nx-amz-acl: public", "a\"b", "a b", "\x7f" };
    struct source source = source_of("s3://b", "http://h");
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        request.pin = span_text(wrong[i]);
        assert_int_equal(sign(&source, &request, &somebody, &made), ERR_INVALID);
    }
}

static void a_token_with_a_line_end_cannot_add_a_header(void **state)
{
    struct source source = source_of("s3://b", "http://h");
    struct credential credential = somebody;
    struct request request = get("k");
    struct signed_request made;
    (void)state;
    memcpy(credential.security_token, "t\n", 3);
    assert_int_equal(sign(&source, &request, &credential, &made), ERR_INVALID);
}

static void the_longest_key_fits_and_a_longer_one_is_refused(void **state)
{
    static char key[4097];
    struct source source = source_of("s3://b", "http://h");
    struct signed_request made;
    (void)state;
    memset(key, '%', 1024);
    struct request request = get(key);
    assert_int_equal(sign(&source, &request, &somebody, &made), ERR_OK);
    memset(key, '%', 4096);
    request = get(key);
    assert_int_equal(sign(&source, &request, &somebody, &made), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bucket_is_in_the_host_or_in_the_path),
        cmocka_unit_test(keys_are_percent_encoded_but_for_slashes),
        cmocka_unit_test(a_get_asks_for_its_range_of_its_version),
        cmocka_unit_test(oss_is_told_to_treat_ranges_as_others_do),
        cmocka_unit_test(nobody_signs_nothing),
        cmocka_unit_test(a_session_token_goes_along),
        cmocka_unit_test(a_listing_says_what_it_wants),
        cmocka_unit_test(an_oss_listing_has_the_known_signature),
        cmocka_unit_test(a_head_has_neither_range_nor_version),
        cmocka_unit_test(a_version_with_a_line_end_cannot_add_a_header),
        cmocka_unit_test(a_token_with_a_line_end_cannot_add_a_header),
        cmocka_unit_test(the_longest_key_fits_and_a_longer_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
