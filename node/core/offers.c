/* node/core/offers.c: pull, check, store, acknowledge. */
#include "node/core/offers.h"

#include "node/core/meta.h"

#define TAKE_US SEC(10)

size_t offers_memory(void)
{
    return OFFERS_MAX * sizeof(struct offer) + 64;
}

enum err offers_init(struct offers *offers, struct arena *mem)
{
    return pool_init(&offers->pool, mem, sizeof(struct offer), OFFERS_MAX);
}

/* ---- the end ----------------------------------------------------------------------------- */

static void end(struct node *node, struct offer *offer, enum err err)
{
    struct meta_ask *ask = offer->ask;
    CHECK(offer->call == 0);
    if (offer->buffer != NULL) {
        buffer_unref(node, offer->buffer);
    }
    pool_give(&node->meta->offers.pool, offer);
    if (ask == NULL) {
        return;
    }
    ask->owner = NULL;
    if (err != ERR_OK) {
        meta_ask_fail(node, ask, err, span_of(NULL, 0));
        return;
    }
    struct message ack = { .kind = MESSAGE_ACK, .ack = { .request = ask->ask.request } };
    node_send(node, ask->ask.link, &ack, (struct payload){ 0 });
    meta_ask_end(node, ask);
}

void offers_on_gone(struct node *node, struct meta_ask *ask)
{
    struct offer *offer = ask->owner;
    MARK(node, "offers.gone");
    offer->ask = NULL;
    ask->owner = NULL;
    meta_ask_end(node, ask);
    if (offer->call != 0) { /* else it is being stored: its end comes */
        call_cancel(node, offer->call, true);
        offer->call = 0;
        end(node, offer, ERR_CANCELLED);
    }
}

/* ---- pulling ----------------------------------------------------------------------------- */

/* What both kinds say. */
struct offered {
    uint64_t request;
    const uint8_t *dir;
    uint64_t generation;
    struct span fence;
    const uint8_t *source;
    uint64_t crc;
    bool is_root;
};

static uint64_t pull(struct node *node, struct offer *offer, struct node_id from,
                     const struct offered *offered)
{
    struct message message;
    struct call_options options = {
        .kind = offer->is_root ? CALL_ROOT_GET : CALL_SHARD_GET,
        .purpose = LINK_CONTROL,
        .deadline_us = node->now.mono_us + TAKE_US,
        .own_signs = true,
        .owner = offer,
        .tag = OFFERS_TAG,
    };
    if (offer->is_root) {
        message = (struct message){ .kind = MESSAGE_ROOT_GET,
                                    .root_get = { .generation = offered->generation } };
        memcpy(message.root_get.dir, offered->dir, ID_SIZE);
    } else {
        message = (struct message){ .kind = MESSAGE_SHARD_GET,
                                    .shard_get = { .generation = offered->generation,
                                                   .fence = offered->fence,
                                                   .remaining_us = (uint64_t)TAKE_US } };
        memcpy(message.shard_get.dir, offered->dir, ID_SIZE);
        memcpy(message.shard_get.source, offered->source, ID_SIZE);
    }
    return call_start(node, from, &message, &options);
}

