#include "tests/unit/ring/make.h"

static struct member full_member(void)
{
    struct member member = make_member(12, 65535, "");
    member.incarnation = 0x0123456789abcdefu;
    member.version = 0xfedcba98u;
    member.state = MEMBER_LEAVING;
    member.serve_weight = 4242;
    memset(member.name, 'n', MEMBER_NAME_MAX);
    memset(member.zone, 'z', MEMBER_ZONE_MAX);
    memset(member.labels, 'l', MEMBER_LABELS_MAX);
    memset(member.credentials, 'c', MEMBER_CREDENTIALS_MAX);
    member.endpoint_count = MEMBER_ENDPOINTS_MAX;
    for (uint32_t i = 0; i < MEMBER_ENDPOINTS_MAX; i++) {
        member.endpoints[i].purpose = (enum endpoint_purpose)(i % 3);
        memset(member.endpoints[i].address.ip, (int)i + 1, 16);
        member.endpoints[i].address.port = (uint16_t)(60000 + i);
    }
    return member;
}

static size_t encode(const struct member *member, uint8_t *buffer)
{
    size_t used = 0;
    assert_int_equal(member_encode(member, buffer, MEMBER_RECORD_MAX, &used), ERR_OK);
    return used;
}

static void largest_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct member member = full_member();
    struct member back;
    uint8_t buffer[MEMBER_RECORD_MAX];
    struct span rest = span_of(buffer, encode(&member, buffer));
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    assert_int_equal(rest.size, 0);
    assert_true(node_id_equal(back.id, member.id));
    assert_true(back.incarnation == member.incarnation && back.version == member.version);
    assert_int_equal(back.state, member.state);
    assert_int_equal(back.weight, 65535);
    assert_int_equal(back.serve_weight, 4242);
    assert_string_equal(back.name, member.name);
    assert_string_equal(back.zone, member.zone);
    assert_string_equal(back.labels, member.labels);
    assert_string_equal(back.credentials, member.credentials);
    assert_int_equal(back.endpoint_count, MEMBER_ENDPOINTS_MAX);
    for (uint32_t i = 0; i < MEMBER_ENDPOINTS_MAX; i++) {
        assert_int_equal(back.endpoints[i].purpose, member.endpoints[i].purpose);
        assert_memory_equal(back.endpoints[i].address.ip, member.endpoints[i].address.ip, 16);
        assert_int_equal(back.endpoints[i].address.port, member.endpoints[i].address.port);
    }
}

static void records_follow_each_other(void **state)
{
    (void)state;
    struct member first = make_member(1, 1, "a");
    struct member second = make_member(2, 2, "b");
    struct member back;
    uint8_t buffer[2 * MEMBER_RECORD_MAX];
    size_t used = encode(&first, buffer);
    used += encode(&second, buffer + used);
    struct span rest = span_of(buffer, used);
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    assert_true(node_id_equal(back.id, first.id));
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    assert_true(node_id_equal(back.id, second.id));
    assert_int_equal(member_decode(&rest, &back), ERR_MALFORMED);
}

/* Else two nodes of different versions would never have the same digest of their members. */
static void fields_of_a_later_version_are_passed_on_as_they_came(void **state)
{
    (void)state;
    struct member member = make_member(1, 77, "a");
    struct member back;
    uint8_t buffer[MEMBER_RECORD_MAX + 8];
    uint8_t again[MEMBER_RECORD_MAX];
    size_t used = encode(&member, buffer);
    memset(buffer + used, 0xee, 5);
    used += 5;
    put_u16(buffer, (uint16_t)(used - 2));
    struct span rest = span_of(buffer, used);
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    assert_int_equal(rest.size, 0);
    assert_int_equal(back.weight, 77);
    assert_int_equal(encode(&back, again), used);
    assert_memory_equal(again, buffer, used);
}

