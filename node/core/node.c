/* node/core/node.c: one event in, effects out: who is asked to handle what. */
#include "node/core/node.h"

#include "base/hash.h"
#include "node/core/internal.h"
#include "node/core/meta.h"
#include "node/core/outages.h"
#include "node/core/peek.h"

#define MEMBERS_DEFAULT 1024u
#define SCRATCH_BASE ((size_t)3 << 20) /* two roots of 1 MiB, and small frames */
#define TIMERS_EXTRA 16u
#define HEART_US MSEC(200)
#define PAUSE_MIN_US MSEC(50) /* less is a busy machine, not a pause */
#define AWAY_US MSEC(400)     /* so long that others may have acted for this node */
#define RETURNED_US SEC(60)   /* then they are asked first that long */

uint32_t node_members_max(const struct node_options *options)
{
    return options->members_max != 0 ? options->members_max : MEMBERS_DEFAULT;
}

static size_t scratch_size(const struct node_options *options)
{
    size_t members = node_members_max(options);
    return SCRATCH_BASE + members * (sizeof(struct member) + (size_t)2 * MEMBER_RECORD_MAX);
}

static uint32_t timers_max(const struct node_options *options)
{
    return calls_timers(options) + flights_timers(options) + fetches_timers(options) +
           handover_timers() + options->requests_max + options->links_max +
           node_members_max(options) + meta_timers(options) + TIMERS_EXTRA;
}

size_t node_memory(const struct node_options *options)
{
    return sizeof(struct node) + timers_memory(timers_max(options)) +
           effects_memory(scratch_size(options)) + memory_bytes(options) +
           keychain_memory(options) + sessions_memory(options) + peers_memory(options) +
           calls_memory(options) + asks_memory(options) + sends_memory(options) +
           rings_memory(options) + objects_memory(options) + blocks_memory(options) +
           flights_memory(options) + fetches_memory(options) + store_memory(options) +
           reads_memory(options) + handover_memory(options) + hot_memory() + meta_memory(options) +
           4096;
}

static enum err init_parts(struct node *node, struct arena *mem)
{
    const struct node_options *options = &node->options;
    bool fits = timers_init(&node->timers, mem, timers_max(options)) == ERR_OK &&
                effects_init(&node->effects, mem, scratch_size(options)) == ERR_OK &&
                memory_init(&node->memory, mem, options) == ERR_OK &&
                keychain_init(&node->keychain, mem, options) == ERR_OK &&
                sessions_init(&node->sessions, mem, options) == ERR_OK &&
                peers_init(&node->peers, mem, options) == ERR_OK &&
                calls_init(&node->calls, mem, options) == ERR_OK &&
                asks_init(&node->asks, mem, options) == ERR_OK &&
                sends_init(&node->sends, mem, options) == ERR_OK &&
                rings_init(&node->rings, mem, options) == ERR_OK &&
                objects_init(&node->objects, mem, options) == ERR_OK &&
                blocks_init(&node->blocks, mem, options) == ERR_OK &&
                flights_init(&node->flights, mem, options) == ERR_OK &&
                fetches_init(&node->fetches, mem, options) == ERR_OK &&
                store_init(&node->store, mem, options) == ERR_OK &&
                reads_init(&node->reads, mem, options) == ERR_OK &&
                handover_init(&node->handover, mem, options) == ERR_OK &&
                hot_init(&node->hot, mem, options) == ERR_OK;
    return fits ? meta_new(node, mem) : ERR_NOMEM;
}

enum err node_new(struct arena *mem, const struct node_options *options, struct node **out)
{
    CHECK(options->region_size >= BLOCK_SIZE_MIN && options->tier_count <= NODE_TIERS_MAX);
    CHECK(options->requests_max > 0 && options->links_max > 0 && options->blocks_max > 0);
    struct node *node = arena_take(mem, sizeof *node);
    if (node == NULL) {
        return ERR_NOMEM;
    }
    node->options = *options;
    node->marks = options->marks;
    node->due_us = USEC_NEVER;
    leave_init(node);
    node->heart.kind = TIMER_HEART;
    weight_init(node);
    rng_init(&node->rng, options->seed, get_u64(options->id.b));
    enum err err = init_parts(node, mem);
    if (err != ERR_OK) {
        return err;
    }
    *out = node;
    return ERR_OK;
}

usec_t node_backoff(struct node *node, usec_t first, uint32_t attempt, usec_t most)
{
    return rng_between(&node->rng, 0, usec_doubled(first, attempt, most));
}

