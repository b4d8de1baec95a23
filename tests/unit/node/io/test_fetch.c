/* Ranged GETs of the fetch actor, against a server that says what each test wants said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/node/io/fetch_plan.h"

static const struct bench_options plain = { 0 };
static const struct bench_get whole = { .id = 1,
                                        .key = "a/b c+d%/../\xc3\xa9.bin",
                                        .pin = PIN,
                                        .object_size = OBJECT_SIZE,
                                        .sizes = { 1000000, 1000000, 1000000 } };
static const struct bench_get part = { .id = 1,
                                       .key = "k",
                                       .pin = PIN,
                                       .object_size = OBJECT_SIZE,
                                       .offset = 1000000,
                                       .sizes = { 200000 } };

/* How one GET of `part` ends under a plan. */
struct ending {
    enum err err;
    uint64_t bytes;
    usec_t retry_us;
    uint32_t requests;
    bool untouched; /* no byte of its buffers was written */
};

static bool is_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static struct ending ending_of(const struct plan *plan)
{
    struct fixture f = { .plan = *plan };
    struct ending ending = { 0 };
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    for (bool ended = false; !ended;) {
        struct item *item = bench_next(&f.bench);
        ended = item->event.fetched.ended;
        ending.err = item->event.fetched.err;
        ending.bytes = item->event.fetched.bytes;
        ending.retry_us = item->event.fetched.retry_us;
        bench_done(item);
    }
    ending.requests = atomic_load(&f.plan.seen);
    ending.untouched = is_zero(f.bench.data, 200000);
    fixture_stop(&f);
    return ending;
}

static void expect(const struct plan *plan, enum err err)
{
    struct ending ending = ending_of(plan);
    assert_int_equal(ending.err, err);
    assert_int_equal(ending.bytes, 0);
    assert_int_equal(ending.requests, 1);
    assert_true(ending.untouched);
}

/* ---- what is believed ---- */

static void a_range_fills_its_parts_and_their_checksums(void **state)
{
    struct fixture f = { 0 };
    uint64_t bytes = 0;
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &whole);
    assert_int_equal(bench_wait(&f.bench, 1, &bytes), ERR_OK);
    assert_int_equal(bytes, OBJECT_SIZE);
    assert_true(bench_is_right(&f.bench, 0));
    fixture_stop(&f);
}

static void a_range_in_the_middle_brings_just_its_bytes(void **state)
{
    struct fixture f = { 0 };
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_true(bench_is_right(&f.bench, part.offset));
    fixture_stop(&f);
}

static void the_whole_object_in_a_200_is_as_good_as_a_206(void **state)
{
    struct fixture f = { .plan = { .plain = true } };
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &whole);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_true(bench_is_right(&f.bench, 0));
    fixture_stop(&f);
}

static void the_whole_object_is_no_answer_to_a_part_of_it(void **state)
{
    (void)state;
    expect(&(struct plan){ .plain = true }, ERR_SOURCE_PROTOCOL);
}

static void another_range_than_asked_is_refused(void **state)
{
    (void)state;
    expect(&(struct plan){ .shift = 1 }, ERR_SOURCE_PROTOCOL);
    expect(&(struct plan){ .shift = -65536 }, ERR_SOURCE_PROTOCOL);
}

static void another_size_of_the_object_means_it_changed(void **state)
{
    (void)state;
    expect(&(struct plan){ .total = 1 }, ERR_CHANGED);
}

static void another_etag_means_the_object_changed(void **state)
{
    (void)state;
    expect(&(struct plan){ .etag = "ffff" }, ERR_CHANGED);
}

static void an_answer_without_an_etag_is_refused(void **state)
{
    (void)state;
    expect(&(struct plan){ .etag = "" }, ERR_SOURCE_PROTOCOL);
}

static void a_length_other_than_the_ranges_is_refused(void **state)
{
    (void)state;
    expect(&(struct plan){ .more = 1 }, ERR_SOURCE_PROTOCOL);
    expect(&(struct plan){ .more = -1 }, ERR_SOURCE_PROTOCOL);
}

