/* sim/trial/scenario_values.c: digits to numbers. */
#include "sim/trial/scenario_values.h"

#include <string.h>

bool scenario_values_decimal(struct span word, uint32_t decimals, int64_t *out)
{
    int64_t value = 0;
    bool behind = false;
    uint32_t left = decimals;
    bool any = false;
    for (size_t i = 0; i < word.size; i++) {
        const uint8_t c = word.data[i];
        if (c == '.' && !behind && any) {
            behind = true;
            continue;
        }
        if (c < '0' || c > '9' || (behind && left == 0) || value > INT64_MAX / 100) {
            return false;
        }
        value = value * 10 + (c - '0');
        left -= behind;
        any = true;
    }
    for (; left > 0; left--) {
        value *= 10;
    }
    *out = value;
    return any;
}

bool scenario_values_number(struct span word, const char *prefix, uint32_t most, uint32_t *out)
{
    uint64_t value = 0;
    const size_t skip = strlen(prefix);
    if (!span_starts_with(word, span_text(prefix)) ||
        !parse_u64(span_of(word.data + skip, word.size - skip), &value) || value >= most) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}