uint64_t node_ring_digest(struct node *node, struct dataset_id id)
{
    const struct dataset *dataset = catalog_find(node, id);
    if (dataset == NULL) {
        return 0;
    }
    const struct ring *ring = rings_current(node, span_text(dataset->selector));
    return ring == NULL ? 0 : ring_digest(ring);
}

void node_check_owning(struct node *node)
{
    if (node->owning || node->leaving || !store_is_ready(node) || !catalog_is_loaded(node)) {
        return;
    }
    node->owning = true;
    effects_push(node, &(struct node_effect){ .kind = NODE_OWNING });
}

/* ---- messages ---------------------------------------------------------------------------- */

static void malformed(struct node *node, struct link *link)
{
    MARK(node, "node.malformed");
    node->metrics.malformed++;
    link_close(node, link);
}

static void on_ping(struct node *node, const struct link *link, uint64_t request)
{
    struct message pong = { .kind = MESSAGE_PONG, .pong = { .request = request } };
    node_send(node, link->id, &pong, (struct payload){ 0 });
}

/* What nodes ask each other. */
static void on_node_request(struct node *node, struct link *link, const struct message *message)
{
    if (message->kind == MESSAGE_BLOCK_OFFER) {
        handover_on_offer(node, link, &message->block_offer);
    } else if (message->kind == MESSAGE_BLOCK_ASK) {
        handover_on_ask(node, link, &message->block_ask);
    } else if (message->kind == MESSAGE_SHARE_ASK) {
        hot_on_share_ask(node, link, &message->share_ask);
    } else {
        meta_on_message(node, link, message);
    }
}

/* What only the control link carries. */
static void on_control(struct node *node, struct link *link, const struct message *message)
{
    if (link->purpose != LINK_CONTROL) {
        malformed(node, link);
        return;
    }
    switch (message->kind) {
    case MESSAGE_VIEW_GET:
        rings_on_view_get(node, link, &message->view_get);
        return;
    case MESSAGE_DATASET_GET:
        sessions_on_dataset_get(node, link, &message->dataset_get);
        return;
    case MESSAGE_CATALOG_PULL:
    case MESSAGE_CATALOG_RECORD:
    case MESSAGE_SHARD_OFFER:
    case MESSAGE_ROOT_OFFER:
    case MESSAGE_ROOT_GET:
    case MESSAGE_REPORT_GET:
    case MESSAGE_BLOCK_OFFER:
    case MESSAGE_BLOCK_ASK:
    case MESSAGE_SHARE_ASK:
        if (link->session->role == WIRE_MOUNT) {
            MARK(node, "node.not_for_mounts");
            ask_refuse(node, link, message_request(message), ERR_DENIED, 0);
            return;
        }
        on_node_request(node, link, message);
        return;
    case MESSAGE_DIR_GET:
    case MESSAGE_SHARD_GET:
        meta_on_message(node, link, message);
        return;
    case MESSAGE_PROOF:
        keychain_on_proof(node, link, &message->proof);
        return;
#ifdef ATOLL_NEXT
    case MESSAGE_NEXT:
        node->metrics.next_messages++;
        return;
#endif
    case MESSAGE_HELLO:
    case MESSAGE_WELCOME:
    case MESSAGE_REFUSED:
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_VIEW:
    case MESSAGE_DATASET:
    case MESSAGE_ACK:
    case MESSAGE_GET:
    case MESSAGE_DATA:
    case MESSAGE_FAIL:
    case MESSAGE_PENDING:
    case MESSAGE_CANCEL:
    case MESSAGE_DIR_ROOT:
    case MESSAGE_SHARD:
    case MESSAGE_REPORT:
    case MESSAGE_BLOCK_OFFERED:
    case MESSAGE_BLOCK_IS:
    case MESSAGE_SHARE:
        malformed(node, link);
        return;
    }
    BUG("a message of no kind");
}

/* A message on a link that somebody opened to this node. */
static void on_request(struct node *node, struct link *link, const struct message *message)
{
    if (message->kind == MESSAGE_HELLO) {
        sessions_on_hello(node, link, &message->hello);
    } else if (link->state != LINK_OPEN) {
        MARK(node, "node.no_session");
        ask_refuse(node, link, message_request(message), ERR_NO_SESSION, 0);
    } else if (message->kind == MESSAGE_GET) {
        reads_on_get(node, link, &message->get);
    } else if (message->kind == MESSAGE_CANCEL) {
        asks_on_cancel(node, link->session, message->cancel.request);
    } else if (message->kind == MESSAGE_PING) {
        on_ping(node, link, message->ping.request);
    } else {
        on_control(node, link, message);
    }
}