static void more_or_fewer_bytes_without_a_length_are_refused(void **state)
{
    struct plan more = { .chunked = true, .more = 70000 };
    struct plan fewer = { .chunked = true, .more = -70000 };
    (void)state;
    assert_int_equal(ending_of(&more).err, ERR_SOURCE_PROTOCOL);
    assert_int_equal(ending_of(&fewer).err, ERR_SOURCE_PROTOCOL);
}

static void a_cut_connection_keeps_the_chunks_that_were_whole(void **state)
{
    struct ending ending = ending_of(&(struct plan){ .cut = 150000 });
    (void)state;
    assert_int_equal(ending.err, ERR_SOURCE_UNREACHABLE);
    assert_int_equal(ending.bytes, 2 * CHUNK_SIZE);
}

/* ---- what the store says ---- */

static void a_failed_precondition_means_the_object_changed(void **state)
{
    (void)state;
    expect(&(struct plan){ .status = 412 }, ERR_CHANGED);
}

static void a_pinned_object_that_is_gone_has_changed(void **state)
{
    struct plan gone = { .status = 404, .body = "<Error><Code>NoSuchKey</Code></Error>" };
    (void)state;
    expect(&gone, ERR_CHANGED);
}

static void a_bucket_that_is_gone_is_not_found(void **state)
{
    struct plan gone = { .status = 404, .body = "<Error><Code>NoSuchBucket</Code></Error>" };
    (void)state;
    expect(&gone, ERR_SOURCE_NOT_FOUND);
}

static void a_refused_credential_is_denied(void **state)
{
    (void)state;
    expect(&(struct plan){ .status = 403 }, ERR_SOURCE_DENIED);
}

static void a_redirect_is_not_followed(void **state)
{
    struct plan redirect = { .status = 307, .headers = "Location: http://127.0.0.1:1/\r\n" };
    (void)state;
    expect(&redirect, ERR_SOURCE_PROTOCOL);
}

static void a_busy_store_says_how_long_to_wait(void **state)
{
    struct ending ending =
        ending_of(&(struct plan){ .status = 503, .headers = "Retry-After: 3\r\n" });
    (void)state;
    assert_int_equal(ending.err, ERR_SOURCE_THROTTLED);
    assert_int_equal(ending.retry_us, SEC(3));
    assert_int_equal(ending.requests, 1);
}

static void a_slowed_success_says_how_long_to_wait(void **state)
{
    struct ending ending = ending_of(&(struct plan){ .headers = "x-oss-qos-delay-time: 40\r\n" });
    (void)state;
    assert_int_equal(ending.err, ERR_OK);
    assert_int_equal(ending.retry_us, MSEC(40));
}

static void a_port_where_nobody_listens_is_unreachable(void **state)
{
    struct fixture f = { 0 };
    (void)state;
    fixture_start(&f, &plain);
    little_server_stop(&f.server);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_SOURCE_UNREACHABLE);
    bench_stop(&f.bench);
}

/* ---- what is asked ---- */

static void a_get_names_its_range_and_version_and_keeps_its_path(void **state)
{
    struct fixture f = { 0 };
    char value[128];
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &whole);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    const char *request = f.plan.request[0];
    assert_non_null(strstr(request, "GET /bucket/a/b%20c%2Bd%25/../%C3%A9.bin HTTP/1.1\r\n"));
    assert_true(little_header(request, "range", value, sizeof value));
    assert_string_equal(value, "bytes=0-2999999");
    assert_true(little_header(request, "if-match", value, sizeof value));
    assert_string_equal(value, "\"" PIN "\"");
    assert_false(little_header(request, "authorization", value, sizeof value));
    fixture_stop(&f);
}

static void requests_after_each_other_share_a_connection(void **state)
{
    struct fixture f = { 0 };
    (void)state;
    fixture_start(&f, &plain);
    for (int i = 0; i < 5; i++) {
        bench_get(&f.bench, &part);
        assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    }
    assert_int_equal(little_server_connections(f.server), 1);
    fixture_stop(&f);
}

static void a_connection_survives_a_refused_request(void **state)
{
    struct fixture f = { .plan = { .status = 503, .failures = 1 } };
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_SOURCE_THROTTLED);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_int_equal(little_server_connections(f.server), 1);
    fixture_stop(&f);
}

