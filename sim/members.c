/* sim/members.c: starts and ends machines, carries their packets, and gives them the time. */
#include "sim/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"

#define BASE_PORT 7000u
#define RECORDS_EACH 8u /* versions of one member that are remembered by anybody */
#define SOCKET_BYTES \
    (208u << 10)          /* Linux's default receive buffer; a packet takes about twice its size */
#define SOCKET_SHARE 768u /* what the kernel adds to each */
#define CACHE_LINE 64u
#define HOT_LINES 12u                /* at the front of a machine */
#define LARGE_PAGES_MOST (2ul << 30) /* bytes of machines: 2,000 take 3 GiB, most of it unused */
#define POLL_US MSEC(1) /* the shell's poll counts in milliseconds (node/io/gossip_actor.c) */

struct members_packet {
    struct happening arrival;
    struct members *members;
    struct members_packet *next;
    uint32_t from;
    uint32_t to;
    uint16_t port; /* it was sent to */
    size_t size;
    uint8_t bytes[GOSSIP_PACKET_MAX];
};

/* ---- addresses --------------------------------------------------------------------------------- */

static uint16_t port_of(const struct members_node *node)
{
    return (uint16_t)(BASE_PORT + (node->elsewhere ? node->lives : 0));
}

static struct address address_of(const struct members_node *node)
{
    struct address address = { .port = port_of(node) };
    address.ip[10] = 0xff;
    address.ip[11] = 0xff;
    address.ip[12] = 10;
    address.ip[13] = (uint8_t)(node->index >> 16);
    address.ip[14] = (uint8_t)(node->index >> 8);
    address.ip[15] = (uint8_t)node->index;
    return address;
}

static uint32_t index_of(const struct address *address)
{
    return (uint32_t)address->ip[13] << 16 | (uint32_t)address->ip[14] << 8 | address->ip[15];
}

/* ---- packets ----------------------------------------------------------------------------------- */

static struct members_packet *packet_new(struct members *m)
{
    struct members_packet *packet = m->spare;
    if (packet == NULL) {
        packet = calloc(1, sizeof *packet);
        CHECK(packet != NULL);
        packet->members = m;
        return packet;
    }
    m->spare = packet->next;
    return packet;
}

static void packet_free(struct members *m, struct members_packet *packet)
{
    packet->next = m->spare;
    m->spare = packet;
}

static void take(struct members *m, struct members_node *node, struct members_packet *packet)
{
    struct gossip_event event = { .kind = GOSSIP_PACKET };
    event.packet.from = address_of(&m->nodes[packet->from]);
    event.packet.data = packet->bytes;
    event.packet.size = packet->size;
    members_event(m, node->index, &event);
}

static void hold(struct members *m, struct members_node *node, struct members_packet *packet)
{
    const uint32_t takes = (uint32_t)packet->size + SOCKET_SHARE;
    if (node->held_bytes + takes > SOCKET_BYTES) {
        packet_free(m, packet);
        return;
    }
    node->held_bytes += takes;
    packet->next = node->held; /* the last one first: turned round when it runs again */
    node->held = packet;
}

static void arrive(struct world *world, struct happening *what)
{
    struct members_packet *packet = CONTAINER_OF(what, struct members_packet, arrival);
    struct members *m = packet->members;
    struct members_node *node = &m->nodes[packet->to];
    if (node->gossip == NULL || port_of(node) != packet->port) {
        packet_free(m, packet);
        return;
    }
    ledger_count(&m->ledger, &node->meter, world->now_us, MEMBERS_IN, (uint32_t)packet->size);
    if (node->paused) {
        hold(m, node, packet);
        return;
    }
    take(m, node, packet);
    packet_free(m, packet);
}

static bool is_lost(struct members *m, const struct members_node *from,
                    const struct members_node *to)
{
    return from->side != to->side || rng_chance(&m->rng, m->weather.loss) ||
           (from->loss_out > 0 && rng_chance(&m->rng, from->loss_out)) ||
           (to->loss_in > 0 && rng_chance(&m->rng, to->loss_in));
}

