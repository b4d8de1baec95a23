/* tests/unit/gossip/test_exchange.c: who asks for keys, who is given them, and who is not. */
#include "tests/unit/gossip/bench.h"

/* The bench's machine rotates, as if alone with its members; the other side keeps the key it had. */
static void bench_rotate(struct bench *b, uint8_t byte, uint32_t ttl_s)
{
    struct key_rotation rotation = { .key = { .ttl_s = ttl_s } };
    memset(rotation.key.gossip, byte, sizeof rotation.key.gossip);
    bench_step(b, &(struct gossip_event){ .kind = GOSSIP_ROTATE,
                                          .rotate = { .id = 1, .rotation = &rotation } });
    bench_step(b, &(struct gossip_event){ .kind = GOSSIP_KEPT, .kept = { .serial = 1 } });
}

/* Alone, with an old key retired. */
static struct bench *after_rotation(void)
{
    struct bench *b = bench_new();
    bench_pass(b, SEC(1));
    bench_rotate(b, 9, 1);
    bench_pass(b, SEC(5));
    assert_int_equal(gossip_ring(b->gossip)->count, 1);
    assert_int_equal(gossip_ring(b->gossip)->retired_count, 1);
    return b;
}

/* As somebody with the key made of that byte sees it. */
static bool is_sent(struct bench *b, uint16_t port, enum datagram_kind kind, uint8_t byte)
{
    struct datagram_head head;
    struct datagram_section section;
    b->listener = byte;
    const bool found = bench_find_sent(b, port, kind, &head, &section);
    b->listener = 0;
    return found;
}

static uint32_t packets_sent(const struct bench *b)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->effects.count; i++) {
        count += b->effects.items[i].kind == GOSSIP_SEND ? 1 : 0;
    }
    return count;
}

static void a_retired_key_opens_nothing(void **state)
{
    (void)state;
    struct bench *b = after_rotation();
    struct member other = bench_member(2, MEMBER_OWNING);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 }, &other, NULL);
    assert_false(is_sent(b, 2, DATAGRAM_ACK, 9));
    bench_pass(b, SEC(1));
    assert_null(bench_sees(b, 2));
    assert_int_equal(gossip_stats(b->gossip)->dropped_key, 1);
    assert_int_equal(gossip_stats(b->gossip)->received_packets, 0);
    bench_free(&b);
}

static void who_has_only_a_retired_key_is_shown_that_there_is_another(void **state)
{
    (void)state;
    struct bench *b = after_rotation();
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 }, NULL, NULL);
    assert_int_equal(packets_sent(b), 1);
    assert_true(is_sent(b, 2, DATAGRAM_SPREAD, 9));
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 2 }, NULL, NULL);
    assert_int_equal(packets_sent(b), 0); /* not for each of its packets */
    bench_free(&b);
}

static void a_packet_from_before_a_rotation_is_not_taken_twice(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    uint8_t packet[GOSSIP_PACKET_MAX];
    uint8_t copy[GOSSIP_PACKET_MAX];
    struct datagram_head head = { .kind = DATAGRAM_SPREAD };
    const size_t size = bench_write(b, packet, head, NULL, NULL);
    memcpy(copy, packet, size);
    bench_deliver(b, packet, size);
    bench_rotate(b, 9, 100);
    bench_deliver(b, copy, size);
    assert_int_equal(gossip_stats(b->gossip)->dropped_replayed, 1);
    bench_free(&b);
}

/* What was sealed with the old key and with the new one has one row of counters. */
static void a_replay_is_known_also_when_another_key_came_between(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    uint8_t old[GOSSIP_PACKET_MAX];
    uint8_t copy[GOSSIP_PACKET_MAX];
    uint8_t fresh[GOSSIP_PACKET_MAX];
    struct datagram_head head = { .kind = DATAGRAM_SPREAD };
    const size_t old_size = bench_write(b, old, head, NULL, NULL);
    memcpy(copy, old, old_size);
    bench_deliver(b, old, old_size);
    bench_rotate(b, 9, 100);
    seal_keys(&b->seal, gossip_ring(b->gossip));
    b->seal.present = 0; /* the new one */
    const size_t size = bench_write(b, fresh, head, NULL, NULL);
    bench_deliver(b, fresh, size);
    assert_int_equal(gossip_stats(b->gossip)->dropped_replayed, 0);
    bench_deliver(b, copy, old_size);
    assert_int_equal(gossip_stats(b->gossip)->dropped_replayed, 1);
    bench_free(&b);
}

