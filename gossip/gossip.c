#include "gossip/gossip.h"

#include "gossip/internal.h"

#define CLUSTER_NAME_MAX 64u
#define RNG_STREAM 0x676f73736970u
#define MEMBERS_LIMIT (1u << 23) /* roster.c keeps places in 24 bits */

/* One for each member, and those that take the place of another. */
static uint32_t records_limit(uint32_t members_max)
{
    return members_max + 4;
}

size_t gossip_memory(uint32_t members_max, const struct records *shared)
{
    const size_t records = shared == NULL ? records_memory(records_limit(members_max)) : 0;
    return sizeof(struct gossip) + 16 + records + roster_memory(members_max) +
           rumours_memory(members_max) + repair_memory(members_max) + seal_memory(members_max) +
           keys_memory(members_max);
}

static bool is_valid(const struct gossip_options *options)
{
    const struct member *self = &options->self;
    const struct address *address = member_address(self, ENDPOINT_GOSSIP);
    return options->cluster.size > 0 && options->cluster.size <= CLUSTER_NAME_MAX &&
           !node_id_is_zero(self->id) && self->incarnation < DATAGRAM_INCARNATION_MAX &&
           options->members_max > 0 && options->members_max <= MEMBERS_LIMIT && address != NULL &&
           address->port != 0 && (options->insecure || keyring_is_valid(&options->ring));
}

static void init_timers(struct gossip *g)
{
    g->review_at_us = USEC_NEVER;
    g->publish_at_us = USEC_NEVER;
    g->reviewed_us = LONG_AGO;
    g->deadline_us = USEC_NEVER;
    g->flood_at_us = USEC_NEVER;
    g->due_us = USEC_NEVER;
    g->accuse_at_us = USEC_NEVER;
    g->join_at_us = USEC_NEVER;
    g->warming_since_us = USEC_NEVER;
    g->budget[TRAFFIC_PROBE] = (struct budget){ .rate = PROBE_RATE, .burst = PROBE_RATE };
    g->budget[TRAFFIC_BULK] = (struct budget){ .rate = BULK_RATE, .burst = BULK_BURST };
    g->budget[TRAFFIC_FLOOD] = (struct budget){ .rate = FLOOD_RATE, .burst = FLOOD_BURST };
}

static void add_self(struct gossip *g, const struct member *member)
{
    struct member self = *member;
    self.state = MEMBER_WARMING;
    self.version = 1;
    struct peer *peer = roster_add(g, &self, false);
    CHECK(peer != NULL && roster_index(g, peer) == g->self);
    publish_soon(g, peer, 0);
    publish_tick(g);
}

enum err gossip_new(struct arena *mem, const struct gossip_options *options, struct gossip **out)
{
    if (!is_valid(options)) {
        return ERR_INVALID;
    }
    struct gossip *g = arena_take(mem, sizeof *g);
    if (g == NULL) {
        return ERR_NOMEM;
    }
    g->marks = options->marks;
    g->id = options->self.id;
    g->first_incarnation = options->self.incarnation;
    g->gathering = true;
    g->peers_max = options->members_max;
    g->records = options->records;
    rng_init(&g->rng, options->seed, RNG_STREAM);
    prober_init(g);
    votes_init(g);
    standing_init(g);
    circles_init(g);
    init_timers(g);
    if ((g->records == NULL &&
         records_new(mem, records_limit(g->peers_max), &g->records) != ERR_OK) ||
        roster_init(g, mem) != ERR_OK || rumours_init(g, mem) != ERR_OK ||
        repair_init(g, mem) != ERR_OK || seal_init(&g->seal, mem, options) != ERR_OK ||
        keys_init(g, mem, options) != ERR_OK) {
        return ERR_NOMEM;
    }
    add_self(g, &options->self);
    *out = g;
    return ERR_OK;
}

void gossip_end(struct gossip *gossip)
{
    for (uint32_t i = 0; i < gossip->peers_high; i++) {
        struct peer *peer = &gossip->peers[i];
        if (peer->record != RECORD_NONE) {
            records_unref(gossip->records, peer->record);
            peer->record = RECORD_NONE;
        }
    }
}

/* ---- events ---- */

static void start(struct gossip *g)
{
    CHECK(!g->started);
    g->started = true;
    for (uint32_t i = 0; i < ARRAY_COUNT(g->budget); i++) {
        g->budget[i].at_us = g->now.mono_us;
        g->budget[i].tokens = g->budget[i].burst * SEC(1);
    }
    heal_start(g);
    g->tell_persist = true;
    g->tell_view = true;
    cut_look_soon(g);
}

