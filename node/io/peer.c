/* node/io/peer.c: the loop of a node.
 * Thread: "peer", one. Owns: the node's core, its region, all links, the ring worker.
 * Takes:  struct item *, moved in; messages.
 * Gives:  effects: to links, to the actors for sources, disks and metadata, to gossip, to whoever
 *         asked. Shares: counters of the links, under a mutex; the time of its last turn. */
#include "node/io/peer.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "node/io/clock.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/ring_worker.h"
#include "node/io/threads.h"

#define TURN_US SEC(1)   /* the loop turns that often also when nothing happens */
#define ALIVE_US SEC(10) /* standing still for longer is being stuck */

#define FAILED_MAX (4 * NODE_EFFECTS_MAX)

struct peer_actor {
    struct peer_options options;
    pthread_t thread;
    bool runs;
    struct node *node;
    void *memory;
    uint8_t *region;
    struct links *links;
    struct ring_worker *rings;
    struct gossip_actor *gossip;
    struct node_effects effects;
    struct node_event failed[FAILED_MAX]; /* answers to effects that no actor took */
    uint32_t failed_count;
    atomic_bool stopping;
    _Atomic usec_t turned_us;
    pthread_mutex_t mutex; /* of totals */
    struct links_totals totals;
};

/* ---- effects --------------------------------------------------------------------------------- */

static struct node_event *fail(struct peer_actor *peer, enum node_event_kind kind)
{
    CHECK(peer->failed_count < FAILED_MAX);
    struct node_event *event = &peer->failed[peer->failed_count++];
    *event = (struct node_event){ .kind = kind };
    return event;
}

static void do_fetch(struct peer_actor *peer, const struct node_effect *effect)
{
    enum err err = fetch_do(peer->options.fetch, effect);
    struct node_event *event;
    if (err == ERR_OK) {
        return;
    }
    switch (effect->kind) {
    case NODE_FETCH:
        event = fail(peer, NODE_FETCHED);
        event->fetched.id = effect->fetch.id;
        event->fetched.ended = true;
        event->fetched.err = err;
        return;
    case NODE_LIST:
    case NODE_HEAD:
        event = fail(peer, NODE_LISTED);
        event->listed.id = effect->kind == NODE_LIST ? effect->list.id : effect->head.id;
        event->listed.err = err;
        return;
    default: /* NODE_SOURCE, NODE_FETCH_CANCEL: nobody waits */
        return;
    }
}

static void do_disk(struct peer_actor *peer, const struct node_effect *effect)
{
    const bool reads = effect->kind == NODE_DISK_READ;
    const bool drops = effect->kind == NODE_DISK_DROP;
    const uint32_t tier = reads   ? effect->disk_read.tier
                          : drops ? effect->disk_drop.tier
                                  : effect->disk_write.tier;
    CHECK(tier < NODE_TIERS_MAX && peer->options.disks[tier] != NULL);
    enum err err = disk_actor_do(peer->options.disks[tier], effect);
    if (err != ERR_OK && !drops) {
        struct node_event *event = fail(peer, NODE_DISK);
        event->disk.id = reads ? effect->disk_read.id : effect->disk_write.id;
        event->disk.err = err;
    }
}

static void do_meta(struct peer_actor *peer, const struct node_effect *effect)
{
    enum err err = meta_actor_do(peer->options.meta, effect);
    if (err != ERR_OK) {
        struct node_event *event = fail(peer, NODE_META);
        event->meta.id = effect->meta.id;
        event->meta.err = err;
    }
}

static void do_ring(struct peer_actor *peer, const struct node_effect *effect)
{
    const struct ring_request request = { .id = effect->ring_build.id,
                                          .selector = effect->ring_build.selector,
                                          .members = effect->ring_build.members,
                                          .count = effect->ring_build.count,
                                          .previous = effect->ring_build.previous };
    enum err err = ring_worker_build(peer->rings, &request);
    if (err != ERR_OK) {
        fail(peer, NODE_RING)->ring.id = effect->ring_build.id;
    }
}

static void do_connect(struct peer_actor *peer, const struct node_effect *effect)
{
    /* When there is no slot left the core hears nothing, and asks again in a while. */
    (void)links_connect(peer->links, &effect->connect.control, LINK_CONTROL, effect->connect.node);
    (void)links_connect(peer->links, &effect->connect.data, LINK_DATA, effect->connect.node);
}

