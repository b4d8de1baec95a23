/* Pages of ListObjectsV2: whole, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/origin/listing.h"

#define OPEN "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define CLOSE "</ListBucketResult>"
#define LAST "<IsTruncated>false</IsTruncated>"
#define OBJECT(key)                                                                     \
    "<Contents><Key>" key "</Key><LastModified>2026-11-22T16:43:00.123Z</LastModified>" \
    "<ETag>&quot;0A1B&quot;</ETag><Size>12</Size></Contents>"
#define PREFIX(key) "<CommonPrefixes><Prefix>" key "</Prefix></CommonPrefixes>"

static enum err parse(const char *xml, struct listing *out)
{
    memset(out, 0, sizeof *out);
    return listing_parse(span_text(xml), out);
}

static void expect_refused(const char *xml)
{
    struct listing listing;
    assert_int_equal(parse(xml, &listing), ERR_SOURCE_PROTOCOL);
    assert_null(listing.entries); /* untouched */
}

static void expect_key(const char *xml, const char *key)
{
    struct listing listing;
    assert_int_equal(parse(xml, &listing), ERR_OK);
    assert_int_equal(listing.count, 1);
    assert_true(span_equal(listing.entries[0].key, span_text(key)));
    listing_fini(&listing);
}

static void an_object_has_key_version_size_and_time(void **state)
{
    struct listing listing;
    (void)state;
    assert_int_equal(parse(OPEN LAST OBJECT("a/b") CLOSE, &listing), ERR_OK);
    assert_int_equal(listing.count, 1);
    assert_false(listing.entries[0].is_prefix);
    assert_true(span_equal(listing.entries[0].key, span_text("a/b")));
    assert_true(span_equal(listing.entries[0].pin, span_text("0A1B")));
    assert_int_equal(listing.entries[0].size, 12);
    assert_false(listing.truncated);
    assert_int_equal(listing.next.size, 0);
    listing_fini(&listing);
}

static void times_have_whole_seconds_as_those_of_a_head(void **state)
{
    struct listing listing;
    usec_t of_head;
    (void)state;
    assert_int_equal(parse(OPEN LAST OBJECT("k") CLOSE, &listing), ERR_OK);
    assert_true(parse_http_date(span_text("Sun, 22 Nov 2026 16:43:00 GMT"), &of_head));
    assert_int_equal(listing.entries[0].mtime_us, of_head);
    listing_fini(&listing);
}

static void entries_come_in_the_order_of_keys(void **state)
{
    struct listing listing;
    (void)state;
    assert_int_equal(
        parse(OPEN LAST OBJECT("a-") OBJECT("b") PREFIX("a/") PREFIX("a.d/") CLOSE, &listing),
        ERR_OK);
    assert_int_equal(listing.count, 4);
    assert_true(span_equal(listing.entries[0].key, span_text("a-")));
    assert_true(span_equal(listing.entries[1].key, span_text("a.d/")));
    assert_true(span_equal(listing.entries[2].key, span_text("a/")));
    assert_true(listing.entries[2].is_prefix);
    assert_true(span_equal(listing.entries[3].key, span_text("b")));
    listing_fini(&listing);
}

static void names_are_decoded_wherever_the_encoding_is_told(void **state)
{
    (void)state;
    expect_key(OPEN "<EncodingType>url</EncodingType>" LAST OBJECT("a%20b+c%2Bd") CLOSE, "a b c+d");
    expect_key(OPEN LAST OBJECT("a%20b+c") "<EncodingType>url</EncodingType>" CLOSE, "a b c");
    expect_key(OPEN LAST OBJECT("a%20b+c") CLOSE, "a%20b+c");
    expect_key(OPEN LAST PREFIX("%E4%B8%AD/") "<EncodingType> url</EncodingType>" CLOSE,
               "%E4%B8%AD/");
}

