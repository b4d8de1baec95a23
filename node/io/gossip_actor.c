/* node/io/gossip_actor.c: runs gossip/ on a UDP socket.
 * Thread: "gossip", one. Owns: the machine, the socket, the resolver.
 * Takes:  struct told *, moved in.   Gives: items for the peer thread, news for main.
 * Shares: a copy of the counters, under a mutex. */
#include "node/io/gossip_actor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "node/core/meter.h"
#include "node/io/address.h"
#include "node/io/clock.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/resolver.h"
#include "node/io/seeds.h"
#include "node/io/strangers.h"
#include "node/io/threads.h"

#define BATCH 64 /* datagrams taken before the clock is looked at again */
#define COMPLAIN_US SEC(10)
#define SOCKET_BUFFER (1 << 20)

struct told {
    struct queue_item queue;
    struct gossip_event event;
    struct key_rotation rotation; /* of ROTATE */
    struct address addresses[];   /* of SEEDS */
};

struct gossip_actor {
    pthread_t thread;
    struct queue *told;
    struct resolver *resolver; /* NULL: no seeds */
    struct queue *peer;
    gossip_tell *tell;
    void *self;
    struct gossip *gossip;
    void *memory;
    int fd;
    int family;
    bool over; /* LEFT or IDENTITY_IN_USE: the machine does nothing any more */
    atomic_bool stopping;
    struct seeds seeds;
    bool silent;      /* they are, as the node was told */
    usec_t looked_us; /* when complain() last looked */
    struct strangers strangers;
    pthread_mutex_t mutex; /* of stats */
    struct gossip_stats stats;
    struct gossip_effects effects;
};

/* ---- effects --------------------------------------------------------------------------------- */

static void send_packet(struct gossip_actor *actor, const struct address *to, struct span bytes)
{
    struct sockaddr_storage at;
    socklen_t size;
    if (address_to_socket(to, &at, &size) == actor->family) {
        /* A datagram that cannot be sent is a lost one: the machine is made for that. */
        (void)sendto(actor->fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL, (void *)&at,
                     size);
    }
}

/* Nobody has ever answered, no seed and no member that found us, and the node has begun alone. Who
 * has met others once and was left by all of them has seen them go: his seeds are not what is wrong. */
static void tell_silence(struct gossip_actor *actor)
{
    const bool silent = !gossip_is_gathering(actor->gossip) &&
                        gossip_stats(actor->gossip)->received_packets == 0 &&
                        seeds_name_others(&actor->seeds);
    if (silent == actor->silent || actor->over) {
        return;
    }
    actor->silent = silent;
    struct item *item = item_must(NODE_SEEDS, 0);
    item->event.seeds.silent = silent;
    queue_push(actor->peer, &item->queue);
}

static void give_view(struct gossip_actor *actor)
{
    uint32_t count = 0;
    tell_silence(actor); /* before the view that makes it own: it is never well in between */
    struct item *item = item_must(NODE_VIEW, gossip_count(actor->gossip) * sizeof(struct member));
    struct member *members = item_room(item);
    for (uint32_t i = 0; i < gossip_places(actor->gossip); i++) {
        count += gossip_at(actor->gossip, i, &members[count]) ? 1 : 0;
    }
    item->event.view.members = members;
    item->event.view.count = count;
    item->event.view.gathering = gossip_is_gathering(actor->gossip);
    queue_push(actor->peer, &item->queue);
}

static void tell(struct gossip_actor *actor, enum gossip_news news, uint64_t number)
{
    const struct gossip_word word = { .news = news,
                                      .number = number,
                                      .ring = gossip_ring(actor->gossip) };
    actor->tell(actor->self, &word);
}

static void free_keys(struct item *item)
{
    sodium_memzero(item_room(item), sizeof(struct keyring));
    free(item);
}

