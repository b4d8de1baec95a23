/* tests/fuzz/fuzz_message.c: frames from strangers. What decodes is msgpack to msgpack-c as well, and
 * encodes to something that decodes equal. */
#include <stdlib.h>

#include <msgpack.h>

#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define U64(number, field, max) CHECK(a->field == b->field && a->field <= max);
#define ID(number, field) CHECK(memcmp(a->field, b->field, ID_SIZE) == 0);
#define BYTES(number, field, max) CHECK(span_equal(a->field, b->field) && a->field.size <= max);
#define MESSAGE(NAME, name, number, fields)                                                        \
    static void check_equal_##name(const struct message_##name *a, const struct message_##name *b) \
    {                                                                                              \
        fields                                                                                     \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64

static void check_equal(const struct message *a, const struct message *b)
{
    CHECK(a->kind == b->kind);
    switch (a->kind) {
#define MESSAGE(NAME, name, number, fields)     \
    case MESSAGE_##NAME:                        \
        check_equal_##name(&a->name, &b->name); \
        return;
#include "wire/messages.def"
#undef MESSAGE
    }
    BUG("a message that has no kind");
}

/* Asked only about frames we accept: it allocates what a container announces. */
static void check_is_msgpack(struct span frame)
{
    msgpack_unpacked unpacked;
    size_t end = 0;
    msgpack_unpacked_init(&unpacked);
    CHECK(msgpack_unpack_next(&unpacked, (const char *)frame.data, frame.size, &end) ==
          MSGPACK_UNPACK_SUCCESS);
    CHECK(end == frame.size && unpacked.data.type == MSGPACK_OBJECT_MAP);
    msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[WIRE_HEADER_MAX];
    struct message message;
    struct message back;
    size_t used = 0;
    if (message_decode(span_of(data, size), &message) != ERR_OK) {
        return 0;
    }
    check_is_msgpack(span_of(data, size));
    enum err err = message_encode(&message, frame, sizeof frame, &used);
    if (err == ERR_FULL) {
        /* Heads of strings may grow by a byte each. */
        CHECK(size > sizeof frame - 64);
        return 0;
    }
    CHECK(err == ERR_OK);
    CHECK(message_decode(span_of(frame, used), &back) == ERR_OK);
    check_equal(&message, &back);
    return 0;
}