static void an_escape_that_is_cut_off_stands_for_itself(void **state)
{
    (void)state;
    expect_key(OPEN LAST "<EncodingType>url</EncodingType>" OBJECT("a%") CLOSE, "a%");
    expect_key(OPEN LAST "<EncodingType>url</EncodingType>" OBJECT("a%4") CLOSE, "a%4");
    expect_key(OPEN LAST "<EncodingType>url</EncodingType>" OBJECT("a%zz") CLOSE, "a%zz");
    expect_key(OPEN LAST "<EncodingType>url</EncodingType>" OBJECT("a%4A") CLOSE, "aJ");
}

static void the_token_of_the_next_page_is_kept_as_it_is(void **state)
{
    struct listing listing;
    (void)state;
    assert_int_equal(parse(OPEN "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                                "<NextContinuationToken>a%2B+b=</NextContinuationToken>" CLOSE,
                           &listing),
                     ERR_OK);
    assert_true(listing.truncated);
    assert_true(span_equal(listing.next, span_text("a%2B+b=")));
    listing_fini(&listing);
}

static void namespaces_and_unknown_elements_do_not_matter(void **state)
{
    (void)state;
    expect_key("<s:ListBucketResult xmlns:s=\"urn:x\"><s:IsTruncated>false</s:IsTruncated>"
               "<s:Contents><s:Owner><s:ID>7</s:ID><s:Key>no</s:Key></s:Owner><s:Key>k</s:Key>"
               "<s:ETag>1</s:ETag><s:Size>1</s:Size><s:Restore/></s:Contents>"
               "<s:Name>n</s:Name></s:ListBucketResult>",
               "k");
}

static void a_page_that_is_cut_off_is_refused_wherever_it_is_cut(void **state)
{
    static const char page[] = OPEN LAST OBJECT("a") OBJECT("b") PREFIX("c/") CLOSE;
    char half[sizeof page];
    (void)state;
    for (size_t size = 0; size < sizeof page - 1; size++) {
        memcpy(half, page, size);
        half[size] = '\0';
        expect_refused(half);
    }
}

static void a_page_that_goes_on_without_a_token_is_refused(void **state)
{
    (void)state;
    expect_refused(OPEN "<IsTruncated>true</IsTruncated>" OBJECT("a") CLOSE);
    expect_refused(OPEN "<IsTruncated>true</IsTruncated><NextMarker>a</NextMarker>" CLOSE);
    expect_refused(OPEN OBJECT("a") CLOSE);
    expect_refused(OPEN "<IsTruncated>perhaps</IsTruncated>" CLOSE);
}

