/* sim/host_mount.c: the machine of a mount, and what its shell does for it. */
#include "sim/host_mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/net.h"
#include "sim/rings.h"

#define QUEUE_US 15 /* from one thread to another */
#define REQUESTS_MAX 256
#define PAGES_MAX 64
#define NODES_MAX 64

static struct host_mount *host_of(struct process *process)
{
    return CONTAINER_OF(process, struct host_mount, process);
}

static void set_tick(struct host_mount *host)
{
    struct world *world = host->process.world;
    const usec_t deadline_us = mount_deadline(host->mount);
    if (deadline_us == USEC_NEVER || host->process.frozen) {
        world_cancel(world, &host->tick);
        return;
    }
    const usec_t wait_us = process_world_us(&host->process, deadline_us) - world->now_us;
    world_set(world, &host->tick,
              usec_max(wait_us, 0) + 1 + rng_between(&host->rng, 0, host->slack_us));
}

/* ---- effects ------------------------------------------------------------------------------------ */

struct told {
    struct work work;
    struct mount_event event;
    struct address addresses[MOUNT_SEEDS_MAX];
    uint8_t name[256];
};

static void step(struct host_mount *host, const struct mount_event *event);

static void told_run(struct work *work)
{
    step(host_of(work->process), &CONTAINER_OF(work, struct told, work)->event);
}

static struct told *told_new(struct host_mount *host, enum mount_event_kind kind)
{
    struct told *told = work_new(&host->process, sizeof *told);
    told->work.run = told_run;
    told->event.kind = kind;
    return told;
}

static void resolve(struct host_mount *host)
{
    struct told *told = told_new(host, MOUNT_SEEDS);
    const uint32_t count = host->seed_count < MOUNT_SEEDS_MAX ? host->seed_count : MOUNT_SEEDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        told->addresses[i] = process_address(&host->seeds[i]->process, ENDPOINT_CONTROL);
    }
    told->event.seeds.addresses = told->addresses;
    told->event.seeds.count = count;
    work_post(&told->work, rng_between(&host->rng, 100, MSEC(50)));
}

static void build_ring(struct host_mount *host, const struct mount_effect *effect)
{
    const struct ring_options options = { .slots_log2 = effect->ring_build.slots_log2,
                                          .selector = effect->ring_build.selector,
                                          .previous = effect->ring_build.previous };
    struct told *told = told_new(host, MOUNT_RING);
    told->event.ring.id = effect->ring_build.id;
    told->event.ring.ring = rings_kept_get(host->process.world->rings, effect->ring_build.members,
                                           effect->ring_build.count, &options);
    work_post(&told->work, rng_between(&host->rng, MSEC(1), MSEC(20)));
}

static void on_ready(struct host_mount *host, const struct mount_effect *effect)
{
    host->is_ready = effect->ready.err == ERR_OK;
    host->ready_err = effect->ready.err;
    world_say(host->process.world, "%s ready: %s %.*s", host->process.name,
              err_name(effect->ready.err), (int)effect->ready.text.size,
              (const char *)effect->ready.text.data);
}

static void carry_out(struct host_mount *host, const struct mount_effect *effect)
{
    struct net *net = host->process.world->net;
    const struct node_id nobody = { { 0 } };
    switch (effect->kind) {
    case MOUNT_SEND:
        net_send(net, &host->process, effect->send.link, effect->send.frame, (struct payload){ 0 });
        return;
    case MOUNT_RELEASE:
        net_release(net, &host->process, effect->release.token);
        return;
    case MOUNT_CONNECT:
        (void)net_connect(net, &host->process, &effect->connect.address, effect->connect.purpose,
                          nobody);
        return;
    case MOUNT_CLOSE:
        net_close(net, &host->process, effect->close.link);
        return;
    case MOUNT_RING_BUILD:
        build_ring(host, effect);
        return;
    case MOUNT_RESOLVE:
        resolve(host);
        return;
    case MOUNT_LOG:
        world_say(host->process.world, "%s: %.*s", host->process.name, (int)effect->log.text.size,
                  (const char *)effect->log.text.data);
        return;
    case MOUNT_READY:
        on_ready(host, effect);
        return;
    case MOUNT_RING_DROP: /* tables live as long as the world */
    case MOUNT_ABANDON:
        return;
    case MOUNT_DROP_ENTRY:
    case MOUNT_DROP_INODE:
    case MOUNT_REPLY_ERR:
    case MOUNT_REPLY_ENTRY:
    case MOUNT_REPLY_ATTR:
    case MOUNT_REPLY_OPEN:
    case MOUNT_REPLY_DATA:
    case MOUNT_REPLY_DIR:
    case MOUNT_REPLY_STATFS:
        if (host->on_reply != NULL) {
            host->on_reply(host->self, effect);
        }
        return;
    }
    BUG("an effect of no kind");
}

static void step(struct host_mount *host, const struct mount_event *event)
{
    struct world *world = host->process.world;
    struct mount_effects effects;
    struct mount_totals totals;
    world_log(world, 20, host->process.index, (uint64_t)event->kind, 0);
    mount_step(host->mount, process_now(&host->process), event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        world_log(world, 21, host->process.index, (uint64_t)effects.items[i].kind, 0);
        carry_out(host, &effects.items[i]);
    }
    mount_totals(host->mount, &totals);
    host->memory_most =
        totals.memory_used > host->memory_most ? totals.memory_used : host->memory_most;
    set_tick(host);
    world->steps++;
    if (world->watch.stepped != NULL) {
        world->watch.stepped(world->watch.self, &host->process);
    }
}

/* ---- events --------------------------------------------------------------------------------------- */

