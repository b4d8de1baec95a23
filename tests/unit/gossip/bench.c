#include "tests/unit/gossip/bench.h"

struct node_id bench_id(uint8_t byte)
{
    struct node_id id;
    memset(id.b, byte, sizeof id.b);
    return id;
}

struct member bench_member(uint8_t who, enum member_state state)
{
    struct member member = { .id = bench_id(who), .incarnation = 10, .version = 1, .weight = 1 };
    member.state = state;
    member.endpoint_count = 1;
    member.endpoints[0].address.port = who;
    return member;
}

void bench_step(struct bench *b, const struct gossip_event *event)
{
    struct now now = { .mono_us = b->now_us, .wall_us = SEC(1700000000) + b->now_us };
    gossip_step(b->gossip, now, event, &b->effects);
}

void bench_other_side(struct bench *b, uint8_t who, uint8_t key, const char *cluster)
{
    struct gossip_options options = { .cluster = span_text(cluster), .members_max = BENCH_MEMBERS };
    struct arena mem;
    b->ring = net_ring(key);
    options.ring = b->ring;
    options.self = bench_member(who, MEMBER_WARMING);
    memset(options.boot, who, GOSSIP_BOOT_SIZE);
    b->seal_memory = realloc(b->seal_memory, seal_memory(BENCH_MEMBERS));
    arena_init(&mem, b->seal_memory, seal_memory(BENCH_MEMBERS));
    assert_int_equal(seal_init(&b->seal, &mem, &options), ERR_OK);
}

struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);
    struct gossip_options options = { .cluster = span_text("atoll"),
                                      .members_max = BENCH_MEMBERS,
                                      .marks = &b->marks };
    struct arena mem;
    options.ring = net_ring(7);
    options.self = bench_member(1, MEMBER_WARMING);
    memset(options.boot, 1, GOSSIP_BOOT_SIZE);
    b->memory = malloc(gossip_memory(BENCH_MEMBERS, NULL));
    arena_init(&mem, b->memory, gossip_memory(BENCH_MEMBERS, NULL));
    assert_int_equal(gossip_new(&mem, &options, &b->gossip), ERR_OK);
    bench_step(b, &(struct gossip_event){ .kind = GOSSIP_START });
    bench_step(b, &(struct gossip_event){ .kind = GOSSIP_SEEDS });
    bench_other_side(b, 2, 7, "atoll");
    return b;
}

void bench_free(struct bench **b)
{
    free((*b)->memory);
    free((*b)->seal_memory);
    free(*b);
    *b = NULL;
}

size_t bench_write(struct bench *b, uint8_t *packet, struct datagram_head head,
                   const struct member *record, const struct datagram_state *state)
{
    struct datagram d;
    head.incarnation = head.incarnation == 0 ? 10 : head.incarnation;
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
    if (record != NULL) {
        assert_true(
            datagram_add_record(&d, record, (struct telling){ .ready = true, .is_news = true }));
    }
    if (state != NULL) {
        assert_true(datagram_add_state(&d, state));
    }
    return seal_close(&b->seal, packet, d.used);
}

static void deliver_from(struct bench *b, uint16_t port, uint8_t *packet, size_t size)
{
    struct gossip_event event = { .kind = GOSSIP_PACKET };
    event.packet.from.port = port;
    event.packet.data = packet;
    event.packet.size = size;
    bench_step(b, &event);
}

void bench_deliver(struct bench *b, uint8_t *packet, size_t size)
{
    deliver_from(b, 2, packet, size);
}

void bench_tell_from(struct bench *b, uint16_t port, struct datagram_head head)
{
    uint8_t packet[GOSSIP_PACKET_MAX];
    deliver_from(b, port, packet, bench_write(b, packet, head, NULL, NULL));
}

void bench_tell(struct bench *b, struct datagram_head head, const struct member *record,
                const struct datagram_state *state)
{
    uint8_t packet[GOSSIP_PACKET_MAX];
    bench_deliver(b, packet, bench_write(b, packet, head, record, state));
}