static void an_object_without_key_size_or_version_is_refused(void **state)
{
    (void)state;
    expect_refused(OPEN LAST "<Contents><Size>1</Size><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST "<Contents><Key>k</Key><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST "<Contents><Key>k</Key><Size>1</Size></Contents>" CLOSE);
    expect_refused(OPEN LAST "<Contents><Key/><Size>1</Size><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST
                   "<Contents><Key>k</Key><Size>-1</Size><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST
                   "<Contents><Key>k</Key><Size>1x</Size><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST
                   "<Contents><Key>k</Key><Size>1</Size><ETag>a b</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST PREFIX("") CLOSE);
}

/* What one object lacks another has not in its stead. */
static void an_object_does_not_inherit_from_the_one_before(void **state)
{
    (void)state;
    expect_refused(OPEN LAST OBJECT("a") "<Contents><Key>b</Key><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(OPEN LAST OBJECT("a") "<Contents><Key>b</Key><Size>1</Size></Contents>" CLOSE);
    expect_refused(OPEN LAST OBJECT("a") "<Contents><Size>1</Size><ETag>e</ETag></Contents>" CLOSE);
}

static void what_is_no_listing_is_refused(void **state)
{
    (void)state;
    expect_refused("");
    expect_refused("hello");
    expect_refused("<html><body>Login</body></html>");
    expect_refused("<Error><Code>AccessDenied</Code></Error>");
    expect_refused("<Other>" LAST OBJECT("a") "</Other>");
    expect_refused(OPEN LAST CLOSE OPEN LAST CLOSE);
}

static void a_document_type_is_refused(void **state)
{
    (void)state;
    expect_refused("<!DOCTYPE ListBucketResult [<!ENTITY a \"aaaaaaaaaa\">"
                   "<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>" OPEN LAST OBJECT("&b;") CLOSE);
    expect_refused("<!DOCTYPE x SYSTEM \"http://127.0.0.1/x.dtd\">" OPEN LAST CLOSE);
}

static void nests_and_values_have_a_limit(void **state)
{
    char *xml = malloc(10000);
    (void)state;
    assert_non_null(xml);
    strcpy(xml, OPEN LAST "<Contents><Key>");
    memset(xml + strlen(xml), 'k', 5000);
    strcpy(xml + strlen(OPEN LAST "<Contents><Key>") + 5000,
           "</Key><Size>1</Size><ETag>e</ETag></Contents>" CLOSE);
    expect_refused(xml);
    strcpy(xml, OPEN LAST);
    for (int i = 0; i < 10; i++) {
        strcat(xml, "<a>");
    }
    for (int i = 0; i < 10; i++) {
        strcat(xml, "</a>");
    }
    strcat(xml, CLOSE);
    expect_refused(xml);
    free(xml);
}

/* A page of `count` objects; the caller frees it. */
static char *many(uint32_t count)
{
    size_t room = 200 + count * 120, used;
    char *xml = malloc(room);
    assert_non_null(xml);
    used = (size_t)snprintf(xml, room, OPEN LAST);
    for (uint32_t i = 0; i < count; i++) {
        used += (size_t)snprintf(xml + used, room - used,
                                 "<Contents><Key>k%u</Key><Size>%u</Size><ETag>e%u</ETag>"
                                 "</Contents>",
                                 i, i, i);
    }
    snprintf(xml + used, room - used, CLOSE);
    return xml;
}

static void a_page_holds_as_many_as_fit_and_no_more(void **state)
{
    struct listing listing;
    char *fits = many(LISTING_ENTRIES_MAX);
    char *over = many(LISTING_ENTRIES_MAX + 1);
    (void)state;
    assert_int_equal(parse(fits, &listing), ERR_OK);
    assert_int_equal(listing.count, LISTING_ENTRIES_MAX);
    listing_fini(&listing);
    expect_refused(over);
    free(fits);
    free(over);
}

static void zeros_in_keys_are_kept_for_others_to_judge(void **state)
{
    struct listing listing;
    (void)state;
    assert_int_equal(
        parse(OPEN LAST "<EncodingType>url</EncodingType>" OBJECT("a%00b") CLOSE, &listing),
        ERR_OK);
    assert_true(span_equal(listing.entries[0].key, span_of("a\0b", 3)));
    listing_fini(&listing);
}

/* ---- pins and times ---- */

static void a_pin_is_visible_ascii_without_quotes(void **state)
{
    char longest[258];
    (void)state;
    memset(longest, 'a', sizeof longest);
    assert_true(pin_is_valid(span_text("0A1B-3")));
    assert_true(pin_is_valid(span_of(longest, 256)));
    assert_false(pin_is_valid(span_of(longest, 257)));
    assert_false(pin_is_valid(span_of("", 0)));
    assert_false(pin_is_valid(span_text("a b")));
    assert_false(pin_is_valid(span_text("a\"")));
    assert_false(pin_is_valid(span_text("a\r\n")));
    assert_false(pin_is_valid(span_text("\xc3\xa9")));
}

static void times_of_listings_are_read_to_the_microsecond(void **state)
{
    usec_t at = 0;
    (void)state;
    assert_true(parse_iso8601(span_text("1970-01-01T00:00:01Z"), &at));
    assert_int_equal(at, SEC(1));
    assert_true(parse_iso8601(span_text("2026-11-22T16:43:00.123456789Z"), &at));
    assert_int_equal(at, SEC(1795365780) + 123456);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026-11-22",
        "2026-11-22T16:43:00",
        "2026-11-22T16:43:00+0000Z",
        "2026-13-22T16:43:00Z",
        "2026-00-22T16:43:00Z",
        "2026-11-32T16:43:00Z",
        "2026-11-22T24:43:00Z",
        "2026-11-22T16:60:00Z",
        "2026-11-22T16:43:00.12x4Z",
        "2O26-11-22T16:43:00Z",
    };
    usec_t at = 5;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(parse_iso8601(span_text(wrong[i]), &at));
    }
    assert_false(parse_http_date(span_text("Sun, 22 Nov 2026 16:43:00 CET"), &at));
    assert_false(parse_http_date(span_text("Sun, 22 Foo 2026 16:43:00 GMT"), &at));
    assert_false(parse_http_date(span_text("Sunday, 22-Nov-26 16:43:00 GMT"), &at));
    assert_int_equal(at, 5);
}

