#include "tests/unit/gossip/bench.h"

#include "gossip/internal.h"

/* What one packet says, as far as repair goes. */
struct said {
    uint32_t records;
    uint32_t states;
    bool has_mask;
    uint64_t mask;
    bool has_sums;
    bool has_have;
    struct datagram_section have;
};

static struct said all_said(struct span body)
{
    struct said said = { .records = 0 };
    struct datagram_head head;
    struct datagram_section section;
    struct span rest;
    assert_true(datagram_open(body, &head, &rest));
    while (datagram_next(&rest, &section)) {
        said.records += section.tag == DATAGRAM_RECORD ? 1 : 0;
        said.states += section.tag == DATAGRAM_STATE ? 1 : 0;
        said.has_sums = said.has_sums || section.tag == DATAGRAM_SUMS;
        if (section.tag == DATAGRAM_MASK) {
            said.has_mask = true;
            said.mask = section.mask;
        }
        if (section.tag == DATAGRAM_HAVE) {
            said.has_have = true;
            said.have = section;
        }
    }
    return said;
}

/* The first packet to that port in the last effects that is a SPREAD. */
static bool said_to(struct bench *b, uint16_t port, struct said *out)
{
    struct datagram_head head;
    struct datagram_section section;
    if (!bench_find_sent(b, port, DATAGRAM_SPREAD, &head, &section)) {
        return false;
    }
    *out = all_said(bench_last_body(b));
    return true;
}

static void begin(struct bench *b, struct datagram *d, uint8_t *packet)
{
    const struct datagram_head head = { .kind = DATAGRAM_SPREAD,
                                        .incarnation = 10,
                                        .digest = roster_digest(b->gossip) };
    datagram_begin(d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
}

static void send_back(struct bench *b, struct datagram *d, uint8_t *packet)
{
    bench_deliver(b, packet, seal_close(&b->seal, packet, d->used));
}

static void tell_another_digest(struct bench *b)
{
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD, .digest = 99 }, NULL, NULL);
}

/* Members, and quiet: what rumours wanted to tell has been told. */
static struct bench *quiet(uint32_t members)
{
    struct bench *b = bench_with_members(members);
    bench_pass_in_good_health(b, (uint8_t)(1 + members), SEC(3));
    bench_tell(
        b, (struct datagram_head){ .kind = DATAGRAM_SPREAD, .digest = roster_digest(b->gossip) },
        NULL, NULL);
    bench_pass_in_good_health(b, (uint8_t)(1 + members), SEC(5));
    return b;
}

/* Lets it pull from 2, and returns what it has. */
static struct said what_it_has(struct bench *b)
{
    struct said said = { .records = 0 };
    tell_another_digest(b);
    for (uint32_t i = 0; i < 100; i++) {
        b->now_us += MSEC(5);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        if (said_to(b, 2, &said) && said.has_have) {
            return said;
        }
    }
    fail();
    return said;
}

/* Its own prints as if 2 had them, changed by `change` (xor), but the first `left_out`. */
static void tell_prints(struct bench *b, const struct said *said, uint16_t change,
                        uint32_t left_out)
{
    uint8_t packet[GOSSIP_PACKET_MAX];
    struct datagram d;
    struct datagram_writer writer;
    struct datagram_have have;
    struct span rest = said->have.have.rest;
    begin(b, &d, packet);
    assert_true(datagram_begin_have(&d, said->have.have.salt, &writer));
    while (datagram_next_have(&rest, &have)) {
        uint16_t prints[BENCH_MEMBERS];
        uint16_t count = 0;
        for (uint32_t i = 0; i < have.count; i++) {
            const uint16_t print = get_u16(have.prints + i * sizeof print);
            if (left_out > 0) {
                left_out--;
                continue;
            }
            prints[count++] = print ^ change;
        }
        assert_true(datagram_add_prints(&writer, have.bucket, prints, count));
    }
    send_back(b, &d, packet);
}

static void sums_are_answered_with_the_buckets_that_differ(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    uint8_t packet[GOSSIP_PACKET_MAX];
    uint64_t sums[DATAGRAM_BUCKETS];
    struct datagram d;
    struct said said;
    memcpy(sums, b->gossip->sums, sizeof sums);
    for (uint32_t round = 0; round < 2; round++) {
        begin(b, &d, packet);
        assert_true(datagram_add_sums(&d, sums));
        send_back(b, &d, packet);
        assert_true(said_to(b, 2, &said) && said.has_mask);
        assert_true(said.mask == (round == 0 ? 0 : 1ull << 5 | 1ull << 63));
        sums[5]++;
        sums[63]++;
    }
    bench_free(&b);
}

static void a_digest_that_differs_for_a_while_makes_it_tell_what_it_has(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const usec_t before_us = b->now_us;
    const struct said said = what_it_has(b);
    struct datagram_have have;
    struct span rest = said.have.have.rest;
    uint32_t prints = 0;
    while (datagram_next_have(&rest, &have)) {
        prints += have.count;
    }
    assert_int_equal(prints, 9); /* itself, too */
    assert_in_range(b->now_us - before_us, PULL_QUIET_US, PULL_QUIET_US + MSEC(10));
    bench_free(&b);
}

