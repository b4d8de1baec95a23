/* sim/host_node.c: two machines in one process, and what the shell does for them. */
#include "sim/host_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim/host_inside.h"
#include "sim/net.h"
#include "sim/rings.h"
#include "sim/source.h"

#define MEMBERS_MAX 64
#define LINKS_MAX_NODE 128
#define REQUESTS_MAX 512
#define BLOCKS_MAX 4096
#define DIRECTORIES_MAX 256
#define DATASETS_MAX 8
#define DRAIN_US SEC(10)
#define QUEUE_US 15 /* from one thread to another */

struct host_node *host_of(struct process *process)
{
    return CONTAINER_OF(process, struct host_node, process);
}

/* ---- steps ------------------------------------------------------------------------------------ */

static void set_tick(struct host_node *host, struct happening *tick, usec_t deadline_us)
{
    struct world *world = host->process.world;
    const usec_t at_us = process_world_us(&host->process, deadline_us);
    if (deadline_us == USEC_NEVER || !host->process.up || host->process.frozen) {
        world_cancel(world, tick);
        return;
    }
    const usec_t wait_us = usec_max(at_us - world->now_us, 0);
    world_set(world, tick, wait_us + 1 + rng_between(&host->rng, 0, host->slack_us));
}

static void after_step(struct host_node *host)
{
    struct world *world = host->process.world;
    world->steps++;
    if (world->watch.stepped != NULL) {
        world->watch.stepped(world->watch.self, &host->process);
    }
}

void host_node_step(struct host_node *host, const struct node_event *event)
{
    struct node_effects effects;
    struct node_totals totals;
    world_log(host->process.world, 10, host->process.index, (uint64_t)event->kind, 0);
    node_step(host->node, process_now(&host->process), event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        host_node_effect(host, &effects.items[i]);
    }
    node_totals(host->node, &totals);
    host->region_most =
        totals.region_used > host->region_most ? totals.region_used : host->region_most;
    set_tick(host, &host->node_tick, node_deadline(host->node));
    after_step(host);
}

void host_gossip_step(struct host_node *host, const struct gossip_event *event)
{
    struct gossip_effects effects;
    if (host->over) {
        return;
    }
    world_log(host->process.world, 11, host->process.index, (uint64_t)event->kind, 0);
    gossip_step(host->gossip, process_now(&host->process), event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        host_gossip_effect(host, &effects.items[i]);
    }
    set_tick(host, &host->gossip_tick, gossip_deadline(host->gossip));
    after_step(host);
}

static void node_tick_fire(struct world *world, struct happening *what)
{
    struct host_node *host = CONTAINER_OF(what, struct host_node, node_tick);
    (void)world;
    if (host->process.up && !host->process.frozen) {
        host_node_step(host, &(struct node_event){ .kind = NODE_TICK });
    }
}

static void gossip_tick_fire(struct world *world, struct happening *what)
{
    struct host_node *host = CONTAINER_OF(what, struct host_node, gossip_tick);
    (void)world;
    if (host->process.up && !host->process.frozen) {
        host_gossip_step(host, &(struct gossip_event){ .kind = GOSSIP_TICK });
    }
}

/* ---- from the network ------------------------------------------------------------------------- */

static void on_link(struct process *process, const struct net_event *from)
{
    struct host_node *host = host_of(process);
    struct node_event event = { .kind = NODE_MESSAGE };
    switch (from->kind) {
    case NET_UP:
        event.kind = NODE_LINK_UP;
        event.link_up.link = from->link;
        event.link_up.purpose = from->purpose;
        event.link_up.outbound = from->outbound;
        event.link_up.node = from->node;
        event.link_up.peer = from->peer;
        if (!host_of(process)->options.sealed && from->purpose == LINK_CONTROL) {
            event.link_up.peer.trust = LINK_TRUST_ANYBODY;
        }
        break;
    case NET_DOWN:
        event.kind = NODE_LINK_DOWN;
        event.link_down.link = from->link;
        break;
    case NET_MESSAGE:
        event.message.link = from->link;
        event.message.frame = from->frame;
        event.message.payload = from->payload;
        break;
    case NET_SENT:
        event.kind = NODE_SENT;
        event.sent.token = from->token;
        break;
    }
    host_node_step(host, &event);
}