/* ---- errors ---- */

static struct store_error error_of(const char *xml)
{
    struct store_error error;
    store_error_parse(span_text(xml), &error);
    return error;
}

static void an_error_gives_its_code_and_message(void **state)
{
    struct store_error error =
        error_of("<?xml version=\"1.0\"?>\n<Error>\n <Code>NoSuchKey</Code>\n"
                 "<Message>Not &lt;here&gt;.</Message><EC>0026</EC></Error>");
    (void)state;
    assert_string_equal(error.code, "NoSuchKey");
    assert_string_equal(error.message, "Not <here>.");
}

static void what_was_said_before_a_fault_still_counts(void **state)
{
    (void)state;
    assert_string_equal(error_of("<Error><Code>SlowDown</Code><Mess").code, "SlowDown");
}

static void garbage_says_nothing(void **state)
{
    (void)state;
    assert_string_equal(error_of("").code, "");
    assert_string_equal(error_of("Internal Server Error").code, "");
    assert_string_equal(error_of("<html><body>502</body></html>").message, "");
}

static void a_message_is_one_line_of_bounded_length(void **state)
{
    char xml[2000] = "<Error><Message>a\nb&#9;c";
    struct store_error error;
    size_t used = strlen(xml);
    (void)state;
    memset(xml + used, 'x', 1500);
    strcpy(xml + used + 1500, "</Message></Error>");
    error = error_of(xml);
    assert_memory_equal(error.message, "a b c", 5);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

static void an_error_with_a_document_type_says_nothing(void **state)
{
    (void)state;
    assert_string_equal(error_of("<!DOCTYPE Error [<!ENTITY a \"SlowDown\">]>"
                                 "<Error><Code>&a;</Code></Error>")
                            .code,
                        "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_has_key_version_size_and_time),
        cmocka_unit_test(times_have_whole_seconds_as_those_of_a_head),
        cmocka_unit_test(entries_come_in_the_order_of_keys),
        cmocka_unit_test(names_are_decoded_wherever_the_encoding_is_told),
        cmocka_unit_test(an_escape_that_is_cut_off_stands_for_itself),
        cmocka_unit_test(the_token_of_the_next_page_is_kept_as_it_is),
        cmocka_unit_test(namespaces_and_unknown_elements_do_not_matter),
        cmocka_unit_test(a_page_that_is_cut_off_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_page_that_goes_on_without_a_token_is_refused),
        cmocka_unit_test(an_object_without_key_size_or_version_is_refused),
        cmocka_unit_test(an_object_does_not_inherit_from_the_one_before),
        cmocka_unit_test(what_is_no_listing_is_refused),
        cmocka_unit_test(a_document_type_is_refused),
        cmocka_unit_test(nests_and_values_have_a_limit),
        cmocka_unit_test(a_page_holds_as_many_as_fit_and_no_more),
        cmocka_unit_test(zeros_in_keys_are_kept_for_others_to_judge),
        cmocka_unit_test(a_pin_is_visible_ascii_without_quotes),
        cmocka_unit_test(times_of_listings_are_read_to_the_microsecond),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(an_error_gives_its_code_and_message),
        cmocka_unit_test(what_was_said_before_a_fault_still_counts),
        cmocka_unit_test(garbage_says_nothing),
        cmocka_unit_test(a_message_is_one_line_of_bounded_length),
        cmocka_unit_test(an_error_with_a_document_type_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
