/* sim/host_effects.c: what the two machines of a node want done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "node/core/meter.h"
#include "sim/host_inside.h"
#include "sim/net.h"
#include "sim/rings.h"
#include "sim/source.h"

#define QUEUE_US 15 /* from one thread to another */

void host_answer(struct process *process, const struct node_event *event)
{
    host_node_step(host_of(process), event);
}

/* ---- from one machine to the other ----------------------------------------------------------- */

struct for_node {
    struct work work;
    struct node_event event;
    uint8_t room[];
};

struct for_gossip {
    struct work work;
    struct gossip_event event;
    struct key_rotation rotation;
    struct address addresses[HOST_SEEDS_MAX];
};

static void for_node_run(struct work *work)
{
    host_node_step(host_of(work->process), &CONTAINER_OF(work, struct for_node, work)->event);
}

static struct for_node *for_node(struct host_node *host, enum node_event_kind kind, size_t room)
{
    struct for_node *told = work_new(&host->process, sizeof *told + room);
    told->work.run = for_node_run;
    told->event.kind = kind;
    return told;
}

static void give_loads(struct host_node *host)
{
    struct for_node *told = for_node(host, NODE_LOADS, METER_TOLD * sizeof(uint64_t));
    uint64_t *rates = (uint64_t *)(void *)told->room;
    told->event.loads.rates = rates;
    told->event.loads.count = gossip_loads(host->gossip, rates, METER_TOLD);
    work_post(&told->work, QUEUE_US);
}

static void for_gossip_run(struct work *work)
{
    struct for_gossip *told = CONTAINER_OF(work, struct for_gossip, work);
    struct host_node *host = host_of(work->process);
    host_gossip_step(host, &told->event);
    if (told->event.kind == GOSSIP_LOAD && !host->over) {
        give_loads(host);
    }
}

static struct for_gossip *for_gossip(struct host_node *host, enum gossip_event_kind kind)
{
    struct for_gossip *told = work_new(&host->process, sizeof *told);
    told->work.run = for_gossip_run;
    told->event.kind = kind;
    return told;
}

void host_node_leave(struct host_node *host)
{
    struct for_gossip *told = for_gossip(host, GOSSIP_LEAVE);
    world_say(host->process.world, "%s leaves", host->process.name);
    host->leaving = true;
    work_post(&told->work, QUEUE_US);
    work_post(&for_node(host, NODE_LEAVE, 0)->work, QUEUE_US);
}

void host_node_admin(struct host_node *host, enum admin_kind kind, struct span argument)
{
    struct for_node *told = for_node(host, NODE_ADMIN, argument.size);
    host->admin_answered = false;
    told->event.admin.id = ++host->admin_last;
    told->event.admin.kind = kind;
    if (argument.size > 0) {
        memcpy(told->room, argument.data, argument.size);
    }
    told->event.admin.argument = span_of(told->room, argument.size);
    work_post(&told->work, QUEUE_US);
}

/* ---- gossip ------------------------------------------------------------------------------------- */

static void give_view(struct host_node *host)
{
    const struct watch *watch = &host->process.world->watch;
    if (watch->viewed != NULL) {
        watch->viewed(watch->self, &host->process);
    }
    uint32_t count = 0;
    const size_t size = gossip_count(host->gossip) * sizeof(struct member);
    struct for_node *told = for_node(host, NODE_VIEW, size);
    struct member *members = (struct member *)(void *)told->room;
    for (uint32_t i = 0; i < gossip_places(host->gossip); i++) {
        count += gossip_at(host->gossip, i, &members[count]) ? 1 : 0;
    }
    told->event.view.members = members;
    told->event.view.count = count;
    told->event.view.gathering = gossip_is_gathering(host->gossip);
    work_post(&told->work, QUEUE_US);
}