/* The ring, and behind it how far the members are. */
static void give_keys(struct gossip_actor *actor)
{
    const struct keyring *ring = gossip_ring(actor->gossip);
    const uint32_t count = gossip_stages(actor->gossip, NULL, 0);
    if (ring->count == 0) {
        return; /* insecure */
    }
    struct item *item = item_must(NODE_KEYS, sizeof *ring + count * sizeof(struct key_holder));
    struct keyring *copy = item_room(item);
    struct key_holder *holders = (struct key_holder *)(void *)(copy + 1);
    *copy = *ring;
    item->free = free_keys;
    item->event.keys.ring = copy;
    item->event.keys.holders = holders;
    item->event.keys.count = gossip_stages(actor->gossip, holders, count);
    item->event.keys.end_us = gossip_keys_end(actor->gossip);
    queue_push(actor->peer, &item->queue);
}

static void give_rotated(struct gossip_actor *actor, const struct gossip_effect *effect)
{
    struct item *item = item_must(NODE_KEY_ROTATED, 0);
    item->event.key_rotated.id = effect->rotated.id;
    item->event.key_rotated.err = effect->rotated.err;
    queue_push(actor->peer, &item->queue);
}

static void give_catalog(struct gossip_actor *actor, struct node_id node)
{
    struct item *item = item_must(NODE_PEER_CATALOG, 0);
    item->event.peer_catalog.node = node;
    queue_push(actor->peer, &item->queue);
}

static void log_member(struct gossip_actor *actor, enum log_level level, const char *msg,
                       struct node_id id)
{
    char text[ID_TEXT_SIZE];
    struct member member;
    const bool found = gossip_find(actor->gossip, id, &member);
    id_text(id.b, text);
    LOG(level, msg, LOG_TEXT("node", text), LOG_TEXT("name", found ? member.name : "?"));
}

static void log_held_back(const struct gossip_actor *actor)
{
    const struct gossip_stats *stats = gossip_stats(actor->gossip);
    LOG(LOG_WARN, "member.held_back",
        LOG_TEXT("why", "the others removed this node though it lives: its links are bad"),
        LOG_NUM("times", stats->removals), LOG_NUM("owns_again_after_seconds", stats->held_s));
}

static void resolve(struct gossip_actor *actor);

static void carry_out(struct gossip_actor *actor, const struct gossip_effect *effect)
{
    switch (effect->kind) {
    case GOSSIP_SEND:
        send_packet(actor, &effect->send.to, effect->send.bytes);
        return;
    case GOSSIP_VIEW:
        give_view(actor);
        return;
    case GOSSIP_RESOLVE:
        resolve(actor);
        return;
    case GOSSIP_PERSIST:
        tell(actor, GOSSIP_NEWS_PERSIST, effect->incarnation);
        return;
    case GOSSIP_LEFT:
        actor->over = true;
        tell(actor, GOSSIP_NEWS_LEFT, 0);
        return;
    case GOSSIP_PEER_CATALOG:
        give_catalog(actor, effect->node);
        return;
    case GOSSIP_IDENTITY_IN_USE:
        actor->over = true;
        tell(actor, GOSSIP_NEWS_IDENTITY_IN_USE, 0);
        return;
    case GOSSIP_KEYRING:
        give_keys(actor);
        tell(actor, GOSSIP_NEWS_KEYRING, effect->keyring.serial);
        return;
    case GOSSIP_STAGES:
        give_keys(actor);
        return;
    case GOSSIP_ROTATED:
        give_rotated(actor, effect);
        return;
    case GOSSIP_MEMBER_JOINED:
        log_member(actor, LOG_INFO, "member.joined", effect->node);
        return;
    case GOSSIP_MEMBER_SUSPECT:
        log_member(actor, LOG_WARN, "member.suspect", effect->node);
        return;
    case GOSSIP_MEMBER_REFUTED:
        log_member(actor, LOG_INFO, "member.refuted", effect->node);
        return;
    case GOSSIP_MEMBER_DEAD:
        log_member(actor, LOG_WARN, "member.dead", effect->node);
        return;
    case GOSSIP_MEMBER_LEFT:
        log_member(actor, LOG_INFO, "member.left", effect->node);
        return;
    case GOSSIP_HELD_BACK:
        log_held_back(actor);
        return;
    }
    BUG("an effect of no kind");
}

