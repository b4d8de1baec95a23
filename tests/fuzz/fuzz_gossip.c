/* tests/fuzz/fuzz_gossip.c: a gossip machine among strangers and members that say anything.
 *
 * The input is a list of steps: an op byte, a size byte pair, and that many bytes. Raw bytes come
 * as packets; bodies come sealed by one of four members, so that what lies behind the seal is
 * reached too. The machine must never break a CHECK, spin, or overfill its effects. */
#include <stdlib.h>

#include "gossip/datagram.h"
#include "gossip/gossip.h"
#include "gossip/seal.h"

#define MEMBERS 6u
#define SENDERS 4u
#define TICKS_MAX 2000u /* in one advance of at most 4 s */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct gossip *gossip;
    struct seal senders[SENDERS];
    struct gossip_effects effects;
    usec_t now_us;
    bool has_ended;
};

static uint8_t memory[8 * 1024 * 1024];

static struct gossip_options options_of(uint8_t who)
{
    struct gossip_options options = { .cluster = span_text("atoll"), .members_max = MEMBERS };
    options.ring = (struct keyring){ .keys = { { .number = 1 } }, .count = 1 };
    options.self.id.b[0] = who;
    options.self.incarnation = 100;
    options.self.weight = 1;
    options.self.endpoint_count = 1;
    options.self.endpoints[0].address.port = who;
    options.boot[0] = who;
    return options;
}

static void step(struct fuzz *f, const struct gossip_event *event)
{
    struct now now = { .mono_us = f->now_us, .wall_us = SEC(1700000000) + f->now_us };
    gossip_step(f->gossip, now, event, &f->effects);
    CHECK(f->effects.count <= GOSSIP_EFFECTS_MAX);
    for (uint32_t i = 0; i < f->effects.count; i++) {
        const struct gossip_effect *effect = &f->effects.items[i];
        CHECK(effect->kind != GOSSIP_SEND || effect->send.bytes.size <= GOSSIP_PACKET_MAX);
        f->has_ended =
            f->has_ended || effect->kind == GOSSIP_LEFT || effect->kind == GOSSIP_IDENTITY_IN_USE;
    }
    uint64_t loads[64];
    CHECK(gossip_loads(f->gossip, loads, 64) <= MEMBERS);
}

static void start(struct fuzz *f, struct arena *mem)
{
    struct gossip_options options = options_of(1);
    CHECK(gossip_new(mem, &options, &f->gossip) == ERR_OK);
    for (uint8_t i = 0; i < SENDERS; i++) {
        options = options_of((uint8_t)(i + 1)); /* the first has our own id, and another boot */
        options.boot[0] = (uint8_t)(i + 100);
        CHECK(seal_init(&f->senders[i], mem, &options) == ERR_OK);
    }
    step(f, &(struct gossip_event){ .kind = GOSSIP_START });
    step(f, &(struct gossip_event){ .kind = GOSSIP_SEEDS });
}

static void deliver(struct fuzz *f, uint16_t port, uint8_t *packet, size_t size)
{
    struct gossip_event event = { .kind = GOSSIP_PACKET };
    event.packet.from.port = port;
    event.packet.data = packet;
    event.packet.size = size;
    step(f, &event);
}

static void deliver_raw(struct fuzz *f, struct span bytes)
{
    uint8_t *exact = malloc(bytes.size + 1); /* so that reading behind it is seen */
    CHECK(exact != NULL);
    memcpy(exact, bytes.data, bytes.size);
    deliver(f, 9, exact, bytes.size);
    free(exact);
}

static void deliver_sealed(struct fuzz *f, uint8_t sender, struct span body)
{
    uint8_t packet[GOSSIP_PACKET_MAX];
    size_t size = body.size < SEAL_BODY_MAX ? body.size : SEAL_BODY_MAX;
    memcpy(packet + SEAL_HEADER, body.data, size);
    deliver(f, sender + 1, packet, seal_close(&f->senders[sender], packet, size));
}

