#include "tests/unit/gossip/net.h"

#define EPOCH_US SEC(1700000000)
#define PORT_BASE 1000u

struct keyring net_ring(uint8_t byte)
{
    struct cluster_key key = { .number = 1 };
    struct keyring ring;
    memset(key.gossip, byte, sizeof key.gossip);
    keyring_init(&ring, &key);
    return ring;
}

struct net *net_new(uint32_t count, uint64_t seed)
{
    struct net *net = calloc(1, sizeof *net);
    assert_non_null(net);
    assert_true(count <= NET_NODES_MAX);
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&net->rng, seed, 0);
    net->count = count;
    net->delay_min_us = 100;
    net->delay_max_us = 2000;
    net->members_max = 64;
    net->seeds[0] = PORT_BASE;
    net->seed_count = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct net_node *node = &net->nodes[i];
        put_u64(node->id.b, hash64_mix(i, 11));
        put_u64(node->id.b + 8, hash64_mix(i, 12));
        node->port = (uint16_t)(PORT_BASE + i);
        node->ready_at_once = true;
        strcpy(node->cluster, "atoll");
    }
    return net;
}

void net_free(struct net **net)
{
    for (uint32_t i = 0; i < (*net)->count; i++) {
        free((*net)->nodes[i].memory);
    }
    for (uint32_t i = 0; i < (*net)->packet_count; i++) {
        free((*net)->packets[i]);
    }
    free((*net)->packets);
    free(*net);
    *net = NULL;
}

/* ---- packets in flight ---- */

static bool is_before(const struct net_packet *a, const struct net_packet *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap_packets(struct net *net, uint32_t a, uint32_t b)
{
    struct net_packet *packet = net->packets[a];
    net->packets[a] = net->packets[b];
    net->packets[b] = packet;
}

static void push_packet(struct net *net, struct net_packet *packet)
{
    if (net->packet_count == net->packet_room) {
        net->packet_room = net->packet_room * 2 + 64;
        net->packets = realloc(net->packets, net->packet_room * sizeof(struct net_packet *));
        assert_non_null(net->packets);
    }
    uint32_t at = net->packet_count++;
    net->packets[at] = packet;
    for (; at > 0 && is_before(net->packets[at], net->packets[(at - 1) / 2]); at = (at - 1) / 2) {
        swap_packets(net, at, (at - 1) / 2);
    }
}

static struct net_packet *pop_packet(struct net *net)
{
    struct net_packet *first = net->packets[0];
    net->packets[0] = net->packets[--net->packet_count];
    for (uint32_t at = 0;;) {
        uint32_t least = 2 * at + 1;
        if (least >= net->packet_count) {
            return first;
        }
        if (least + 1 < net->packet_count &&
            is_before(net->packets[least + 1], net->packets[least])) {
            least++;
        }
        if (!is_before(net->packets[least], net->packets[at])) {
            return first;
        }
        swap_packets(net, at, least);
        at = least;
    }
}

static struct net_node *node_at(struct net *net, uint16_t port)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].port == port) {
            return &net->nodes[i];
        }
    }
    return NULL;
}

void net_inject(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, size_t size)
{
    const struct net_node *node = node_at(net, from);
    const usec_t sent_us = usec_max(net->now_us, node == NULL ? 0 : node->sends_at_us);
    struct net_packet *packet = calloc(1, sizeof *packet);
    assert_non_null(packet);
    packet->at_us = sent_us + rng_between(&net->rng, net->delay_min_us, net->delay_max_us);
    packet->order = net->next_order++;
    packet->from = from;
    packet->to = to;
    packet->size = size < sizeof packet->bytes ? size : sizeof packet->bytes;
    memcpy(packet->bytes, bytes, packet->size);
    push_packet(net, packet);
}

static void transmit(struct net *net, const struct net_node *from, const struct gossip_effect *e)
{
    const struct net_node *to = node_at(net, e->send.to.port);
    net->sent_packets++;
    net->sent_bytes += e->send.bytes.size + 28; /* IPv4 and UDP headers */
    net->trace = hash64(e->send.bytes.data, e->send.bytes.size,
                        hash64_mix(net->trace, (uint64_t)net->now_us));
    assert_true(e->send.bytes.size <= GOSSIP_PACKET_MAX);
    if (to == NULL || net->is_blocked[from - net->nodes][to - net->nodes] ||
        rng_chance(&net->rng, net->loss_permille * 1000) ||
        (from->loss_out_permille > 0 && rng_chance(&net->rng, from->loss_out_permille * 1000)) ||
        (to->loss_in_permille > 0 && rng_chance(&net->rng, to->loss_in_permille * 1000))) {
        return;
    }
    net_inject(net, from->port, e->send.to.port, e->send.bytes.data, e->send.bytes.size);
}