static void on_message(struct node *node, const struct node_event *event)
{
    struct link *link = link_find(node, event->message.link);
    struct payload payload = event->message.payload;
    struct message message;
    if (link == NULL) {
        MARK(node, "node.message.late"); /* we closed that link */
        node_release(node, payload);
        return;
    }
    enum err err = message_decode(event->message.frame, &message);
    if (err == ERR_UNSUPPORTED) {
        MARK(node, "node.message.newer"); /* something a later version says: not for us */
        node->metrics.unknown++;
        node_release(node, payload);
        return;
    }
    if (err != ERR_OK) {
        node_release(node, payload);
        malformed(node, link);
        return;
    }
    if (link->outbound) {
        peers_on_message(node, link, &message, payload);
        return;
    }
    node_release(node, payload); /* requests have none */
    on_request(node, link, &message);
}

/* ---- credentials ------------------------------------------------------------------------- */

static void on_credentials(struct node *node, const struct node_event *event)
{
    struct text names;
    text_init(&names, node->options.credentials, sizeof node->options.credentials);
    text_span(&names, event->credentials.names);
    CHECK(!names.overflow);
    node->options.credentials_broken = event->credentials.broken;
    outages_try_again(node);
}

/* ---- time -------------------------------------------------------------------------------- */

static void on_heart(struct node *node)
{
    if (!list_is_empty(&node->peers.all)) {
        timers_set(&node->timers, &node->heart, node->now.mono_us + HEART_US);
    }
}

static void on_timer(struct node *node, struct timer *timer)
{
    if (timer->kind >= TIMER_META_FIRST) {
        meta_on_timer(node, timer);
        return;
    }
    switch ((enum timer_kind)timer->kind) {
    case TIMER_CALL:
        calls_on_timer(node, CONTAINER_OF(timer, struct call, timer));
        return;
    case TIMER_ASK:
        asks_on_deadline(node, CONTAINER_OF(timer, struct ask, deadline));
        return;
    case TIMER_PENDING:
        asks_on_pending_timer(node, CONTAINER_OF(timer, struct session, pending));
        return;
    case TIMER_PEER:
        peers_on_timer(node, CONTAINER_OF(timer, struct peer, timer));
        return;
    case TIMER_PEEK:
        peek_on_timer(node, CONTAINER_OF(timer, struct flight, timer));
        return;
    case TIMER_FETCH:
        fetch_on_timer(node, CONTAINER_OF(timer, struct fetch, timer));
        return;
    case TIMER_RINGS:
        rings_on_timer(node);
        return;
    case TIMER_TELL:
        rings_on_tell_timer(node);
        return;
    case TIMER_TIERS:
        flights_on_tiers_timer(node);
        return;
    case TIMER_LINE:
        flights_on_line_timer(node);
        return;
    case TIMER_WEIGHT:
        weight_on_timer(node);
        return;
    case TIMER_HANDOVER:
        handover_on_timer(node);
        return;
    case TIMER_TAKE:
        handover_on_take_timer(node);
        return;
    case TIMER_HOT:
        hot_on_timer(node);
        return;
    case TIMER_HEART:
        on_heart(node);
        return;
    case TIMER_LEAVE:
        leave_on_timer(node);
        return;
    case TIMER_LEAVE_ASK:
        leave_on_ask_timer(node);
        return;
    case TIMER_KEYCHAIN:
        keychain_on_timer(node);
        return;
    }
    BUG("a timer of no kind");
}

/* Timers that are due, as far as this step has room for what they say. */
static void run_timers(struct node *node)
{
    while (effects_roomy(node, 0)) {
        struct timer *timer = timers_expire(&node->timers, node->now.mono_us);
        if (timer == NULL) {
            return;
        }
        on_timer(node, timer);
    }
}

/* Was this process stopped? Then silence of others proves nothing, and they may have acted for it. */
static void look_at_clock(struct node *node, struct now now)
{
    CHECK(!node->started || now.mono_us >= node->now.mono_us);
    if (!node->started) {
        node->started = true;
        node->returned_us = now.mono_us + RETURNED_US;
    }
    usec_t late_us = now.mono_us - usec_max(node->due_us, node->now.mono_us);
    if (node->due_us != USEC_NEVER && late_us >= PAUSE_MIN_US) {
        MARK(node, "node.paused");
        node->metrics.pauses++;
        node->metrics.paused_us += (uint64_t)late_us;
        node->paused_us += late_us;
        if (late_us >= AWAY_US) {
            node->returned_us = now.mono_us + RETURNED_US;
        }
    }
    node->now = now;
}