/* ---- while it goes on ---- */

static void chunks_are_told_as_they_arrive(void **state)
{
    sem_t middle;
    struct fixture f = { .plan = { .middle = &middle, .middle_at = 2 * CHUNK_SIZE + 1000 } };
    uint64_t told = 0;
    (void)state;
    sem_init(&middle, 0, 0);
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    while (told < 2 * CHUNK_SIZE) {
        struct item *item = bench_next(&f.bench);
        assert_false(item->event.fetched.ended);
        told = item->event.fetched.bytes;
        bench_done(item);
    }
    assert_int_equal(told, 2 * CHUNK_SIZE);
    assert_int_equal(get_u64(f.bench.checksums + 8),
                     crc64(0, f.bench.data + CHUNK_SIZE, CHUNK_SIZE));
    sem_post(&middle);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    assert_true(bench_is_right(&f.bench, part.offset));
    fixture_stop(&f);
}

static void a_slow_first_byte_holds_up_nobody_else(void **state)
{
    sem_t gate, arrived;
    struct fixture f = { .plan = { .gate = &gate, .only = "/slow", .arrived = &arrived } };
    struct bench_get slow = part, quick = part;
    (void)state;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    fixture_start(&f, &plain);
    slow.id = 8;
    slow.key = "slow";
    bench_get(&f.bench, &slow);
    sem_wait(&arrived);
    quick.id = 9;
    bench_get(&f.bench, &quick);
    assert_int_equal(bench_wait(&f.bench, 9, NULL), ERR_OK);
    sem_post(&gate);
    assert_int_equal(bench_wait(&f.bench, 8, NULL), ERR_OK);
    fixture_stop(&f);
}

static void a_cancelled_fetch_ends_and_writes_no_more(void **state)
{
    sem_t gate, arrived;
    struct fixture f = { .plan = { .gate = &gate, .arrived = &arrived, .only = "/k" } };
    struct bench_get other = part;
    (void)state;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    sem_wait(&arrived);
    bench_cancel(&f.bench, 1);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_CANCELLED);
    sem_post(&gate);
    other.id = 2;
    other.key = "other";
    bench_get(&f.bench, &other);
    assert_int_equal(bench_wait(&f.bench, 2, NULL), ERR_OK);
    assert_true(bench_is_right(&f.bench, part.offset));
    assert_true(bench_is_quiet(&f.bench));
    fixture_stop(&f);
}

static void cancelling_what_has_ended_is_not_answered(void **state)
{
    struct fixture f = { 0 };
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    bench_cancel(&f.bench, 1);
    struct bench_get again = part;
    again.id = 2;
    bench_get(&f.bench, &again);
    assert_int_equal(bench_wait(&f.bench, 2, NULL), ERR_OK);
    assert_true(bench_is_quiet(&f.bench));
    fixture_stop(&f);
}

static void stopping_ends_what_is_open_without_an_answer(void **state)
{
    sem_t gate, arrived;
    struct fixture f = { .plan = { .gate = &gate, .arrived = &arrived } };
    (void)state;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    sem_wait(&arrived);
    fetch_stop(&f.bench.fetch);
    assert_true(bench_is_quiet(&f.bench));
    sem_post(&gate);
    fixture_stop(&f);
}

/* All transfers a thread may have are held at the gate; what waits goes on in order of urgency. */
static void background_waits_behind_readers(void **state)
{
    enum { TRANSFERS = 64 };
    sem_t gate, arrived;
    struct fixture f = { .plan = { .gate = &gate, .arrived = &arrived, .only = "/k" } };
    struct bench_get last = part;
    (void)state;
    sem_init(&gate, 0, 0);
    sem_init(&arrived, 0, 0);
    fixture_start(&f, &plain);
    for (uint64_t i = 0; i < TRANSFERS; i++) {
        last.id = 100 + i;
        bench_get(&f.bench, &last);
        sem_wait(&arrived);
    }
    last.id = 1;
    last.key = "behind";
    last.background = true;
    bench_get(&f.bench, &last);
    last.id = 2;
    last.key = "ahead";
    last.background = false;
    bench_get(&f.bench, &last);
    sem_post(&gate); /* one transfer ends; its place goes to the reader, whose end frees another */
    assert_int_equal(bench_wait(&f.bench, 2, NULL), ERR_OK);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    for (int i = 1; i < TRANSFERS; i++) {
        sem_post(&gate);
    }
    fixture_stop(&f);
}