/* What is for gossip goes nowhere in a node that is alone. */
static void do_gossip(struct peer_actor *peer, const struct node_effect *effect)
{
    if (effect->kind == NODE_OWNING) {
        peer->options.hooks.owning(peer->options.hooks.self);
    }
    if (peer->gossip == NULL) {
        return;
    }
    if (effect->kind == NODE_EVIDENCE) {
        gossip_actor_evidence(peer->gossip, effect->evidence.node);
    } else if (effect->kind == NODE_CATALOG) {
        gossip_actor_catalog(peer->gossip, effect->catalog.digest);
    } else if (effect->kind == NODE_LOAD) {
        gossip_actor_load(peer->gossip, effect->load.rate);
    } else {
        gossip_actor_ready(peer->gossip);
    }
}

static void rotate(struct peer_actor *peer, const struct node_effect *effect)
{
    struct key_rotation rotation;
    const bool whole = key_rotation_decode(effect->key_rotate.rotation, &rotation);
    CHECK(whole && peer->gossip != NULL); /* a node that is alone has no keys */
    gossip_actor_rotate(peer->gossip, effect->key_rotate.id, &rotation);
    sodium_memzero(&rotation, sizeof rotation);
}

static void carry_out(struct peer_actor *peer, const struct node_effect *effect)
{
    const struct peer_hooks *hooks = &peer->options.hooks;
    switch (effect->kind) {
    case NODE_SEND:
        links_send(peer->links, effect->send.link, effect->send.frame, effect->send.payload);
        return;
    case NODE_RELEASE:
        links_release(peer->links, effect->release.token);
        return;
    case NODE_CONNECT:
        do_connect(peer, effect);
        return;
    case NODE_CLOSE:
        links_close(peer->links, effect->close.link);
        return;
    case NODE_RING_BUILD:
        do_ring(peer, effect);
        return;
    case NODE_RING_DROP:
        ring_worker_drop(peer->rings, effect->ring_drop.ring);
        return;
    case NODE_SOURCE:
    case NODE_FETCH:
    case NODE_FETCH_CANCEL:
    case NODE_LIST:
    case NODE_HEAD:
        do_fetch(peer, effect);
        return;
    case NODE_DISK_WRITE:
    case NODE_DISK_READ:
    case NODE_DISK_DROP:
        do_disk(peer, effect);
        return;
    case NODE_META_PUT:
    case NODE_META_GET:
    case NODE_META_DELETE:
        do_meta(peer, effect);
        return;
    case NODE_ADMIN_REPLY:
        hooks->reply(hooks->self, effect->admin_reply.id, effect->admin_reply.err,
                     effect->admin_reply.text);
        return;
    case NODE_EVIDENCE:
    case NODE_CATALOG:
    case NODE_LOAD:
    case NODE_OWNING:
        do_gossip(peer, effect);
        return;
    case NODE_WEIGHT:
        hooks->weight(hooks->self, effect->weight.weight);
        return;
    case NODE_WEIGHT_KEEP:
        hooks->keep_weight(hooks->self, effect->weight.weight, effect->weight.forget);
        return;
    case NODE_KEY_ROTATE:
        rotate(peer, effect);
        return;
    case NODE_LOG:
        log_text(effect->log.level, effect->log.text);
        return;
    case NODE_DRAINED:
        hooks->drained(hooks->self);
        return;
    }
    BUG("an effect of no kind");
}

/* ---- events ---------------------------------------------------------------------------------- */

static void step_once(struct peer_actor *peer, const struct node_event *event)
{
    node_step(peer->node, clock_now(), event, &peer->effects);
    for (uint32_t i = 0; i < peer->effects.count; i++) {
        carry_out(peer, &peer->effects.items[i]);
    }
}

static void step(struct peer_actor *peer, const struct node_event *event)
{
    struct node_event failed;
    step_once(peer, event);
    while (peer->failed_count > 0) {
        failed = peer->failed[--peer->failed_count];
        step_once(peer, &failed);
    }
}

static void on_link(void *self, const struct links_event *from)
{
    struct node_event event = { .kind = NODE_TICK };
    switch (from->kind) {
    case LINKS_UP:
        event.kind = NODE_LINK_UP;
        event.link_up.link = from->link;
        event.link_up.purpose = from->purpose;
        event.link_up.outbound = from->outbound;
        event.link_up.node = from->node;
        event.link_up.peer = from->peer;
        break;
    case LINKS_DOWN:
        event.kind = NODE_LINK_DOWN;
        event.link_down.link = from->link;
        break;
    case LINKS_MESSAGE:
        event.kind = NODE_MESSAGE;
        event.message.link = from->link;
        event.message.frame = from->frame;
        event.message.payload = from->payload;
        break;
    case LINKS_SENT:
        event.kind = NODE_SENT;
        event.sent.token = from->token;
        break;
    }
    step(self, &event);
}

static void take_items(struct peer_actor *peer)
{
    struct queue_item *next = queue_take(peer->options.in);
    while (next != NULL) {
        struct item *item = item_of(next);
        next = next->next;
        step(peer, &item->event);
        item->free(item);
    }
}