static struct node_id id_from(uint8_t byte)
{
    struct node_id id = { .b = { (uint8_t)(1 + byte % (MEMBERS + 2)) } };
    return id;
}

/* Mostly around the one everybody starts with. */
static uint64_t incarnation_from(uint8_t byte)
{
    return byte == 255 ? DATAGRAM_INCARNATION_MAX : 98u + byte % 8;
}

static void add_newest(struct datagram *d, const uint8_t *from)
{
    struct datagram_newest newest = { .era = from[1] % 2, .number = from[2], .id = { from[3] } };
    datagram_add_newest(d, &newest);
}

/* One bucket; of the key that the machine has, or of another. */
static void add_stages(struct datagram *d, const uint8_t *from)
{
    const uint8_t entries[] = { from[1] % 66, from[2] % 5, 0, from[3], 0, 0, 0, from[3], from[2] };
    struct datagram_stages stages = { .entries = span_of(entries, 7 + (entries[1] + 3u) / 4) };
    stages.key.v = from[2] % 2 == 0 ? cluster_key_id(&(struct cluster_key){ .number = 1 }).v : 1;
    datagram_add_stages(d, &stages);
}

static void add_exchange(struct datagram *d, const uint8_t *from)
{
    const uint8_t bytes[64] = { from[1], from[2], from[3] };
    const struct datagram_box box = { .public_key = { from[1] },
                                      .nonce = from[2],
                                      .sealed = span_of(bytes, from[3] % sizeof bytes) };
    if (from[3] % 2 == 0) {
        datagram_add_public(d, bytes);
    } else {
        datagram_add_box(d, &box);
    }
}

static void add_have(struct datagram *d, const uint8_t *from)
{
    struct datagram_writer writer;
    const uint16_t prints[2] = { get_u16(from + 1), get_u16(from + 2) };
    if (datagram_begin_have(d, from[1], &writer)) {
        datagram_add_prints(&writer, from[1] % DATAGRAM_BUCKETS, prints, from[2] % 3);
        datagram_add_prints(&writer, from[3] % DATAGRAM_BUCKETS, prints, from[3] % 3);
    }
}

static void add_contact(struct datagram *d, const uint8_t *from)
{
    const struct address contact = { .port = from[1] };
    datagram_add_contacts(d, &contact, from[2] % 2);
}

/* Four bytes of input become one well-formed section. */
static void add_section(struct datagram *d, const uint8_t *from)
{
    struct member member = options_of(1).self;
    struct datagram_state state = { .id = id_from(from[1]),
                                    .incarnation = incarnation_from(from[2]),
                                    .state = (enum member_state)(from[3] % 5),
                                    .how = { .ready = from[3] >= 128,
                                             .is_news = from[0] >= 64,
                                             .wait_us = (from[2] % 8) * MSEC(300) } };
    struct datagram_votes votes = { .subject = id_from(from[1]), .count = 1 };
    member.id = state.id;
    member.incarnation = state.incarnation;
    member.state = state.state;
    member.version = from[3] / 5 % 4;
    member.endpoints[0].address.port = from[0] / 8;
    votes.incarnation = state.incarnation;
    votes.vote[0].observer = id_from(from[3]);
    votes.vote[0].number = from[0];
    votes.vote[0].down = from[3] < 128;
    switch (from[0] % 11) {
    case 8:
        add_have(d, from);
        return;
    case 9:
        add_contact(d, from);
        return;
    case 10:
        datagram_add_young(d, from[1]);
        return;
    case 4:
        add_newest(d, from);
        return;
    case 5:
        add_stages(d, from);
        return;
    case 6:
        add_exchange(d, from);
        return;
    case 0:
        datagram_add_record(d, &member, state.how);
        return;
    case 1:
        datagram_add_state(d, &state);
        return;
    case 2:
        datagram_add_votes(d, &votes);
        return;
    default:
        datagram_add_mask(d, from[2] * UINT64_C(0x0101010101010101));
        return;
    }
}

