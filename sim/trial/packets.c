/* sim/trial/packets.c: one who knows the cluster's keys and listens to everything. */
#include "sim/trial/packets.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "gossip/datagram.h"
#include "gossip/seal.h"
#include "sim/trial/faults.h"

#define AT_SENDER 12u
#define AT_BOOT 28u
#define AT_COUNTER 44u
#define AT_KEY 2u
#define CHECKSUM 8u
#define JUDGES_LEAST 5u /* nodes: with fewer the median of some is no measure */
#define KEYS_MAX 64u    /* two rotations, and what is begun again by nodes that come back */
#define TAKEN_LOG2 14
#define LIVES_MAX 64u /* starts of one node */
#define RELAYS_MAX 256u
#define RELAY_LATEST_US MSEC(400) /* an answer is due after 200 ms, and a tick may come late */

struct sender {
    uint64_t life;
    uint64_t counter; /* of its last packet */
    uint8_t boots[LIVES_MAX][GOSSIP_BOOT_SIZE];
    uint32_t boot_count; /* the last one is of this life */
};

struct receiver {
    uint64_t life;
    uint64_t taken[1u << TAKEN_LOG2]; /* hashes */
};

/* A node has taken the request to ping for another one. */
struct relay {
    bool used;
    uint32_t by; /* whom it was put to */
    uint64_t life;
    struct node_id asker;
    uint32_t number;
    usec_t taken_us;
};

struct packets {
    struct trial *trial;
    struct cluster_key keys[KEYS_MAX]; /* that any node has had */
    uint32_t key_count;
    struct sender senders[SCENARIO_NODES_MAX];
    struct receiver receivers[SCENARIO_NODES_MAX];
    struct relay relays[RELAYS_MAX];
};

struct packets *packets_new(struct trial *trial)
{
    struct packets *packets = calloc(1, sizeof *packets);
    CHECK(packets != NULL && sodium_init() >= 0);
    packets->trial = trial;
    return packets;
}

void packets_free(struct packets **packets)
{
    free(*packets);
    *packets = NULL;
}

/* ---- inside ------------------------------------------------------------------------------------ */

static void learn(struct packets *packets, const struct process *from)
{
    const struct keyring *ring = gossip_ring(packets->trial->nodes[from->index]->gossip);
    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t at = 0;
        while (at < packets->key_count &&
               memcmp(&packets->keys[at], &ring->keys[i], sizeof ring->keys[i]) != 0) {
            at++;
        }
        CHECK(at < KEYS_MAX);
        packets->keys[at] = ring->keys[i];
        packets->key_count = at == packets->key_count ? at + 1 : packets->key_count;
    }
}

static bool unseal_with(const struct cluster_key *with, struct span bytes, uint8_t *body)
{
    const size_t size = bytes.size - SEAL_HEADER - SEAL_TAG;
    uint8_t key[TRUST_KEY_SIZE];
    uint8_t nonce[12] = { 0 };
    memcpy(nonce + 4, bytes.data + AT_COUNTER, 8);
    crypto_generichash(key, sizeof key, bytes.data + AT_SENDER, ID_SIZE + GOSSIP_BOOT_SIZE,
                       with->gossip, TRUST_KEY_SIZE);
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               body, NULL, bytes.data + SEAL_HEADER, size, bytes.data + SEAL_HEADER + size,
               bytes.data, SEAL_HEADER, nonce, key) == 0;
}

static bool unseal(const struct packets *packets, struct span bytes, uint8_t *body)
{
    for (uint32_t i = 0; i < packets->key_count; i++) {
        const struct cluster_key *key = &packets->keys[i];
        if (get_u16(bytes.data + AT_KEY) == (uint16_t)cluster_key_id(key).v &&
            unseal_with(key, bytes, body)) {
            return true;
        }
    }
    return false;
}

/* What is in it, until the next one is opened. false: it cannot be opened, or is not as packets are. */
static bool look_inside(const struct packets *packets, struct span bytes,
                        struct datagram_head *head, struct span *sections)
{
    static uint8_t body[GOSSIP_PACKET_MAX];
    const struct host_node *host = packets->trial->nodes[0];
    const size_t trailer = host->options.sealed ? SEAL_TAG : CHECKSUM;
    if (bytes.size < SEAL_HEADER + trailer || bytes.size > GOSSIP_PACKET_MAX) {
        return false;
    }
    const size_t size = bytes.size - SEAL_HEADER - trailer;
    if (!host->options.sealed) {
        memcpy(body, bytes.data + SEAL_HEADER, size);
    } else if (!unseal(packets, bytes, body)) {
        return false;
    }
    return datagram_open(span_of(body, size), head, sections);
}

/* ---- relays ------------------------------------------------------------------------------------ */

static void relay_begins(struct packets *packets, const struct process *by, struct span bytes,
                         const struct datagram_head *head)
{
    const struct host_node *host = packets->trial->nodes[by->index];
    struct member target;
    const bool knows =
        gossip_find(host->gossip, head->target, &target) && !node_id_equal(head->target, host->id);
    for (uint32_t i = 0; knows && i < RELAYS_MAX; i++) {
        struct relay *relay = &packets->relays[i];
        if (!relay->used) {
            *relay = (struct relay){ .used = true,
                                     .by = by->index,
                                     .life = by->life,
                                     .number = head->number,
                                     .taken_us = by->world->now_us };
            memcpy(relay->asker.b, bytes.data + AT_SENDER, ID_SIZE);
            return;
        }
    }
}