static void on_offer(struct node *node, struct link *link, const struct offered *offered)
{
    struct dir_id dir;
    memcpy(dir.b, offered->dir, ID_SIZE);
    if (link->session->role != WIRE_NODE || offered->fence.size > ENTRY_NAME_MAX ||
        offered->generation == 0) {
        MARK(node, "offers.refused");
        ask_refuse(node, link, offered->request, ERR_DENIED, 0);
        return;
    }
    const struct dir *known = offered->is_root ? dirs_find(node, dir) : NULL;
    if (known != NULL && known->known && known->generation > offered->generation) {
        MARK(node,
             "offers.root.late"); /* a newer one is here already, and must not be overwritten */
        struct message ack = { .kind = MESSAGE_ACK, .ack = { .request = offered->request } };
        node_send(node, link->id, &ack, (struct payload){ 0 });
        return;
    }
    struct meta_ask *ask =
        meta_ask_open(node, link, META_ASK_TAKE, offered->request, (uint64_t)TAKE_US);
    if (ask == NULL) {
        return;
    }
    struct offer *offer = pool_take(&node->meta->offers.pool);
    if (offer == NULL) {
        MARK(node, "offers.full");
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    page_key_make(&offer->key, dir, offered->generation, offered->fence);
    offer->is_root = offered->is_root;
    offer->crc = offered->crc;
    offer->ask = ask;
    ask->owner = offer;
    offer->call = pull(node, offer, link->session->node, offered);
    if (offer->call == 0) {
        MARK(node, "offers.no_link");
        end(node, offer, ERR_UNREACHABLE);
    }
}

void offers_on_page(struct node *node, struct link *link, const struct message_shard_offer *message)
{
    struct offered offered = { .request = message->request,
                               .dir = message->dir,
                               .generation = message->generation,
                               .fence = message->fence,
                               .source = message->source,
                               .crc = message->checksum };
    on_offer(node, link, &offered);
}

void offers_on_root(struct node *node, struct link *link, const struct message_root_offer *message)
{
    struct offered offered = { .request = message->request,
                               .dir = message->dir,
                               .generation = message->generation,
                               .source = message->source,
                               .is_root = true };
    on_offer(node, link, &offered);
}

/* ---- checking and storing ---------------------------------------------------------------- */

/* The bytes of the answer when they are what was offered; empty when not. */
static struct span bytes_of(const struct offer *offer, const struct message *message,
                            struct payload payload)
{
    struct page page;
    struct root root;
    struct span none = { .data = NULL };
    if (offer->is_root) {
        bool is_root = message->kind == MESSAGE_DIR_ROOT &&
                       root_open(message->dir_root.root, &root) == ERR_OK &&
                       root.head.generation == offer->key.generation;
        return is_root ? message->dir_root.root : none;
    }
    struct span bytes = span_of(payload.data, payload.size);
    struct span fence = span_of(offer->key.fence, offer->key.fence_size);
    bool is_page = message->kind == MESSAGE_SHARD && page_open(bytes, &page) == ERR_OK &&
                   page.crc == offer->crc && page.generation == offer->key.generation &&
                   span_equal(page.lower, fence);
    return is_page ? bytes : none;
}

static enum err store(struct node *node, struct offer *offer, struct span bytes)
{
    uint8_t name[PAGE_KEY_SIZE];
    uint64_t io;
    offer->buffer = memory_take(node, bytes.size, MEMORY_META);
    if (offer->buffer == NULL) {
        MARK(node, "offers.memory");
        return ERR_BUSY;
    }
    memcpy(offer->buffer->data, bytes.data, bytes.size);
    offer->size = (uint32_t)bytes.size;
    struct span value = span_of(offer->buffer->data, offer->size);
    if (offer->is_root) {
        struct io_for of = { .kind = IO_ROOT_TAKE, .owner = offer };
        io = io_put(node, &of, META_ROOT, span_of(offer->key.dir.b, ID_SIZE), value);
    } else {
        struct io_for of = { .kind = IO_PAGE_TAKE, .owner = offer };
        io = io_put(node, &of, META_PAGE, page_key_stored(&offer->key, name), value);
    }
    return io == 0 ? ERR_BUSY : ERR_OK;
}

enum call_more offers_on_answer(struct node *node, const struct call *call,
                                const struct message *message, struct payload payload)
{
    struct offer *offer = call->options.owner;
    struct span bytes = bytes_of(offer, message, payload);
    enum err err = ERR_CORRUPT;
    offer->call = 0;
    if (bytes.size > 0) {
        err = store(node, offer, bytes);
    } else {
        MARK(node, "offers.wrong");
    }
    node_release(node, payload);
    if (err != ERR_OK) {
        end(node, offer, err);
    }
    return CALL_DONE;
}

void offers_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct offer *offer = call->options.owner;
    MARK(node, "offers.pull.failed");
    offer->call = 0;
    end(node, offer, err);
}

/* Newer than what is known; or the same, which is not in memory, and may have become this node's to
 * count before it was in its store. */
static bool is_wanted(const struct dir *dir, uint64_t generation)
{
    bool is_lost = dir->exists && dir->root == NULL;
    return dir->generation < generation || (is_lost && dir->generation == generation);
}

/* It is durable: from now on this node answers for it. */
static void take_over(struct node *node, struct offer *offer)
{
    buffer_ref(node, offer->buffer);
    if (!offer->is_root) {
        pages_keep(node, &offer->key, offer->buffer, offer->size);
        return;
    }
    struct dir *dir = dirs_take(node, offer->key.dir);
    if (dir == NULL || (dir->known && !is_wanted(dir, offer->key.generation))) {
        MARK(node, "offers.root.old");
        buffer_unref(node, offer->buffer);
        return;
    }
    dirs_adopt_buffer(node, dir, offer->buffer, offer->size);
}

void offers_on_put(struct node *node, struct offer *offer, enum err err)
{
    if (err == ERR_OK) {
        take_over(node, offer);
    } else {
        MARK(node, "offers.put.failed");
    }
    end(node, offer, err);
}
