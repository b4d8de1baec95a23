/* Listings, HEADs and credentials of the fetch actor, against a server that says what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/node/io/fetch_plan.h"

static const struct bench_options plain = { 0 };

static bool says(struct span text, const char *what)
{
    return memmem(text.data, text.size, what, strlen(what)) != NULL;
}

static bool is_text(struct span text, const char *what)
{
    return span_equal(text, span_text(what));
}

/* ---- listings ---- */

static const char page_xml[] =
    "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>tok+en=</NextContinuationToken>"
    "<EncodingType>url</EncodingType>"
    "<Contents><Key>p/b%2Bc+d</Key><LastModified>2026-11-22T16:43:00.000Z</LastModified>"
    "<ETag>&quot;0A1B&quot;</ETag><Size>12</Size></Contents>"
    "<CommonPrefixes><Prefix>p/a/</Prefix></CommonPrefixes></ListBucketResult>";

static void a_page_gives_its_entries_and_where_to_go_on(void **state)
{
    struct fixture f = { .plan = { .status = 200, .body = page_xml } };
    (void)state;
    fixture_start(&f, &plain);
    bench_list(&f.bench, &(struct bench_list){ .id = 4, .prefix = "p/" });
    struct item *item = bench_next(&f.bench);
    assert_int_equal(item->event.kind, NODE_LISTED);
    assert_int_equal(item->event.listed.id, 4);
    assert_int_equal(item->event.listed.err, ERR_OK);
    assert_int_equal(item->event.listed.count, 2);
    assert_true(is_text(item->event.listed.next, "tok+en="));
    const struct listed *entries = item->event.listed.entries;
    assert_true(is_text(entries[0].key, "p/a/") && entries[0].is_prefix);
    assert_true(is_text(entries[1].key, "p/b+c d") && is_text(entries[1].pin, "0A1B"));
    assert_int_equal(entries[1].size, 12);
    assert_int_equal(entries[1].mtime_us, SEC(1795365780));
    bench_done(item);
    fixture_stop(&f);
}

static void a_listing_asks_for_what_was_wanted(void **state)
{
    struct fixture f = { .plan = { .status = 200, .body = page_xml } };
    (void)state;
    fixture_start(&f, &plain);
    bench_list(&f.bench, &(struct bench_list){ .id = 4, .prefix = "p/", .after = "p/a b" });
    bench_done(bench_next(&f.bench));
    bench_list(&f.bench, &(struct bench_list){ .id = 4,
                                               .prefix = "p/",
                                               .after = "p/a",
                                               .continuation = "tok+en=",
                                               .limit = 7,
                                               .flat = true });
    bench_done(bench_next(&f.bench));
    assert_non_null(strstr(f.plan.request[0], "GET /bucket/?delimiter=%2F&encoding-type=url&"
                                              "list-type=2&max-keys=1000&prefix=p%2F&"
                                              "start-after=p%2Fa%20b HTTP/1.1\r\n"));
    assert_non_null(strstr(f.plan.request[1], "GET /bucket/?continuation-token=tok%2Ben%3D&"
                                              "encoding-type=url&list-type=2&max-keys=7&"
                                              "prefix=p%2F HTTP/1.1\r\n"));
    fixture_stop(&f);
}

/* How a listing of "p/" ends when this is the answer; `text` gets what is said of it. */
static enum err listing_ending(const struct plan *plan, char *text, size_t room)
{
    struct fixture f = { .plan = *plan };
    fixture_start(&f, &plain);
    bench_list(&f.bench, &(struct bench_list){ .id = 4, .prefix = "p/" });
    struct item *item = bench_next(&f.bench);
    enum err err = item->event.listed.err;
    assert_true(item->event.listed.text.size < room);
    assert_int_equal(item->event.listed.count, 0);
    memcpy(text, item->event.listed.text.data, item->event.listed.text.size);
    text[item->event.listed.text.size] = '\0';
    bench_done(item);
    fixture_stop(&f);
    return err;
}

static void keys_outside_of_the_prefix_are_refused(void **state)
{
    char text[1024];
    struct plan plan = { .status = 200,
                         .body = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
                                 "<Key>q/x</Key><ETag>1</ETag><Size>1</Size></Contents>"
                                 "</ListBucketResult>" };
    (void)state;
    assert_int_equal(listing_ending(&plan, text, sizeof text), ERR_SOURCE_PROTOCOL);
    assert_non_null(strstr(text, "outside of the prefix"));
}