static void post(struct members *m, const struct members_node *from, const struct address *to,
                 struct span bytes)
{
    struct members_packet *packet = packet_new(m);
    for (uint32_t line = 0; line < HOT_LINES; line++) { /* it will be wanted in a moment */
        __builtin_prefetch((const uint8_t *)m->nodes[index_of(to)].gossip + line * CACHE_LINE);
    }
    packet->arrival.fire = arrive;
    packet->from = from->index;
    packet->to = index_of(to);
    packet->port = to->port;
    packet->size = bytes.size;
    memcpy(packet->bytes, bytes.data, bytes.size);
    world_set(m->world, &packet->arrival,
              m->weather.delay_us + rng_between(&m->rng, 0, m->weather.jitter_us));
}

static void send_packet(struct members *m, struct members_node *from,
                        const struct gossip_effect *effect)
{
    const struct address *to = &effect->send.to;
    const struct span bytes = effect->send.bytes;
    m->packets++;
    ledger_count(&m->ledger, &from->meter, m->world->now_us, MEMBERS_OUT, (uint32_t)bytes.size);
    world_log(m->world, from->index, index_of(to), bytes.size, get_u64(bytes.data + 44));
    if (index_of(to) >= m->count || is_lost(m, from, &m->nodes[index_of(to)])) {
        return;
    }
    post(m, from, to, bytes);
    if (m->weather.twice > 0 && rng_chance(&m->rng, m->weather.twice)) {
        post(m, from, to, bytes);
    }
}

/* ---- what machines want ------------------------------------------------------------------------ */

static void look_at_ring(struct members *m, struct members_node *node)
{
    const struct gossip_owners owners = gossip_owners(node->gossip);
    if (owners.digest != node->ring) {
        node->ring = owners.digest;
        node->ring_size = owners.count;
        node->epochs++;
        node->ring_us = m->world->now_us;
        world_log(m->world, node->index, owners.digest, owners.count, 0);
    }
}

static void give_seeds(struct members *m, struct members_node *node)
{
    struct address seeds[MEMBERS_SEEDS];
    struct gossip_event event = { .kind = GOSSIP_SEEDS };
    for (uint32_t i = 0; i < MEMBERS_SEEDS && i < m->count; i++) {
        seeds[event.seeds.count++] = address_of(&m->nodes[i]);
    }
    event.seeds.addresses = seeds;
    members_event(m, node->index, &event);
}

static struct members_node *node_of(struct members *m, struct node_id id)
{
    const uint64_t index = get_u64(id.b + 8);
    CHECK(index < m->count);
    return &m->nodes[index];
}

/* What a member believes that is to be in no ring itself is no removal: nobody shares it. */
static void look_at_death(struct members *m, const struct members_node *observer,
                          const struct gossip_effect *effect)
{
    struct members_node *node = node_of(m, effect->node);
    if (node->gossip == NULL || node->is_faulty || !observer->is_expected ||
        gossip_self(node->gossip).incarnation != effect->incarnation) {
        return;
    }
    if (node->wronged != effect->incarnation) {
        node->wronged = effect->incarnation;
        m->faults.removed++;
        world_say(m->world, "node %u is removed by node %u though it is well", node->index,
                  observer->index);
    }
}

/* What else the machine wants, once all its effects are carried out. */
struct wishes {
    bool seeds;
    bool end;
};

static void notice(struct members *m, const struct members_node *observer,
                   const struct gossip_effect *effect)
{
    if (m->noticed != NULL) {
        m->noticed(m, observer, effect);
    }
}

