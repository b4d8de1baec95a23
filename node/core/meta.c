/* node/core/meta.c: events, messages, answers and timers of the metadata half to whom they belong. */
#include "node/core/meta.h"

#include "node/core/snapshot.h"

/* ---- memory ------------------------------------------------------------------------------ */

/* Requests that wait: as many as there may be in all. */
static uint32_t asks_max(const struct node_options *options)
{
    return options->requests_max;
}

size_t meta_memory(const struct node_options *options)
{
    return sizeof(struct meta) + asks_max(options) * sizeof(struct meta_ask) + 256 +
           io_memory(options) + catalog_memory(options) + dirs_memory(options) +
           pages_memory(options) + offers_memory() + moves_memory() + reports_memory(options);
}

uint32_t meta_timers(const struct node_options *options)
{
    return dirs_timers(options) + CATALOG_OPS_MAX + 4 + REPORTS_TIMERS;
}

enum err meta_new(struct node *node, struct arena *mem)
{
    const struct node_options *options = &node->options;
    struct meta *meta = arena_take(mem, sizeof *meta);
    if (meta == NULL) {
        return ERR_NOMEM;
    }
    node->meta = meta;
    outages_init(&meta->outages);
    enum err err = pool_init(&meta->asks, mem, sizeof(struct meta_ask), asks_max(options));
    if (err == ERR_OK) {
        err = io_init(&meta->io, mem, options);
    }
    if (err == ERR_OK) {
        err = catalog_init(&meta->catalog, mem, options);
    }
    if (err == ERR_OK) {
        err = dirs_init(&meta->dirs, mem, options);
    }
    if (err == ERR_OK) {
        err = pages_init(&meta->pages, mem, options);
    }
    if (err == ERR_OK) {
        err = offers_init(&meta->offers, mem);
    }
    if (err == ERR_OK) {
        err = moves_init(&meta->moves, mem);
    }
    if (err == ERR_OK) {
        err = reports_init(&meta->reports, mem, options);
    }
    return err;
}

/* ---- asks -------------------------------------------------------------------------------- */

static struct meta_ask *take(struct node *node, enum meta_ask_kind kind)
{
    struct meta_ask *ask = pool_take(&node->meta->asks);
    if (ask == NULL) {
        MARK(node, "meta.asks.full");
        return NULL;
    }
    ask->kind = kind;
    ask->ask.kind = ASK_META;
    ask->asked_us = node->now.mono_us;
    list_init(&ask->waiting);
    return ask;
}

struct meta_ask *meta_ask_open(struct node *node, struct link *link, enum meta_ask_kind kind,
                               uint64_t request, uint64_t remaining_us)
{
    struct meta_ask *ask = take(node, kind);
    if (ask == NULL) {
        ask_refuse(node, link, request, ERR_BUSY, ask_busy_us(node));
        return NULL;
    }
    enum err err = ask_open(node, &ask->ask, link, request, remaining_us);
    if (err != ERR_OK) {
        pool_give(&node->meta->asks, ask);
        ask_refuse(node, link, request, err, 0);
        return NULL;
    }
    return ask;
}

struct meta_ask *meta_ask_admin(struct node *node, enum meta_ask_kind kind, uint64_t admin)
{
    struct meta_ask *ask = take(node, kind);
    CHECK(admin != 0);
    if (ask != NULL) {
        ask->admin = admin;
    }
    return ask;
}

void meta_ask_end(struct node *node, struct meta_ask *ask)
{
    CHECK(!list_is_linked(&ask->waiting) && ask->owner == NULL);
    ask_close(node, &ask->ask);
    pool_give(&node->meta->asks, ask);
}

