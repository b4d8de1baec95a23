/* What an answer means: believed, changed, refused, or to be tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "node/origin/listing.h"
#include "node/origin/request.h"

struct said {
    const char *lines[10];
    const char *body;
};

static void hear(struct answer *answer, const struct said *said)
{
    answer_init(answer);
    for (size_t i = 0; i < 10 && said->lines[i] != NULL; i++) {
        answer_header(answer, span_text(said->lines[i]));
    }
}

static const struct request get = { .kind = REQUEST_GET,
                                    .key = { (const uint8_t *)"k", 1 },
                                    .pin = { (const uint8_t *)"0A1B", 4 },
                                    .offset = 100,
                                    .size = 50,
                                    .object_size = 1000 };
static const struct request unpinned = { .kind = REQUEST_GET,
                                         .key = { (const uint8_t *)"k", 1 },
                                         .offset = 0,
                                         .size = 1000,
                                         .object_size = 1000 };
static const struct request head = { .kind = REQUEST_HEAD };
static const struct request list = { .kind = REQUEST_LIST };

static char line[1024];

static enum err check(const struct request *request, const struct said *said)
{
    struct answer answer;
    struct text why;
    hear(&answer, said);
    text_init(&why, line, sizeof line);
    return answer_check(&answer, request, span_text(said->body == NULL ? "" : said->body), &why);
}

static bool is_mute(const struct request *request, const struct said *said)
{
    struct answer answer;
    hear(&answer, said);
    return answer_is_mute(&answer, request);
}

static void expect(const struct request *request, const struct said *said, enum err err)
{
    assert_int_equal(check(request, said), err);
    assert_true((err == ERR_OK) == (line[0] == '\0'));
}

#define PARTIAL "HTTP/1.1 206 Partial Content\r\n"
#define RANGE "Content-Range: bytes 100-149/1000\r\n"
#define ETAG "ETag: \"0A1B\"\r\n"

static void the_range_that_was_asked_is_believed(void **state)
{
    (void)state;
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, ETAG } }, ERR_OK);
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, ETAG, "Content-Length: 50" } }, ERR_OK);
    expect(&get,
           &(struct said){
               .lines = { "HTTP/2 206", "content-range:bytes 100-149/1000", "etag:\t\"0A1B\" " } },
           ERR_OK);
}

static void any_other_range_is_not(void **state)
{
    static const char *const wrong[] = {
        "Content-Range: bytes 0-49/1000",
        "Content-Range: bytes 100-150/1000",
        "Content-Range: bytes 100-149/*",
        "Content-Range: bytes */1000",
        "Content-Range: items 100-149/1000",
        "Content-Range: bytes 100-149",
        "Content-Range: bytes 100-149/1000x",
        "Content-Range: bytes -100-149/1000",
        "Content-Range: bytes 18446744073709551716-149/1000",
        "X-Nothing: 0",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        expect(&get, &(struct said){ .lines = { PARTIAL, wrong[i], ETAG } }, ERR_SOURCE_PROTOCOL);
    }
}

static void a_200_must_be_the_whole_object(void **state)
{
    (void)state;
    expect(&unpinned, &(struct said){ .lines = { "HTTP/1.1 200 OK", "Content-Length: 1000" } },
           ERR_OK);
    expect(&unpinned, &(struct said){ .lines = { "HTTP/1.1 200 OK", "Content-Length: 999" } },
           ERR_SOURCE_PROTOCOL);
    expect(&unpinned, &(struct said){ .lines = { "HTTP/1.1 200 OK" } }, ERR_SOURCE_PROTOCOL);
    expect(&get, &(struct said){ .lines = { "HTTP/1.1 200 OK", "Content-Length: 50", ETAG } },
           ERR_SOURCE_PROTOCOL);
}

static void another_version_is_a_change(void **state)
{
    (void)state;
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, "ETag: \"FFFF\"" } }, ERR_CHANGED);
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, "ETag: \"0a1b\"" } }, ERR_CHANGED);
    expect(&get, &(struct said){ .lines = { PARTIAL, "Content-Range: bytes 100-149/1001", ETAG } },
           ERR_CHANGED);
}

