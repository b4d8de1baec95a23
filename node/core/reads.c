/* node/core/reads.c: where the bytes of a read are to come from, and its end. */
#include "node/core/reads.h"

#include <string.h>

#include "node/core/budget.h"
#include "node/core/fetch.h"
#include "node/core/flights.h"
#include "node/core/internal.h"
#include "node/core/peek.h"
#include "node/core/store.h"

#define FORWARD_SHARE 8              /* bytes that pass through: an eighth of the region */
#define DISK_WHOLE_MAX READ_PART_MIN /* blocks up to this are read whole, whatever was asked for */

size_t reads_memory(const struct node_options *options)
{
    return (size_t)options->requests_max * (sizeof(struct read) + 8) + 16;
}

enum err reads_init(struct reads *reads, struct arena *mem, const struct node_options *options)
{
    *reads = (struct reads){ 0 };
    list_init(&reads->turns);
    return pool_init(&reads->pool, mem, sizeof(struct read), options->requests_max);
}

/* ---- the end ----------------------------------------------------------------------------- */

/* The call is over, one way or the other. */
static void forward_over(struct node *node, struct read *read)
{
    read->forward = 0;
    node->reads.forwarding -= read->length;
}

/* Its ask is closed: give everything back. */
static void read_free(struct node *node, struct read *read)
{
    struct session *session = read->session;
    uint64_t promised = read->admitted ? read->length - read->sent : 0;
    CHECK(!ask_is_open(&read->ask));
    list_remove(&read->waiting);
    list_remove(&read->turn);
    store_forget_read(read);
    if (!read->admitted) {
        session->queued--;
    }
    if (read->forward != 0) {
        call_cancel(node, read->forward, true);
        forward_over(node, read);
    }
    if (read->buffer != NULL) {
        buffer_unref(node, read->buffer);
    }
    object_unref(node, read->object);
    pool_give(&node->reads.pool, read);
    if (promised > 0) {
        budget_give(node, session, promised);
    }
}

void reads_on_gone(struct node *node, struct ask *ask)
{
    read_free(node, CONTAINER_OF(ask, struct read, ask));
}

static void count_failure(struct node *node, enum err err)
{
    struct metrics *metrics = &node->metrics;
    if (err == ERR_BUSY) {
        metrics->gets_busy++;
    } else if (err == ERR_DENIED || err == ERR_NO_SESSION) {
        metrics->gets_denied++;
    } else if (err == ERR_INVALID) {
        metrics->gets_invalid++;
    } else if (err == ERR_NOT_FOUND || err == ERR_DATASET_DELETED) {
        metrics->gets_missing++;
    } else {
        metrics->gets_source++;
    }
}

void reads_fail(struct node *node, struct read *read, enum err err, usec_t retry_us)
{
    count_failure(node, err);
    ask_fail(node, &read->ask, err, retry_us, (struct span){ 0 });
    read_free(node, read);
}

static void fail_busy(struct node *node, struct read *read)
{
    reads_fail(node, read, ERR_BUSY, ask_busy_us(node));
}

/* ---- bytes in memory --------------------------------------------------------------------- */

static void set_ready(struct node *node, struct read *read, uint32_t available)
{
    struct session *session = read->session;
    read->available = available;
    if (!list_is_linked(&read->turn)) {
        list_push_back(&session->ready, &read->turn);
    }
    if (!list_is_linked(&session->turn)) {
        list_push_back(&node->reads.turns, &session->turn);
    }
}

void reads_wake(struct node *node, struct read *read, struct block *block, enum data_tier tier)
{
    uint32_t here = block_available(block);
    uint32_t end = read->offset + read->length;
    here = here < end ? here : end;
    if (here <= read->offset + read->sent) {
        return;
    }
    uint32_t available = here - read->offset;
    bool late =
        read->class == CLASS_READER && node->now.mono_us - read->moved_us >= READ_PART_LATE_US;
    if (here < end && available - read->sent < READ_PART_MIN && !late) {
        return;
    }
    if (read->buffer == NULL) {
        read->buffer = block->buffer;
        read->base = 0;
        read->tier = tier;
        buffer_ref(node, read->buffer);
    }
    CHECK(read->buffer == block->buffer);
    set_ready(node, read, available);
}

/* ---- passing it on ----------------------------------------------------------------------- */

