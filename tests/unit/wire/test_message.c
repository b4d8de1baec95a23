/* tests/unit/wire/test_message.c: every message of messages.def, as sent and as a stranger might send it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "base/rng.h"

#define ROOM ((size_t)5 << 20)
#define SEEDS 20u

static const enum message_kind kinds[] = {
#define MESSAGE(NAME, name, number, fields) MESSAGE_##NAME,
#include "wire/messages.def"
#undef MESSAGE
};

/* ---- making and comparing any message ---------------------------------------------------- */

/* How the fields of a message are chosen: at random, or each at its limit. */
struct filler {
    struct rng rng;
    bool at_limit;
    const uint8_t *bytes; /* as many as any field may have */
};

static uint64_t pick_u64(struct filler *filler, uint64_t max)
{
    uint64_t bits = rng_below(&filler->rng, 64);
    uint64_t value = rng_next(&filler->rng) >> bits;
    if (filler->at_limit) {
        return max;
    }
    return max == UINT64_MAX ? value : value % (max + 1);
}

static struct span pick_bytes(struct filler *filler, uint64_t max)
{
    uint64_t most = max < 3000 ? max : 3000;
    uint64_t size = filler->at_limit ? max : rng_below(&filler->rng, most + 1);
    return size == 0 ? span_of(NULL, 0) : span_of(filler->bytes, (size_t)size);
}

static void pick_id(struct filler *filler, uint8_t out[ID_SIZE])
{
    uint64_t word = filler->at_limit ? UINT64_MAX : rng_next(&filler->rng);
    memset(out, 0, ID_SIZE);
    if (word % 4 != 0) { /* zero is the value that is left out */
        put_u64(out, word);
        put_u64(out + 8, ~word);
    }
}

#define U64(number, field, max) m->field = pick_u64(filler, max);
#define ID(number, field) pick_id(filler, m->field);
#define BYTES(number, field, max) m->field = pick_bytes(filler, max);
#define MESSAGE(NAME, name, number, fields)                                  \
    static void fill_##name(struct message_##name *m, struct filler *filler) \
    {                                                                        \
        fields                                                               \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64

#define U64(number, field, max) assert_true(a->field == b->field);
#define ID(number, field) assert_memory_equal(a->field, b->field, ID_SIZE);
#define BYTES(number, field, max) assert_true(span_equal(a->field, b->field));
#define MESSAGE(NAME, name, number, fields)                         \
    static void assert_equal_##name(const struct message_##name *a, \
                                    const struct message_##name *b) \
    {                                                               \
        fields                                                      \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64

static struct message make(enum message_kind kind, struct filler *filler)
{
    struct message m;
    memset(&m, 0, sizeof m);
    m.kind = kind;
    switch (kind) {
#define MESSAGE(NAME, name, number, fields) \
    case MESSAGE_##NAME:                    \
        fill_##name(&m.name, filler);       \
        break;
#include "wire/messages.def"
#undef MESSAGE
    }
    return m;
}

static void assert_message_equal(const struct message *a, const struct message *b)
{
    assert_int_equal(a->kind, b->kind);
    switch (a->kind) {
#define MESSAGE(NAME, name, number, fields)      \
    case MESSAGE_##NAME:                         \
        assert_equal_##name(&a->name, &b->name); \
        break;
#include "wire/messages.def"
#undef MESSAGE
    }
}

/* ---- fixture ----------------------------------------------------------------------------- */

struct world {
    uint8_t *frame;
    uint8_t *bytes;
};

static int set_up(void **state)
{
    static struct world world;
    world.frame = malloc(ROOM);
    world.bytes = malloc(ROOM);
    if (world.frame == NULL || world.bytes == NULL) {
        return -1;
    }
    for (size_t i = 0; i < ROOM; i++) {
        world.bytes[i] = (uint8_t)(i * 31 + 7);
    }
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    free(world->frame);
    free(world->bytes);
    return 0;
}

static struct span encode(struct world *world, const struct message *m)
{
    size_t used = 0;
    assert_int_equal(message_encode(m, world->frame, ROOM, &used), ERR_OK);
    return span_of(world->frame, used);
}

/* ---- what we send ------------------------------------------------------------------------ */

static void every_message_survives_a_round_trip(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct filler filler = { .bytes = world->bytes };
        print_message("seed %u\n", (unsigned)seed);
        rng_init(&filler.rng, seed, 0);
        for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
            struct message back;
            struct message m = make(kinds[i], &filler);
            assert_int_equal(message_decode(encode(world, &m), &back), ERR_OK);
            assert_message_equal(&m, &back);
        }
    }
}