void meta_ask_fail(struct node *node, struct meta_ask *ask, enum err err, struct span text)
{
    struct gather *gather = ask->kind == META_ASK_DIR ? ask->owner : NULL;
    CHECK(err != ERR_OK);
    if (gather != NULL) {
        ask->owner = NULL;
        meta_ask_end(node, ask);
        report_on_root_failed(node, gather, err, text);
        return;
    }
    if (ask->admin != 0) {
        report_failed(node, ask->admin, err, text);
    } else {
        ask_fail(node, &ask->ask, err, err == ERR_BUSY ? ask_busy_us(node) : 0, text);
    }
    meta_ask_end(node, ask);
}

void meta_on_gone(struct node *node, struct ask *gone)
{
    struct meta_ask *ask = CONTAINER_OF(gone, struct meta_ask, ask);
    switch (ask->kind) {
    case META_ASK_DIR:
    case META_ASK_ROOT:
        dirs_on_gone(node, ask);
        return;
    case META_ASK_PAGE:
        pages_on_gone(node, ask);
        return;
    case META_ASK_PULL:
    case META_ASK_KEEP:
        catalog_on_gone(node, ask);
        return;
    case META_ASK_TAKE:
        offers_on_gone(node, ask);
        return;
    }
    BUG("an ask that is none");
}

/* ---- messages ---------------------------------------------------------------------------- */

void meta_on_message(struct node *node, struct link *link, const struct message *message)
{
    if (message->kind == MESSAGE_CATALOG_PULL) {
        catalog_on_pull(node, link, &message->catalog_pull);
    } else if (message->kind == MESSAGE_CATALOG_RECORD) {
        catalog_on_record(node, link, &message->catalog_record);
    } else if (message->kind == MESSAGE_DIR_GET) {
        dirs_on_get(node, link, &message->dir_get);
    } else if (message->kind == MESSAGE_SHARD_GET) {
        pages_on_get(node, link, &message->shard_get);
    } else if (message->kind == MESSAGE_SHARD_OFFER) {
        offers_on_page(node, link, &message->shard_offer);
    } else if (message->kind == MESSAGE_ROOT_OFFER) {
        offers_on_root(node, link, &message->root_offer);
    } else if (message->kind == MESSAGE_ROOT_GET) {
        dirs_on_root_get(node, link, &message->root_get);
    } else if (message->kind == MESSAGE_REPORT_GET) {
        report_on_get(node, link, &message->report_get);
    } else {
        BUG("a message of the other half");
    }
}

enum call_more meta_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload)
{
    bool is_offer = call->options.tag == OFFERS_TAG;
    switch (call->options.kind) {
    case CALL_ROOT_GET:
        return is_offer ? offers_on_answer(node, call, message, payload)
                        : dirs_on_answer(node, call, message, payload);
    case CALL_SHARD_GET:
        return is_offer ? offers_on_answer(node, call, message, payload)
                        : pages_on_answer(node, call, message, payload);
    case CALL_DIR_FORWARD:
        return dirs_on_answer(node, call, message, payload);
    case CALL_PEEK:
    case CALL_FORWARD:
    case CALL_BLOCK_OFFER:
    case CALL_BLOCK_ASK:
    case CALL_SHARE:
        BUG("a call of the other half");
    case CALL_SHARD_OFFER:
    case CALL_ROOT_OFFER:
    case CALL_CATALOG_PUSH:
    case CALL_CATALOG_PULL:
    case CALL_REPORT:
        break;
    }
    node_release(node, payload); /* these answers have none */
    if (call->options.kind == CALL_CATALOG_PUSH) {
        return catalog_on_pushed(node, call, message);
    }
    if (call->options.kind == CALL_CATALOG_PULL) {
        return catalog_on_pulled(node, call, message);
    }
    if (call->options.kind == CALL_REPORT) {
        return report_on_answer(node, call, message);
    }
    return copies_on_answer(node, call, message);
}