static void a_weak_or_missing_version_is_no_version(void **state)
{
    (void)state;
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, "ETag: W/\"0A1B\"" } },
           ERR_SOURCE_PROTOCOL);
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE } }, ERR_SOURCE_PROTOCOL);
}

static void quotes_are_no_part_of_a_version(void **state)
{
    (void)state;
    expect(&get, &(struct said){ .lines = { PARTIAL, RANGE, "ETag: 0A1B" } }, ERR_OK);
}

static void an_interim_answer_leaves_no_trace(void **state)
{
    (void)state;
    expect(&get,
           &(struct said){ .lines = { "HTTP/1.1 100 Continue", "ETag: \"FFFF\"",
                                      "Content-Length: 7", "\r\n", PARTIAL, RANGE, ETAG } },
           ERR_OK);
}

static void a_head_needs_size_and_version(void **state)
{
    (void)state;
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 200 OK", "Content-Length: 5", ETAG } },
           ERR_OK);
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 200 OK", ETAG } }, ERR_SOURCE_PROTOCOL);
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 200 OK", "Content-Length: 5" } },
           ERR_SOURCE_PROTOCOL);
}

/* ---- failures ---- */

static void expect_code(const struct request *request, const char *status, const char *code,
                        enum err err)
{
    char body[256];
    struct text text;
    text_init(&text, body, sizeof body);
    text_str(&text, "<?xml version=\"1.0\"?><Error><Code>");
    text_str(&text, code);
    text_str(&text, "</Code><Message>In its own words.</Message></Error>");
    assert_int_equal(check(request, &(struct said){ .lines = { status }, .body = body }), err);
    assert_non_null(strstr(line, code));
    assert_non_null(strstr(line, "In its own words."));
}

static void a_version_that_is_gone_has_changed(void **state)
{
    (void)state;
    expect_code(&get, "HTTP/1.1 412 Precondition Failed", "PreconditionFailed", ERR_CHANGED);
    expect_code(&get, "HTTP/1.1 404 Not Found", "NoSuchKey", ERR_CHANGED);
    expect_code(&get, "HTTP/1.1 416 Range", "InvalidRange", ERR_CHANGED);
}

static void what_was_never_there_is_not_found(void **state)
{
    (void)state;
    expect_code(&unpinned, "HTTP/1.1 404 Not Found", "NoSuchKey", ERR_SOURCE_NOT_FOUND);
    expect_code(&get, "HTTP/1.1 404 Not Found", "NoSuchBucket", ERR_SOURCE_NOT_FOUND);
    expect_code(&list, "HTTP/1.1 404 Not Found", "NoSuchBucket", ERR_SOURCE_NOT_FOUND);
    assert_non_null(strstr(line, "check the name of the bucket"));
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 404 Not Found" } }, ERR_SOURCE_NOT_FOUND);
}

static void stores_ask_for_fewer_requests_in_many_ways(void **state)
{
    (void)state;
    expect_code(&get, "HTTP/1.1 503 x", "SlowDown", ERR_SOURCE_THROTTLED);
    expect_code(&get, "HTTP/1.1 503 x", "ServiceUnavailable", ERR_SOURCE_THROTTLED);
    expect_code(&get, "HTTP/1.1 503 x", "DownloadTrafficRateLimitExceeded", ERR_SOURCE_THROTTLED);
    expect_code(&get, "HTTP/1.1 429 x", "QpsLimitExceeded", ERR_SOURCE_THROTTLED);
    expect_code(&get, "HTTP/1.1 400 x", "RequestLimitExceeded", ERR_SOURCE_THROTTLED);
}