static void forward(struct node *node, struct read *read, struct node_id owner)
{
    const struct object *object = read->object;
    uint64_t most = node->options.region_size / FORWARD_SHARE;
    if (node->reads.forwarding > 0 && node->reads.forwarding + read->length > most) {
        MARK(node, "reads.forward.many");
        fail_busy(node, read);
        return;
    }
    struct message message = { .kind = MESSAGE_GET,
                               .get = { .mode = GET_FORWARDED,
                                        .class = (uint64_t)read->class,
                                        .key = object_key(object),
                                        .pin = object_pin(object),
                                        .size = object->size,
                                        .block_size = object->block_size,
                                        .index = read->id.index,
                                        .offset = read->offset,
                                        .length = read->length,
                                        .place = read->place.v,
                                        .ring = node_ring_digest(node, read->dataset),
                                        .remaining_us = (uint64_t)ask_remaining(node, &read->ask),
                                        .hops = 1,
                                        .trace = read->trace,
                                        .extent = read->extent ? 1 : 0 } };
    memcpy(message.get.source, object->source.b, ID_SIZE);
    memcpy(message.get.dataset, read->dataset.b, ID_SIZE);
    memcpy(message.get.mount, read->mount, ID_SIZE);
    read->forward = call_start(node, owner, &message,
                               &(struct call_options){ .kind = CALL_FORWARD,
                                                       .purpose = LINK_DATA,
                                                       .deadline_us = read->ask.deadline.at_us,
                                                       .owner = read });
    if (read->forward == 0) {
        MARK(node, "reads.forward.unreachable");
        reads_fail(node, read, ERR_UNREACHABLE, 0);
        return;
    }
    node->reads.forwarding += read->length;
    node->metrics.gets_forwarded++;
}

/* The next part, unchanged: checksums and bytes are the owner's. */
static enum call_more pass_data(struct node *node, struct read *read,
                                const struct message_data *data, struct payload payload)
{
    bool last = read->sent + payload.size == read->length;
    if (payload.size == 0 || data->length != payload.size ||
        data->offset != read->offset + read->sent || payload.size > read->length - read->sent ||
        last != (data->more == 0)) {
        MARK(node, "reads.forward.odd");
        node_release(node, payload);
        reads_fail(node, read, ERR_UNREACHABLE, 0);
        return CALL_DONE;
    }
    if (!sends_room(node)) {
        MARK(node, "reads.forward.sends_full");
        node_release(node, payload);
        fail_busy(node, read);
        return CALL_DONE;
    }
    struct message message = { .kind = MESSAGE_DATA, .data = *data };
    message.data.request = read->ask.request;
    send_received(node, read->ask.link, &message, payload, read->session);
    meter_served(&node->hot.shares.meter, payload.size);
    serve_count(node, TIER_PEER, payload.size, read->sent == 0);
    read->sent += payload.size;
    if (!last) {
        return CALL_MORE;
    }
    serve_count_answer(node, node->now.mono_us - read->ask.opened_us);
    forward_over(node, read);
    ask_close(node, &read->ask);
    read_free(node, read);
    return CALL_DONE;
}

enum call_more reads_on_answer(struct node *node, const struct call *call,
                               const struct message *message, struct payload payload)
{
    struct read *read = call->options.owner;
    CHECK(read->forward == call->request);
    if (message->kind == MESSAGE_DATA && payload.token != 0) {
        return pass_data(node, read, &message->data, payload);
    }
    node_release(node, payload);
    enum err err = ERR_UNREACHABLE;
    usec_t retry_us = 0;
    if (message->kind == MESSAGE_FAIL) {
        err = err_from_wire(message->fail.err);
        err = err == ERR_OK ? ERR_UNREACHABLE : err;
        uint64_t most = (uint64_t)SEC(60);
        retry_us = (usec_t)(message->fail.retry_us < most ? message->fail.retry_us : most);
    }
    MARK(node, "reads.forward.failed");
    forward_over(node, read);
    reads_fail(node, read, err, retry_us);
    return CALL_DONE;
}

void reads_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct read *read = call->options.owner;
    CHECK(read->forward == call->request);
    MARK(node, "reads.forward.silent");
    (void)err;
    forward_over(node, read);
    reads_fail(node, read, ERR_UNREACHABLE, 0);
}

