/* base/text.h: bounded text for pure code: messages, JSON, metrics. No locale, no malloc. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* `data` is always terminated. What does not fit is dropped and `overflow` set. */
struct text {
    char *data;
    size_t size; /* room, the zero included */
    size_t used;
    bool overflow;
};

void text_init(struct text *text, char *data, size_t size);
void text_str(struct text *text, const char *str);
void text_span(struct text *text, struct span span);
void text_char(struct text *text, char c);
void text_u64(struct text *text, uint64_t value);
void text_i64(struct text *text, int64_t value);
void text_hex(struct text *text, const uint8_t *data, size_t size);
/* value / 10^decimals with that many digits after the point: text_fixed(t, 1234, 3) is 1.234. */
void text_fixed(struct text *text, int64_t value, uint32_t decimals);
/* A JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, struct span value);

/* Numbers from text: the whole span must be decimal digits; false on overflow, `out` untouched. */
bool parse_u64(struct span text, uint64_t *out);
/* "4096", "64KiB", "4MiB", "1GiB", "2TiB", also KB MB GB TB (powers of 1000) and K M G T (1024). */
bool parse_size(struct span text, uint64_t *out);
/* "300", "1.5s", "250ms", "5m", "2h": microseconds; a bare number is seconds. */
bool parse_duration(struct span text, int64_t *out_us);