static void relay_ends(struct packets *packets, const struct process *by,
                       const struct datagram_head *head)
{
    for (uint32_t i = 0; i < RELAYS_MAX; i++) {
        struct relay *relay = &packets->relays[i];
        if (relay->used && relay->by == by->index && relay->number == head->number) {
            relay->used = false;
        }
    }
}

void packets_look(struct packets *packets)
{
    struct world *world = packets->trial->world;
    for (uint32_t i = 0; i < RELAYS_MAX; i++) {
        struct relay *relay = &packets->relays[i];
        const struct process *by = &packets->trial->nodes[relay->by]->process;
        if (!relay->used || world->now_us - relay->taken_us < RELAY_LATEST_US) {
            continue;
        }
        relay->used = false;
        if (by->life == relay->life && by->up && !by->frozen && by->thawed_us < relay->taken_us &&
            !packets->trial->nodes[relay->by]->over) {
            world_fail(world, "%s was asked to relay a ping and did not say how it went", by->name);
        }
    }
}

/* ---- deaths ------------------------------------------------------------------------------------- */

/* Nothing has ever happened to it alone. */
static bool was_always_well(const struct trial *trial, const struct host_node *host)
{
    return host->process.up && host->process.thawed_us == 0 && !host->process.frozen &&
           host->process.started_us < trial->began_us;
}

static uint32_t count_always_well(const struct trial *trial)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        count += was_always_well(trial, trial->nodes[i]) ? 1 : 0;
    }
    return count;
}

/* Where all lose alike, nobody is removed because its links are worse than those of others. */
static void check_deaths(const struct trial *trial, const struct process *from,
                         struct span sections)
{
    struct datagram_section section;
    if (!faults_spread_evenly(trial->faults) || count_always_well(trial) < JUDGES_LEAST) {
        return;
    }
    while (datagram_next(&sections, &section)) {
        const struct host_node *subject =
            section.tag == DATAGRAM_STATE ? trial_node(trial, section.state.id) : NULL;
        if (subject != NULL && section.state.how.is_unfit && was_always_well(trial, subject)) {
            world_fail(trial->world, "%s says that the links of %s are bad, though all lose alike",
                       from->name, subject->process.name);
        }
    }
}

/* ---- outside ----------------------------------------------------------------------------------- */

static void check_boot(struct packets *packets, struct process *from, struct span bytes)
{
    struct sender *sender = &packets->senders[from->index];
    const uint8_t *boot = bytes.data + AT_BOOT;
    if (sender->life == from->life) {
        if (memcmp(sender->boots[sender->boot_count - 1], boot, GOSSIP_BOOT_SIZE) != 0) {
            world_fail(from->world, "%s changes its boot id as it runs", from->name);
        }
        return;
    }
    for (uint32_t i = 0; i < sender->boot_count; i++) {
        if (memcmp(sender->boots[i], boot, GOSSIP_BOOT_SIZE) == 0) {
            world_fail(from->world, "%s starts with a boot id that it had before", from->name);
        }
    }
    CHECK(sender->boot_count < LIVES_MAX);
    memcpy(sender->boots[sender->boot_count++], boot, GOSSIP_BOOT_SIZE);
    sender->life = from->life;
    sender->counter = 0;
}

void packets_sent(struct packets *packets, struct process *from, struct span bytes)
{
    struct sender *sender = &packets->senders[from->index];
    struct datagram_head head;
    struct span sections;
    learn(packets, from);
    if (!look_inside(packets, bytes, &head, &sections)) {
        world_fail(from->world, "%s sends a packet that is not sealed as packets are", from->name);
        return;
    }
    check_boot(packets, from, bytes);
    const uint64_t counter = get_u64(bytes.data + AT_COUNTER);
    if (counter <= sender->counter) {
        world_fail(from->world, "%s uses a nonce twice", from->name);
    }
    sender->counter = counter;
    check_deaths(packets->trial, from, sections);
    if (head.kind == DATAGRAM_RELAYED || head.kind == DATAGRAM_NACK) {
        relay_ends(packets, from, &head);
    }
}

void packets_heard(struct packets *packets, struct process *to, struct span bytes, bool taken)
{
    struct receiver *receiver = &packets->receivers[to->index];
    const uint64_t hash = hash64(bytes.data, bytes.size, 1) | 1;
    uint64_t *place = &receiver->taken[hash >> (64 - TAKEN_LOG2)];
    struct datagram_head head;
    struct span sections;
    if (receiver->life != to->life) {
        memset(receiver->taken, 0, sizeof receiver->taken);
        receiver->life = to->life;
    }
    if (!taken) {
        return;
    }
    if (*place == hash) {
        world_fail(to->world, "%s takes a packet twice", to->name);
    }
    *place = hash;
    if (look_inside(packets, bytes, &head, &sections) && head.kind == DATAGRAM_RELAY) {
        relay_begins(packets, to, bytes, &head);
    }
}