static void every_message_survives_with_all_fields_at_their_limits(void **state)
{
    struct world *world = *state;
    struct filler filler = { .bytes = world->bytes, .at_limit = true };
    rng_init(&filler.rng, 0, 0);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message back;
        struct message m = make(kinds[i], &filler);
        if (kinds[i] == MESSAGE_VIEW) {
            m.view.members.size -= 64; /* the frame itself has the same limit */
        }
        assert_int_equal(message_decode(encode(world, &m), &back), ERR_OK);
        assert_message_equal(&m, &back);
    }
}

static void a_message_of_zeros_is_a_map_of_one_pair(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message m;
        struct message back;
        memset(&m, 0, sizeof m);
        m.kind = kinds[i];
        struct span frame = encode(world, &m);
        assert_int_equal(frame.size, 3); /* numbers below 128 take one byte */
        assert_int_equal(frame.data[0], 0x81);
        assert_int_equal(message_decode(frame, &back), ERR_OK);
        assert_message_equal(&m, &back);
    }
}

static void a_frame_is_bytes_that_never_change(void **state)
{
    struct world *world = *state;
    struct message m = { .kind = MESSAGE_ACK };
    m.ack.request = 300;
    m.ack.err = 7;
    m.ack.text = span_text("no");
    static const uint8_t expected[] = { 0x84, 0x00, 24,   0x01, 0xcd, 0x01, 0x2c,
                                        0x02, 0x07, 0x03, 0xc4, 0x02, 'n',  'o' };
    struct span frame = encode(world, &m);
    assert_true(span_equal(frame, span_of(expected, sizeof expected)));
}

static void a_buffer_one_byte_short_is_full(void **state)
{
    struct world *world = *state;
    struct filler filler = { .bytes = world->bytes };
    rng_init(&filler.rng, 9, 0);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message m = make(kinds[i], &filler);
        size_t size = encode(world, &m).size;
        size_t used = 77;
        assert_int_equal(message_encode(&m, world->frame, size, &used), ERR_OK);
        used = 77;
        assert_int_equal(message_encode(&m, world->frame, size - 1, &used), ERR_FULL);
        assert_int_equal(used, 77);
    }
}

static void a_frame_over_the_largest_one_is_full(void **state)
{
    struct world *world = *state;
    struct message m = { .kind = MESSAGE_VIEW };
    size_t used;
    m.view.members = span_of(world->bytes, WIRE_HEADER_MAX);
    assert_int_equal(message_encode(&m, world->frame, ROOM, &used), ERR_FULL);
}

/* ---- what strangers send ------------------------------------------------------------------ */

static void assert_refused(struct span frame, enum err err)
{
    struct message out;
    struct message before;
    memset(&out, 0x5a, sizeof out);
    memset(&before, 0x5a, sizeof before);
    assert_int_equal(message_decode(frame, &out), err);
    assert_memory_equal(&out, &before, sizeof out);
}

static void a_frame_cut_at_any_byte_is_refused(void **state)
{
    struct world *world = *state;
    struct filler filler = { .bytes = world->bytes };
    print_message("seed 5\n");
    rng_init(&filler.rng, 5, 0);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct message m = make(kinds[i], &filler);
        struct span frame = encode(world, &m);
        for (size_t size = 0; size < frame.size; size++) {
            assert_refused(span_of(frame.data, size), ERR_MALFORMED);
        }
    }
}

static void bytes_after_the_end_are_refused(void **state)
{
    struct world *world = *state;
    struct message m = { .kind = MESSAGE_PING };
    m.ping.request = 1;
    struct span frame = encode(world, &m);
    world->frame[frame.size] = 0;
    assert_refused(span_of(frame.data, frame.size + 1), ERR_MALFORMED);
}