/* ---- processes ---- */

static struct address address_of(uint16_t port)
{
    struct address address = { .port = port };
    return address;
}

static bool is_disturbed(const struct net *net, uint32_t node)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->is_blocked[i][node] || net->is_blocked[node][i]) {
            return true;
        }
    }
    return net->nodes[node].paused_until_us + SEC(15) > net->now_us;
}

static void look_at_view(struct net *net, struct net_node *node)
{
    uint64_t owners = gossip_owners(node->gossip).digest;
    node->views++;
    node->rings += owners != node->owners ? 1 : 0;
    node->owners = owners;
    for (uint32_t i = 0; i < net->count; i++) {
        const struct net_node *other = &net->nodes[i];
        struct member seen;
        const bool is_dead =
            gossip_find(node->gossip, other->id, &seen) && seen.state == MEMBER_DEAD;
        if (is_dead && other->gossip != NULL && !other->has_left && !is_disturbed(net, i) &&
            gossip_self(other->gossip).incarnation == seen.incarnation) {
            net->false_deaths++;
        }
    }
}

static void give_seeds(struct net *net, uint32_t index)
{
    struct address seeds[NET_SEEDS_MAX];
    struct gossip_event event = { .kind = GOSSIP_SEEDS };
    for (uint32_t i = 0; i < net->seed_count; i++) {
        seeds[i] = address_of(net->seeds[i]);
    }
    event.seeds.addresses = seeds;
    event.seeds.count = net->seed_count;
    net_event(net, index, &event);
}

/* On disk at once; or not, and nothing is heard of it, or that it was refused. */
static void keep_ring(struct net *net, struct net_node *node, uint64_t serial)
{
    if (node->disk_is_slow) {
        return;
    }
    node->kept = (struct gossip_event){ .kind = GOSSIP_KEPT, .kept = { .serial = serial } };
    if (node->disk_is_full) {
        node->kept.kept.err = ERR_SYSTEM;
        return;
    }
    node->ring = *gossip_ring(node->gossip);
    node->kept_at_us = net->now_us;
}

static bool carry_out(struct net *net, struct net_node *node, const struct gossip_effect *effect)
{
    switch (effect->kind) {
    case GOSSIP_SEND:
        transmit(net, node, effect);
        return false;
    case GOSSIP_VIEW:
        look_at_view(net, node);
        return false;
    case GOSSIP_RESOLVE:
        return true;
    case GOSSIP_PERSIST:
        assert_true(effect->incarnation > node->persisted);
        node->persisted = effect->incarnation;
        return false;
    case GOSSIP_LEFT:
        node->has_left = true;
        return false;
    case GOSSIP_PEER_CATALOG:
        node->peer_catalog = effect->catalog.digest;
        node->peer_catalogs++;
        return false;
    case GOSSIP_IDENTITY_IN_USE:
        node->in_use = true;
        return false;
    case GOSSIP_KEYRING:
        keep_ring(net, node, effect->keyring.serial);
        return false;
    case GOSSIP_ROTATED:
        node->rotated = true;
        node->rotated_err = effect->rotated.err;
        return false;
    case GOSSIP_STAGES:
        return false;
    case GOSSIP_MEMBER_SUSPECT:
        node->suspects++;
        return false;
    case GOSSIP_MEMBER_DEAD:
        node->deaths++;
        return false;
    case GOSSIP_MEMBER_JOINED:
    case GOSSIP_MEMBER_REFUTED:
    case GOSSIP_MEMBER_LEFT:
    case GOSSIP_HELD_BACK:
        return false;
    }
    return false;
}

void net_event(struct net *net, uint32_t index, const struct gossip_event *event)
{
    static struct gossip_effects effects;
    struct net_node *node = &net->nodes[index];
    struct now now = { .mono_us = net->now_us, .wall_us = EPOCH_US + net->now_us };
    now.wall_us -= node->clock_behind_us;
    bool resolve = false;
    gossip_step(node->gossip, now, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        resolve = carry_out(net, node, &effects.items[i]) || resolve;
    }
    if (node->in_use || node->has_left) {
        net_crash(net, index);
        return;
    }
    if (resolve) {
        give_seeds(net, index);
    }
    if (node->gossip != NULL && node->kept.kept.serial != 0) {
        const struct gossip_event kept = node->kept;
        node->kept.kept.serial = 0;
        net_event(net, index, &kept);
    }
}