static void a_refusal_says_what_to_do(void **state)
{
    (void)state;
    expect_code(&list, "HTTP/1.1 403 Forbidden", "AccessDenied", ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "may list and read"));
    expect_code(&list, "HTTP/1.1 403 Forbidden", "SignatureDoesNotMatch", ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "secret key"));
    expect_code(&list, "HTTP/1.1 403 Forbidden", "InvalidAccessKeyId", ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "access key id"));
    expect_code(&list, "HTTP/1.1 400 Bad Request", "ExpiredToken", ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "expired"));
    expect_code(&list, "HTTP/1.1 400 Bad Request", "AuthorizationHeaderMalformed",
                ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "--region"));
    expect_code(&get, "HTTP/1.1 403 Forbidden", "InvalidObjectState", ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "archived"));
}

static void trouble_of_the_store_is_tried_again(void **state)
{
    (void)state;
    expect_code(&get, "HTTP/1.1 500 x", "InternalError", ERR_SOURCE_UNREACHABLE);
    expect_code(&get, "HTTP/1.1 400 x", "RequestTimeout", ERR_SOURCE_UNREACHABLE);
    expect(&get, &(struct said){ .lines = { "HTTP/1.1 504 x" }, .body = "<html>Gateway" },
           ERR_SOURCE_UNREACHABLE);
}

static void what_is_no_store_is_told_so(void **state)
{
    (void)state;
    expect(&list, &(struct said){ .lines = { "HTTP/1.1 418 Teapot" }, .body = "hello" },
           ERR_SOURCE_PROTOCOL);
    assert_non_null(strstr(line, "is this an S3 or OSS endpoint?"));
    expect(&list, &(struct said){ .lines = { "HTTP/1.1 301 Moved" } }, ERR_SOURCE_PROTOCOL);
    expect(&list, &(struct said){ .lines = { "garbage" } }, ERR_SOURCE_PROTOCOL);
}

/* <Error><Code>AccessDenied</Code><Message>No.</Message></Error> */
#define OSS_ERR                                                                               \
    "x-oss-err: PEVycm9yPjxDb2RlPkFjY2Vzc0RlbmllZDwvQ29kZT48TWVzc2FnZT5Oby48L01lc3NhZ2U+PC9F" \
    "cnJvcj4="

static void the_error_of_a_head_is_read_from_its_header(void **state)
{
    (void)state;
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 403 Forbidden", OSS_ERR } },
           ERR_SOURCE_DENIED);
    assert_non_null(strstr(line, "403 AccessDenied (No.)"));
}

static void an_error_header_that_is_no_base64_is_passed_over(void **state)
{
    (void)state;
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 403 x", "x-oss-err: !!!!" } },
           ERR_SOURCE_DENIED);
    expect(&head, &(struct said){ .lines = { "HTTP/1.1 403 x", "x-oss-err: abc" } },
           ERR_SOURCE_DENIED);
}

static void a_head_is_mute_unless_its_error_is_in_a_header(void **state)
{
    const struct said refused = { .lines = { "HTTP/1.1 403 x" } };
    const struct said garbled = { .lines = { "HTTP/1.1 403 x", "x-oss-err: !!!!" } };
    const struct said told = { .lines = { "HTTP/1.1 403 x", OSS_ERR } };
    const struct said well = { .lines = { "HTTP/1.1 200 x" } };
    const struct said unheard = { .lines = { NULL } }; /* no answer came: that is told in words */
    (void)state;
    assert_true(is_mute(&head, &refused));
    assert_true(is_mute(&head, &garbled));
    assert_false(is_mute(&head, &told));
    assert_false(is_mute(&head, &well));
    assert_false(is_mute(&head, &unheard));
    assert_false(is_mute(&list, &refused)); /* it has a body */
}

/* ---- time ---- */

static void how_long_to_wait_is_read_in_seconds_or_milliseconds(void **state)
{
    struct answer answer;
    (void)state;
    hear(&answer, &(struct said){ .lines = { "HTTP/1.1 503 x", "Retry-After: 7" } });
    assert_int_equal(answer.retry_us, SEC(7));
    hear(&answer, &(struct said){ .lines = { "HTTP/1.1 200 x", "x-oss-qos-delay-time: 7" } });
    assert_int_equal(answer.retry_us, MSEC(7));
    hear(&answer, &(struct said){ .lines = { "HTTP/1.1 503 x", "Retry-After: soon" } });
    assert_int_equal(answer.retry_us, 0);
    hear(&answer, &(struct said){ .lines = { "HTTP/1.1 503 x", "Retry-After: 99999999999" } });
    assert_int_equal(answer.retry_us, 0);
}