static void give_loads(struct gossip_actor *actor)
{
    struct item *item = item_new(NODE_LOADS, METER_TOLD * sizeof(uint64_t));
    if (item == NULL) {
        return; /* there will be more */
    }
    uint64_t *rates = item_room(item);
    item->event.loads.rates = rates;
    item->event.loads.count = gossip_loads(actor->gossip, rates, METER_TOLD);
    queue_push(actor->peer, &item->queue);
}

static void step(struct gossip_actor *actor, const struct gossip_event *event)
{
    if (actor->over) {
        return;
    }
    gossip_step(actor->gossip, clock_now(), event, &actor->effects);
    for (uint32_t i = 0; i < actor->effects.count; i++) {
        carry_out(actor, &actor->effects.items[i]);
    }
    if (event->kind == GOSSIP_LOAD) {
        give_loads(actor);
    }
}

/* ---- what it is told -------------------------------------------------------------------------- */

static struct told *told_new(enum gossip_event_kind kind, uint32_t addresses)
{
    struct told *told = calloc(1, sizeof *told + addresses * sizeof(struct address));
    if (told != NULL) {
        told->event.kind = kind;
    }
    return told;
}

static void give_told(struct gossip_actor *actor, struct told *told)
{
    if (told == NULL) {
        BUG("out of memory for a word to gossip");
    }
    queue_push(actor->told, &told->queue);
}

static void on_resolved(void *self, const struct address *addresses, uint32_t count)
{
    struct told *told = told_new(GOSSIP_SEEDS, count);
    if (told != NULL && count > 0) {
        memcpy(told->addresses, addresses, count * sizeof *addresses);
        told->event.seeds.addresses = told->addresses;
        told->event.seeds.count = count;
    }
    give_told(self, told);
}

static void resolve(struct gossip_actor *actor)
{
    if (actor->resolver != NULL) {
        resolver_ask(actor->resolver);
    } else {
        give_told(actor, told_new(GOSSIP_SEEDS, 0));
    }
}

void gossip_actor_evidence(struct gossip_actor *actor, struct node_id node)
{
    struct told *told = told_new(GOSSIP_EVIDENCE, 0);
    if (told != NULL) { /* there will be more */
        told->event.evidence.node = node;
        queue_push(actor->told, &told->queue);
    }
}

void gossip_actor_catalog(struct gossip_actor *actor, uint64_t digest)
{
    struct told *told = told_new(GOSSIP_CATALOG, 0);
    if (told != NULL) {
        told->event.catalog.digest = digest;
    }
    give_told(actor, told);
}

void gossip_actor_load(struct gossip_actor *actor, uint64_t rate)
{
    struct told *told = told_new(GOSSIP_LOAD, 0);
    if (told != NULL) { /* there will be more */
        told->event.load.rate = rate;
        queue_push(actor->told, &told->queue);
    }
}

void gossip_actor_ready(struct gossip_actor *actor)
{
    give_told(actor, told_new(GOSSIP_READY, 0));
}

void gossip_actor_facts(struct gossip_actor *actor, const struct member *self)
{
    struct told *told = told_new(GOSSIP_FACTS, 0);
    if (told != NULL) {
        told->event.facts.self = *self;
    }
    give_told(actor, told);
}

void gossip_actor_rotate(struct gossip_actor *actor, uint64_t id,
                         const struct key_rotation *rotation)
{
    struct told *told = told_new(GOSSIP_ROTATE, 0);
    if (told != NULL) {
        told->rotation = *rotation;
        told->event.rotate.id = id;
        told->event.rotate.rotation = &told->rotation;
    }
    give_told(actor, told);
}

