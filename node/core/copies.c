/* node/core/copies.c: offers to ranks, one after another until there are enough. */
#include "node/core/copies.h"

#include "node/core/meta.h"

#define OFFER_US SEC(10) /* for pulling and storing one page; the holder says PENDING meanwhile */

static bool is_self(const struct node *node, struct node_id id)
{
    return node_id_equal(id, node->options.id);
}

static uint64_t put_here(struct node *node, struct copies *copies)
{
    uint8_t name[PAGE_KEY_SIZE];
    struct io_for of = { .kind = IO_BUILD_PUT, .owner = copies };
    struct span value = span_of(copies->buffer->data, copies->size);
    switch (copies->kind) {
    case COPIES_PAGE:
        return io_put(node, &of, META_PAGE, page_key_stored(&copies->key, name), value);
    case COPIES_ROOT:
        return io_put(node, &of, META_ROOT, span_of(copies->key.dir.b, ID_SIZE), value);
    }
    BUG("a copy of no kind");
}

static void fill_offer(const struct copies *copies, struct message *message)
{
    switch (copies->kind) {
    case COPIES_PAGE:
        *message = (struct message){
            .kind = MESSAGE_SHARD_OFFER,
            .shard_offer = { .generation = copies->key.generation,
                             .fence = span_of(copies->key.fence, copies->key.fence_size),
                             .checksum = copies->crc,
                             .size = copies->size },
        };
        memcpy(message->shard_offer.dir, copies->key.dir.b, ID_SIZE);
        memcpy(message->shard_offer.source, copies->source.b, ID_SIZE);
        return;
    case COPIES_ROOT:
        *message = (struct message){ .kind = MESSAGE_ROOT_OFFER,
                                     .root_offer = { .generation = copies->key.generation } };
        memcpy(message->root_offer.dir, copies->key.dir.b, ID_SIZE);
        memcpy(message->root_offer.source, copies->source.b, ID_SIZE);
        return;
    }
    BUG("a copy of no kind");
}

static uint64_t offer(struct node *node, struct copies *copies, uint32_t rank)
{
    struct message message;
    struct call_options options = {
        .kind = copies->kind == COPIES_PAGE ? CALL_SHARD_OFFER : CALL_ROOT_OFFER,
        .purpose = LINK_CONTROL,
        .deadline_us = node->now.mono_us + OFFER_US,
        .own_signs = true, /* it may hear us no more while we hear it */
        .owner = copies,
        .tag = rank,
    };
    fill_offer(copies, &message);
    return call_start(node, copies->ranks[rank], &message, &options);
}

static void failed(struct copies *copies, uint32_t rank, enum err err)
{
    copies->err = err;
    copies->strayed = copies->strayed || rank < META_COPIES;
}

/* Ask further ranks until enough copies are made or on their way. */
static void ask_more(struct node *node, struct copies *copies)
{
    uint32_t want = copies->rank_count < META_COPIES ? copies->rank_count : META_COPIES;
    while (copies->made + copies->open < want && copies->next < copies->rank_count) {
        uint32_t rank = copies->next++;
        bool started;
        if (is_self(node, copies->ranks[rank])) {
            copies->io = put_here(node, copies);
            started = copies->io != 0;
        } else {
            copies->calls[rank] = offer(node, copies, rank);
            started = copies->calls[rank] != 0;
        }
        copies->open += started ? 1 : 0;
        if (!started) {
            MARK(node, "copies.rank.closed");
            failed(copies, rank, ERR_UNREACHABLE);
        }
    }
}

enum err copies_start(struct node *node, struct copies *copies, struct span selector,
                      struct place place)
{
    CHECK(copies->open == 0 && copies->done != NULL && copies->buffer != NULL);
    copies->made = 0;
    copies->strayed = false;
    copies->next = 0;
    copies->io = 0;
    copies->err = ERR_UNREACHABLE;
    memset(copies->calls, 0, sizeof copies->calls);
    copies->rank_count = rings_owners(node, selector, place, RING_RANKS, copies->ranks);
    ask_more(node, copies);
    return copies->open > 0 ? ERR_OK : copies->err;
}

/* One attempt ended. */
static void settle(struct node *node, struct copies *copies, uint32_t rank, enum err err)
{
    CHECK(copies->open > 0);
    copies->open--;
    if (err == ERR_OK) {
        copies->made++;
    } else {
        MARK(node, "copies.failed");
        failed(copies, rank, err);
    }
    ask_more(node, copies);
    if (copies->open > 0) {
        return;
    }
    if (copies->made == 1 && copies->rank_count > 1) {
        MARK(node, "copies.single");
    }
    copies->done(node, copies, copies->made > 0 ? ERR_OK : copies->err);
}

void copies_on_put(struct node *node, struct copies *copies, enum err err)
{
    uint32_t rank = 0;
    copies->io = 0;
    while (!is_self(node, copies->ranks[rank])) {
        rank++;
    }
    settle(node, copies, rank, err);
}

enum call_more copies_on_answer(struct node *node, const struct call *call,
                                const struct message *message)
{
    struct copies *copies = call->options.owner;
    enum err err = ERR_MALFORMED;
    CHECK(call->options.tag < RING_RANKS);
    copies->calls[call->options.tag] = 0;
    if (message->kind == MESSAGE_ACK) {
        err = err_from_wire(message->ack.err);
    } else if (message->kind == MESSAGE_FAIL) {
        err = err_from_wire(message->fail.err);
        err = err == ERR_OK ? ERR_MALFORMED : err;
    }
    settle(node, copies, (uint32_t)call->options.tag, err);
    return CALL_DONE;
}

void copies_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct copies *copies = call->options.owner;
    CHECK(call->options.tag < RING_RANKS && err != ERR_OK);
    copies->calls[call->options.tag] = 0;
    settle(node, copies, (uint32_t)call->options.tag, err);
}

void copies_cancel(struct node *node, struct copies *copies)
{
    for (uint32_t i = 0; i < copies->rank_count; i++) {
        call_cancel(node, copies->calls[i], true);
        copies->calls[i] = 0;
    }
    io_forget(node, copies->io);
    copies->io = 0;
    copies->open = 0;
}
