/* node/core/catalog_sync.c: records from this node's store and from other members. */
#include "node/core/catalog.h"

#include "node/core/meta.h"

#define PULL_US SEC(10)

static void log_record(struct node *node, const char *event, struct span name, enum err err)
{
    char line[256];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, event);
    text_str(&text, " dataset=");
    text_json(&text, name);
    text_str(&text, " err=");
    text_str(&text, err_name(err));
    node_log(node, LOG_WARN, &text);
}

static void pull_untried(struct node *node)
{
    const struct node_id peer = node->meta->catalog.untried;
    if (!node_id_is_zero(peer)) {
        catalog_on_peer(node, peer);
    }
}

/* ---- this node's store ------------------------------------------------------------------- */

void catalog_on_stored(struct node *node, struct span value)
{
    struct dataset dataset;
    enum err err = dataset_decode(value, &dataset);
    if (err == ERR_OK) {
        (void)catalog_install(node, &dataset, &err);
    }
    if (err != ERR_OK) {
        MARK(node, "catalog.stored.refused");
        log_record(node, "catalog.stored.refused", span_of(NULL, 0), err);
    }
}

void catalog_on_loaded(struct node *node)
{
    struct catalog *catalog = &node->meta->catalog;
    catalog->loaded = true;
    effects_push(node, &(struct node_effect){ .kind = NODE_CATALOG,
                                              .catalog = { .digest = catalog->digest } });
    node_check_owning(node);
    pull_untried(node);
}

/* ---- taking a record over ---------------------------------------------------------------- */