/* ---- bytes on disk ----------------------------------------------------------------------- */

/* All of the block into memory, for this one and those to come. */
static void disk_whole(struct node *node, struct read *read, struct block *block)
{
    if (block->buffer == NULL && !block_give_buffer(node, block, MEMORY_READ)) {
        fail_busy(node, read);
        return;
    }
    uint32_t offset = block_available(block);
    struct flight *flight = flight_new(node, block, NULL, FLIGHT_DISK);
    if (flight == NULL) {
        fail_busy(node, read);
        return;
    }
    block_describe(node, block, read->object);
    flight_wait(flight, read);
    if (!store_read(node, &(struct store_read){ .block = block,
                                                .buffer = block->buffer,
                                                .offset = offset,
                                                .into = offset,
                                                .size = block->size - offset,
                                                .flight = flight })) {
        flight_fail(node, flight, ERR_BUSY, ask_busy_us(node));
    }
}

/* Only what was asked for, for this one. */
static void disk_range(struct node *node, struct read *read, struct block *block)
{
    struct buffer *buffer = memory_take(node, read->length, MEMORY_READ);
    if (buffer == NULL) {
        fail_busy(node, read);
        return;
    }
    read->buffer = buffer;
    read->base = read->offset;
    read->tier = TIER_DISK;
    if (!store_read(node, &(struct store_read){ .block = block,
                                                .buffer = buffer,
                                                .offset = read->offset,
                                                .size = read->length,
                                                .read = read })) {
        fail_busy(node, read);
    }
}

void reads_on_disk(struct node *node, struct read *read, enum err err)
{
    CHECK(read->buffer != NULL);
    if (err == ERR_OK) {
        set_ready(node, read, read->length);
        return;
    }
    MARK(node, "reads.disk.failed");
    buffer_unref(node, read->buffer);
    read->buffer = NULL;
    reads_route(node, read);
}

/* ---- where from -------------------------------------------------------------------------- */

struct read_want reads_want(struct node *node, const struct read *read)
{
    const struct dataset *dataset = catalog_find(node, read->dataset);
    struct read_want want = { .place = read->place,
                              .silent = span_of(read->silent, read->silent_size),
                              .acting = read->mode == GET_ACTING };
    if (dataset != NULL) {
        want.selector = span_text(dataset->selector);
    }
    want.owner = rings_is_owner(node, want.selector, want.place);
    return want;
}

/* A flight for a block that is nowhere here, with its memory. NULL: no room, and the reader knows. */
static struct flight *begin_flight(struct node *node, struct read *read)
{
    struct block *block = blocks_take(node, read->id, read->block_bytes);
    if (block == NULL) {
        fail_busy(node, read);
        return NULL;
    }
    if (block->buffer == NULL && !block_give_buffer(node, block, MEMORY_READ)) {
        block_settle(node, block);
        fail_busy(node, read);
        return NULL;
    }
    struct flight *flight = flight_new(node, block, read->object, FLIGHT_PEEK);
    if (flight == NULL) {
        if (block->arrived == 0) {
            block_drop_buffer(node, block);
        }
        block_settle(node, block);
        fail_busy(node, read);
    }
    return flight;
}

/* This node is to bring the block into memory: earlier owners first, then the source. */
static void start_fetch(struct node *node, struct read *read, const struct read_want *want)
{
    struct flight *flight = begin_flight(node, read);
    if (flight == NULL) {
        return;
    }
    flight->extent = read->extent;
    flight->acting = want->acting;
    flight->differing = !want->owner;
    flight_wait(flight, read);
    struct peek_list list;
    peek_plan(node, read, &list);
    if (list.count == 0) {
        fetch_source(node, flight);
        return;
    }
    struct object *object = read->object;
    uint32_t index = read->id.index;
    bool extent = read->extent;
    object_ref(object);
    peek_start(node, flight, &list); /* the read may be over after this */
    if (extent) {
        peek_neighbours(node, object, index, &list);
    }
    object_unref(node, object);
}

/* The owner has sent the reader here: from there, and nowhere else. */
static void start_copy(struct node *node, struct read *read, struct node_id owner)
{
    const struct peek_list list = { .ids = { owner }, .count = 1, .sure = 1 };
    struct flight *flight = begin_flight(node, read);
    if (flight == NULL) {
        return;
    }
    MARK(node, "reads.copy");
    node->metrics.copies_brought++;
    flight_is_copy(node, flight);
    flight_wait(flight, read);
    peek_start(node, flight, &list);
}