/* The ring, and behind it how far the members are. */
static void give_keys(struct host_node *host)
{
    const struct keyring *ring = gossip_ring(host->gossip);
    const uint32_t count = gossip_stages(host->gossip, NULL, 0);
    if (ring->count == 0) {
        return;
    }
    struct for_node *told =
        for_node(host, NODE_KEYS, sizeof *ring + count * sizeof(struct key_holder));
    struct key_holder *holders = (struct key_holder *)(void *)(told->room + sizeof *ring);
    memcpy(told->room, ring, sizeof *ring);
    told->event.keys.ring = (const struct keyring *)(const void *)told->room;
    told->event.keys.holders = holders;
    told->event.keys.count = gossip_stages(host->gossip, holders, count);
    told->event.keys.end_us = gossip_keys_end(host->gossip);
    work_post(&told->work, QUEUE_US);
}

struct keeping {
    struct work work;
    uint64_t serial;
    struct keyring ring;
};

static void kept_run(struct work *work)
{
    const struct keeping *keeping = CONTAINER_OF(work, struct keeping, work);
    struct host_node *host = host_of(work->process);
    host->ring = keeping->ring;
    host_gossip_step(
        host, &(struct gossip_event){ .kind = GOSSIP_KEPT, .kept = { .serial = keeping->serial } });
}

/* On its disk some time later, unless it dies before. */
static void keep_ring(struct host_node *host, uint64_t serial)
{
    if (serial == 0) {
        return; /* what it has started with */
    }
    struct keeping *keeping = work_new(&host->process, sizeof *keeping);
    keeping->work.run = kept_run;
    keeping->serial = serial;
    keeping->ring = *gossip_ring(host->gossip);
    work_post(&keeping->work, rng_between(&host->rng, 100, MSEC(50)));
}

static void resolve(struct host_node *host)
{
    struct for_gossip *told = for_gossip(host, GOSSIP_SEEDS);
    for (uint32_t i = 0; i < host->seed_count; i++) {
        told->addresses[i] = process_address(&host->seeds[i]->process, ENDPOINT_GOSSIP);
    }
    told->event.seeds.addresses = told->addresses;
    told->event.seeds.count = host->seed_count;
    work_post(&told->work, rng_between(&host->rng, 100, MSEC(50)));
}

static void say_member(struct host_node *host, const struct gossip_effect *effect, const char *what)
{
    const struct watch *watch = &host->process.world->watch;
    if (watch->noticed != NULL) {
        watch->noticed(watch->self, &host->process, effect);
    }
    world_log(host->process.world, 12, host->process.index, (uint64_t)effect->kind,
              get_u64(effect->node.b));
    struct member member;
    const bool found = gossip_find(host->gossip, effect->node, &member);
    world_say(host->process.world, "%s: %s %s", host->process.name, found ? member.name : "?",
              what);
}

static void end_gossip(struct host_node *host, const char *why)
{
    world_say(host->process.world, "%s: %s", host->process.name, why);
    host->over = true;
}

static void exit_run(struct work *work)
{
    host_node_crash(host_of(work->process), false);
}

/* Its process ends: all has been said. */
static struct work *exit_soon(struct host_node *host)
{
    struct work *work = work_new(&host->process, sizeof *work);
    work->run = exit_run;
    return work;
}