static void a_frame_over_the_limit_is_refused_unread(void **state)
{
    struct world *world = *state;
    struct message m = { .kind = MESSAGE_PING };
    struct message out;
    m.ping.request = 1;
    (void)encode(world, &m);
    assert_refused(span_of(world->frame, (size_t)WIRE_HEADER_MAX + 1), ERR_MALFORMED);
    assert_int_equal(message_decode(span_of(world->frame, 5), &out), ERR_OK);
}

/* A frame packed by msgpack-c: a head, and then whatever the test adds. */
struct stranger {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
};

static void stranger_begin(struct stranger *s, size_t pairs, uint16_t kind)
{
    msgpack_sbuffer_init(&s->buffer);
    msgpack_packer_init(&s->packer, &s->buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&s->packer, pairs);
    msgpack_pack_uint8(&s->packer, 0);
    msgpack_pack_uint16(&s->packer, kind);
}

static struct span stranger_frame(const struct stranger *s)
{
    return span_of(s->buffer.data, s->buffer.size);
}

static void stranger_end(struct stranger *s, enum err expected)
{
    struct message out;
    if (expected == ERR_OK) {
        assert_int_equal(message_decode(stranger_frame(s), &out), ERR_OK);
    } else {
        assert_refused(stranger_frame(s), expected);
    }
    msgpack_sbuffer_destroy(&s->buffer);
}

static void try_u64(enum message_kind kind, uint8_t number, uint64_t value, enum err expected)
{
    struct stranger s;
    stranger_begin(&s, 2, (uint16_t)kind);
    msgpack_pack_uint8(&s.packer, number);
    msgpack_pack_uint64(&s.packer, value);
    stranger_end(&s, expected);
}

static void try_bytes(enum message_kind kind, uint8_t number, struct span bytes, enum err expected)
{
    struct stranger s;
    stranger_begin(&s, 2, (uint16_t)kind);
    msgpack_pack_uint8(&s.packer, number);
    msgpack_pack_bin_with_body(&s.packer, bytes.data, bytes.size);
    stranger_end(&s, expected);
}

/* One field at its limit, then one above it. */
static void limit_u64(enum message_kind kind, uint8_t number, uint64_t max)
{
    try_u64(kind, number, max, ERR_OK);
    if (max < UINT64_MAX) {
        try_u64(kind, number, max + 1, ERR_MALFORMED);
        try_u64(kind, number, UINT64_MAX, ERR_MALFORMED);
    }
}

static void limit_bytes(struct world *world, enum message_kind kind, uint8_t number, size_t max)
{
    size_t fits = max < WIRE_HEADER_MAX - 64 ? max : WIRE_HEADER_MAX - 64;
    try_bytes(kind, number, span_of(world->bytes, fits), ERR_OK);
    try_bytes(kind, number, span_of(world->bytes, max + 1), ERR_MALFORMED);
}

static void limit_id(struct world *world, enum message_kind kind, uint8_t number)
{
    try_bytes(kind, number, span_of(world->bytes, ID_SIZE), ERR_OK);
    try_bytes(kind, number, span_of(world->bytes, ID_SIZE - 1), ERR_MALFORMED);
    try_bytes(kind, number, span_of(world->bytes, ID_SIZE + 1), ERR_MALFORMED);
    try_bytes(kind, number, span_of(world->bytes, 0), ERR_MALFORMED);
}