static void carry_out(struct members *m, struct members_node *node,
                      const struct gossip_effect *effect, struct wishes *wishes)
{
    switch (effect->kind) {
    case GOSSIP_SEND:
        send_packet(m, node, effect);
        return;
    case GOSSIP_VIEW:
        look_at_ring(m, node);
        return;
    case GOSSIP_RESOLVE:
        wishes->seeds = true;
        return;
    case GOSSIP_PERSIST:
        CHECK(effect->incarnation > node->persisted);
        node->persisted = effect->incarnation;
        return;
    case GOSSIP_LEFT:
        wishes->end = true;
        return;
    case GOSSIP_IDENTITY_IN_USE:
        m->faults.in_use++;
        wishes->end = true;
        return;
    case GOSSIP_MEMBER_DEAD:
        look_at_death(m, node, effect);
        notice(m, node, effect);
        return;
    case GOSSIP_MEMBER_JOINED:
    case GOSSIP_MEMBER_LEFT:
        notice(m, node, effect);
        return;
    case GOSSIP_KEYRING:
        node->ring_of_keys = *gossip_ring(node->gossip);
        node->kept = effect->keyring.serial;
        return;
    case GOSSIP_MEMBER_SUSPECT:
        m->faults.suspected++;
        return;
    case GOSSIP_PEER_CATALOG:
    case GOSSIP_STAGES:
    case GOSSIP_ROTATED:
    case GOSSIP_MEMBER_REFUTED:
    case GOSSIP_HELD_BACK:
        return;
    }
}

static struct now now_of(const struct members_node *node)
{
    const usec_t now_us = node->members->world->now_us;
    return (struct now){ .mono_us = now_us + node->mono_us,
                         .wall_us = WORLD_WALL_US + now_us + node->wall_us };
}

static void set_tick(struct members *m, struct members_node *node)
{
    const usec_t due_us = gossip_deadline(node->gossip);
    const usec_t now_us = m->world->now_us;
    if (due_us == USEC_NEVER) {
        world_cancel(m->world, &node->tick);
        return;
    }
    const usec_t wait_us = usec_max(due_us - node->mono_us - now_us, 0);
    world_set(m->world, &node->tick, (wait_us + POLL_US - 1) / POLL_US * POLL_US);
}

void members_event(struct members *m, uint32_t index, const struct gossip_event *event)
{
    struct members_node *node = &m->nodes[index];
    struct wishes wishes = { false, false };
    CHECK(node->gossip != NULL && !node->paused);
    m->steps++;
    m->world->steps++;
    gossip_step(node->gossip, now_of(node), event, m->effects);
    for (uint32_t i = 0; i < m->effects->count; i++) {
        carry_out(m, node, &m->effects->items[i], &wishes);
    }
    if (wishes.end) {
        members_crash(m, index);
        return;
    }
    if (wishes.seeds) {
        give_seeds(m, node);
    }
    if (node->kept != node->kept_told) {
        node->kept_told = node->kept;
        members_event(
            m, index,
            &(struct gossip_event){ .kind = GOSSIP_KEPT, .kept = { .serial = node->kept } });
    }
    set_tick(m, node);
}

static void tick(struct world *world, struct happening *what)
{
    struct members_node *node = CONTAINER_OF(what, struct members_node, tick);
    CHECK(world == node->members->world);
    members_event(node->members, node->index, &(struct gossip_event){ .kind = GOSSIP_TICK });
}

/* ---- processes --------------------------------------------------------------------------------- */

static void thaw(struct world *world, struct happening *what)
{
    struct members_node *node = CONTAINER_OF(what, struct members_node, thaw);
    struct members *m = node->members;
    struct members_packet *first = NULL;
    CHECK(world == m->world);
    node->paused = false;
    while (node->held != NULL) {
        struct members_packet *packet = node->held;
        node->held = packet->next;
        packet->next = first;
        first = packet;
    }
    node->held_bytes = 0;
    set_tick(m, node);
    while (first != NULL) {
        struct members_packet *packet = first;
        first = packet->next;
        if (node->gossip != NULL) {
            take(m, node, packet);
        }
        packet_free(m, packet);
    }
}