void host_gossip_effect(struct host_node *host, const struct gossip_effect *effect)
{
    switch (effect->kind) {
    case GOSSIP_SEND:
        net_datagram(host->process.world->net, &host->process, &effect->send.to,
                     effect->send.bytes);
        return;
    case GOSSIP_VIEW:
        give_view(host);
        return;
    case GOSSIP_RESOLVE:
        resolve(host);
        return;
    case GOSSIP_PERSIST:
        host->incarnation = effect->incarnation;
        return;
    case GOSSIP_LEFT:
        end_gossip(host, "has left");
        work_post(exit_soon(host), MSEC(20));
        return;
    case GOSSIP_PEER_CATALOG: {
        struct for_node *told = for_node(host, NODE_PEER_CATALOG, 0);
        told->event.peer_catalog.node = effect->node;
        work_post(&told->work, QUEUE_US);
        return;
    }
    case GOSSIP_IDENTITY_IN_USE:
        end_gossip(host, "identity in use");
        world_fail(host->process.world, "%s believes that its identity is in use",
                   host->process.name);
        return;
    case GOSSIP_KEYRING:
        give_keys(host);
        keep_ring(host, effect->keyring.serial);
        return;
    case GOSSIP_STAGES:
        give_keys(host);
        return;
    case GOSSIP_ROTATED: {
        struct for_node *told = for_node(host, NODE_KEY_ROTATED, 0);
        told->event.key_rotated.id = effect->rotated.id;
        told->event.key_rotated.err = effect->rotated.err;
        work_post(&told->work, QUEUE_US);
        return;
    }
    case GOSSIP_MEMBER_JOINED:
        say_member(host, effect, "joined");
        return;
    case GOSSIP_MEMBER_SUSPECT:
        say_member(host, effect, "is suspect");
        return;
    case GOSSIP_MEMBER_REFUTED:
        say_member(host, effect, "refuted");
        return;
    case GOSSIP_MEMBER_DEAD:
        say_member(host, effect, "is dead");
        return;
    case GOSSIP_MEMBER_LEFT:
        say_member(host, effect, "left");
        return;
    case GOSSIP_HELD_BACK:
        say_member(host, effect, "is held back");
        return;
    }
    BUG("an effect of no kind");
}

/* ---- node ------------------------------------------------------------------------------------------ */

static void connect_both(struct host_node *host, const struct node_effect *effect)
{
    struct net *net = host->process.world->net;
    (void)net_connect(net, &host->process, &effect->connect.control, LINK_CONTROL,
                      effect->connect.node);
    (void)net_connect(net, &host->process, &effect->connect.data, LINK_DATA, effect->connect.node);
}

static void build_ring(struct host_node *host, const struct node_effect *effect)
{
    const struct ring_options options = { .slots_log2 = host->options.slots_log2,
                                          .selector = effect->ring_build.selector,
                                          .previous = effect->ring_build.previous };
    struct for_node *told = for_node(host, NODE_RING, 0);
    told->event.ring.id = effect->ring_build.id;
    told->event.ring.ring = rings_kept_get(host->process.world->rings, effect->ring_build.members,
                                           effect->ring_build.count, &options);
    work_post(&told->work, rng_between(&host->rng, MSEC(1), MSEC(20)));
}

static void admin_reply(struct host_node *host, const struct node_effect *effect)
{
    if (effect->admin_reply.id == host->admin_last) {
        host->admin_answered = true;
        host->admin_err = effect->admin_reply.err;
        snprintf(host->admin_text, sizeof host->admin_text, "%.*s",
                 (int)effect->admin_reply.text.size, (const char *)effect->admin_reply.text.data);
        const struct watch *watch = &host->process.world->watch;
        if (watch->answered != NULL) {
            watch->answered(watch->self, &host->process, host->admin_err, host->admin_text);
        }
    }
}

static void say_log(struct host_node *host, const struct node_effect *effect)
{
    world_say(host->process.world, "%s: %.*s", host->process.name, (int)effect->log.text.size,
              (const char *)effect->log.text.data);
}

static void rotate(struct host_node *host, const struct node_effect *effect)
{
    struct for_gossip *told = for_gossip(host, GOSSIP_ROTATE);
    const bool whole = key_rotation_decode(effect->key_rotate.rotation, &told->rotation);
    CHECK(whole);
    told->event.rotate.id = effect->key_rotate.id;
    told->event.rotate.rotation = &told->rotation;
    work_post(&told->work, QUEUE_US);
}