void gossip_actor_kept(struct gossip_actor *actor, uint64_t serial, enum err err)
{
    struct told *told = told_new(GOSSIP_KEPT, 0);
    if (told != NULL) {
        told->event.kept.serial = serial;
        told->event.kept.err = err;
    }
    give_told(actor, told);
}

void gossip_actor_leave(struct gossip_actor *actor, bool drained)
{
    struct told *told = told_new(GOSSIP_LEAVE, 0);
    if (told != NULL) {
        told->event.leave.drained = drained;
    }
    give_told(actor, told);
}

void gossip_actor_stats(struct gossip_actor *actor, struct gossip_stats *out)
{
    pthread_mutex_lock(&actor->mutex);
    *out = actor->stats;
    pthread_mutex_unlock(&actor->mutex);
}

/* ---- the loop --------------------------------------------------------------------------------- */

static bool receive_packet(struct gossip_actor *actor)
{
    uint8_t bytes[GOSSIP_PACKET_MAX + 1]; /* one more: a datagram that is too long is seen to be */
    struct sockaddr_storage from;
    socklen_t from_size = sizeof from;
    ssize_t size =
        recvfrom(actor->fd, bytes, sizeof bytes, MSG_DONTWAIT, (void *)&from, &from_size);
    if (size < 0) {
        return false;
    }
    struct gossip_event event = { .kind = GOSSIP_PACKET,
                                  .packet = { .data = bytes, .size = (size_t)size } };
    address_from_socket(&from, &event.packet.from);
    const uint64_t own = gossip_stats(actor->gossip)->dropped_own;
    step(actor, &event);
    strangers_on_packet(&actor->strangers, gossip_stats(actor->gossip), &event.packet.from);
    if (gossip_stats(actor->gossip)->dropped_own != own) {
        actor->seeds.alias = event.packet.from;
    }
    return true;
}

static void take_told(struct gossip_actor *actor)
{
    struct queue_item *next = queue_take(actor->told);
    while (next != NULL) {
        struct told *told = CONTAINER_OF(next, struct told, queue);
        next = next->next;
        if (told->event.kind == GOSSIP_SEEDS) {
            seeds_found(&actor->seeds, told->event.seeds.addresses, told->event.seeds.count);
        }
        step(actor, &told->event);
        sodium_memzero(&told->rotation, sizeof told->rotation);
        free(told);
    }
}

static void publish_stats(struct gossip_actor *actor)
{
    pthread_mutex_lock(&actor->mutex);
    actor->stats = *gossip_stats(actor->gossip);
    pthread_mutex_unlock(&actor->mutex);
}

/* What an operator has to see, and the machine cannot know: that nobody answers, or that somebody
 * with other keys knocks. */
static void complain(struct gossip_actor *actor)
{
    const usec_t now_us = clock_mono_us();
    if (now_us - actor->looked_us < COMPLAIN_US || actor->over) {
        return;
    }
    if (actor->silent) {
        LOG(LOG_WARN, "gossip.alone",
            LOG_TEXT("text", "no seed answers: check that they run, that UDP reaches them, and "
                             "that they have the same cluster file (with --insecure: --cluster)"));
    }
    strangers_tell(&actor->strangers, gossip_stats(actor->gossip));
    actor->looked_us = now_us;
}

static void *run(void *self)
{
    struct gossip_actor *actor = self;
    struct pollfd fds[2] = { { .fd = actor->fd, .events = POLLIN },
                             { .fd = queue_fd(actor->told), .events = POLLIN } };
    actor->looked_us = clock_mono_us();
    step(actor, &(struct gossip_event){ .kind = GOSSIP_START });
    while (!atomic_load(&actor->stopping)) {
        const usec_t deadline_us = actor->over ? USEC_NEVER : gossip_deadline(actor->gossip);
        const usec_t now_us = clock_mono_us();
        const usec_t wait_us = usec_min(usec_max(deadline_us - now_us, 0), SEC(1));
        poll(fds, 2, (int)((wait_us + 999) / 1000));
        for (uint32_t i = 0; i < BATCH && receive_packet(actor); i++) {
        }
        take_told(actor);
        if (!actor->over && clock_mono_us() >= gossip_deadline(actor->gossip)) {
            step(actor, &(struct gossip_event){ .kind = GOSSIP_TICK });
        }
        publish_stats(actor);
        tell_silence(actor);
        complain(actor);
    }
    return NULL;
}