static void more_of_them_than_there_is_room_for_is_cut(void **state)
{
    (void)state;
    struct member member = make_member(1, 77, "a");
    struct member back;
    uint8_t buffer[MEMBER_RECORD_MAX];
    size_t used = encode(&member, buffer);
    memset(buffer + used, 0xee, MEMBER_LATER_MAX + 9);
    put_u16(buffer, (uint16_t)(used + MEMBER_LATER_MAX + 9 - 2));
    struct span rest = span_of(buffer, used + MEMBER_LATER_MAX + 9);
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    assert_int_equal(rest.size, 0);
    assert_int_equal(back.later_size, MEMBER_LATER_MAX);
}

static void every_truncation_is_malformed_and_moves_nothing(void **state)
{
    (void)state;
    struct member member = full_member();
    struct member back = { .weight = 1 };
    uint8_t buffer[MEMBER_RECORD_MAX];
    size_t used = encode(&member, buffer);
    for (size_t size = 0; size < used; size++) {
        struct span rest = span_of(buffer, size);
        assert_int_equal(member_decode(&rest, &back), ERR_MALFORMED);
        assert_int_equal(rest.size, size);
        put_u16(buffer, (uint16_t)(size < 2 ? 0 : size - 2)); /* an honest size does not help */
        assert_int_equal(member_decode(&rest, &back), ERR_MALFORMED);
        put_u16(buffer, (uint16_t)(used - 2));
    }
    assert_int_equal(back.weight, 1);
}

static void assert_malformed(struct member member, size_t at, uint8_t byte)
{
    struct member back;
    uint8_t buffer[MEMBER_RECORD_MAX];
    size_t used = encode(&member, buffer);
    struct span rest = span_of(buffer, used);
    assert_int_equal(member_decode(&rest, &back), ERR_OK);
    rest = span_of(buffer, used);
    buffer[at] = byte;
    assert_int_equal(member_decode(&rest, &back), ERR_MALFORMED);
}

static void values_out_of_range_are_malformed(void **state)
{
    (void)state;
    struct member member = make_member(1, 1, "a");
    assert_malformed(member, 2 + 28, MEMBER_LEFT + 1); /* state */
    assert_malformed(member, 2 + 29 + 2, 1);           /* weight 65537 */
    assert_malformed(member, 2 + 33 + 3, 1);           /* serve weight */
    assert_malformed(member, 2 + 37 + 2, '\n');        /* name */
    assert_malformed(member, 2 + 37, 200);             /* size of the name */
    size_t endpoints = 2 + 37 + 2 + 4 + 2 + 1 + 2 + 2;
    assert_malformed(member, endpoints, MEMBER_ENDPOINTS_MAX + 1);
    assert_malformed(member, endpoints + 1, ENDPOINT_DATA + 1);
}

static void record_of_nobody_is_malformed(void **state)
{
    (void)state;
    struct member member = make_member(1, 1, "a");
    struct member back;
    uint8_t buffer[MEMBER_RECORD_MAX];
    memset(&member.id, 0, sizeof member.id);
    struct span rest = span_of(buffer, encode(&member, buffer));
    assert_int_equal(member_decode(&rest, &back), ERR_MALFORMED);
}

static void buffer_too_small_is_full(void **state)
{
    (void)state;
    struct member member = full_member();
    uint8_t buffer[MEMBER_RECORD_MAX];
    size_t used = 7;
    size_t needed = encode(&member, buffer);
    for (size_t room = 0; room < needed; room++) {
        assert_int_equal(member_encode(&member, buffer, room, &used), ERR_FULL);
    }
    assert_int_equal(used, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_record_comes_back_as_it_was),
        cmocka_unit_test(records_follow_each_other),
        cmocka_unit_test(fields_of_a_later_version_are_passed_on_as_they_came),
        cmocka_unit_test(more_of_them_than_there_is_room_for_is_cut),
        cmocka_unit_test(every_truncation_is_malformed_and_moves_nothing),
        cmocka_unit_test(values_out_of_range_are_malformed),
        cmocka_unit_test(record_of_nobody_is_malformed),
        cmocka_unit_test(buffer_too_small_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
