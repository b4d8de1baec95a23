/* base/bytes.c: order of byte strings. */
#include "base/bytes.h"

int span_compare(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    if (common > 0) {
        int order = memcmp(a.data, b.data, common);
        if (order != 0) {
            return order;
        }
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool span_starts_with(struct span text, struct span prefix)
{
    if (text.size < prefix.size) {
        return false;
    }
    return prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0;
}

bool span_is_name(struct span text, size_t most)
{
    static const char others[] = { '.', '_', '-' };
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && memchr(others, c, sizeof others) == NULL) {
            return false;
        }
    }
    return text.size > 0 && text.size <= most && !span_equal(text, span_text(".")) &&
           !span_equal(text, span_text(".."));
}