static void half_a_listing_is_no_listing(void **state)
{
    char text[1024];
    char half[sizeof page_xml];
    struct plan plan = { .status = 200, .body = half };
    (void)state;
    memcpy(half, page_xml, sizeof page_xml);
    half[sizeof page_xml - 40] = '\0';
    assert_int_equal(listing_ending(&plan, text, sizeof text), ERR_SOURCE_PROTOCOL);
}

static void a_listing_without_end_is_given_up(void **state)
{
    char text[1024];
    char *endless = malloc((9u << 20) + 1);
    struct plan plan = { .status = 200, .body = endless };
    (void)state;
    assert_non_null(endless);
    memset(endless, ' ', 9u << 20);
    endless[9u << 20] = '\0';
    assert_int_equal(listing_ending(&plan, text, sizeof text), ERR_SOURCE_PROTOCOL);
    assert_non_null(strstr(text, "no end"));
    free(endless);
}

static void a_refusal_is_told_in_the_stores_words(void **state)
{
    char text[1024];
    struct plan plan = { .status = 403,
                         .body = "<Error><Code>SignatureDoesNotMatch</Code>"
                                 "<Message>The signature is wrong.</Message></Error>" };
    (void)state;
    assert_int_equal(listing_ending(&plan, text, sizeof text), ERR_SOURCE_DENIED);
    assert_non_null(strstr(text, "403 SignatureDoesNotMatch (The signature is wrong.)"));
    assert_non_null(strstr(text, "the secret key is wrong"));
}

static void a_missing_bucket_is_not_found(void **state)
{
    char text[1024];
    struct plan plan = { .status = 404, .body = "<Error><Code>NoSuchBucket</Code></Error>" };
    (void)state;
    assert_int_equal(listing_ending(&plan, text, sizeof text), ERR_SOURCE_NOT_FOUND);
    assert_non_null(strstr(text, "check the name of the bucket"));
}

static void an_endpoint_that_cannot_be_one_is_told_why(void **state)
{
    struct bench bench;
    (void)state;
    bench_start(&bench, &(struct bench_options){ .uri = "s3://bucket",
                                                 .endpoint = "http://169.254.169.254" });
    bench_list(&bench, &(struct bench_list){ .id = 4 });
    struct item *item = bench_next(&bench);
    assert_int_equal(item->event.listed.err, ERR_INVALID);
    assert_true(says(item->event.listed.text, "never a store"));
    bench_done(item);
    bench_stop(&bench);
}

/* ---- HEAD ---- */

static void a_head_gives_size_version_and_time(void **state)
{
    struct fixture f = { .plan = { .status = 200,
                                   .headers =
                                       "ETag: \"0A1B\"\r\n"
                                       "Last-Modified: Sun, 22 Nov 2026 16:43:00 GMT\r\n" } };
    (void)state;
    fixture_start(&f, &plain);
    bench_head(&f.bench, 5, "p/x");
    struct item *item = bench_next(&f.bench);
    assert_int_equal(item->event.listed.id, 5);
    assert_int_equal(item->event.listed.err, ERR_OK);
    assert_int_equal(item->event.listed.count, 1);
    const struct listed *entry = item->event.listed.entries;
    assert_true(is_text(entry->key, "p/x") && is_text(entry->pin, "0A1B"));
    assert_int_equal(entry->mtime_us, SEC(1795365780));
    assert_non_null(strstr(f.plan.request[0], "HEAD /bucket/p/x HTTP/1.1\r\n"));
    bench_done(item);
    fixture_stop(&f);
}

/* The failure of a HEAD of "x". */
static enum err head_ending(struct fixture *f)
{
    bench_head(&f->bench, 5, "x");
    struct item *item = bench_next(&f->bench);
    enum err err = item->event.listed.err;
    bench_done(item);
    return err;
}

static void a_head_of_nothing_is_not_found(void **state)
{
    struct fixture f = { .plan = { .status = 404 } };
    (void)state;
    fixture_start(&f, &plain);
    assert_int_equal(head_ending(&f), ERR_SOURCE_NOT_FOUND);
    fixture_stop(&f);
}

