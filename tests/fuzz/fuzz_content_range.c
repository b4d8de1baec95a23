/* tests/fuzz/fuzz_content_range.c: header lines from a store that may be anything. An answer that
 * is believed is the range, the size and the version that were asked for. */
#include "node/origin/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear(struct answer *answer, struct span rest)
{
    answer_init(answer);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end == NULL ? rest.size : (size_t)(end - rest.data) + 1;
        answer_header(answer, span_of(rest.data, size));
        rest = span_of(rest.data + size, rest.size - size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct request get = { .kind = REQUEST_GET,
                                        .pin = { (const uint8_t *)"0A1B", 4 },
                                        .offset = 100,
                                        .size = 50,
                                        .object_size = 1000 };
    static const struct request head = { .kind = REQUEST_HEAD };
    struct answer answer;
    char line[2048];
    struct text why;
    hear(&answer, span_of(data, size));
    text_init(&why, line, sizeof line);
    if (answer_check(&answer, &get, span_of(data, size), &why) == ERR_OK) {
        CHECK(answer.status == 206 && answer.has_range);
        CHECK(answer.range_first == 100 && answer.range_last == 149);
        CHECK(answer.range_total == 1000 && strcmp(answer.etag, "0A1B") == 0);
        CHECK(!answer.has_length || answer.length == 50);
    } else {
        CHECK(why.used > 0);
    }
    text_init(&why, line, sizeof line);
    if (answer_check(&answer, &head, span_of(NULL, 0), &why) == ERR_OK) {
        CHECK(answer.has_length && answer.etag[0] != '\0');
    }
    CHECK(answer.retry_us >= 0);
    CHECK(answer_skew_us(&answer, span_of(NULL, 0), 0) == 0 || answer.status == 403);
    return 0;
}