void net_start(struct net *net, uint32_t index)
{
    struct net_node *node = &net->nodes[index];
    struct gossip_options options = { .cluster = span_text(node->cluster),
                                      .insecure = node->is_insecure,
                                      .members_max = net->members_max,
                                      .marks = &net->marks };
    struct arena mem;
    size_t size = gossip_memory(net->members_max, NULL);
    uint64_t clock = (uint64_t)(EPOCH_US + net->now_us - node->clock_behind_us) / 1000 << 16;
    assert_null(node->gossip);
    if (node->ring.count == 0) {
        node->ring = net_ring(node->key);
    }
    options.ring = node->ring;
    put_u64(options.secret, hash64_mix(net->boots, 13));
    node->kept.kept.serial = 0;
    options.seed = rng_next(&net->rng);
    put_u64(options.boot, ++net->boots);
    options.self.id = node->id;
    options.self.incarnation = node->persisted + 1 > clock ? node->persisted + 1 : clock;
    options.self.weight = 1;
    options.self.name[0] = (char)('a' + index);
    options.self.endpoint_count = 1;
    options.self.endpoints[0].purpose = ENDPOINT_GOSSIP;
    options.self.endpoints[0].address = address_of(node->port);
    free(node->memory);
    node->memory = malloc(size);
    node->has_left = false;
    node->in_use = false;
    node->rings = 0;
    node->views = 0;
    node->paused_until_us = 0;
    arena_init(&mem, node->memory, size);
    assert_int_equal(gossip_new(&mem, &options, &node->gossip), ERR_OK);
    net_event(net, index, &(struct gossip_event){ .kind = GOSSIP_START });
    if (node->ready_at_once) {
        net_event(net, index, &(struct gossip_event){ .kind = GOSSIP_READY });
    }
}

void net_all_are_seeds(struct net *net)
{
    assert_true(net->count <= NET_SEEDS_MAX);
    for (uint32_t i = 0; i < net->count; i++) {
        net->seeds[i] = net->nodes[i].port;
    }
    net->seed_count = net->count;
}

void net_start_all(struct net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        net_start(net, i);
    }
}

struct net *net_started(uint32_t count, uint64_t seed)
{
    struct net *net = net_new(count, seed);
    net_start_all(net);
    assert_true(net_settle(net, SEC(20)) != USEC_NEVER);
    return net;
}

uint64_t net_unopened(const struct net *net)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].gossip != NULL) {
            const struct gossip_stats *stats = gossip_stats(net->nodes[i].gossip);
            count += stats->dropped_key + stats->dropped_unsealed;
        }
    }
    return count;
}

void net_crash(struct net *net, uint32_t index)
{
    net->nodes[index].gossip =
        NULL; /* its memory lives until the next start: effects point there */
}

void net_pause(struct net *net, uint32_t index, usec_t for_us)
{
    net->nodes[index].paused_until_us = net->now_us + for_us;
}

void net_leave(struct net *net, uint32_t index, bool drained)
{
    net_event(net, index,
              &(struct gossip_event){ .kind = GOSSIP_LEAVE, .leave = { .drained = drained } });
}

void net_block(struct net *net, uint32_t from, uint32_t to, bool is_blocked)
{
    net->is_blocked[from][to] = is_blocked;
}

void net_partition(struct net *net, uint32_t side, bool is_blocked)
{
    for (uint32_t i = 0; i < side; i++) {
        for (uint32_t j = side; j < net->count; j++) {
            net_block(net, i, j, is_blocked);
            net_block(net, j, i, is_blocked);
        }
    }
}

/* ---- time ---- */

static usec_t wakes_at(const struct net *net, const struct net_node *node)
{
    if (node->gossip == NULL) {
        return USEC_NEVER;
    }
    usec_t at_us = usec_max(gossip_deadline(node->gossip), net->now_us);
    return usec_max(at_us, node->paused_until_us);
}