static void deliver_built(struct fuzz *f, uint8_t sender, struct span bytes)
{
    struct datagram d;
    uint8_t body[SEAL_BODY_MAX];
    struct datagram_head head = { .kind = DATAGRAM_PING };
    if (bytes.size < 4) {
        return;
    }
    head.kind = (enum datagram_kind)(1 + bytes.data[0] % (DATAGRAM_REFUSED + 2));
    if (head.kind > DATAGRAM_REFUSED) {
        head.kind = head.kind == DATAGRAM_REFUSED + 1 ? DATAGRAM_KEYS_ASK : DATAGRAM_KEYS_GIVE;
    }
    head.number = bytes.data[1]; /* pings are numbered from 1 */
    head.incarnation = incarnation_from(bytes.data[2]);
    head.about = incarnation_from((uint8_t)(bytes.data[2] / 8));
    head.target = bytes.data[3] % 3 == 0 ? (struct node_id){ .b = { 0 } } : id_from(bytes.data[3]);
    datagram_begin(&d, body, sizeof body, &head);
    for (size_t i = 4; i + 4 <= bytes.size; i += 4) {
        add_section(&d, bytes.data + i);
    }
    deliver_sealed(f, sender, span_of(body, d.used));
}

static void advance(struct fuzz *f, usec_t by_us)
{
    usec_t until_us = f->now_us + by_us;
    for (uint32_t ticks = 0; gossip_deadline(f->gossip) <= until_us; ticks++) {
        CHECK(ticks < TICKS_MAX);
        f->now_us = usec_max(f->now_us, gossip_deadline(f->gossip));
        step(f, &(struct gossip_event){ .kind = GOSSIP_TICK });
    }
    f->now_us = until_us;
}

static void rotate(struct fuzz *f, uint8_t op)
{
    const struct key_rotation rotation = { .key = { .ttl_s = op / 16u, .gossip = { op } },
                                           .revokes = op >= 200 };
    struct gossip_event event = { .kind = GOSSIP_ROTATE,
                                  .rotate = { .id = 1, .rotation = &rotation } };
    step(f, &event);
    event = (struct gossip_event){ .kind = GOSSIP_KEPT, .kept = { .serial = op / 9u } };
    step(f, &event);
}

static void act(struct fuzz *f, uint8_t op, struct span bytes)
{
    struct gossip_event event = { .kind = GOSSIP_EVIDENCE };
    switch (op % 9) {
    case 8:
        rotate(f, op);
        return;
    case 0:
        deliver_raw(f, bytes);
        return;
    case 1:
        deliver_sealed(f, op / 8 % SENDERS, bytes);
        return;
    case 2:
    case 3:
        deliver_built(f, op / 8 % SENDERS, bytes);
        return;
    case 4:
        advance(f, MSEC(1) + (usec_t)bytes.size * MSEC(10));
        return;
    case 5:
        f->now_us += SEC(op / 8); /* it stands still */
        return;
    case 6:
        event.evidence.node.b[0] = op / 8 % SENDERS + 1;
        step(f, &event);
        return;
    default:
        event.kind = op / 8 % 8 == 0 ? GOSSIP_LEAVE : GOSSIP_READY;
        event.leave.drained = op >= 128;
        step(f, &event);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    struct span rest = span_of(data, size);
    struct arena mem;
    memset(&fuzz, 0, sizeof fuzz);
    arena_init(&mem, memory, sizeof memory);
    start(&fuzz, &mem);
    while (rest.size >= 3 && !fuzz.has_ended) {
        size_t take = get_u16(rest.data + 1) % 400;
        take = take < rest.size - 3 ? take : rest.size - 3;
        act(&fuzz, rest.data[0], span_of(rest.data + 3, take));
        rest = span_of(rest.data + 3 + take, rest.size - 3 - take);
    }
    advance(&fuzz, SEC(2));
    CHECK(gossip_count(fuzz.gossip) >= 1 && gossip_count(fuzz.gossip) <= MEMBERS);
    return 0;
}
