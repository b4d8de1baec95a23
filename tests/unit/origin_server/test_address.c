/* tests/unit/origin_server/test_address.c: bucket and key by Host and path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/origin/address.h"

static const char *known[] = { "s3.test", "oss.test", NULL };
static const struct address_domains known_domains = { .names = known };
static const struct address_domains no_domains = { 0 };

static void check(const struct address_domains *domains, const char *const row[4])
{
    struct address address;
    assert_true(address_init(&address, row[0], row[1], domains));
    if (row[2] == NULL) {
        assert_null(address.bucket);
    } else {
        assert_string_equal(address.bucket, row[2]);
    }
    if (row[3] == NULL) {
        assert_null(address.key);
    } else {
        assert_string_equal(address.key, row[3]);
    }
    address_fini(&address);
}

static void addresses_and_bare_names_are_path_style(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        { "127.0.0.1:9000", "/", NULL, NULL },
        { "127.0.0.1:9000", "/b", "b", NULL },
        { "127.0.0.1", "/b/", "b", NULL },
        { "[::1]:9000", "/b/k", "b", "k" },
        { "localhost:9000", "/b/a//c", "b", "a//c" },
        { NULL, "/b//k", "b", "/k" },
        { "localhost", "/b/a%20b%2Fc+d", "b", "a b/c+d" },
        { "localhost", "/b/../x/.", "b", "../x/." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&no_domains, rows[i]);
    }
}

static void the_bucket_is_the_first_label_where_no_domain_is_known(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        { "b.localhost:9000", "/", "b", NULL },
        { "b.oss-cn-hangzhou.aliyuncs.com", "/k/l", "b", "k/l" },
        { "b.localhost", "//k", "b", "/k" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&no_domains, rows[i]);
    }
}

static void the_bucket_stands_before_a_known_domain(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        { "s3.test", "/b/k", "b", "k" },
        { "S3.Test:80", "/b/k", "b", "k" },
        { "a.b.c.s3.test:80", "/k", "a.b.c", "k" },
        { "x.oss.test", "/k", "x", "k" },
        { "other.example", "/b/k", "b", "k" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&known_domains, rows[i]);
    }
}

static void malformed_paths_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = { "", "*", "b/k", "/b/%", "/b/%4", "/b/%zz", "/b/%00x" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct address address;
        assert_false(address_init(&address, "localhost", paths[i], &no_domains));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_bare_names_are_path_style),
        cmocka_unit_test(the_bucket_is_the_first_label_where_no_domain_is_known),
        cmocka_unit_test(the_bucket_stands_before_a_known_domain),
        cmocka_unit_test(malformed_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
