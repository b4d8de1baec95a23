#include "ring/view.h"

/* Letters, digits and "._/-": nothing that a shell, a URL or the syntax here would take apart. */
static bool is_word_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '/' || c == '-';
}

static bool is_word(struct span word)
{
    for (size_t i = 0; i < word.size; i++) {
        if (!is_word_byte(word.data[i])) {
            return false;
        }
    }
    return word.size > 0;
}

/* Take the text up to the first `stop` (or all of it) off the front of *rest; false at its end. */
static bool cut(struct span *rest, uint8_t stop, struct span *piece)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest->data, stop, rest->size);
    size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    size_t used = end == NULL ? size : size + 1;
    *piece = span_of(rest->data, size);
    *rest = span_of(rest->data + used, rest->size - used);
    return true;
}

static bool has_pair(struct span pairs, struct span wanted)
{
    struct span pair;
    while (cut(&pairs, ',', &pair)) {
        if (span_equal(pair, wanted)) {
            return true;
        }
    }
    return false;
}

static bool has_key(struct span pairs, struct span wanted)
{
    struct span pair;
    struct span key;
    while (cut(&pairs, ',', &pair)) {
        if (cut(&pair, '=', &key) && span_equal(key, wanted)) {
            return true;
        }
    }
    return false;
}

bool selector_is_valid(struct span selector)
{
    struct span rest = selector;
    struct span pair;
    struct span key;
    if (selector.size > 0 && selector.data[selector.size - 1] == ',') {
        return false; /* cut() would not show the empty pair behind it */
    }
    while (cut(&rest, ',', &pair)) {
        struct span value = pair;
        if (!cut(&value, '=', &key) || !is_word(key) || !is_word(value) || has_key(rest, key)) {
            return false;
        }
    }
    return selector.size <= MEMBER_LABELS_MAX;
}

bool selector_admits(struct span selector, const struct member *member)
{
    struct span labels = span_text(member->labels);
    struct span pair;
    while (cut(&selector, ',', &pair)) {
        if (!has_pair(labels, pair)) {
            return false;
        }
    }
    return true;
}