/* Why a record cannot be taken. */
static enum err judge(struct node *node, struct span record, struct dataset *out)
{
    enum err err = dataset_decode(record, out);
    if (err != ERR_OK) {
        MARK(node, "catalog.record.malformed");
        log_record(node, "catalog.record.malformed", span_of(NULL, 0), err);
        return err;
    }
    if (out->version > (uint64_t)node->now.wall_us + CATALOG_AHEAD_US) {
        MARK(node, "catalog.record.ahead");
        node->metrics.catalog_ahead++;
        log_record(node, "catalog.record.ahead_of_our_clock", span_text(out->name), ERR_INVALID);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static void acknowledge(struct node *node, struct meta_ask *ask)
{
    struct message ack = { .kind = MESSAGE_ACK, .ack = { .request = ask->ask.request } };
    node_send(node, ask->ask.link, &ack, (struct payload){ 0 });
    meta_ask_end(node, ask);
}

/* A record for the store; told by catalog_on_kept. */
static enum err keep(struct node *node, const struct dataset *dataset, struct span record,
                     struct meta_ask *ask)
{
    struct catalog_keep *to = pool_take(&node->meta->catalog.keeps);
    if (to == NULL) {
        MARK(node, "catalog.keeps.full");
        return ERR_BUSY;
    }
    memcpy(to->record, record.data, record.size);
    to->size = (uint32_t)record.size;
    to->ask = ask;
    struct dataset_id id = dataset_id_make(span_text(dataset->name));
    struct io_for of = { .kind = IO_CATALOG_KEEP, .owner = to };
    if (io_put(node, &of, META_DATASET, span_of(id.b, ID_SIZE), span_of(to->record, to->size)) ==
        0) {
        pool_give(&node->meta->catalog.keeps, to);
        return ERR_BUSY;
    }
    if (ask != NULL) {
        ask->owner = to;
    }
    return ERR_OK;
}

/* The catalog follows the store: what is not durable is not known. So a later record of the same
 * name may be in the store already when this one's turn comes: then it is put again. */
static void put_newer_again(struct node *node, const struct dataset *dataset)
{
    const struct catalog_item *item = catalog_item(node, dataset_id_make(span_text(dataset->name)));
    if (item != NULL && dataset_supersedes(&item->dataset, dataset)) {
        MARK(node, "catalog.keep.overtaken");
        (void)keep(node, &item->dataset, catalog_record(node, &item->dataset), NULL);
    }
}

void catalog_on_kept(struct node *node, struct catalog_keep *kept, enum err err)
{
    struct meta_ask *ask = kept->ask;
    struct dataset dataset;
    enum err decoded = dataset_decode(span_of(kept->record, kept->size), &dataset);
    CHECK(decoded == ERR_OK);
    pool_give(&node->meta->catalog.keeps, kept);
    if (err == ERR_OK && !catalog_install(node, &dataset, &err) && err == ERR_OK) {
        put_newer_again(node, &dataset);
    }
    if (err != ERR_OK) {
        MARK(node, "catalog.keep.failed");
        log_record(node, "catalog.keep.failed", span_text(dataset.name), err);
    }
    if (ask == NULL) {
        return;
    }
    ask->owner = NULL;
    if (err == ERR_OK) {
        acknowledge(node, ask);
    } else {
        meta_ask_fail(node, ask, err, span_of(NULL, 0));
    }
}

/* Take over a record that another node has; `ask` (may be NULL) is ended. */
static void merge(struct node *node, struct span record, struct meta_ask *ask)
{
    struct dataset dataset;
    enum err err = judge(node, record, &dataset);
    if (err == ERR_OK) {
        const struct catalog_item *item =
            catalog_item(node, dataset_id_make(span_text(dataset.name)));
        if (item != NULL && !dataset_supersedes(&dataset, &item->dataset)) {
            if (ask != NULL) {
                acknowledge(node, ask); /* what we have is durable, and not older */
            }
            return;
        }
        err = keep(node, &dataset, record, ask);
    }
    if (err != ERR_OK && ask != NULL) {
        meta_ask_fail(node, ask, err, span_of(NULL, 0));
    }
}

void catalog_on_record(struct node *node, struct link *link,
                       const struct message_catalog_record *message)
{
    struct meta_ask *ask = NULL;
    if (link->session->role != WIRE_NODE) {
        MARK(node, "catalog.record.refused");
        ask_refuse(node, link, message->request, ERR_DENIED, 0);
        return;
    }
    if (message->request != 0) {
        ask = meta_ask_open(node, link, META_ASK_KEEP, message->request, (uint64_t)CATALOG_ACK_US);
        if (ask == NULL) {
            return;
        }
    }
    merge(node, message->record, ask);
}

void catalog_on_gone(struct node *node, struct meta_ask *ask)
{
    MARK(node, "catalog.ask.gone");
    if (ask->kind == META_ASK_KEEP && ask->owner != NULL) {
        struct catalog_keep *kept = ask->owner;
        kept->ask = NULL;
        ask->owner = NULL;
    }
    list_remove(&ask->waiting);
    meta_ask_end(node, ask);
}

/* ---- pulling ----------------------------------------------------------------------------- */

void catalog_on_peer(struct node *node, struct node_id peer)
{
    struct catalog *catalog = &node->meta->catalog;
    if (catalog->pull != 0 || !catalog->loaded) {
        catalog->untried = peer;
        return;
    }
    struct message message = { .kind = MESSAGE_CATALOG_PULL,
                               .catalog_pull = { .digest = catalog->digest } };
    struct call_options options = { .kind = CALL_CATALOG_PULL,
                                    .purpose = LINK_CONTROL,
                                    .deadline_us = node->now.mono_us + PULL_US,
                                    .owner = catalog };
    catalog->pull = call_start(node, peer, &message, &options);
    catalog->untried = catalog->pull != 0 ? (struct node_id){ 0 } : peer;
}

void catalog_on_open(struct node *node, struct node_id peer)
{
    if (node_id_equal(peer, node->meta->catalog.untried)) {
        MARK(node, "catalog.pull.when_open");
        catalog_on_peer(node, peer);
    }
}

/* Gossip names others again as long as they differ. */
static void pull_over(struct node *node)
{
    node->meta->catalog.pull = 0;
    pull_untried(node);
}

enum call_more catalog_on_pulled(struct node *node, const struct call *call,
                                 const struct message *message)
{
    (void)call;
    if (message->kind == MESSAGE_CATALOG_RECORD) {
        merge(node, message->catalog_record.record, NULL);
        return CALL_MORE;
    }
    pull_over(node); /* ACK: that was all; FAIL: gossip says it again */
    return CALL_DONE;
}

void catalog_on_pull_failed(struct node *node, const struct call *call, enum err err)
{
    (void)call;
    CHECK(err != ERR_OK);
    MARK(node, "catalog.pull.failed");
    pull_over(node);
}

/* Send what fits this step; true: that was all. */
static bool answer_pull(struct node *node, struct meta_ask *ask)
{
    uint32_t index = 0;
    const struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        if (index++ < ask->cursor) {
            continue;
        }
        if (!effects_roomy(node, 2 * (size_t)DATASET_RECORD_MAX)) {
            return false;
        }
        struct message message = { .kind = MESSAGE_CATALOG_RECORD,
                                   .catalog_record = { .request = ask->ask.request,
                                                       .record =
                                                           catalog_record(node, &item->dataset) } };
        node_send(node, ask->ask.link, &message, (struct payload){ 0 });
        ask->cursor++;
    }
    return true;
}

void catalog_on_timer(struct node *node)
{
    struct catalog *catalog = &node->meta->catalog;
    struct list *first;
    while ((first = list_first(&catalog->pulls)) != NULL) {
        struct meta_ask *ask = CONTAINER_OF(first, struct meta_ask, waiting);
        if (!answer_pull(node, ask)) {
            MARK(node, "catalog.pull.later");
            timers_set(&node->timers, &catalog->timer, node->now.mono_us);
            return;
        }
        list_remove(first);
        acknowledge(node, ask);
    }
}

void catalog_on_pull(struct node *node, struct link *link,
                     const struct message_catalog_pull *message)
{
    struct catalog *catalog = &node->meta->catalog;
    if (link->session->role != WIRE_NODE) {
        MARK(node, "catalog.pull.refused");
        ask_refuse(node, link, message->request, ERR_DENIED, 0);
        return;
    }
    struct meta_ask *ask =
        meta_ask_open(node, link, META_ASK_PULL, message->request, (uint64_t)PULL_US);
    if (ask == NULL) {
        return;
    }
    list_push_back(&catalog->pulls, &ask->waiting);
    catalog_on_timer(node);
}