static void a_head_without_a_strong_etag_is_refused(void **state)
{
    struct fixture f = { .plan = { .status = 200, .headers = "ETag: W/\"0A1B\"\r\n" } };
    (void)state;
    fixture_start(&f, &plain);
    assert_int_equal(head_ending(&f), ERR_SOURCE_PROTOCOL);
    fixture_stop(&f);
}

/* ---- credentials ---- */

struct keys {
    char directory[64];
    char file[96];
};

static void keys_make(struct keys *keys, const char *json)
{
    snprintf(keys->directory, sizeof keys->directory, "/tmp/atoll-test-keys-XXXXXX");
    assert_non_null(mkdtemp(keys->directory));
    snprintf(keys->file, sizeof keys->file, "%s/team.json", keys->directory);
    int fd = open(keys->file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    close(fd);
}

static void keys_drop(const struct keys *keys)
{
    assert_int_equal(unlink(keys->file), 0);
    assert_int_equal(rmdir(keys->directory), 0);
}

static const char team_json[] = "{\"access_key_id\": \"AKID\", \"access_key_secret\": \"hush\"}";

static void start_with_keys(struct fixture *f, struct keys *keys, const char *json)
{
    keys_make(keys, json);
    fixture_start(
        f, &(struct bench_options){ .credential = "team", .credentials_dir = keys->directory });
}

static void a_named_credential_signs_and_its_secret_stays(void **state)
{
    struct fixture f = { .plan = { .status = 404 } };
    struct keys keys;
    char value[1024];
    (void)state;
    start_with_keys(&f, &keys, team_json);
    assert_int_equal(head_ending(&f), ERR_SOURCE_NOT_FOUND);
    assert_true(little_header(f.plan.request[0], "authorization", value, sizeof value));
    assert_non_null(strstr(value, "AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_null(strstr(f.plan.request[0], "hush"));
    fixture_stop(&f);
    keys_drop(&keys);
}

static void the_names_of_credentials_are_told(void **state)
{
    struct fixture f = { 0 };
    struct keys keys;
    char names[MEMBER_CREDENTIALS_MAX + 1];
    (void)state;
    start_with_keys(&f, &keys, team_json);
    fetch_credentials(f.bench.fetch, names);
    assert_string_equal(names, "team");
    fixture_stop(&f);
    keys_drop(&keys);
}

static void without_the_credential_no_request_goes_out(void **state)
{
    struct fixture f = { 0 };
    (void)state;
    fixture_start(&f, &(struct bench_options){ .credential = "team" });
    assert_int_equal(head_ending(&f), ERR_NO_CREDENTIAL);
    assert_int_equal(atomic_load(&f.plan.seen), 0);
    fixture_stop(&f);
}

static void a_credential_is_not_used_outside_of_its_prefixes(void **state)
{
    struct fixture f = { .plan = { .status = 404 } };
    struct keys keys;
    (void)state;
    start_with_keys(&f, &keys,
                    "{\"access_key_id\": \"AKID\", \"access_key_secret\": \"hush\","
                    "\"uri_prefixes\": [\"s3://bucket/mine/\"]}");
    assert_int_equal(head_ending(&f), ERR_NO_CREDENTIAL);
    bench_head(&f.bench, 5, "mine/x");
    struct item *item = bench_next(&f.bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_NOT_FOUND);
    bench_done(item);
    assert_int_equal(atomic_load(&f.plan.seen), 1);
    fixture_stop(&f);
    keys_drop(&keys);
}

static void keys_write(const struct keys *keys, const char *json)
{
    int fd = open(keys->file, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    close(fd);
}

/* The first request is refused, as a store does from the moment its old key is taken away. */
static void a_request_refused_while_the_secret_was_replaced_goes_out_again(void **state)
{
    struct fixture f = { .plan = { .status = 403, .failures = 1 } };
    struct keys keys;
    sem_t gate, arrived;
    char before[1024], after[1024];
    struct bench_get get = {
        .id = 1, .key = "x", .pin = PIN, .object_size = OBJECT_SIZE, .sizes = { 1000 }
    };
    (void)state;
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    assert_int_equal(sem_init(&arrived, 0, 0), 0);
    f.plan.gate = &gate;
    f.plan.arrived = &arrived;
    start_with_keys(&f, &keys, team_json);
    bench_get(&f.bench, &get);
    assert_int_equal(sem_wait(&arrived), 0);
    keys_write(&keys, "{\"access_key_id\": \"NEWID\", \"access_key_secret\": \"hush\"}");
    sem_post(&gate);
    sem_post(&gate);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_int_equal(atomic_load(&f.plan.seen), 2);
    assert_true(little_header(f.plan.request[0], "authorization", before, sizeof before));
    assert_true(little_header(f.plan.request[1], "authorization", after, sizeof after));
    assert_non_null(strstr(before, "AKID/"));
    assert_non_null(strstr(after, "NEWID/"));
    fixture_stop(&f);
    keys_drop(&keys);
    sem_destroy(&gate);
    sem_destroy(&arrived);
}

static void a_refused_secret_that_stays_the_same_is_not_tried_again(void **state)
{
    struct fixture f = { .plan = { .status = 403 } };
    struct keys keys;
    (void)state;
    start_with_keys(&f, &keys, team_json);
    assert_int_equal(head_ending(&f), ERR_SOURCE_DENIED);
    assert_int_equal(atomic_load(&f.plan.seen), 1);
    fixture_stop(&f);
    keys_drop(&keys);
}

/* ---- clocks ---- */

#define SKEWED                                                           \
    .status = 403, .headers = "Date: Sun, 22 Nov 2037 16:43:00 GMT\r\n", \
    .body = "<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>"

static void a_wrong_clock_is_set_by_the_stores_date(void **state)
{
    struct fixture f = { .plan = { SKEWED, .failures = 1 } };
    struct keys keys;
    char value[128];
    struct bench_get get = {
        .id = 1, .key = "x", .pin = PIN, .object_size = OBJECT_SIZE, .sizes = { 1000 }
    };
    (void)state;
    start_with_keys(&f, &keys, team_json);
    bench_get(&f.bench, &get);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_int_equal(atomic_load(&f.plan.seen), 2);
    assert_true(little_header(f.plan.request[1], "x-amz-date", value, sizeof value));
    value[11] = '\0';
    assert_string_equal(value, "20371122T16");
    bench_get(&f.bench, &get); /* and it stays set */
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_int_equal(atomic_load(&f.plan.seen), 3);
    fixture_stop(&f);
    keys_drop(&keys);
}

static void a_store_that_refuses_any_time_is_asked_twice_only(void **state)
{
    struct fixture f = { .plan = { SKEWED } };
    struct keys keys;
    (void)state;
    start_with_keys(&f, &keys, team_json);
    bench_list(&f.bench, &(struct bench_list){ .id = 4 });
    struct item *item = bench_next(&f.bench);
    assert_int_equal(item->event.listed.err, ERR_SOURCE_DENIED);
    assert_true(says(item->event.listed.text, "clock"));
    bench_done(item);
    assert_int_equal(atomic_load(&f.plan.seen), 2);
    fixture_stop(&f);
    keys_drop(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_gives_its_entries_and_where_to_go_on),
        cmocka_unit_test(a_listing_asks_for_what_was_wanted),
        cmocka_unit_test(keys_outside_of_the_prefix_are_refused),
        cmocka_unit_test(half_a_listing_is_no_listing),
        cmocka_unit_test(a_listing_without_end_is_given_up),
        cmocka_unit_test(a_refusal_is_told_in_the_stores_words),
        cmocka_unit_test(a_missing_bucket_is_not_found),
        cmocka_unit_test(an_endpoint_that_cannot_be_one_is_told_why),
        cmocka_unit_test(a_head_gives_size_version_and_time),
        cmocka_unit_test(a_head_of_nothing_is_not_found),
        cmocka_unit_test(a_head_without_a_strong_etag_is_refused),
        cmocka_unit_test(a_named_credential_signs_and_its_secret_stays),
        cmocka_unit_test(the_names_of_credentials_are_told),
        cmocka_unit_test(without_the_credential_no_request_goes_out),
        cmocka_unit_test(a_credential_is_not_used_outside_of_its_prefixes),
        cmocka_unit_test(a_request_refused_while_the_secret_was_replaced_goes_out_again),
        cmocka_unit_test(a_refused_secret_that_stays_the_same_is_not_tried_again),
        cmocka_unit_test(a_wrong_clock_is_set_by_the_stores_date),
        cmocka_unit_test(a_store_that_refuses_any_time_is_asked_twice_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