#define DATE "Date: Sun, 22 Nov 2026 16:43:00 GMT"
#define DATE_US SEC(1795365780)

static usec_t skew(const struct said *said, usec_t signed_us)
{
    struct answer answer;
    hear(&answer, said);
    return answer_skew_us(&answer, span_text(said->body == NULL ? "" : said->body), signed_us);
}

static void a_refused_time_teaches_the_right_one(void **state)
{
    struct said said = { .lines = { "HTTP/1.1 403 x", DATE },
                         .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>" };
    (void)state;
    assert_int_equal(skew(&said, DATE_US - SEC(3600)), SEC(3600));
    assert_int_equal(skew(&said, DATE_US + SEC(3600)), -SEC(3600));
}

static void a_head_is_refused_without_words(void **state)
{
    struct said said = { .lines = { "HTTP/1.1 403 x", DATE } };
    (void)state;
    assert_int_equal(skew(&said, DATE_US - SEC(3600)), SEC(3600));
    assert_int_equal(skew(&said, DATE_US - SEC(10)), 0);
}

static void another_refusal_teaches_no_time(void **state)
{
    struct said denied = { .lines = { "HTTP/1.1 403 x", DATE },
                           .body = "<Error><Code>AccessDenied</Code></Error>" };
    struct said fine = { .lines = { "HTTP/1.1 200 x", DATE } };
    struct said dateless = { .lines = { "HTTP/1.1 403 x" } };
    (void)state;
    assert_int_equal(skew(&denied, DATE_US - SEC(3600)), 0);
    assert_int_equal(skew(&fine, DATE_US - SEC(3600)), 0);
    assert_int_equal(skew(&dateless, DATE_US - SEC(3600)), 0);
}

static void a_value_too_long_to_keep_is_no_value(void **state)
{
    char tag[400] = "ETag: \"";
    struct answer answer;
    (void)state;
    memset(tag + 7, 'a', 300);
    memcpy(tag + 307, "\"", 2);
    answer_init(&answer);
    answer_header(&answer, span_text("HTTP/1.1 206 x"));
    answer_header(&answer, span_text(tag));
    assert_string_equal(answer.etag, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_range_that_was_asked_is_believed),
        cmocka_unit_test(any_other_range_is_not),
        cmocka_unit_test(a_200_must_be_the_whole_object),
        cmocka_unit_test(another_version_is_a_change),
        cmocka_unit_test(a_weak_or_missing_version_is_no_version),
        cmocka_unit_test(quotes_are_no_part_of_a_version),
        cmocka_unit_test(an_interim_answer_leaves_no_trace),
        cmocka_unit_test(a_head_needs_size_and_version),
        cmocka_unit_test(a_version_that_is_gone_has_changed),
        cmocka_unit_test(what_was_never_there_is_not_found),
        cmocka_unit_test(stores_ask_for_fewer_requests_in_many_ways),
        cmocka_unit_test(a_refusal_says_what_to_do),
        cmocka_unit_test(trouble_of_the_store_is_tried_again),
        cmocka_unit_test(what_is_no_store_is_told_so),
        cmocka_unit_test(the_error_of_a_head_is_read_from_its_header),
        cmocka_unit_test(an_error_header_that_is_no_base64_is_passed_over),
        cmocka_unit_test(a_head_is_mute_unless_its_error_is_in_a_header),
        cmocka_unit_test(how_long_to_wait_is_read_in_seconds_or_milliseconds),
        cmocka_unit_test(a_refused_time_teaches_the_right_one),
        cmocka_unit_test(a_head_is_refused_without_words),
        cmocka_unit_test(another_refusal_teaches_no_time),
        cmocka_unit_test(a_value_too_long_to_keep_is_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
