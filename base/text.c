/* base/text.c: text into a fixed buffer, and numbers out of text. */
#include "base/text.h"

#include "base/check.h"

void text_init(struct text *text, char *data, size_t size)
{
    CHECK(data != NULL && size > 0);
    *text = (struct text){ .data = data, .size = size };
    data[0] = '\0';
}

/* After the first byte that does not fit nothing is added any more: what is there is a prefix. */
static void append(struct text *text, const void *data, size_t size)
{
    size_t room = text->size - 1 - text->used;
    if (text->overflow || size == 0) {
        return;
    }
    if (size > room) {
        text->overflow = true;
        size = room;
    }
    memcpy(text->data + text->used, data, size);
    text->used += size;
    text->data[text->used] = '\0';
}

void text_str(struct text *text, const char *str)
{
    append(text, str, strlen(str));
}

void text_span(struct text *text, struct span span)
{
    append(text, span.data, span.size);
}

void text_char(struct text *text, char c)
{
    append(text, &c, 1);
}

/* At least `least` digits, zeros in front. */
static void put_digits(struct text *text, uint64_t value, uint32_t least)
{
    char digits[20]; /* of UINT64_MAX */
    size_t at = sizeof digits;
    CHECK(least <= sizeof digits);
    while (value > 0 || sizeof digits - at < least) {
        at--;
        digits[at] = (char)('0' + value % 10);
        value /= 10;
    }
    append(text, digits + at, sizeof digits - at);
}

void text_u64(struct text *text, uint64_t value)
{
    put_digits(text, value, 1);
}

/* The sign is written, the size returned. */
static uint64_t put_sign(struct text *text, int64_t value)
{
    if (value >= 0) {
        return (uint64_t)value;
    }
    text_char(text, '-');
    return 0 - (uint64_t)value;
}

void text_i64(struct text *text, int64_t value)
{
    put_digits(text, put_sign(text, value), 1);
}

void text_hex(struct text *text, const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text_char(text, digits[data[i] >> 4]);
        text_char(text, digits[data[i] & 15]);
    }
}

void text_fixed(struct text *text, int64_t value, uint32_t decimals)
{
    uint64_t scale = 1;
    CHECK(decimals <= 18);
    for (uint32_t i = 0; i < decimals; i++) {
        scale *= 10;
    }
    uint64_t size = put_sign(text, value);
    put_digits(text, size / scale, 1);
    if (decimals > 0) {
        text_char(text, '.');
        put_digits(text, size % scale, decimals);
    }
}

/* Smallest code point that needs a sequence of this many bytes; shorter forms are not UTF-8. */
static const uint32_t sequence_least[5] = { 0, 0, 0x80, 0x800, 0x10000 };

static uint32_t sequence_size(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xe0) {
        return first < 0xc0 ? 0 : 2;
    }
    if (first < 0xf0) {
        return 3;
    }
    return first < 0xf8 ? 4 : 0;
}