static void totals_count_requests_bytes_and_what_is_open(void **state)
{
    struct fixture f = { .plan = { .status = 503, .failures = 1 } };
    struct fetch_totals totals;
    (void)state;
    fixture_start(&f, &plain);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_SOURCE_THROTTLED);
    bench_get(&f.bench, &part);
    assert_int_equal(bench_wait(&f.bench, 1, NULL), ERR_OK);
    fetch_totals(f.bench.fetch, &totals);
    assert_int_equal(totals.requests[0], 2);
    assert_int_equal(totals.bytes, 200000);
    assert_int_equal(totals.failed, 1);
    fixture_stop(&f);
}

/* ---- sources that cannot be used ---- */

static void a_source_nobody_described_is_refused(void **state)
{
    struct bench bench;
    (void)state;
    bench_start(&bench, &plain);
    bench_get(&bench, &part);
    assert_int_equal(bench_wait(&bench, 1, NULL), ERR_INVALID);
    bench_stop(&bench);
}

static void an_address_written_another_way_is_still_refused(void **state)
{
    struct bench bench;
    (void)state;
    /* 169.254.169.254 as one number */
    bench_start(&bench,
                &(struct bench_options){ .uri = "s3://bucket", .endpoint = "http://2852039166" });
    bench_get(&bench, &part);
    assert_int_equal(bench_wait(&bench, 1, NULL), ERR_SOURCE_NOT_ALLOWED);
    bench_stop(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_fills_its_parts_and_their_checksums),
        cmocka_unit_test(a_range_in_the_middle_brings_just_its_bytes),
        cmocka_unit_test(the_whole_object_in_a_200_is_as_good_as_a_206),
        cmocka_unit_test(the_whole_object_is_no_answer_to_a_part_of_it),
        cmocka_unit_test(another_range_than_asked_is_refused),
        cmocka_unit_test(another_size_of_the_object_means_it_changed),
        cmocka_unit_test(another_etag_means_the_object_changed),
        cmocka_unit_test(an_answer_without_an_etag_is_refused),
        cmocka_unit_test(a_length_other_than_the_ranges_is_refused),
        cmocka_unit_test(more_or_fewer_bytes_without_a_length_are_refused),
        cmocka_unit_test(a_cut_connection_keeps_the_chunks_that_were_whole),
        cmocka_unit_test(a_failed_precondition_means_the_object_changed),
        cmocka_unit_test(a_pinned_object_that_is_gone_has_changed),
        cmocka_unit_test(a_bucket_that_is_gone_is_not_found),
        cmocka_unit_test(a_refused_credential_is_denied),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(a_busy_store_says_how_long_to_wait),
        cmocka_unit_test(a_slowed_success_says_how_long_to_wait),
        cmocka_unit_test(a_port_where_nobody_listens_is_unreachable),
        cmocka_unit_test(a_get_names_its_range_and_version_and_keeps_its_path),
        cmocka_unit_test(requests_after_each_other_share_a_connection),
        cmocka_unit_test(a_connection_survives_a_refused_request),
        cmocka_unit_test(chunks_are_told_as_they_arrive),
        cmocka_unit_test(a_slow_first_byte_holds_up_nobody_else),
        cmocka_unit_test(a_cancelled_fetch_ends_and_writes_no_more),
        cmocka_unit_test(cancelling_what_has_ended_is_not_answered),
        cmocka_unit_test(stopping_ends_what_is_open_without_an_answer),
        cmocka_unit_test(background_waits_behind_readers),
        cmocka_unit_test(totals_count_requests_bytes_and_what_is_open),
        cmocka_unit_test(a_source_nobody_described_is_refused),
        cmocka_unit_test(an_address_written_another_way_is_still_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
