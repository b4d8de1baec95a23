/* tests/fuzz/fuzz_error_xml.c: what a store says of a failure: always a line fit for a log. */
#include "node/origin/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *text, size_t room)
{
    size_t size = strnlen(text, room);
    CHECK(size < room);
    for (size_t i = 0; i < size; i++) {
        CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_error error;
    usec_t at = 0;
    store_error_parse(span_of(data, size), &error);
    check_line(error.code, sizeof error.code);
    check_line(error.message, sizeof error.message);
    /* The times of listings and headers, while we are at it. */
    (void)parse_iso8601(span_of(data, size), &at);
    (void)parse_http_date(span_of(data, size), &at);
    return 0;
}