/* ---- start and end ----------------------------------------------------------------------------- */

static enum err open_socket(struct gossip_actor *actor, const struct address *listen,
                            struct text *why)
{
    struct sockaddr_storage at;
    socklen_t size;
    char name[ADDRESS_TEXT_SIZE];
    const int buffer = SOCKET_BUFFER;
    actor->family = address_to_socket(listen, &at, &size);
    actor->fd = socket(actor->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (actor->fd >= 0) {
        setsockopt(actor->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(actor->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    }
    if (actor->fd >= 0 && bind(actor->fd, (void *)&at, size) == 0) {
        return ERR_OK;
    }
    const bool taken = errno == EADDRINUSE;
    const char *reason = strerror(errno);
    address_text(listen, name);
    text_str(why, "udp://");
    text_str(why, name);
    text_str(why, ": ");
    text_str(why,
             taken ? "another process listens there; stop it or choose another --listen" : reason);
    return taken ? ERR_ADDRESS_IN_USE : ERR_SYSTEM;
}

static enum err make_machine(struct gossip_actor *actor, const struct gossip_options *options)
{
    struct arena arena;
    const size_t size = gossip_memory(options->members_max, NULL);
    actor->memory = calloc(1, size);
    if (actor->memory == NULL) {
        return ERR_NOMEM;
    }
    arena_init_zero(&arena, actor->memory, size);
    return gossip_new(&arena, options, &actor->gossip);
}

static void actor_free(struct gossip_actor *actor)
{
    struct queue_item *next = actor->told != NULL ? queue_take(actor->told) : NULL;
    while (next != NULL) {
        struct told *told = CONTAINER_OF(next, struct told, queue);
        next = next->next;
        free(told);
    }
    queue_free(&actor->told);
    if (actor->fd >= 0) {
        close(actor->fd);
    }
    pthread_mutex_destroy(&actor->mutex);
    free(actor->memory);
    free(actor);
}

enum err gossip_actor_start(const struct gossip_actor_options *options, struct gossip_actor **out,
                            struct text *why)
{
    struct gossip_actor *actor = calloc(1, sizeof *actor);
    if (actor == NULL) {
        return ERR_NOMEM;
    }
    actor->fd = -1;
    actor->peer = options->peer;
    actor->tell = options->tell;
    actor->self = options->self;
    actor->seeds.own = options->gossip.self.endpoints[0].address;
    actor->seeds.given = options->seeds[0] != 0;
    CHECK(pthread_mutex_init(&actor->mutex, NULL) == 0);
    enum err err = open_socket(actor, &options->listen, why);
    if (err == ERR_OK) {
        err = queue_new(&actor->told);
    }
    if (err == ERR_OK) {
        err = make_machine(actor, &options->gossip);
    }
    if (err == ERR_OK && options->seeds[0] != 0) {
        err = resolver_start(options->seeds, on_resolved, actor, &actor->resolver);
    }
    if (err == ERR_OK) {
        err = threads_start("gossip", run, actor, &actor->thread);
    }
    if (err != ERR_OK) {
        resolver_stop(&actor->resolver);
        actor_free(actor);
        return err;
    }
    *out = actor;
    return ERR_OK;
}

void gossip_actor_stop(struct gossip_actor **pointer)
{
    struct gossip_actor *actor = *pointer;
    if (actor == NULL) {
        return;
    }
    atomic_store(&actor->stopping, true);
    give_told(actor, told_new(GOSSIP_SEEDS, 0)); /* wakes it */
    threads_join(actor->thread);
    resolver_stop(&actor->resolver);
    actor_free(actor);
    *pointer = NULL;
}