static void tick_fire(struct world *world, struct happening *what)
{
    struct host_mount *host = CONTAINER_OF(what, struct host_mount, tick);
    (void)world;
    if (host->process.up && !host->process.frozen) {
        step(host, &(struct mount_event){ .kind = MOUNT_TICK });
    }
}

static void on_link(struct process *process, const struct net_event *from)
{
    struct mount_event event = { .kind = MOUNT_MESSAGE };
    switch (from->kind) {
    case NET_UP:
        event.kind = MOUNT_LINK_UP;
        event.link_up.link = from->link;
        event.link_up.purpose = from->purpose;
        event.link_up.address = from->address;
        break;
    case NET_DOWN:
        event.kind = MOUNT_LINK_DOWN;
        event.link_down.link = from->link;
        break;
    case NET_MESSAGE:
        event.message.link = from->link;
        event.message.frame = from->frame;
        event.message.payload = from->payload;
        break;
    case NET_SENT: /* a mount sends no payloads */
        return;
    }
    step(host_of(process), &event);
}

static void on_datagram(struct process *process, const struct address *from, uint8_t *data,
                        size_t size)
{
    (void)from;
    (void)data;
    (void)size;
    world_fail(process->world, "%s, a mount, got a datagram", process->name);
}

static void on_thaw(struct process *process)
{
    struct host_mount *host = host_of(process);
    set_tick(host);
    if (rng_chance(&host->rng, 500000)) { /* either may come first */
        step(host, &(struct mount_event){ .kind = MOUNT_TICK });
    }
}

static const struct process_ops ops = { .on_link = on_link,
                                        .on_datagram = on_datagram,
                                        .on_thaw = on_thaw };

void host_mount_op(struct host_mount *host, const struct mount_op *op)
{
    struct told *told = told_new(host, MOUNT_OP);
    CHECK(op->name.size <= sizeof told->name);
    told->event.op = *op;
    if (op->name.size > 0) {
        memcpy(told->name, op->name.data, op->name.size);
    }
    told->event.op.name = span_of(told->name, op->name.size);
    work_post(&told->work, QUEUE_US);
}

void host_mount_interrupt(struct host_mount *host, uint64_t id)
{
    struct told *told = told_new(host, MOUNT_INTERRUPT);
    told->event.interrupt.id = id;
    work_post(&told->work, QUEUE_US);
}

/* ---- life -------------------------------------------------------------------------------------- */

struct host_mount *host_mount_new(struct world *world, const struct host_mount_options *options)
{
    struct host_mount *host = calloc(1, sizeof *host);
    CHECK(host != NULL);
    host->options = *options;
    host->process.ops = &ops;
    world_add(world, &host->process, options->name);
    rng_init(&host->rng, world->seed, 7000 + host->process.index);
    host->tick.fire = tick_fire;
    host->slack_us = 100;
    return host;
}

/* For all datasets, as long as the virtual world lasts. */
static struct span make_grant(struct host_mount *host)
{
    struct grant grant = { .datasets = { span_text("*") },
                           .dataset_count = 1,
                           .expires_wall_s = UINT64_C(4000000000) };
    size_t used = 0;
    if (host->options.key == NULL) {
        return span_of(NULL, 0);
    }
    process_link_key(&host->process, grant.client_key);
    enum err err = grant_encode_sign(&grant, host->options.key->sign_secret, host->grants,
                                     sizeof host->grants, &used);
    CHECK(err == ERR_OK);
    return span_of(host->grants, used);
}

static void fill_options(struct host_mount *host, struct mount_options *out)
{
    const struct host_mount_options *options = &host->options;
    memset(out, 0, sizeof *out);
    snprintf(out->dataset, sizeof out->dataset, "%s", options->dataset);
    snprintf(out->cluster, sizeof out->cluster, "%s", options->cluster);
    snprintf(out->name, sizeof out->name, "%s", options->name);
    out->slots_log2 = options->slots_log2;
    put_u64(out->session, rng_next(&host->rng));
    put_u64(out->session + 8, rng_next(&host->rng));
    out->grants = make_grant(host);
    out->seed = rng_next(&host->rng);
    out->memory = options->memory;
    out->inodes_max = options->inodes_max;
    out->pages_max = PAGES_MAX;
    out->requests_max = REQUESTS_MAX;
    out->hard = options->hard;
    out->timeo_us = options->timeo_us;
    out->file_mode = 0444;
    out->dir_mode = 0555;
    out->read_max = 1u << 20;
    out->nodes_max = NODES_MAX;
    out->start_us = SEC(60);
    out->marks = host->process.world->marks;
}

void host_mount_start(struct host_mount *host)
{
    struct mount_options options;
    struct arena arena;
    process_live(&host->process);
    fill_options(host, &options);
    const size_t size = mount_memory(&options);
    arena_init_zero(&arena, pages_take(&host->memory, size), size);
    CHECK(mount_new(&arena, &options, &host->mount) == ERR_OK);
    host->is_ready = false;
    host->ready_err = ERR_OK;
    world_say(host->process.world, "%s starts", host->process.name);
    resolve(host);
    step(host, &(struct mount_event){ .kind = MOUNT_TICK });
}

void host_mount_crash(struct host_mount *host)
{
    net_process_gone(host->process.world->net, &host->process, false);
    process_die(&host->process);
    world_cancel(host->process.world, &host->tick);
    pages_give(&host->memory);
    host->mount = NULL;
}

void host_mount_free(struct host_mount **pointer)
{
    struct host_mount *host = *pointer;
    if (host->process.up) {
        host_mount_crash(host);
    }
    free(host);
    *pointer = NULL;
}
