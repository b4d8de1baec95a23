/* base/id.c: how identities are derived. A change here moves every block of every cluster. */
#include "base/id.h"

#include "base/check.h"
#include "base/hash.h"

struct source_id source_id_make(struct span scheme, struct span endpoint, struct span bucket)
{
    struct hasher h;
    struct source_id id;
    hasher_init(&h, "atoll.source");
    hasher_span(&h, scheme);
    hasher_span(&h, endpoint);
    hasher_span(&h, bucket);
    hasher_end(&h, id.b);
    return id;
}

struct object_id object_id_make(struct source_id source, struct span key, struct span pin,
                                uint32_t block_size)
{
    struct hasher h;
    struct object_id id;
    CHECK(block_size > 0);
    hasher_init(&h, "atoll.object");
    hasher_span(&h, span_of(source.b, ID_SIZE));
    hasher_span(&h, key);
    hasher_span(&h, pin);
    hasher_u64(&h, block_size);
    hasher_end(&h, id.b);
    return id;
}

struct dir_id dir_id_make(struct source_id source, struct span prefix)
{
    struct hasher h;
    struct dir_id id;
    hasher_init(&h, "atoll.dir");
    hasher_span(&h, span_of(source.b, ID_SIZE));
    hasher_span(&h, prefix);
    hasher_end(&h, id.b);
    return id;
}

struct dataset_id dataset_id_make(struct span name)
{
    struct hasher h;
    struct dataset_id id;
    hasher_init(&h, "atoll.dataset");
    hasher_span(&h, name);
    hasher_end(&h, id.b);
    return id;
}

static struct place place_end(struct hasher *h)
{
    uint8_t out[16];
    hasher_end(h, out);
    return (struct place){ .v = get_u64(out) };
}

struct place place_of_extent(struct object_id object, uint64_t extent_index)
{
    struct hasher h;
    hasher_init(&h, "atoll.place.extent");
    hasher_span(&h, span_of(object.b, ID_SIZE));
    hasher_u64(&h, extent_index);
    return place_end(&h);
}

struct place place_of_root(struct dir_id dir)
{
    struct hasher h;
    hasher_init(&h, "atoll.place.root");
    hasher_span(&h, span_of(dir.b, ID_SIZE));
    return place_end(&h);
}

struct place place_of_shard(struct dir_id dir, struct span lower_fence)
{
    struct hasher h;
    hasher_init(&h, "atoll.place.shard");
    hasher_span(&h, span_of(dir.b, ID_SIZE));
    hasher_span(&h, lower_fence);
    return place_end(&h);
}

uint64_t block_id_hash(struct block_id id)
{
    return hash64_mix(get_u64(id.object.b), id.index);
}

void id_text(const uint8_t id[ID_SIZE], char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ID_SIZE; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * ID_SIZE] = '\0';
}

/* 16 when it is no hex digit. */
static uint8_t digit_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return (uint8_t)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (uint8_t)(c - 'a' + 10);
    }
    if (c >= 'A' && c <= 'F') {
        return (uint8_t)(c - 'A' + 10);
    }
    return 16;
}

bool id_parse(struct span text, uint8_t out[ID_SIZE])
{
    uint8_t id[ID_SIZE];
    if (text.size != 2 * (size_t)ID_SIZE) {
        return false;
    }
    for (size_t i = 0; i < ID_SIZE; i++) {
        uint8_t high = digit_value(text.data[2 * i]);
        uint8_t low = digit_value(text.data[2 * i + 1]);
        if (high == 16 || low == 16) {
            return false;
        }
        id[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, id, ID_SIZE);
    return true;
}