static void strangers_with_unknown_keys_are_asked_once_a_second_at_most(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(3);
    uint32_t questions = 0;
    bench_other_side(b, 6, 8, "atoll");
    for (uint32_t i = 0; i < 100; i++) {
        bench_tell_from(b, 6, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 });
        questions += is_sent(b, 6, DATAGRAM_KEYS_ASK, 7) ? 1 : 0;
        bench_pass(b, MSEC(100));
    }
    assert_in_range(questions, 9, 10);
    bench_free(&b);
}

static void a_member_with_an_unknown_key_is_asked_and_not_all_the_time(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    bench_other_side(b, 2, 8, "atoll");
    b->seal.counter = 100;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 1 }, NULL, NULL);
    assert_true(is_sent(b, 2, DATAGRAM_KEYS_ASK, 7));
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_PING, .number = 2 }, NULL, NULL);
    assert_int_equal(packets_sent(b), 0);
    bench_free(&b);
}

/* A listener that has the key of the packets: the answer is readable, the ring in it is not. */
static void keys_do_not_travel_under_a_key_that_a_listener_may_have(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    uint8_t packet[GOSSIP_PACKET_MAX];
    uint8_t new_key[8];
    struct datagram d;
    struct datagram_head head = { .kind = DATAGRAM_KEYS_ASK, .number = 5, .incarnation = 10 };
    struct datagram_section section;
    uint8_t public_key[TRUST_KEY_SIZE] = { 9 }; /* the base point: a secret of 1, near enough */
    memset(new_key, 9, sizeof new_key);
    bench_rotate(b, 9, 100);
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_public(&d, public_key));
    bench_deliver(b, packet, seal_close(&b->seal, packet, d.used));
    assert_true(bench_find_sent(b, 2, DATAGRAM_KEYS_GIVE, &head, &section));
    assert_int_equal(head.number, 5);
    assert_int_equal(packets_sent(b), 1);
    const struct span opened = bench_last_body(b);
    assert_true(opened.size > 2 * KEYRING_KEY_SIZE);
    assert_null(memmem(opened.data, opened.size, new_key, sizeof new_key));
    bench_free(&b);
}

static void a_ring_that_nobody_asked_for_is_not_taken(void **state)
{
    (void)state;
    struct bench *b = bench_with_members(1);
    uint8_t packet[GOSSIP_PACKET_MAX];
    uint8_t bytes[KEYRING_SIZE_MAX + 16] = { 0 };
    struct datagram d;
    const struct datagram_head head = { .kind = DATAGRAM_KEYS_GIVE,
                                        .number = 1,
                                        .incarnation = 10 };
    const struct datagram_box box = { .public_key = { 9 },
                                      .nonce = 1,
                                      .sealed = span_of(bytes, 400) };
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_box(&d, &box));
    bench_deliver(b, packet, seal_close(&b->seal, packet, d.used));
    assert_int_equal(gossip_ring(b->gossip)->count, 1);
    assert_int_equal(packets_sent(b), 0);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retired_key_opens_nothing),
        cmocka_unit_test(who_has_only_a_retired_key_is_shown_that_there_is_another),
        cmocka_unit_test(a_packet_from_before_a_rotation_is_not_taken_twice),
        cmocka_unit_test(a_replay_is_known_also_when_another_key_came_between),
        cmocka_unit_test(strangers_with_unknown_keys_are_asked_once_a_second_at_most),
        cmocka_unit_test(a_member_with_an_unknown_key_is_asked_and_not_all_the_time),
        cmocka_unit_test(keys_do_not_travel_under_a_key_that_a_listener_may_have),
        cmocka_unit_test(a_ring_that_nobody_asked_for_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
