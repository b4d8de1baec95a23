/* base/bytes.h: a view of bytes that somebody else owns, and byte order. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Valid as long as its owner says; not terminated. */
struct span {
    const uint8_t *data;
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    return (struct span){ .data = data, .size = size };
}

static inline struct span span_text(const char *text)
{
    return (struct span){ .data = (const uint8_t *)text, .size = strlen(text) };
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* memcmp order, a prefix before what it begins: the order of keys at S3 and OSS. */
int span_compare(struct span a, struct span b);
bool span_starts_with(struct span text, struct span prefix);
/* What a node, a zone or a cluster may be called: up to `most` letters, digits, '.', '_' and '-', and at
 * least one; "." and ".." are none, since names stand in URLs. */
#define SPAN_NAME_RULE "letters, digits, '.', '_' and '-' only, and neither \".\" nor \"..\""
bool span_is_name(struct span text, size_t most);

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little endian; a big-endian machine needs byte swaps here"
#endif

/* Little endian, any alignment. */
static inline uint16_t get_u16(const uint8_t *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void put_u16(uint8_t *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void put_u32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void put_u64(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}