static void a_digest_that_differed_for_a_moment_does_not(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct member news = bench_member(14, MEMBER_WARMING);
    struct said said;
    tell_another_digest(b);
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &news, NULL);
    bench_tell(
        b, (struct datagram_head){ .kind = DATAGRAM_SPREAD, .digest = roster_digest(b->gossip) },
        NULL, NULL);
    for (uint32_t i = 0; i < 100; i++) {
        b->now_us += MSEC(5);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        assert_false(said_to(b, 2, &said) && said.has_have);
    }
    bench_free(&b);
}

static void who_has_everything_is_told_so_and_nothing_else(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct said has = what_it_has(b);
    struct said said;
    tell_prints(b, &has, 0, 0);
    assert_true(said_to(b, 2, &said));
    assert_int_equal(said.records + said.states, 0);
    assert_true(said.has_mask && said.mask == 0);
    bench_free(&b);
}

static void who_lacks_members_is_told_those(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct said has = what_it_has(b);
    struct said said;
    tell_prints(b, &has, 0, 3);
    assert_true(said_to(b, 2, &said));
    assert_int_equal(said.records, 3);
    assert_int_equal(said.states, 0);
    assert_true(said.has_mask && said.mask == 0);
    bench_free(&b);
}

static void who_knows_members_in_an_earlier_state_is_told_their_states(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct said has = what_it_has(b);
    struct said said;
    tell_prints(b, &has, MEMBER_OWNING << 1, 0); /* our own becomes later: we are warming */
    assert_true(said_to(b, 2, &said));
    assert_int_equal(said.records, 0);
    assert_int_equal(said.states, 8);
    bench_free(&b);
}

/* Whatever it has lost: that we hear of members we do not know makes us ask in turn. */
static void who_has_what_we_lack_is_asked_in_turn(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct said has = what_it_has(b);
    struct said said;
    uint8_t packet[GOSSIP_PACKET_MAX];
    struct datagram d;
    begin(b, &d, packet);
    assert_true(datagram_add_mask(&d, 0)); /* our own pull is over */
    send_back(b, &d, packet);
    tell_prints(b, &has, 0x5550, 0);
    bool has_asked = false;
    for (uint32_t i = 0; i < 4 && !has_asked; i++) {
        b->now_us += MSEC(5);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        has_asked = said_to(b, 2, &said) && said.has_have;
    }
    assert_true(has_asked);
    bench_free(&b);
}

static void a_tombstone_is_told_to_who_believes_that_one_alive(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    const struct said has = what_it_has(b);
    struct datagram_state dead = { .id = bench_id(9), .incarnation = 10, .state = MEMBER_DEAD };
    struct said said;
    dead.how.is_news = true;
    bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, NULL, &dead);
    bench_pass(b, SEC(2));
    assert_int_equal(bench_sees(b, 9)->state, MEMBER_DEAD);
    bench_pass_in_good_health(b, 8, SEC(2));
    tell_prints(b, &has, 0, 0);
    assert_true(said_to(b, 2, &said));
    assert_int_equal(said.records, 0);
    assert_int_equal(said.states, 1);
    bench_free(&b);
}

static void an_answer_to_a_pull_that_was_not_ours_does_nothing(void **state)
{
    (void)state;
    struct bench *b = quiet(8);
    uint8_t packet[GOSSIP_PACKET_MAX];
    struct datagram d;
    struct said said;
    begin(b, &d, packet);
    assert_true(datagram_add_mask(&d, UINT64_MAX));
    send_back(b, &d, packet);
    assert_false(said_to(b, 2, &said) && said.has_have);
    bench_free(&b);
}

/* A seed that is asked by many names others; those are asked next. */
static void a_newcomer_asks_the_contacts_it_was_given(void **state)
{
    (void)state;
    struct bench *b = bench_new();
    const struct address contact = { .port = 77 };
    const struct address seed = { .port = 2 };
    struct gossip_event seeds = { .kind = GOSSIP_SEEDS };
    struct datagram_head head;
    struct datagram_section section;
    struct datagram d;
    struct said said;
    uint8_t packet[GOSSIP_PACKET_MAX];
    seeds.seeds.addresses = &seed;
    seeds.seeds.count = 1;
    bench_step(b, &seeds);
    assert_true(bench_find_sent(b, 2, DATAGRAM_PING, &head, &section));
    const struct datagram_head ack = {
        .kind = DATAGRAM_ACK, .number = head.number, .incarnation = 10, .digest = 5
    };
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &ack);
    assert_true(datagram_add_contacts(&d, &contact, 1));
    send_back(b, &d, packet);
    bool is_asked = said_to(b, 77, &said) && said.has_have;
    for (uint32_t i = 0; i < 100 && !is_asked; i++) {
        b->now_us += MSEC(5);
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
        is_asked = said_to(b, 77, &said) && said.has_have;
    }
    assert_true(is_asked);
    bench_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_answered_with_the_buckets_that_differ),
        cmocka_unit_test(a_digest_that_differs_for_a_while_makes_it_tell_what_it_has),
        cmocka_unit_test(a_digest_that_differed_for_a_moment_does_not),
        cmocka_unit_test(who_has_everything_is_told_so_and_nothing_else),
        cmocka_unit_test(who_lacks_members_is_told_those),
        cmocka_unit_test(who_knows_members_in_an_earlier_state_is_told_their_states),
        cmocka_unit_test(who_has_what_we_lack_is_asked_in_turn),
        cmocka_unit_test(a_tombstone_is_told_to_who_believes_that_one_alive),
        cmocka_unit_test(an_answer_to_a_pull_that_was_not_ours_does_nothing),
        cmocka_unit_test(a_newcomer_asks_the_contacts_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