static void take_facts(struct gossip *g, const struct member *facts)
{
    struct peer *self = roster_self(g);
    struct member next = *facts;
    next.id = g->id;
    next.version = self->version + 1;
    roster_before(g, self);
    roster_facts(g, self, &next);
    roster_after(g, self);
    rumours_record(g, self);
    publish_soon(g, self, 0);
}

static void take_event(struct gossip *g, const struct gossip_event *event)
{
    switch (event->kind) {
    case GOSSIP_START:
        start(g);
        return;
    case GOSSIP_TICK:
        return;
    case GOSSIP_PACKET:
        receive_packet(g, &event->packet.from, event->packet.data, event->packet.size);
        return;
    case GOSSIP_SEEDS:
        heal_seeds(g, event->seeds.addresses, event->seeds.count);
        return;
    case GOSSIP_EVIDENCE:
        prober_evidence(g, event->evidence.node);
        return;
    case GOSSIP_FACTS:
        take_facts(g, &event->facts.self);
        return;
    case GOSSIP_CATALOG:
        g->catalog = event->catalog.digest;
        return;
    case GOSSIP_LOAD:
        g->load = loads_code(event->load.rate);
        return;
    case GOSSIP_READY:
        standing_ready(g);
        return;
    case GOSSIP_LEAVE:
        farewell_leave(g, event->leave.drained);
        return;
    case GOSSIP_ROTATE:
        keys_rotate(g, event->rotate.id, event->rotate.rotation);
        return;
    case GOSSIP_KEPT:
        keys_kept(g, event->kept.serial, event->kept.err);
        return;
    }
}

/* ---- time ---- */

static usec_t next_deadline(const struct gossip *g)
{
    if (g->finished || !g->started) {
        return USEC_NEVER;
    }
    if (notices_wait(g) || keys_wait(g)) {
        return g->now.mono_us;
    }
    usec_t next = usec_min(prober_deadline(g), repair_deadline(g));
    next = usec_min(next, usec_min(identity_deadline(g), heal_deadline(g)));
    next = usec_min(next, usec_min(g->review_at_us, publish_deadline(g)));
    next = usec_min(next, usec_min(g->flood_at_us, g->due_us));
    next = usec_min(next, usec_min(keys_deadline(g), standing_deadline(g)));
    next = g->accusing > 0 ? usec_min(next, g->accuse_at_us) : next;
    if (g->leaving == LEAVING_SAYING_GOODBYE) {
        next = usec_min(next, usec_min(g->farewell_at_us, g->farewell_until_us));
    }
    return next;
}

/* A tick that comes late means that this process did not run: what the others did meanwhile is
 * still unread in the socket, and nothing may be held against them. */
static void look_at_the_clock(struct gossip *g, struct now now)
{
    const usec_t due_us = g->deadline_us;
    g->now = now;
    if (!g->started || due_us == USEC_NEVER || now.mono_us - due_us < STALL_US) {
        return;
    }
    usec_t late_us = now.mono_us - due_us;
    prober_stalled(g, late_us);
    cut_stalled(g, late_us);
    standing_stalled(g, late_us);
    for (uint32_t i = 0; i < DOUBTS_MAX; i++) {
        if (g->doubts[i].peer != NO_PEER && g->doubts[i].suspected_us != USEC_NEVER) {
            g->doubts[i].suspected_us += late_us;
        }
    }
}

void gossip_step(struct gossip *g, struct now now, const struct gossip_event *event,
                 struct gossip_effects *effects)
{
    CHECK(g->started || event->kind == GOSSIP_START);
    effects->count = 0;
    if (g->finished) {
        return;
    }
    g->out = effects;
    look_at_the_clock(g, now);
    standing_look(g);
    take_event(g, event);
    prober_tick(g);
    hearsay_tick(g);
    repair_tick(g);
    identity_tick(g);
    standing_tick(g);
    heal_tick(g);
    cut_tick(g);
    publish_tick(g);
    rumours_tick(g);
    farewell_tick(g);
    keys_tick(g);
    keys_flush(g);
    notices_flush(g);
    g->out = NULL;
    g->deadline_us = next_deadline(g);
}

usec_t gossip_deadline(const struct gossip *g)
{
    return g->deadline_us;
}

const struct gossip_stats *gossip_stats(const struct gossip *g)
{
    return &g->stats;
}