/* The disks have not told yet whether they have it, or have too much to write. */
static void wait_for_disks(struct node *node, struct read *read, enum flight_phase phase)
{
    struct block *block = blocks_take(node, read->id, read->block_bytes);
    struct flight *flight = NULL;
    if (block != NULL) {
        flight = flight_new(node, block, NULL, phase);
    }
    if (flight == NULL) {
        if (block != NULL) {
            block_settle(node, block);
        }
        fail_busy(node, read);
        return;
    }
    flight_wait(flight, read);
}

/* Nothing is known of the block here. */
static void route_missing(struct node *node, struct read *read)
{
    const struct dataset *dataset = catalog_find(node, read->dataset);
    if (read->mode == GET_PEEK || dataset == NULL) {
        reads_fail(node, read, dataset == NULL ? ERR_DATASET_DELETED : ERR_NOT_FOUND, 0);
        return;
    }
    struct read_want want = reads_want(node, read);
    struct node_id owner;
    if (rings_owners(node, want.selector, want.place, 1, &owner) == 0) {
        MARK(node, "reads.no_ring");
        fail_busy(node, read);
        return;
    }
    if (read->mode == GET_COPY && !want.owner) {
        start_copy(node, read, owner);
        return;
    }
    if (read->mode == GET_PLAIN && !want.owner) {
        forward(node, read, owner);
        return;
    }
    if (node->leaving) {
        MARK(node, "reads.leaving");
        fail_busy(node, read);
        return;
    }
    if (!flights_may_begin(node, read->id, read->block_bytes)) {
        wait_for_disks(node, read, FLIGHT_LINE);
        return;
    }
    start_fetch(node, read, &want);
}

/* Wait for what is under way; but one that only wants to know what is here must not wait for a node
 * that asks others, or has not begun: two could wait for each other. */
static void join(struct node *node, struct read *read, struct flight *flight)
{
    bool begun = flight->phase != FLIGHT_PEEK && flight->phase != FLIGHT_LINE;
    if (read->mode == GET_PEEK && !begun) {
        MARK(node, "reads.peek.no_wait");
        reads_fail(node, read, ERR_NOT_FOUND, 0);
        return;
    }
    flight_wait(flight, read);
    reads_wake(node, read, flight->block, flight_tier(flight));
}

void reads_route(struct node *node, struct read *read)
{
    struct block *block = blocks_find(node, read->id);
    CHECK(read->admitted && read->flight == NULL);
    CHECK(read->buffer == NULL || (block != NULL && read->buffer == block->buffer));
    if (block != NULL && block->size != read->block_bytes) {
        MARK(node, "reads.size.differs");
        reads_fail(node, read, ERR_INVALID, 0);
        return;
    }
    if (block != NULL && block->buffer != NULL &&
        block_available(block) >= read->offset + read->length) {
        buffer_touch(block->buffer);
        reads_wake(node, read, block, TIER_MEMORY);
        return;
    }
    if (block != NULL && block->flight != NULL) {
        join(node, read, block->flight);
        return;
    }
    if (block != NULL && block->segment != NULL) {
        bool whole = read->extent || read->length >= block->size / 2 ||
                     block->size <= DISK_WHOLE_MAX || block->buffer != NULL;
        if (whole) {
            disk_whole(node, read, block);
        } else {
            disk_range(node, read, block);
        }
        return;
    }
    if (!store_is_ready(node)) {
        MARK(node, "reads.wait.tiers");
        wait_for_disks(node, read, FLIGHT_TIERS);
        return;
    }
    route_missing(node, read);
}

void reads_admit(struct node *node, struct session *session)
{
    if (session->admitting || session->closing) {
        return; /* whoever admits looks again by itself */
    }
    session->admitting = true;
    struct list *item;
    while ((item = list_first(&session->queue)) != NULL) {
        struct read *read = CONTAINER_OF(item, struct read, turn);
        if (!budget_admits(node, session, read->length)) {
            break;
        }
        list_remove(item);
        session->queued--;
        read->admitted = true;
        budget_take(session, read->length);
        reads_route(node, read);
    }
    session->admitting = false;
}
