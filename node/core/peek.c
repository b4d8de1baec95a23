/* node/core/peek.c: a block from another node. */
#include "node/core/peek.h"

#include <string.h>

#include "node/core/fetch.h"
#include "node/core/internal.h"
#include "node/core/reads.h"

#define PEEK_RANKS 3
#define PEEK_DEADLINE_US SEC(60)

static bool is_named(struct span ids, struct node_id id)
{
    for (size_t at = 0; at + ID_SIZE <= ids.size; at += ID_SIZE) {
        if (memcmp(ids.data + at, id.b, ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void add(struct node *node, struct peek_list *list, struct node_id id)
{
    if (node_id_equal(id, node->options.id) || list->count == PEEKS_MAX ||
        !peer_is_open(node, id, LINK_DATA)) {
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (node_id_equal(list->ids[i], id)) {
            return;
        }
    }
    list->ids[list->count] = id;
    list->count++;
}

/* Those that the asker found silent come last. */
static void put_silent_last(struct peek_list *list, struct span silent)
{
    struct peek_list doubted = { .count = 0 };
    list->sure = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (is_named(silent, list->ids[i])) {
            doubted.ids[doubted.count++] = list->ids[i];
        } else {
            list->ids[list->sure++] = list->ids[i];
        }
    }
    memcpy(list->ids + list->sure, doubted.ids, doubted.count * sizeof doubted.ids[0]);
}

void peek_plan(struct node *node, const struct read *read, struct peek_list *out)
{
    struct node_id ids[RINGS_KEPT];
    struct read_want want = reads_want(node, read);
    uint32_t count = rings_previous(node, want.selector, want.place, ids);
    out->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        MARK(node, "peek.previous_owner");
        add(node, out, ids[i]);
    }
    bool was_away = node->now.mono_us < node->returned_us;
    if (want.acting || !want.owner || was_away) {
        count = rings_owners(node, want.selector, want.place, PEEK_RANKS, ids);
        for (uint32_t i = 0; i < count; i++) {
            add(node, out, ids[i]);
        }
    }
    count = lent_find(&node->hot.lent, read->id, ids, RINGS_KEPT);
    for (uint32_t i = 0; i < count; i++) {
        MARK(node, "peek.lent");
        add(node, out, ids[i]);
    }
    put_silent_last(out, want.silent);
}

void peek_stop(struct node *node, struct flight *flight)
{
    for (uint32_t i = 0; i < flight->candidate_count; i++) {
        call_cancel(node, flight->calls[i], true);
        flight->calls[i] = 0;
    }
    timers_cancel(&node->timers, &flight->timer);
}

static bool is_asking(const struct flight *flight)
{
    for (uint32_t i = 0; i < flight->candidate_count; i++) {
        if (flight->calls[i] != 0) {
            return true;
        }
    }
    return false;
}

static bool ask(struct node *node, struct flight *flight, uint32_t index)
{
    const struct object *object = flight->object;
    const struct block *block = flight->block;
    uint32_t offset = block_available(block);
    const bool sure = index < flight->sure_count;
    const usec_t left = PEEK_IN_ALL_US - (node->now.mono_us - flight->since_us);
    const bool must_answer = flight->pull != NULL || flight->copy;
    const usec_t unheard_us = must_answer ? 0 : usec_max(sure ? left : 0, PEEK_BESIDE_US);
    struct message message = { .kind = MESSAGE_GET,
                               .get = { .mode = GET_PEEK,
                                        .key = object_key(object),
                                        .pin = object_pin(object),
                                        .size = object->size,
                                        .block_size = object->block_size,
                                        .index = block->id.index,
                                        .offset = offset,
                                        .length = block->size - offset,
                                        .place = block->place.v,
                                        .ring = node_ring_digest(node, object->dataset),
                                        .remaining_us = (uint64_t)PEEK_DEADLINE_US,
                                        .hops = 1 } };
    memcpy(message.get.source, object->source.b, ID_SIZE);
    memcpy(message.get.dataset, object->dataset.b, ID_SIZE);
    flight->calls[index] =
        call_start(node, flight->candidates[index], &message,
                   &(struct call_options){ .kind = CALL_PEEK,
                                           .purpose = LINK_DATA,
                                           .unheard_us = unheard_us,
                                           .deadline_us = node->now.mono_us + PEEK_DEADLINE_US,
                                           .own_signs = true,
                                           .owner = flight,
                                           .tag = index });
    return flight->calls[index] != 0;
}

/* Nobody has it. A block whose neighbours are wanted too waits for them a moment. */
static void found_nowhere(struct node *node, struct flight *flight)
{
    if (flight->pull != NULL) {
        MARK(node, "peek.pull.failed");
        flight_reroute(node, flight); /* readers have more to ask than who offered it */
        return;
    }
    if (flight->copy) {
        MARK(node, "peek.copy.failed");
        flight_no_copy(node, flight);
        return;
    }
    if (!flight->extent) {
        timers_cancel(&node->timers, &flight->timer);
        fetch_source(node, flight);
        return;
    }
    usec_t delay = flight->ahead ? 2 * PEEK_GATHER_US : PEEK_GATHER_US;
    flight->phase = FLIGHT_GATHER;
    timers_set(&node->timers, &flight->timer, node->now.mono_us + delay);
}

static void ask_next(struct node *node, struct flight *flight)
{
    const bool is_late = node->now.mono_us - flight->since_us >= PEEK_IN_ALL_US;
    CHECK(flight->phase == FLIGHT_PEEK);
    while (flight->next_candidate < flight->candidate_count) {
        if (is_late && !effects_roomy(node, WIRE_REQUEST_MAX)) {
            MARK(node, "peek.later");
            timers_set(&node->timers, &flight->timer, node->now.mono_us);
            return;
        }
        uint32_t index = flight->next_candidate;
        flight->next_candidate++;
        if (ask(node, flight, index) && !is_late) {
            timers_set(&node->timers, &flight->timer, node->now.mono_us + PEEK_BESIDE_US);
            return;
        }
    }
    if (!is_asking(flight)) {
        found_nowhere(node, flight);
    }
}

void peek_start(struct node *node, struct flight *flight, const struct peek_list *list)
{
    CHECK(list->count > 0 && list->count <= PEEKS_MAX);
    memcpy(flight->candidates, list->ids, list->count * sizeof list->ids[0]);
    flight->candidate_count = list->count;
    flight->sure_count = list->sure;
    flight->since_us = node->now.mono_us;
    ask_next(node, flight);
}

void peek_neighbours(struct node *node, struct object *object, uint32_t index,
                     const struct peek_list *list)
{
    uint64_t begin;
    uint64_t end;
    object_extent(object, index, &begin, &end);
    for (uint64_t i = begin; i < end; i++) {
        uint64_t k = index + (i - begin);
        k = k < end ? k : k - end + begin; /* those that follow first */
        struct flight *flight = NULL;
        const struct block_id id = { .object = object->id, .index = (uint32_t)k };
        if (effects_roomy(node, 0) && !lent_is(&node->hot.lent, id)) {
            flight = flight_ahead(node, object, (uint32_t)k, FLIGHT_PEEK);
        }
        if (flight != NULL) {
            flight->extent = true;
            peek_start(node, flight, list);
        }
    }
}

void peek_on_timer(struct node *node, struct flight *flight)
{
    if (flight->phase == FLIGHT_GATHER) {
        fetch_source(node, flight);
    } else {
        ask_next(node, flight);
    }
}

/* This one has nothing (more) for us. */
static void candidate_over(struct node *node, struct flight *flight, uint64_t index)
{
    flight->calls[index] = 0;
    if (!is_asking(flight)) {
        ask_next(node, flight);
    }
}

/* One that has it is enough. */
static void only_from(struct node *node, struct flight *flight, uint64_t index)
{
    timers_cancel(&node->timers, &flight->timer);
    for (uint32_t i = 0; i < flight->candidate_count; i++) {
        if (i != index && flight->calls[i] != 0) {
            MARK(node, "peek.two_have_it");
            call_cancel(node, flight->calls[i], true);
            flight->calls[i] = 0;
        }
    }
}

/* Is this the next piece of the block, and whole? */
static bool data_is_good(struct node *node, const struct flight *flight,
                         const struct message_data *data, struct payload payload)
{
    const struct block *block = flight->block;
    uint32_t offset = block_available(block);
    uint32_t chunks = chunk_count(payload.size);
    if (data->offset != offset || payload.size == 0 || data->length != payload.size ||
        payload.size > block->size - offset || data->checksums.size != (size_t)chunks * 8 ||
        (payload.size % CHUNK_SIZE != 0 && offset + payload.size != block->size)) {
        MARK(node, "peek.data.odd");
        return false;
    }
    for (uint32_t i = 0; i < chunks; i++) {
        uint32_t begin = i * CHUNK_SIZE;
        uint32_t size = payload.size - begin < CHUNK_SIZE ? payload.size - begin : CHUNK_SIZE;
        if (crc64(0, payload.data + begin, size) != get_u64(data->checksums.data + (size_t)i * 8)) {
            MARK(node, "peek.data.corrupt");
            node->metrics.peer_corrupt++;
            return false;
        }
    }
    return true;
}

static enum call_more take_data(struct node *node, struct flight *flight, uint64_t index,
                                const struct message_data *data, struct payload payload)
{
    struct block *block = flight->block;
    if (!data_is_good(node, flight, data, payload)) {
        call_cancel(node, flight->calls[index], true);
        candidate_over(node, flight, index);
        return CALL_DONE;
    }
    only_from(node, flight, index);
    memcpy(flight->buffer->data + data->offset, payload.data, payload.size);
    memcpy((uint8_t *)(flight->buffer->checksums + data->offset / CHUNK_SIZE), data->checksums.data,
           data->checksums.size);
    block->arrived = (uint32_t)data->offset + payload.size;
    node->metrics.peer_bytes += payload.size;
    if (block->arrived == block->size) {
        flight->calls[index] = 0;
        flight_done(node, flight);
        return CALL_DONE;
    }
    flight_wake(node, flight);
    if (data->more == 0) {
        MARK(node, "peek.data.short");
        candidate_over(node, flight, index);
        return CALL_DONE;
    }
    return CALL_MORE;
}

enum call_more peek_on_answer(struct node *node, const struct call *call,
                              const struct message *message, struct payload payload)
{
    struct flight *flight = call->options.owner;
    uint64_t index = call->options.tag;
    enum call_more more = CALL_DONE;
    CHECK(flight->phase == FLIGHT_PEEK && flight->calls[index] == call->request);
    if (message->kind == MESSAGE_DATA && payload.data != NULL) {
        more = take_data(node, flight, index, &message->data, payload);
    } else {
        candidate_over(node, flight, index);
    }
    node_release(node, payload);
    return more;
}

void peek_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct flight *flight = call->options.owner;
    (void)err;
    MARK(node, "peek.unanswered");
    CHECK(flight->phase == FLIGHT_PEEK && flight->calls[call->options.tag] == call->request);
    candidate_over(node, flight, call->options.tag);
}