static void on_datagram(struct process *process, const struct address *from, uint8_t *data,
                        size_t size)
{
    struct host_node *host = host_of(process);
    const struct watch *watch = &process->world->watch;
    uint8_t copy[GOSSIP_PACKET_MAX]; /* it is opened in its place */
    struct gossip_event event = { .kind = GOSSIP_PACKET,
                                  .packet = { .from = *from, .data = data, .size = size } };
    const uint64_t before = gossip_stats(host->gossip)->received_packets;
    CHECK(size <= sizeof copy);
    memcpy(copy, data, size);
    host_gossip_step(host, &event);
    if (watch->heard != NULL) {
        const bool taken = gossip_stats(host->gossip)->received_packets > before;
        watch->heard(watch->self, process, span_of(copy, size), taken);
    }
}

static void on_thaw(struct process *process)
{
    struct host_node *host = host_of(process);
    set_tick(host, &host->node_tick, node_deadline(host->node));
    set_tick(host, &host->gossip_tick, gossip_deadline(host->gossip));
    if (rng_chance(&host->rng, 500000)) { /* either may come first */
        host_node_step(host, &(struct node_event){ .kind = NODE_TICK });
    }
}

static const struct process_ops ops = { .on_link = on_link,
                                        .on_datagram = on_datagram,
                                        .on_thaw = on_thaw };

/* ---- life -------------------------------------------------------------------------------------- */

struct host_node *host_node_new(struct world *world, const struct host_node_options *options)
{
    struct host_node *host = calloc(1, sizeof *host);
    CHECK(host != NULL);
    host->options = *options;
    host->process.ops = &ops;
    world_add(world, &host->process, options->name);
    rng_init(&host->rng, world->seed, 5000 + host->process.index);
    put_u64(host->id.b, rng_next(&host->rng));
    put_u64(host->id.b + 8, rng_next(&host->rng));
    host->disk = disk_new(world, host->process.index);
    host->node_tick.fire = node_tick_fire;
    host->gossip_tick.fire = gossip_tick_fire;
    host->slack_us = 100;
    return host;
}

void host_node_seeds(struct host_node *host, struct host_node *const *seeds, uint32_t count)
{
    CHECK(count <= HOST_SEEDS_MAX);
    host->seeds = seeds;
    host->seed_count = count;
}

struct member host_node_self(const struct host_node *host)
{
    struct member self = { .id = host->id,
                           .incarnation = host->incarnation,
                           .weight = host->weight,
                           .serve_weight = host->options.weight,
                           .endpoint_count = 3 };
    snprintf(self.name, sizeof self.name, "%s", host->options.name);
    snprintf(self.zone, sizeof self.zone, "%s", host->options.zone);
    snprintf(self.labels, sizeof self.labels, "%s", host->options.labels);
    snprintf(self.credentials, sizeof self.credentials, "store");
    for (uint32_t i = 0; i < 3; i++) {
        self.endpoints[i].purpose = (enum endpoint_purpose)i;
        self.endpoints[i].address = process_address(&host->process, (enum endpoint_purpose)i);
    }
    return self;
}

/* What its disk has, or its cluster file. */
static struct keyring ring_of(const struct host_node *host)
{
    struct keyring ring = host->ring;
    if (ring.count == 0) {
        keyring_init(&ring, &host->options.key);
    }
    return ring;
}

static void make_gossip(struct host_node *host)
{
    struct arena arena;
    const size_t size = gossip_memory(MEMBERS_MAX, NULL);
    struct gossip_options options = { .cluster = span_text(host->options.cluster),
                                      .insecure = !host->options.sealed,
                                      .self = host_node_self(host),
                                      .seed = rng_next(&host->rng),
                                      .members_max = MEMBERS_MAX,
                                      .marks = host->process.world->marks };
    options.ring = ring_of(host);
    put_u64(options.secret, rng_next(&host->rng));
    put_u64(options.boot, rng_next(&host->rng));
    put_u64(options.boot + 8, rng_next(&host->rng));
    arena_init_zero(&arena, pages_take(&host->gossip_memory, size), size);
    CHECK(gossip_new(&arena, &options, &host->gossip) == ERR_OK);
}