void members_pause(struct members *m, uint32_t index, usec_t for_us)
{
    struct members_node *node = &m->nodes[index];
    CHECK(node->gossip != NULL && !node->paused);
    node->paused = true;
    world_cancel(m->world, &node->tick);
    world_set(m->world, &node->thaw, for_us);
}

static uint32_t members_max_of(const struct members *m)
{
    const uint32_t wanted = m->options.members_max;
    return wanted > 0 ? wanted : m->count + m->count / 8 + 16;
}

static struct member record_of(const struct members_node *node)
{
    struct member self = { .id = node->id, .weight = 1, .serve_weight = 1, .endpoint_count = 3 };
    const uint64_t clock = (uint64_t)now_of(node).wall_us / 1000 << 16;
    self.incarnation = node->persisted + 1 > clock ? node->persisted + 1 : clock;
    snprintf(self.name, sizeof self.name, "node-%05u.cluster", node->index);
    snprintf(self.zone, sizeof self.zone, "zone-%u", node->index % 3);
    for (uint32_t i = 0; i < self.endpoint_count; i++) {
        self.endpoints[i].purpose = (enum endpoint_purpose)i;
        self.endpoints[i].address = address_of(node);
        self.endpoints[i].address.port = (uint16_t)(self.endpoints[i].address.port + i * 10000);
    }
    return self;
}

/* Of everybody's cluster file. */
static struct keyring first_ring(void)
{
    const struct cluster_key key = { .number = 1, .gossip = { 1 } };
    struct keyring ring;
    keyring_init(&ring, &key);
    return ring;
}

void members_start(struct members *m, uint32_t index)
{
    struct members_node *node = &m->nodes[index];
    struct arena mem;
    CHECK(node->gossip == NULL);
    node->lives++;
    struct gossip_options options = { .cluster = span_text("atoll"),
                                      .insecure = !m->options.sealed,
                                      .self = record_of(node),
                                      .seed = hash64_mix(m->options.seed + index, node->lives),
                                      .members_max = members_max_of(m),
                                      .records = m->records,
                                      .marks = m->marks };
    node->kept = 0;
    node->kept_told = 0;
    options.ring = node->ring_of_keys.count > 0 ? node->ring_of_keys : first_ring();
    put_u64(options.secret, hash64_mix(index, node->lives));
    put_u64(options.boot, index);
    put_u64(options.boot + 8, node->lives);
    uint8_t *memory = m->machines + index * m->machine_size;
    if (node->last != NULL) {
        gossip_end(node->last);
        node->last = NULL;
        memset(memory, 0, m->machine_size);
    }
    arena_init_zero(&mem, memory, m->machine_size);
    enum err err = gossip_new(&mem, &options, &node->gossip);
    CHECK(err == ERR_OK);
    node->ring = 0;
    node->epochs = 0;
    members_event(m, index, &(struct gossip_event){ .kind = GOSSIP_START });
    members_event(m, index, &(struct gossip_event){ .kind = GOSSIP_READY });
}

void members_crash(struct members *m, uint32_t index)
{
    struct members_node *node = &m->nodes[index];
    CHECK(node->gossip != NULL);
    ledger_flush(&m->ledger, &node->meter);
    world_cancel(m->world, &node->tick);
    node->last = node->gossip;
    node->gossip = NULL;
}

void members_renew(struct members *m, uint32_t index)
{
    struct members_node *node = &m->nodes[index];
    CHECK(node->gossip == NULL);
    node->renewed++;
    node->persisted = 0;
    node->ring_of_keys = (struct keyring){ 0 };
    put_u64(node->id.b, hash64_mix(m->options.seed + node->renewed, index));
}

void members_leave(struct members *m, uint32_t index, bool drained)
{
    members_event(m, index,
                  &(struct gossip_event){ .kind = GOSSIP_LEAVE, .leave = { .drained = drained } });
}