static void on_ring(void *self, uint64_t id, const struct ring *ring)
{
    struct peer_actor *peer = self;
    struct item *item = item_must(NODE_RING, 0);
    item->event.ring.id = id;
    item->event.ring.ring = ring;
    queue_push(peer->options.in, &item->queue);
}

static void publish(struct peer_actor *peer)
{
    const usec_t now_us = clock_mono_us();
    if (now_us - atomic_load(&peer->turned_us) < MSEC(200)) {
        return; /* a look a fifth of a second old is fresh enough */
    }
    atomic_store(&peer->turned_us, now_us);
    pthread_mutex_lock(&peer->mutex);
    links_totals(peer->links, &peer->totals);
    pthread_mutex_unlock(&peer->mutex);
}

static void *run(void *self)
{
    struct peer_actor *peer = self;
    const struct node_event tick = { .kind = NODE_TICK };
    while (!atomic_load(&peer->stopping)) {
        const usec_t due_us = node_deadline(peer->node);
        const usec_t now_us = clock_mono_us();
        const usec_t wait_us = due_us <= now_us ? 0 : usec_min(due_us - now_us, TURN_US);
        links_poll(peer->links, wait_us, on_link, peer);
        take_items(peer);
        if (clock_mono_us() >= node_deadline(peer->node)) {
            step(peer, &tick);
        }
        publish(peer);
    }
    return NULL;
}

/* ---- start and end ---------------------------------------------------------------------------- */

static enum err make_node(struct peer_actor *peer)
{
    struct arena arena;
    void *region = mmap(NULL, peer->options.node.region_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED) {
        return ERR_NOMEM;
    }
    peer->region = region;
    /* Blocks are megabytes: fewer page faults, and pages are cleared in larger pieces. */
    (void)madvise(region, peer->options.node.region_size, MADV_HUGEPAGE);
    peer->memory =
        mmap(NULL, peer->options.arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (peer->memory == MAP_FAILED) {
        peer->memory = NULL;
        return ERR_NOMEM;
    }
    arena_init(&arena, peer->memory, peer->options.arena);
    peer->options.node.region = peer->region;
    return node_new(&arena, &peer->options.node, &peer->node);
}

enum err peer_new(const struct peer_options *options, struct peer_actor **out, struct text *why)
{
    struct peer_actor *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return ERR_NOMEM;
    }
    peer->options = *options;
    peer->options.links.wake = options->in;
    CHECK(pthread_mutex_init(&peer->mutex, NULL) == 0);
    enum err err = make_node(peer);
    if (err == ERR_OK) {
        err = links_new(&peer->options.links, &peer->links);
    }
    if (err == ERR_OK) {
        err = links_bind(peer->links, &options->control, &options->data, why);
    }
    if (err == ERR_OK) {
        err = ring_worker_start(options->node.slots_log2, on_ring, peer, &peer->rings);
    }
    if (err != ERR_OK) {
        peer_free(&peer);
        return err;
    }
    *out = peer;
    return ERR_OK;
}

enum err peer_start(struct peer_actor *peer, struct gossip_actor *gossip)
{
    peer->gossip = gossip;
    atomic_store(&peer->turned_us, clock_mono_us());
    enum err err = threads_start("peer", run, peer, &peer->thread);
    peer->runs = err == ERR_OK;
    return err;
}

void peer_stop(struct peer_actor *peer)
{
    if (!peer->runs) {
        return;
    }
    atomic_store(&peer->stopping, true);
    queue_push(peer->options.in, &item_must(NODE_TICK, 0)->queue); /* wakes it */
    threads_join(peer->thread);
    peer->runs = false;
}

void peer_free(struct peer_actor **pointer)
{
    struct peer_actor *peer = *pointer;
    if (peer == NULL) {
        return;
    }
    CHECK(!peer->runs);
    ring_worker_stop(&peer->rings);
    links_free(&peer->links); /* before the region: it gives buffers back */
    if (peer->memory != NULL) {
        munmap(peer->memory, peer->options.arena);
    }
    if (peer->region != NULL) {
        munmap(peer->region, peer->options.node.region_size);
    }
    pthread_mutex_destroy(&peer->mutex);
    free(peer);
    *pointer = NULL;
}

bool peer_is_alive(struct peer_actor *peer)
{
    return clock_mono_us() - atomic_load(&peer->turned_us) < ALIVE_US;
}

void peer_links_totals(struct peer_actor *peer, struct links_totals *out)
{
    pthread_mutex_lock(&peer->mutex);
    *out = peer->totals;
    pthread_mutex_unlock(&peer->mutex);
}