static void every_field_is_held_to_its_limit(void **state)
{
    struct world *world = *state;
#define U64(number, field, max) limit_u64(kind, number, max);
#define ID(number, field) limit_id(world, kind, number);
#define BYTES(number, field, max) limit_bytes(world, kind, number, max);
#define MESSAGE(NAME, name, number, fields)      \
    {                                            \
        enum message_kind kind = MESSAGE_##NAME; \
        fields                                   \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
}

static void every_field_refuses_a_value_of_another_type(void **state)
{
    struct world *world = *state;
#define U64(number, field, max) try_bytes(kind, number, span_of(world->bytes, 1), ERR_MALFORMED);
#define ID(number, field) try_u64(kind, number, 1, ERR_MALFORMED);
#define BYTES(number, field, max) try_u64(kind, number, 1, ERR_MALFORMED);
#define MESSAGE(NAME, name, number, fields)      \
    {                                            \
        enum message_kind kind = MESSAGE_##NAME; \
        fields                                   \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
}

static void repeat_u64(enum message_kind kind, uint8_t number)
{
    struct stranger s;
    stranger_begin(&s, 3, (uint16_t)kind);
    for (int i = 0; i < 2; i++) {
        msgpack_pack_uint8(&s.packer, number);
        msgpack_pack_uint8(&s.packer, 0);
    }
    stranger_end(&s, ERR_MALFORMED);
}

static void repeat_bytes(enum message_kind kind, uint8_t number)
{
    struct stranger s;
    stranger_begin(&s, 3, (uint16_t)kind);
    for (int i = 0; i < 2; i++) {
        msgpack_pack_uint8(&s.packer, number);
        msgpack_pack_bin_with_body(&s.packer, "0123456789abcdef", ID_SIZE);
    }
    stranger_end(&s, ERR_MALFORMED);
}

static void a_repeated_field_is_refused(void **state)
{
    (void)state;
#define U64(number, field, max) repeat_u64(kind, number);
#define ID(number, field) repeat_bytes(kind, number);
#define BYTES(number, field, max) repeat_bytes(kind, number);
#define MESSAGE(NAME, name, number, fields)      \
    {                                            \
        enum message_kind kind = MESSAGE_##NAME; \
        fields                                   \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
    repeat_u64(MESSAGE_PING, 0);  /* the message number itself */
    repeat_u64(MESSAGE_PING, 60); /* one we do not know */
}

static void table_is_one_the_codec_can_carry(void **state)
{
    (void)state;
#define U64(number, field, max) assert_in_range(number, 1, 63);
#define ID(number, field) assert_in_range(number, 1, 63);
#define BYTES(number, field, max) assert_in_range(number, 1, 63);
#define MESSAGE(NAME, name, number, fields) \
    assert_in_range(number, 1, 127);        \
    fields
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
}

/* One value of each form that msgpack has, and some that hold others. */
static void pack_value(msgpack_packer *p, uint32_t form)
{
    static const char body[300] = "body";
    static const uint8_t ext_sizes[] = { 1, 2, 4, 8, 16, 17 };
    if (form < 6) {
        msgpack_pack_ext_with_body(p, body, ext_sizes[form], 5);
    } else if (form < 9) {
        msgpack_pack_str_with_body(p, body, (form - 6) * 140);
    } else if (form < 11) {
        msgpack_pack_bin_with_body(p, body, (form - 9) * 299);
    } else if (form < 21) {
        msgpack_pack_int64(p, -((int64_t)1 << (form - 11) * 6));
    } else if (form < 31) {
        msgpack_pack_uint64(p, (uint64_t)1 << (form - 21) * 6);
    } else if (form == 31) {
        msgpack_pack_nil(p);
    } else if (form == 32) {
        msgpack_pack_true(p);
    } else if (form == 33) {
        msgpack_pack_false(p);
    } else if (form == 34) {
        msgpack_pack_float(p, 1.5f);
    } else if (form == 35) {
        msgpack_pack_double(p, -2.5);
    } else {
        uint32_t count = form == 36 ? 20 : 3; /* arrays and maps, short and long, of arrays */
        msgpack_pack_map(p, count);
        for (uint32_t i = 0; i < count; i++) {
            msgpack_pack_uint32(p, i);
            msgpack_pack_array(p, form == 37 ? 17 : 0);
            for (uint32_t j = 0; form == 37 && j < 17; j++) {
                msgpack_pack_nil(p);
            }
        }
    }
}

static void an_unknown_field_of_any_type_is_skipped(void **state)
{
    (void)state;
    for (uint32_t form = 0; form <= 38; form++) {
        struct stranger s;
        struct message out;
        stranger_begin(&s, 3, MESSAGE_PING);
        msgpack_pack_uint16(&s.packer, (uint16_t)(form % 2 == 0 ? 60 : 6000));
        pack_value(&s.packer, form);
        msgpack_pack_uint8(&s.packer, 1);
        msgpack_pack_uint8(&s.packer, 42);
        assert_int_equal(message_decode(stranger_frame(&s), &out), ERR_OK);
        assert_int_equal(out.ping.request, 42);
        stranger_end(&s, ERR_OK);
    }
}

static void a_message_of_a_newer_peer_is_unsupported(void **state)
{
    (void)state;
    static const uint16_t unknown[] = { 999, 9, 65535, 0 };
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++) {
        struct stranger s;
        stranger_begin(&s, 1, unknown[i]);
        stranger_end(&s, ERR_UNSUPPORTED);
    }
    static const uint8_t wide[] = { 0x81, 0x00, 0xce, 0x00, 0x01, 0x00, 0x04 }; /* 65536 + PING */
    assert_refused(span_of(wide, sizeof wide), ERR_UNSUPPORTED);
}

static void frames_that_are_no_map_with_a_number_are_refused(void **state)
{
    (void)state;
    static const uint8_t no_map[] = { 0x92, 0x00, 0x04 };
    static const uint8_t empty_map[] = { 0x80 };
    static const uint8_t no_number[] = { 0x81, 0x01, 0x04 };
    static const uint8_t text_number[] = { 0x81, 0x00, 0xa1, '4' };
    static const uint8_t text_key[] = { 0x82, 0x00, 0x04, 0xa1, 'x', 0x00 };
    static const uint8_t negative_key[] = { 0x82, 0x00, 0x04, 0xff, 0x00 };
    static const uint8_t huge_map[] = { 0xdf, 0xff, 0xff, 0xff, 0xff, 0x00, 0x04 };
    assert_refused(span_of(no_map, sizeof no_map), ERR_MALFORMED);
    assert_refused(span_of(empty_map, sizeof empty_map), ERR_MALFORMED);
    assert_refused(span_of(no_number, sizeof no_number), ERR_MALFORMED);
    assert_refused(span_of(text_number, sizeof text_number), ERR_MALFORMED);
    assert_refused(span_of(text_key, sizeof text_key), ERR_MALFORMED);
    assert_refused(span_of(negative_key, sizeof negative_key), ERR_MALFORMED);
    assert_refused(span_of(huge_map, sizeof huge_map), ERR_MALFORMED);
    assert_refused(span_of(NULL, 0), ERR_MALFORMED);
}

static void spans_of_a_decoded_message_point_into_the_frame(void **state)
{
    struct world *world = *state;
    struct message m = { .kind = MESSAGE_DATASET_GET };
    struct message back;
    m.dataset_get.name = span_text("imagenet");
    struct span frame = encode(world, &m);
    assert_int_equal(message_decode(frame, &back), ERR_OK);
    assert_true(back.dataset_get.name.data > frame.data);
    assert_true(back.dataset_get.name.data < frame.data + frame.size);
}

static void messages_have_names_for_logs(void **state)
{
    (void)state;
    assert_string_equal(message_name(MESSAGE_GET), "GET");
    assert_string_equal(message_name(MESSAGE_ROOT_OFFER), "ROOT_OFFER");
    assert_string_equal(message_name((enum message_kind)999), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives_a_round_trip),
        cmocka_unit_test(every_message_survives_with_all_fields_at_their_limits),
        cmocka_unit_test(a_message_of_zeros_is_a_map_of_one_pair),
        cmocka_unit_test(a_frame_is_bytes_that_never_change),
        cmocka_unit_test(a_buffer_one_byte_short_is_full),
        cmocka_unit_test(a_frame_over_the_largest_one_is_full),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_refused),
        cmocka_unit_test(bytes_after_the_end_are_refused),
        cmocka_unit_test(a_frame_over_the_limit_is_refused_unread),
        cmocka_unit_test(every_field_is_held_to_its_limit),
        cmocka_unit_test(every_field_refuses_a_value_of_another_type),
        cmocka_unit_test(a_repeated_field_is_refused),
        cmocka_unit_test(table_is_one_the_codec_can_carry),
        cmocka_unit_test(an_unknown_field_of_any_type_is_skipped),
        cmocka_unit_test(a_message_of_a_newer_peer_is_unsupported),
        cmocka_unit_test(frames_that_are_no_map_with_a_number_are_refused),
        cmocka_unit_test(spans_of_a_decoded_message_point_into_the_frame),
        cmocka_unit_test(messages_have_names_for_logs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