void meta_on_failure(struct node *node, const struct call *call, enum err err)
{
    bool is_offer = call->options.tag == OFFERS_TAG;
    switch (call->options.kind) {
    case CALL_ROOT_GET:
        if (is_offer) {
            offers_on_failure(node, call, err);
        } else {
            dirs_on_failure(node, call, err);
        }
        return;
    case CALL_SHARD_GET:
        if (is_offer) {
            offers_on_failure(node, call, err);
        } else {
            pages_on_failure(node, call, err);
        }
        return;
    case CALL_DIR_FORWARD:
        dirs_on_failure(node, call, err);
        return;
    case CALL_SHARD_OFFER:
    case CALL_ROOT_OFFER:
        copies_on_failure(node, call, err);
        return;
    case CALL_CATALOG_PUSH:
        catalog_on_push_failed(node, call, err);
        return;
    case CALL_CATALOG_PULL:
        catalog_on_pull_failed(node, call, err);
        return;
    case CALL_REPORT:
        report_on_failure(node, call, err);
        return;
    case CALL_PEEK:
    case CALL_FORWARD:
    case CALL_BLOCK_OFFER:
    case CALL_BLOCK_ASK:
    case CALL_SHARE:
        BUG("a call of the other half");
    }
}

/* ---- timers and events ------------------------------------------------------------------- */

void meta_on_timer(struct node *node, struct timer *timer)
{
    switch ((enum meta_timer_kind)timer->kind) {
    case TIMER_DIR_WORK:
        dirs_on_work_timer(node, CONTAINER_OF(timer, struct work, timer));
        return;
    case TIMER_DIR_SNAPSHOT:
        snapshot_on_timer(node, CONTAINER_OF(timer, struct snapshot, timer));
        return;
    case TIMER_CATALOG_OP:
        catalog_on_op_timer(node, CONTAINER_OF(timer, struct catalog_op, timer));
        return;
    case TIMER_CATALOG_PULLS:
        catalog_on_timer(node);
        return;
    case TIMER_META_PAGES:
        pages_on_timer(node);
        return;
    case TIMER_REPORT:
        report_on_timer(node, timer);
        return;
    case TIMER_OUTAGES:
        outages_on_timer(node);
        return;
    case TIMER_MOVES:
        moves_on_timer(node);
        return;
    }
    BUG("a timer of the other half");
}

void meta_on_event(struct node *node, const struct node_event *event)
{
    if (event->kind == NODE_PEER_CATALOG) {
        catalog_on_peer(node, event->peer_catalog.node);
    } else if (event->kind == NODE_LISTED || event->kind == NODE_META) {
        io_on_event(node, event);
    } else if (event->kind == NODE_META_RECORD) {
        catalog_on_stored(node, event->meta_record.value);
    } else if (event->kind == NODE_META_READY) {
        catalog_on_loaded(node);
        handover_wake(node);
    } else if (event->kind == NODE_META_DISK) {
        node->meta->disk_err = event->meta_disk.err;
    } else if (event->kind == NODE_ADMIN) {
        report_on_admin(node, event->admin.id, event->admin.kind, event->admin.argument);
    } else {
        BUG("an event of the other half");
    }
}

void meta_on_view(struct node *node)
{
    (void)node; /* ranks are looked up when they are needed */
}

void meta_count_error(struct node *node, enum err err)
{
    struct metrics *metrics = &node->metrics;
    if (err == ERR_SOURCE_THROTTLED) {
        metrics->source_throttled++;
    } else if (err == ERR_SOURCE_UNREACHABLE || err == ERR_TIMEOUT) {
        metrics->source_unreachable++;
    } else if (err == ERR_SOURCE_DENIED) {
        metrics->source_denied++;
    } else if (err == ERR_SOURCE_NOT_FOUND) {
        metrics->source_missing++;
    } else {
        metrics->source_other++;
    }
}

uint64_t meta_clock(struct node *node)
{
    struct catalog *catalog = &node->meta->catalog;
    uint64_t wall = (uint64_t)node->now.wall_us;
    catalog->clock = wall > catalog->clock ? wall : catalog->clock + 1;
    return catalog->clock;
}

void meta_clock_saw(struct node *node, uint64_t version)
{
    struct catalog *catalog = &node->meta->catalog;
    catalog->clock = version > catalog->clock ? version : catalog->clock;
}