void host_node_rotate(struct host_node *host, uint32_t ttl_s)
{
    struct key_rotation rotation = { .key = { .ttl_s = ttl_s } };
    uint8_t bytes[KEY_ROTATION_SIZE];
    for (uint32_t i = 0; i < TRUST_KEY_SIZE; i += 8) {
        put_u64(rotation.key.gossip + i, rng_next(&host->rng));
        put_u64(rotation.key.capability + i, rng_next(&host->rng));
    }
    key_rotation_encode(&rotation, bytes);
    host_node_admin(host, ADMIN_KEY_ROTATE, span_of(bytes, sizeof bytes));
}

static void tell_gossip(struct host_node *host, const struct node_effect *effect)
{
    struct for_gossip *told = NULL;
    if (effect->kind == NODE_EVIDENCE) {
        told = for_gossip(host, GOSSIP_EVIDENCE);
        told->event.evidence.node = effect->evidence.node;
    } else if (effect->kind == NODE_CATALOG) {
        told = for_gossip(host, GOSSIP_CATALOG);
        told->event.catalog.digest = effect->catalog.digest;
    } else if (effect->kind == NODE_LOAD) {
        told = for_gossip(host, GOSSIP_LOAD);
        told->event.load.rate = effect->load.rate;
    } else if (effect->kind == NODE_OWNING) {
        told = for_gossip(host, GOSSIP_READY);
    } else if (effect->kind == NODE_WEIGHT) {
        host->weight = effect->weight.weight;
        told = for_gossip(host, GOSSIP_FACTS);
        told->event.facts.self = host_node_self(host);
    } else {
        told = for_gossip(host, GOSSIP_LEAVE);
        told->event.leave.drained = true;
        host->drained = true;
    }
    work_post(&told->work, QUEUE_US);
}

/* It is durable when that is told. */
static void keep_weight(struct host_node *host, const struct node_effect *effect)
{
    struct for_node *told = for_node(host, NODE_WEIGHT_KEPT, 0);
    host->kept_weight = effect->weight.weight;
    host->has_kept_weight = !effect->weight.forget;
    told->event.weight_kept.err = ERR_OK;
    work_post(&told->work, rng_between(&host->rng, MSEC(1), MSEC(20)));
}

void host_node_effect(struct host_node *host, const struct node_effect *effect)
{
    struct world *world = host->process.world;
    world_log(world, 13, host->process.index, (uint64_t)effect->kind, 0);
    switch (effect->kind) {
    case NODE_SEND:
        net_send(world->net, &host->process, effect->send.link, effect->send.frame,
                 effect->send.payload);
        return;
    case NODE_RELEASE:
        net_release(world->net, &host->process, effect->release.token);
        return;
    case NODE_CONNECT:
        connect_both(host, effect);
        return;
    case NODE_CLOSE:
        net_close(world->net, &host->process, effect->close.link);
        return;
    case NODE_RING_BUILD:
        build_ring(host, effect);
        return;
    case NODE_FETCH:
    case NODE_FETCH_CANCEL:
    case NODE_LIST:
    case NODE_HEAD:
        source_do(world->source, &host->process, host_answer, effect);
        return;
    case NODE_DISK_WRITE:
    case NODE_DISK_READ:
    case NODE_DISK_DROP:
    case NODE_META_PUT:
    case NODE_META_GET:
    case NODE_META_DELETE:
        disk_do(host->disk, effect);
        return;
    case NODE_ADMIN_REPLY:
        admin_reply(host, effect);
        return;
    case NODE_EVIDENCE:
    case NODE_CATALOG:
    case NODE_LOAD:
    case NODE_OWNING:
    case NODE_WEIGHT:
    case NODE_DRAINED:
        tell_gossip(host, effect);
        return;
    case NODE_WEIGHT_KEEP:
        keep_weight(host, effect);
        return;
    case NODE_KEY_ROTATE:
        rotate(host, effect);
        return;
    case NODE_LOG:
        say_log(host, effect);
        return;
    case NODE_RING_DROP: /* tables live as long as the world */
    case NODE_SOURCE:
        return;
    }
    BUG("an effect of no kind");
}
