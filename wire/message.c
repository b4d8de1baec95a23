/* wire/message.c: one encoder and one decoder that walk the fields messages.def declares. */
#include "wire/message.h"

#include <msgpack/pack.h>

#include "wire/reader.h"

#define FIELD_NUMBER_MAX 63 /* seen fields are bits of a word */
#define FIELD_NEXT 60       /* of the build that stands in for the next version */

enum field_type { FIELD_U64, FIELD_ID, FIELD_BYTES };

struct field {
    uint8_t number;
    uint8_t type;    /* enum field_type */
    uint16_t offset; /* in its struct message_... */
    uint64_t limit;  /* largest value, or most bytes */
};

struct field_list {
    const struct field *list;
    uint32_t count;
};

/* What a frame's number names. Inside a case `this_message` is the structure of that message. */
static struct field_list field_list_of(enum message_kind kind)
{
#define FIELD(number, type, name, limit) \
    { number, type, (uint16_t)offsetof(this_message, name), limit },
#define U64(number, name, max) FIELD(number, FIELD_U64, name, max)
#define ID(number, name) FIELD(number, FIELD_ID, name, ID_SIZE)
#define BYTES(number, name, max) FIELD(number, FIELD_BYTES, name, max)
#define MESSAGE(NAME, name, number, fields)                                               \
    case MESSAGE_##NAME: {                                                                \
        typedef struct message_##name this_message;                                       \
        static const struct field list[] = { fields };                                    \
        return (struct field_list){ .list = list, .count = (uint32_t)ARRAY_COUNT(list) }; \
    }
    switch (kind) {
#include "wire/messages.def"
    }
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
#undef FIELD
    return (struct field_list){ .list = NULL, .count = 0 };
}

const char *message_name(enum message_kind kind)
{
    switch (kind) {
#define MESSAGE(NAME, name, number, fields) \
    case MESSAGE_##NAME:                    \
        return #NAME;
#include "wire/messages.def"
#undef MESSAGE
    }
    return "?";
}