/* Bytes of the UTF-8 sequence at the front; 0 when there is none. */
static uint32_t utf8_size(struct span rest)
{
    uint32_t size = sequence_size(rest.data[0]);
    if (size <= 1 || size > rest.size) {
        return size == 1 ? 1 : 0;
    }
    uint32_t code = rest.data[0] & (0x7fu >> size);
    for (uint32_t i = 1; i < size; i++) {
        if ((rest.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (rest.data[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    if (code < sequence_least[size] || code > 0x10ffff || is_surrogate) {
        return 0;
    }
    return size;
}

static void json_ascii(struct text *text, uint8_t c)
{
    if (c == '"' || c == '\\') {
        text_char(text, '\\');
        text_char(text, (char)c);
    } else if (c == '\n') {
        text_str(text, "\\n");
    } else if (c == '\t') {
        text_str(text, "\\t");
    } else if (c == '\r') {
        text_str(text, "\\r");
    } else if (c < 0x20) {
        text_str(text, "\\u00");
        text_hex(text, &c, 1);
    } else {
        text_char(text, (char)c);
    }
}

void text_json(struct text *text, struct span value)
{
    text_char(text, '"');
    while (value.size > 0) {
        uint32_t size = utf8_size(value);
        if (size == 1) {
            json_ascii(text, value.data[0]);
        } else if (size > 1) {
            text_span(text, span_of(value.data, size));
        } else {
            text_str(text, "\xef\xbf\xbd"); /* U+FFFD */
            size = 1;
        }
        value = span_of(value.data + size, value.size - size);
    }
    text_char(text, '"');
}

/* How many digits `text` begins with. */
static size_t digits_of(struct span text)
{
    size_t count = 0;
    while (count < text.size && text.data[count] >= '0' && text.data[count] <= '9') {
        count++;
    }
    return count;
}

bool parse_u64(struct span text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.size == 0 || digits_of(text) != text.size) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

struct unit {
    char name[4];
    uint64_t factor;
};

static const struct unit size_units[] = {
    { "", 1 },
    { "K", UINT64_C(1) << 10 },
    { "M", UINT64_C(1) << 20 },
    { "G", UINT64_C(1) << 30 },
    { "T", UINT64_C(1) << 40 },
    { "KiB", UINT64_C(1) << 10 },
    { "MiB", UINT64_C(1) << 20 },
    { "GiB", UINT64_C(1) << 30 },
    { "TiB", UINT64_C(1) << 40 },
    { "KB", UINT64_C(1000) },
    { "MB", UINT64_C(1000000) },
    { "GB", UINT64_C(1000000000) },
    { "TB", UINT64_C(1000000000000) },
};

static const struct unit time_units[] = {
    { "", 1000000 },
    { "ms", 1000 },
    { "s", 1000000 },
    { "m", UINT64_C(60) * 1000000 },
    { "h", UINT64_C(3600) * 1000000 },
};

/* 0 when the name is in none of the `count` units. */
static uint64_t unit_factor(const struct unit *units, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        if (span_equal(name, span_text(units[i].name))) {
            return units[i].factor;
        }
    }
    return 0;
}

bool parse_size(struct span text, uint64_t *out)
{
    size_t digits = digits_of(text);
    uint64_t value;
    if (!parse_u64(span_of(text.data, digits), &value)) {
        return false;
    }
    struct span name = span_of(text.data + digits, text.size - digits);
    uint64_t factor = unit_factor(size_units, ARRAY_COUNT(size_units), name);
    if (factor == 0 || __builtin_mul_overflow(value, factor, &value)) {
        return false;
    }
    *out = value;
    return true;
}

/* ".5": `*fraction` of `*scale`; moves *text on. At most 9 digits, so that nothing overflows. */
static bool parse_fraction(struct span *text, uint64_t *fraction, uint64_t *scale)
{
    *fraction = 0;
    *scale = 1;
    if (text->size == 0 || text->data[0] != '.') {
        return true;
    }
    struct span rest = span_of(text->data + 1, text->size - 1);
    size_t digits = digits_of(rest);
    if (digits > 9 || !parse_u64(span_of(rest.data, digits), fraction)) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        *scale *= 10;
    }
    *text = span_of(rest.data + digits, rest.size - digits);
    return true;
}

bool parse_duration(struct span text, int64_t *out_us)
{
    size_t digits = digits_of(text);
    uint64_t value;
    uint64_t fraction;
    uint64_t scale;
    if (!parse_u64(span_of(text.data, digits), &value)) {
        return false;
    }
    struct span rest = span_of(text.data + digits, text.size - digits);
    if (!parse_fraction(&rest, &fraction, &scale)) {
        return false;
    }
    uint64_t factor = unit_factor(time_units, ARRAY_COUNT(time_units), rest);
    if (factor == 0 || __builtin_mul_overflow(value, factor, &value) ||
        __builtin_add_overflow(value, fraction * factor / scale, &value) ||
        value > (uint64_t)INT64_MAX) {
        return false;
    }
    *out_us = (int64_t)value;
    return true;
}