static void deliver(struct net *net)
{
    struct net_packet *packet = pop_packet(net);
    struct net_node *node = node_at(net, packet->to);
    net->now_us = usec_max(net->now_us, packet->at_us);
    if (node == NULL || node->gossip == NULL) {
        free(packet);
        return;
    }
    if (node->paused_until_us > net->now_us) { /* it waits in the socket */
        packet->at_us = node->paused_until_us;
        push_packet(net, packet);
        return;
    }
    struct gossip_event event = { .kind = GOSSIP_PACKET };
    event.packet.from = address_of(packet->from);
    event.packet.data = packet->bytes;
    event.packet.size = packet->size;
    net_event(net, (uint32_t)(node - net->nodes), &event);
    free(packet);
}

void net_run(struct net *net, usec_t for_us)
{
    usec_t until_us = net->now_us + for_us;
    for (;;) {
        usec_t packet_us = net->packet_count > 0 ? net->packets[0]->at_us : USEC_NEVER;
        usec_t wake_us = USEC_NEVER;
        uint32_t waker = 0;
        for (uint32_t i = 0; i < net->count; i++) {
            usec_t at_us = wakes_at(net, &net->nodes[i]);
            waker = at_us < wake_us ? i : waker;
            wake_us = usec_min(wake_us, at_us);
        }
        if (usec_min(packet_us, wake_us) > until_us) {
            break;
        }
        if (packet_us <= wake_us) {
            deliver(net);
            continue;
        }
        net->ticks_at_once = wake_us > net->now_us ? 0 : net->ticks_at_once + 1;
        assert_true(net->ticks_at_once < 1000);
        net->now_us = wake_us;
        net_event(net, waker, &(struct gossip_event){ .kind = GOSSIP_TICK });
    }
    net->now_us = until_us;
}

/* ---- looking ---- */

const struct member *net_sees(const struct net *net, uint32_t node, uint32_t other)
{
    static struct member kept[2];
    static uint32_t next;
    struct member *seen = &kept[next++ % 2];
    return gossip_find(net->nodes[node].gossip, net->nodes[other].id, seen) ? seen : NULL;
}

bool net_is_held(const struct net *net, uint32_t node)
{
    const struct gossip *gossip = net->nodes[node].gossip;
    return gossip != NULL && gossip_stats(gossip)->held_s > 0;
}

static bool sees_it_right(const struct net *net, uint32_t node, uint32_t other)
{
    const struct member *seen = net_sees(net, node, other);
    if (net->nodes[other].gossip != NULL) {
        return seen != NULL &&
               seen->state == (net_is_held(net, other) ? MEMBER_WARMING : MEMBER_OWNING);
    }
    return seen == NULL || !member_is_living(seen);
}

bool net_is_settled(const struct net *net)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].gossip == NULL) {
            continue;
        }
        uint64_t own = gossip_digest(net->nodes[i].gossip);
        if ((digest != 0 && digest != own) || gossip_is_gathering(net->nodes[i].gossip)) {
            return false;
        }
        digest = own;
        for (uint32_t j = 0; j < net->count; j++) {
            if (!sees_it_right(net, i, j)) {
                return false;
            }
        }
    }
    return true;
}

usec_t net_settle(struct net *net, usec_t most_us)
{
    usec_t began_us = net->now_us;
    while (!net_is_settled(net)) {
        if (net->now_us - began_us >= most_us) {
            return USEC_NEVER;
        }
        net_run(net, NET_STEP_US);
    }
    return net->now_us - began_us;
}

uint32_t net_suspects(const struct net *net)
{
    uint32_t suspects = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        suspects += net->nodes[i].suspects;
    }
    return suspects;
}

uint32_t net_deaths(const struct net *net)
{
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        deaths += net->nodes[i].deaths;
    }
    return deaths;
}

void net_forget_rings(struct net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        net->nodes[i].rings = 0;
    }
}

uint32_t net_rings(const struct net *net)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        most =
            net->nodes[i].gossip != NULL && net->nodes[i].rings > most ? net->nodes[i].rings : most;
    }
    return most;
}

bool net_is_out(const struct net *net, uint32_t gone)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (i == gone || net->nodes[i].gossip == NULL) {
            continue;
        }
        const struct member *seen = net_sees(net, i, gone);
        if (seen != NULL && member_is_living(seen)) {
            return false;
        }
    }
    return true;
}

usec_t net_wait_out(struct net *net, uint32_t gone, usec_t most_us)
{
    usec_t began_us = net->now_us;
    while (!net_is_out(net, gone)) {
        if (net->now_us - began_us >= most_us) {
            return USEC_NEVER;
        }
        net_run(net, NET_STEP_US);
    }
    return net->now_us - began_us;
}