/* Every message lies at the same offset: they are members of one union. */
#define BODY_OFFSET offsetof(struct message, hello)

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static struct span load_span(const uint8_t *at)
{
    struct span value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- encoding ---------------------------------------------------------------------------- */

struct sink {
    uint8_t *buffer;
    size_t room;
    size_t used;
    bool overflow;
};

static int sink_write(void *data, const char *bytes, size_t size)
{
    struct sink *sink = data;
    if (sink->overflow || sink->room - sink->used < size) {
        sink->overflow = true;
        return -1;
    }
    memcpy(sink->buffer + sink->used, bytes, size);
    sink->used += size;
    return 0;
}

static bool field_is_zero(const struct field *field, const uint8_t *at)
{
    static const uint8_t zero[ID_SIZE];
    switch ((enum field_type)field->type) {
    case FIELD_U64:
        return load_u64(at) == 0;
    case FIELD_ID:
        return memcmp(at, zero, ID_SIZE) == 0;
    case FIELD_BYTES:
        return load_span(at).size == 0;
    }
    BUG("a field that has no type");
}

static void pack_field(msgpack_packer *packer, const struct field *field, const uint8_t *at)
{
    struct span bytes;
    msgpack_pack_uint8(packer, field->number);
    switch ((enum field_type)field->type) {
    case FIELD_U64:
        CHECK(load_u64(at) <= field->limit);
        msgpack_pack_uint64(packer, load_u64(at));
        return;
    case FIELD_ID:
        msgpack_pack_bin_with_body(packer, at, ID_SIZE);
        return;
    case FIELD_BYTES:
        bytes = load_span(at);
        CHECK(bytes.size <= field->limit);
        msgpack_pack_bin_with_body(packer, bytes.data, bytes.size);
        return;
    }
    BUG("a field that has no type");
}

/* A field that nobody knows, with things in it that no field has today. */
static void pack_next(msgpack_packer *packer)
{
    msgpack_pack_uint8(packer, FIELD_NEXT);
    msgpack_pack_map(packer, 1);
    msgpack_pack_str_with_body(packer, "next", 4);
    msgpack_pack_array(packer, 3);
    msgpack_pack_int8(packer, -1);
    msgpack_pack_nil(packer);
    msgpack_pack_float(packer, 0.5f);
}

enum err message_encode(const struct message *message, uint8_t *buffer, size_t room, size_t *used)
{
    const uint8_t *body = (const uint8_t *)message + BODY_OFFSET;
    struct field_list known = field_list_of(message->kind);
    struct sink sink = { .buffer = buffer,
                         .room = room < WIRE_HEADER_MAX ? room : WIRE_HEADER_MAX };
    msgpack_packer packer;
    uint32_t pairs = IS_NEXT ? 2 : 1;
    CHECK(known.count > 0);
    for (uint32_t i = 0; i < known.count; i++) {
        pairs += field_is_zero(&known.list[i], body + known.list[i].offset) ? 0 : 1;
    }
    msgpack_packer_init(&packer, &sink, sink_write);
    msgpack_pack_map(&packer, pairs);
    msgpack_pack_uint8(&packer, 0);
    msgpack_pack_uint16(&packer, (uint16_t)message->kind);
    for (uint32_t i = 0; i < known.count; i++) {
        const uint8_t *at = body + known.list[i].offset;
        if (!field_is_zero(&known.list[i], at)) {
            pack_field(&packer, &known.list[i], at);
        }
    }
    if (IS_NEXT) {
        pack_next(&packer);
    }
    if (sink.overflow) {
        return ERR_FULL;
    }
    *used = sink.used;
    return ERR_OK;
}

/* ---- decoding ---------------------------------------------------------------------------- */

static bool read_field(struct reader *reader, const struct field *field, uint8_t *at)
{
    uint64_t value;
    struct span bytes;
    switch ((enum field_type)field->type) {
    case FIELD_U64:
        if (!reader_uint(reader, &value) || value > field->limit) {
            return false;
        }
        memcpy(at, &value, sizeof value);
        return true;
    case FIELD_ID:
        if (!reader_bytes(reader, &bytes) || bytes.size != ID_SIZE) {
            return false;
        }
        memcpy(at, bytes.data, ID_SIZE);
        return true;
    case FIELD_BYTES:
        if (!reader_bytes(reader, &bytes) || bytes.size > field->limit) {
            return false;
        }
        memcpy(at, &bytes, sizeof bytes);
        return true;
    }
    BUG("a field that has no type");
}

/* NULL: a field of a newer version. */
static const struct field *find_field(struct field_list known, uint64_t number)
{
    for (uint32_t i = 0; i < known.count; i++) {
        if (known.list[i].number == number) {
            return &known.list[i];
        }
    }
    return NULL;
}

/* One pair of the map. *seen has a bit for each field number that was there before. */
static bool read_pair(struct reader *reader, struct field_list known, uint64_t *seen, uint8_t *body)
{
    uint64_t number;
    if (!reader_uint(reader, &number)) {
        return false;
    }
    uint64_t bit = number <= FIELD_NUMBER_MAX ? UINT64_C(1) << number : 0;
    if ((*seen & bit) != 0) {
        return false;
    }
    *seen |= bit;
    const struct field *field = find_field(known, number);
    if (field == NULL) {
        return reader_skip(reader);
    }
    return read_field(reader, field, body + field->offset);
}

/* The map's size and the message number, which is the first pair. */
static bool read_head(struct reader *reader, uint32_t *pairs, uint64_t *number)
{
    uint64_t key;
    return reader_map(reader, pairs) && *pairs > 0 && reader_uint(reader, &key) && key == 0 &&
           reader_uint(reader, number);
}

enum err message_decode(struct span frame, struct message *out)
{
    struct reader reader;
    struct message message;
    uint64_t number;
    uint64_t seen = 1; /* the message number is field 0 */
    uint32_t pairs;
    if (frame.size == 0 || frame.size > WIRE_HEADER_MAX) {
        return ERR_MALFORMED;
    }
    reader_init(&reader, frame);
    if (!read_head(&reader, &pairs, &number)) {
        return ERR_MALFORMED;
    }
    memset(&message, 0, sizeof message);
    message.kind = (enum message_kind)(number <= UINT16_MAX ? number : 0);
    struct field_list known = field_list_of(message.kind);
    if (known.count == 0) {
        return ERR_UNSUPPORTED;
    }
    for (uint32_t i = 1; i < pairs; i++) {
        if (!read_pair(&reader, known, &seen, (uint8_t *)&message + BODY_OFFSET)) {
            return ERR_MALFORMED;
        }
    }
    if (!reader_at_end(&reader)) {
        return ERR_MALFORMED;
    }
    *out = message;
    return ERR_OK;
}