/* As a listener with that key sees it, or the other side. */
static enum seal_verdict open_sent(struct bench *b, uint8_t *packet, size_t size,
                                   struct seal_opened *out)
{
    if (b->listener == 0) {
        return seal_open(&b->seal, packet, size, SEAL_NO_WINDOW, out);
    }
    const struct keyring ring = gossip_ring(b->gossip)->keys[0].gossip[0] == b->listener
                                    ? *gossip_ring(b->gossip)
                                    : net_ring(b->listener);
    seal_keys(&b->seal, &ring);
    enum seal_verdict verdict = seal_open(&b->seal, packet, size, SEAL_NO_WINDOW, out);
    seal_keys(&b->seal, &b->ring);
    return verdict;
}

bool bench_find_sent(struct bench *b, uint16_t port, enum datagram_kind kind,
                     struct datagram_head *head, struct datagram_section *section)
{
    for (uint32_t i = 0; i < b->effects.count; i++) {
        const struct gossip_effect *effect = &b->effects.items[i];
        uint8_t *copy = b->opened;
        struct seal_opened opened;
        struct span rest;
        if (effect->kind != GOSSIP_SEND || effect->send.to.port != port) {
            continue;
        }
        memcpy(copy, effect->send.bytes.data, effect->send.bytes.size);
        assert_int_equal(open_sent(b, copy, effect->send.bytes.size, &opened), SEAL_GOOD);
        b->body = opened.body;
        assert_true(datagram_open(opened.body, head, &rest));
        memset(section, 0, sizeof *section);
        datagram_next(&rest, section);
        if (head->kind == kind) {
            return true;
        }
    }
    return false;
}

struct span bench_last_body(const struct bench *b)
{
    return b->body;
}

bool bench_has_effect(const struct bench *b, enum gossip_effect_kind kind)
{
    for (uint32_t i = 0; i < b->effects.count; i++) {
        if (b->effects.items[i].kind == kind) {
            return true;
        }
    }
    return false;
}

void bench_pass(struct bench *b, usec_t time_us)
{
    usec_t until_us = b->now_us + time_us;
    while (gossip_deadline(b->gossip) <= until_us) {
        b->now_us = usec_max(b->now_us, gossip_deadline(b->gossip));
        bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
    }
    b->now_us = until_us;
    bench_step(b, &(struct gossip_event){ .kind = GOSSIP_TICK });
}

const struct member *bench_sees(const struct bench *b, uint8_t who)
{
    static struct member seen;
    return gossip_find(b->gossip, bench_id(who), &seen) ? &seen : NULL;
}

struct bench *bench_with_members(uint32_t count)
{
    struct bench *b = bench_new();
    for (uint32_t i = 0; i < count; i++) {
        struct member member = bench_member((uint8_t)(2 + i), MEMBER_OWNING);
        bench_tell(b, (struct datagram_head){ .kind = DATAGRAM_SPREAD }, &member, NULL);
    }
    bench_pass(b, MSEC(500)); /* until they own */
    return b;
}

void bench_vote_down(struct bench *b, uint8_t observer, uint8_t subject)
{
    uint8_t packet[GOSSIP_PACKET_MAX];
    struct datagram d;
    struct datagram_head head = { .kind = DATAGRAM_SPREAD, .incarnation = 10 };
    struct datagram_votes votes = { .subject = bench_id(subject), .incarnation = 10, .count = 1 };
    votes.vote[0].observer = bench_id(observer);
    votes.vote[0].number = (uint64_t)b->now_us + 1;
    votes.vote[0].down = true;
    datagram_begin(&d, packet + SEAL_HEADER, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_votes(&d, &votes));
    bench_deliver(b, packet, seal_close(&b->seal, packet, d.used));
}

void bench_pass_in_good_health(struct bench *b, uint8_t highest, usec_t time_us)
{
    for (usec_t passed_us = 0; passed_us < time_us; passed_us += MSEC(200)) {
        for (uint8_t who = 2; who <= highest; who++) {
            struct gossip_event event = { .kind = GOSSIP_EVIDENCE };
            event.evidence.node = bench_id(who);
            bench_step(b, &event);
        }
        bench_pass(b, MSEC(200));
    }
}
