/* URIs, endpoints and regions as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "node/origin/source.h"

struct parsed {
    enum err err;
    struct source source;
    char prefix[SOURCE_PREFIX_MAX + 1];
    char why[1024];
};

static struct span text_or_none(const char *text)
{
    return text == NULL ? span_of(NULL, 0) : span_text(text);
}

static struct parsed parse(const char *uri, const char *endpoint, const char *region)
{
    struct source_text written = { .uri = text_or_none(uri),
                                   .endpoint = text_or_none(endpoint),
                                   .region = text_or_none(region) };
    struct parsed parsed;
    struct text why;
    memset(&parsed, 0, sizeof parsed);
    text_init(&why, parsed.why, sizeof parsed.why);
    parsed.err = source_parse(&written, &parsed.source, parsed.prefix, &why);
    return parsed;
}

static void expect_refused(const char *uri, const char *endpoint, const char *region,
                           const char *said)
{
    struct parsed parsed = parse(uri, endpoint, region);
    assert_int_equal(parsed.err, ERR_INVALID);
    if (strstr(parsed.why, said) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", parsed.why, said);
    }
    assert_non_null(strstr(parsed.why, said));
    assert_int_equal(parsed.prefix[0], '\0');
}

static void expect_host(const char *uri, const char *endpoint, const char *region, const char *host)
{
    struct parsed parsed = parse(uri, endpoint, region);
    assert_string_equal(parsed.why, "");
    assert_int_equal(parsed.err, ERR_OK);
    assert_string_equal(parsed.source.host, host);
}

static void a_uri_is_a_bucket_and_a_prefix(void **state)
{
    struct parsed parsed = parse("s3://my-bucket/a/b c", NULL, "eu-west-1");
    (void)state;
    assert_int_equal(parsed.err, ERR_OK);
    assert_int_equal(parsed.source.kind, SOURCE_S3);
    assert_string_equal(parsed.source.bucket, "my-bucket");
    assert_string_equal(parsed.source.region, "eu-west-1");
    assert_string_equal(parsed.prefix, "a/b c/");
}

static void a_prefix_ends_in_one_slash_or_is_empty(void **state)
{
    (void)state;
    assert_string_equal(parse("s3://b", NULL, NULL).prefix, "");
    assert_string_equal(parse("s3://b/", NULL, NULL).prefix, "");
    assert_string_equal(parse("s3://b/a", NULL, NULL).prefix, "a/");
    assert_string_equal(parse("s3://b/a/", NULL, NULL).prefix, "a/");
}

static void vendors_endpoints_follow_from_the_region(void **state)
{
    (void)state;
    expect_host("s3://b", NULL, NULL, "s3.us-east-1.amazonaws.com");
    expect_host("s3://b", NULL, "eu-central-1", "s3.eu-central-1.amazonaws.com");
    expect_host("s3://b", NULL, "cn-north-1", "s3.cn-north-1.amazonaws.com.cn");
    expect_host("oss://b", NULL, "cn-hangzhou", "oss-cn-hangzhou.aliyuncs.com");
    expect_host("oss://b", NULL, "oss-cn-hangzhou", "oss-cn-hangzhou.aliyuncs.com");
}

static void the_host_of_an_oss_endpoint_names_its_region(void **state)
{
    (void)state;
    assert_string_equal(
        parse("oss://b", "oss-cn-beijing-internal.aliyuncs.com", NULL).source.region, "cn-beijing");
    assert_string_equal(parse("oss://b", "oss-cn-beijing.aliyuncs.com", "cn-x").source.region,
                        "cn-x");
}

static void oss_without_a_region_is_refused(void **state)
{
    (void)state;
    expect_refused("oss://b", NULL, NULL, "--region");
    expect_refused("oss://b", "http://10.0.0.1", NULL, "--region");
}

static void an_endpoint_has_one_form(void **state)
{
    (void)state;
    expect_host("s3://b", "https://Store.Example:443/", NULL, "store.example");
    expect_host("s3://b", "http://store.example:80", NULL, "store.example");
    expect_host("s3://b", "http://store.example:443", NULL, "store.example:443");
    expect_host("s3://b", "https://[FD00::1]:9000", NULL, "[fd00::1]:9000");
    assert_false(parse("s3://b", "http://store.example", NULL).source.tls);
    assert_true(parse("s3://b", "store.example", NULL).source.tls);
}

static void where_the_bucket_goes_follows_from_the_endpoint(void **state)
{
    (void)state;
    assert_false(parse("s3://b", NULL, NULL).source.path_style);
    assert_true(parse("s3://b.dot", NULL, NULL).source.path_style);
    assert_true(parse("s3://Bucket", NULL, NULL).source.path_style);
    assert_true(parse("s3://b", "store.example", NULL).source.path_style);
    assert_false(parse("s3://b", "store.example;virtual-host", NULL).source.path_style);
    assert_false(parse("oss://b", "store.example", "r").source.path_style);
    assert_true(parse("oss://b", "store.example;path-style", "r").source.path_style);
    assert_true(parse("oss://b", "http://127.0.0.1:8000", "r").source.path_style);
    assert_true(parse("oss://b", "http://[::1]:8000", "r").source.path_style);
}

static void endpoints_that_are_none_are_refused(void **state)
{
    static const char *const wrong[] = { "http://",      "http://a/b",  "http://user@host",
                                         "http://a:",    "http://a:0",  "http://a:65536",
                                         "http://a:1:2", "http://[::1", "http://[::g]",
                                         "ftp://a",      "http://a b",  "http://a\nb",
                                         "http://a?q",   "http://a#f",  "http://a:port" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        expect_refused("s3://b", wrong[i], NULL, "endpoint");
    }
    expect_refused("s3://b", "store.example;vhost", NULL, "path-style or virtual-host");
}

static void metadata_addresses_are_never_a_store(void **state)
{
    static const char *const wrong[] = {
        "http://169.254.169.254", "http://169.254.0.1:80",  "http://[fe80::1]",
        "http://[FEB0::1]:9000",  "http://100.100.100.200", "http://Metadata.google.internal",
        "http://[fd00:ec2::254]"
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        expect_refused("s3://b", wrong[i], NULL, "never a store");
    }
}

static void buckets_and_regions_have_plain_letters(void **state)
{
    (void)state;
    expect_refused("s3://", NULL, NULL, "bucket");
    expect_refused("s3:///key", NULL, NULL, "bucket");
    expect_refused("s3://../key", NULL, NULL, "bucket");
    expect_refused("s3://a@b", NULL, NULL, "bucket");
    expect_refused("s3://a%2fb", NULL, NULL, "bucket");
    expect_refused("s3://b", NULL, "eu/west", "region");
    expect_refused("s3://b", NULL, "evil.example/", "region");
}

static void unknown_schemes_are_refused(void **state)
{
    (void)state;
    expect_refused("gopher://b", NULL, NULL, "unknown scheme");
    expect_refused("", NULL, NULL, "unknown scheme");
    expect_refused("b/prefix", NULL, NULL, "s3://, oss:// or file://");
}

static void a_prefix_that_is_too_long_is_refused(void **state)
{
    char uri[1200] = "s3://b/";
    (void)state;
    memset(uri + 7, 'k', 1024);
    expect_refused(uri, NULL, NULL, "1,024");
    uri[7 + 1023] = '\0';
    assert_int_equal(parse(uri, NULL, NULL).err, ERR_OK);
}

static void a_directory_is_a_root_of_its_own(void **state)
{
    struct parsed parsed = parse("file:///data/set//", NULL, NULL);
    (void)state;
    assert_int_equal(parsed.err, ERR_OK);
    assert_int_equal(parsed.source.kind, SOURCE_FILE);
    assert_string_equal(parsed.source.bucket, "/data/set");
    assert_string_equal(parsed.prefix, "");
    expect_refused("file://data/set", NULL, NULL, "absolute");
    expect_refused("file://", NULL, NULL, "absolute");
}

static void the_identity_is_the_endpoint_and_the_bucket(void **state)
{
    struct source a = parse("s3://b/x", "http://h:80", "r").source;
    struct source same = parse("s3://b/y", "https://H", "q").source;
    struct source other = parse("s3://c/x", "http://h", "r").source;
    struct source scheme = parse("oss://b/x", "http://h", "r").source;
    (void)state;
    assert_true(source_id_equal(source_identity(&a), source_identity(&same)));
    assert_false(source_id_equal(source_identity(&a), source_identity(&other)));
    assert_false(source_id_equal(source_identity(&a), source_identity(&scheme)));
}

static void the_uri_of_a_source_parses_to_it_again(void **state)
{
    static const char *const uris[] = { "s3://b/x", "oss://b", "file:///data" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(uris); i++) {
        char buffer[600];
        struct text text;
        struct parsed first = parse(uris[i], "http://h", "r");
        text_init(&text, buffer, sizeof buffer);
        source_uri(&first.source, &text);
        struct parsed again = parse(buffer, "http://h", "r");
        assert_memory_equal(&first.source, &again.source, sizeof first.source);
        assert_string_equal(again.prefix, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uri_is_a_bucket_and_a_prefix),
        cmocka_unit_test(a_prefix_ends_in_one_slash_or_is_empty),
        cmocka_unit_test(vendors_endpoints_follow_from_the_region),
        cmocka_unit_test(the_host_of_an_oss_endpoint_names_its_region),
        cmocka_unit_test(oss_without_a_region_is_refused),
        cmocka_unit_test(an_endpoint_has_one_form),
        cmocka_unit_test(where_the_bucket_goes_follows_from_the_endpoint),
        cmocka_unit_test(endpoints_that_are_none_are_refused),
        cmocka_unit_test(metadata_addresses_are_never_a_store),
        cmocka_unit_test(buckets_and_regions_have_plain_letters),
        cmocka_unit_test(unknown_schemes_are_refused),
        cmocka_unit_test(a_prefix_that_is_too_long_is_refused),
        cmocka_unit_test(a_directory_is_a_root_of_its_own),
        cmocka_unit_test(the_identity_is_the_endpoint_and_the_bucket),
        cmocka_unit_test(the_uri_of_a_source_parses_to_it_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