static void on_event(struct node *node, const struct node_event *event)
{
    switch (event->kind) {
    case NODE_TICK:
        return;
    case NODE_LINK_UP:
        sessions_on_link_up(node, event);
        return;
    case NODE_LINK_DOWN:
        sessions_on_link_down(node, event->link_down.link);
        return;
    case NODE_MESSAGE:
        on_message(node, event);
        return;
    case NODE_SENT:
        sends_on_sent(node, event->sent.token);
        return;
    case NODE_VIEW:
        rings_on_view(node, event->view.members, event->view.count, event->view.gathering);
        return;
    case NODE_RING:
        rings_on_ring(node, event->ring.id, event->ring.ring);
        return;
    case NODE_FETCHED:
        fetch_on_fetched(node, event);
        return;
    case NODE_DISK:
        store_on_disk(node, event);
        return;
    case NODE_DISK_RECORD:
        store_on_record(node, event->disk_record.tier, &event->disk_record.record);
        return;
    case NODE_DISK_READY:
        store_on_ready(node, event);
        return;
    case NODE_PEER_CATALOG:
    case NODE_LISTED:
    case NODE_META:
    case NODE_META_RECORD:
    case NODE_META_READY:
    case NODE_META_DISK:
        meta_on_event(node, event);
        return;
    case NODE_ADMIN:
        report_on_admin(node, event->admin.id, event->admin.kind, event->admin.argument);
        return;
    case NODE_WEIGHT_KEPT:
        weight_on_kept(node, event->weight_kept.err);
        return;
    case NODE_CREDENTIALS:
        on_credentials(node, event);
        return;
    case NODE_LEAVE:
        leave_start(node);
        return;
    case NODE_KEYS:
        keychain_on_keys(node, event);
        return;
    case NODE_SEEDS:
        node->seeds_silent = event->seeds.silent;
        return;
    case NODE_LOADS:
        hot_on_loads(node, event->loads.rates, event->loads.count);
        return;
    case NODE_KEY_ROTATED:
        report_on_rotated(node, event->key_rotated.id, event->key_rotated.err);
        return;
    }
    BUG("an event of no kind");
}

/* What goes on while there are peers. */
static void wake_with_peers(struct node *node)
{
    if (list_is_empty(&node->peers.all)) {
        return;
    }
    if (!timer_is_set(&node->heart)) {
        timers_set(&node->timers, &node->heart, node->now.mono_us + HEART_US);
    }
    hot_wake(node);
}

void node_step(struct node *node, struct now now, const struct node_event *event,
               struct node_effects *effects)
{
    look_at_clock(node, now);
    effects_begin(&node->effects, effects);
    on_event(node, event);
    run_timers(node);
    reads_serve(node);
    node_check_owning(node);
    leave_look(node);
    wake_with_peers(node);
    node->due_us = node_deadline(node);
    CHECK(effects->count <= NODE_EFFECTS_MAX);
}

usec_t node_deadline(const struct node *node)
{
    bool more = effects_waiting(&node->effects) || reads_can_serve(node);
    return more ? node->now.mono_us : timers_next(&node->timers);
}

void node_totals(const struct node *node, struct node_totals *out)
{
    const struct metrics *metrics = &node->metrics;
    const struct ring *ring = node->rings.use[0].ring;
    *out = (struct node_totals){
        .region_used = buddy_used(node->memory.buddy),
        .region_size = buddy_size(node->memory.buddy),
        .requests_open = node->asks.open,
        .fetches_open = node->fetches.pool.used,
        .source_bytes = metrics->source_bytes,
        .source_gets = metrics->source_gets,
        .source_lists = metrics->source_lists,
        .source_heads = metrics->source_heads,
        .view_digest = node->rings.digest,
        .ring_digest = ring == NULL ? 0 : ring_digest(ring),
    };
    out->served_bytes[TIER_MEMORY] = metrics->served_memory_bytes;
    out->served_bytes[TIER_DISK] = metrics->served_disk_bytes;
    out->served_bytes[TIER_PEER] = metrics->served_peer_bytes;
    out->served_bytes[TIER_SOURCE] = metrics->served_source_bytes;
}