void members_rotate(struct members *m, uint32_t index, uint8_t byte, uint32_t ttl_s)
{
    const struct key_rotation rotation = { .key = { .ttl_s = ttl_s, .gossip = { byte } } };
    members_event(m, index,
                  &(struct gossip_event){ .kind = GOSSIP_ROTATE,
                                          .rotate = { .id = 1, .rotation = &rotation } });
}

bool members_use_key(const struct members *m, uint8_t byte, uint32_t open)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct members_node *node = &m->nodes[i];
        if (node->gossip == NULL || !node->is_expected) {
            continue;
        }
        const struct keyring *ring = gossip_ring(node->gossip);
        if (keyring_present(ring)->gossip[0] != byte || ring->count != open) {
            return false;
        }
    }
    return true;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void keep_records(struct members *m)
{
    struct arena arena;
    const uint32_t limit = RECORDS_EACH * members_max_of(m);
    const size_t size = records_memory(limit);
    m->records_memory = malloc(size);
    CHECK(m->records_memory != NULL);
    arena_init(&arena, m->records_memory, size);
    const enum err err = records_new(&arena, limit, &m->records);
    CHECK(err == ERR_OK);
}

/* All in one piece, in large pages: with small ones the processor would spend a third of its time
 * on finding them. Memory of very many machines is not used to its end, so that small ones save
 * most of it. */
static void keep_machines(struct members *m)
{
    const size_t size = gossip_memory(members_max_of(m), m->records);
    m->machine_size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    m->machines = mmap(NULL, m->machine_size * m->count, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(m->machines != MAP_FAILED);
    if (m->machine_size * m->count <= LARGE_PAGES_MOST) {
        (void)madvise(m->machines, m->machine_size * m->count, MADV_HUGEPAGE);
    }
}

struct members *members_new(const struct members_options *options, struct marks *marks)
{
    struct members *m = calloc(1, sizeof *m);
    CHECK(m != NULL && options->nodes > 0);
    m->world = world_new(options->seed, marks);
    m->options = *options;
    m->weather = (struct members_weather){ .delay_us = 100, .jitter_us = 1900 };
    rng_init(&m->rng, options->seed, 20);
    m->count = options->nodes;
    m->marks = marks;
    m->nodes = calloc(m->count, sizeof *m->nodes);
    m->effects = malloc(sizeof *m->effects);
    CHECK(m->nodes != NULL && m->effects != NULL);
    keep_records(m);
    keep_machines(m);
    for (uint32_t i = 0; i < m->count; i++) {
        struct members_node *node = &m->nodes[i];
        node->members = m;
        node->index = i;
        node->tick.fire = tick;
        node->thaw.fire = thaw;
        put_u64(node->id.b, hash64_mix(options->seed, i));
        put_u64(node->id.b + 8, i); /* so that an id is found without a search */
        node->mono_us = rng_between(&m->rng, SEC(1), SEC(1000000));
        node->wall_us = rng_between(&m->rng, -SEC(1), SEC(1));
    }
    return m;
}

static void free_packets(struct members_packet **first)
{
    while (*first != NULL) {
        struct members_packet *packet = *first;
        *first = packet->next;
        free(packet);
    }
}

void members_free(struct members **pointer)
{
    struct members *m = *pointer;
    for (struct timer *timer = timers_expire(&m->world->heap, USEC_NEVER - 1); timer != NULL;
         timer = timers_expire(&m->world->heap, USEC_NEVER - 1)) {
        struct happening *what = CONTAINER_OF(timer, struct happening, timer);
        if (what->fire == arrive) {
            free(CONTAINER_OF(what, struct members_packet, arrival));
        }
    }
    for (uint32_t i = 0; i < m->count; i++) {
        free_packets(&m->nodes[i].held);
    }
    munmap(m->machines, m->machine_size * m->count);
    free_packets(&m->spare);
    world_free(&m->world);
    free(m->records_memory);
    free(m->nodes);
    free(m->effects);
    free(m);
    *pointer = NULL;
}

void members_run(struct members *m, usec_t us)
{
    world_run(m->world, us);
}