static void make_node(struct host_node *host)
{
    struct arena arena;
    struct node_options options = { .id = host->id,
                                    .incarnation = host->incarnation,
                                    .insecure = !host->options.sealed,
                                    .ring = ring_of(host),
                                    .seed = rng_next(&host->rng),
                                    .region_size = host->options.region_size,
                                    .links_max = LINKS_MAX_NODE,
                                    .requests_max = REQUESTS_MAX,
                                    .blocks_max = BLOCKS_MAX,
                                    .directories_max = DIRECTORIES_MAX,
                                    .datasets_max = DATASETS_MAX,
                                    .members_max = MEMBERS_MAX,
                                    .weight = host->weight,
                                    .weight_default = host->options.weight,
                                    .drain_us = DRAIN_US,
                                    .hot_floor = host->options.hot_floor,
                                    .credentials = "store",
                                    .marks = host->process.world->marks };
    snprintf(options.name, sizeof options.name, "%s", host->options.name);
    snprintf(options.cluster, sizeof options.cluster, "%s", host->options.cluster);
    options.slots_log2 = host->options.slots_log2;
    process_link_key(&host->process, options.link_key);
    if (host->options.tier_quota > 0) {
        options.tier_count = 1;
        options.tier[0].quota = host->options.tier_quota;
        options.tier[0].segment_size = host->options.segment_size;
    }
    options.region = pages_take(&host->region, host->options.region_size);
    memset(options.region, 0xee, host->options.region_size); /* equal runs, and nothing of use */
    const size_t size = node_memory(&options);
    arena_init_zero(&arena, pages_take(&host->node_memory, size), size);
    CHECK(node_new(&arena, &options, &host->node) == ERR_OK);
}

void host_node_start(struct host_node *host)
{
    struct process *process = &host->process;
    process_live(process);
    process->takes_links = true;
    const uint64_t clock = (uint64_t)(process_now(process).wall_us / 1000) << 16;
    host->incarnation = host->incarnation + 1 > clock ? host->incarnation + 1 : clock;
    host->weight = host->has_kept_weight ? host->kept_weight : host->options.weight;
    host->over = false;
    host->drained = false;
    host->leaving = false;
    world_say(process->world, "%s starts", process->name);
    make_gossip(host);
    make_node(host);
    disk_attach(host->disk, process, host_answer);
    host_node_step(host, &(struct node_event){ .kind = NODE_TICK });
    host_gossip_step(host, &(struct gossip_event){ .kind = GOSSIP_START });
    disk_scan(host->disk, host->options.tier_quota > 0 ? 1 : 0);
}

static void drop_machines(struct host_node *host)
{
    world_cancel(host->process.world, &host->node_tick);
    world_cancel(host->process.world, &host->gossip_tick);
    pages_give(&host->node_memory);
    pages_give(&host->gossip_memory);
    pages_give(&host->region);
    host->node = NULL;
    host->gossip = NULL;
}

void host_node_wipe(struct host_node *host)
{
    CHECK(!host->process.up);
    disk_wipe(host->disk);
    memset(&host->ring, 0, sizeof host->ring);
}

void host_node_crash(struct host_node *host, bool silently)
{
    world_say(host->process.world, "%s dies%s", host->process.name, silently ? " silently" : "");
    disk_crash(host->disk);
    net_process_gone(host->process.world->net, &host->process, silently);
    process_die(&host->process);
    drop_machines(host);
}

void host_node_free(struct host_node **pointer)
{
    struct host_node *host = *pointer;
    if (host->process.up) {
        net_process_gone(host->process.world->net, &host->process, true);
        process_die(&host->process);
        drop_machines(host);
    }
    disk_free(&host->disk);
    free(host);
    *pointer = NULL;
}
