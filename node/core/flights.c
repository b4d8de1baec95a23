/* node/core/flights.c: the life of a block under way. */
#include "node/core/flights.h"

#include "node/core/internal.h"
#include "node/core/peek.h"
#include "node/core/reads.h"
#include "node/core/store.h"

#define FLIGHTS_EXTRA 1024u /* neighbours that nobody waits for yet */
#define AHEAD_SHARE 4       /* they hold at most a quarter of the region, and leave as much room */

static uint32_t flights_max(const struct node_options *options)
{
    return options->requests_max + FLIGHTS_EXTRA;
}

size_t flights_memory(const struct node_options *options)
{
    return (size_t)flights_max(options) * (sizeof(struct flight) + 8) + 16;
}

uint32_t flights_timers(const struct node_options *options)
{
    return flights_max(options) + 2;
}

enum err flights_init(struct flights *flights, struct arena *mem,
                      const struct node_options *options)
{
    *flights =
        (struct flights){ .timer = { .kind = TIMER_TIERS }, .line_timer = { .kind = TIMER_LINE } };
    list_init(&flights->tiers);
    list_init(&flights->line);
    return pool_init(&flights->pool, mem, sizeof(struct flight), flights_max(options));
}

static void stand_in_line(struct node *node, struct flight *flight)
{
    struct flights *flights = &node->flights;
    MARK(node, "flights.line");
    node->metrics.disk_waits++;
    flight->since_us = node_active(node);
    list_push_back(&flights->line, &flight->queued);
    flights->line_count++;
    if (flights->line_count == 1) {
        timers_set(&node->timers, &flights->line_timer, node->now.mono_us + FLIGHT_PATIENCE_US);
    }
}

struct flight *flight_new(struct node *node, struct block *block, struct object *object,
                          enum flight_phase phase)
{
    struct flight *flight = pool_take(&node->flights.pool);
    CHECK(block->flight == NULL);
    if (flight == NULL) {
        MARK(node, "flights.full");
        return NULL;
    }
    list_init(&flight->queued);
    list_init(&flight->waiters);
    list_init(&flight->tells);
    flight->timer.kind = TIMER_PEEK;
    flight->block = block;
    flight->phase = phase;
    flight->object = object;
    if (object != NULL) {
        object_ref(object);
    }
    block->flight = flight;
    if (phase == FLIGHT_TIERS) {
        list_push_back(&node->flights.tiers, &flight->queued);
    } else if (block->buffer != NULL) {
        flight_hold(node, flight);
    }
    if (phase == FLIGHT_LINE) {
        stand_in_line(node, flight);
    } else if (object != NULL) {
        block_describe(node, block, object);
        flight->owes = true;
        store_owe(node, block->size);
    }
    return flight;
}

bool flights_may_begin(const struct node *node, struct block_id id, uint32_t size)
{
    const struct flights *flights = &node->flights;
    bool first = list_is_empty(&flights->line) || block_id_equal(flights->turn, id);
    return first && store_room(node) >= size;
}

bool flights_room_ahead(const struct node *node, uint32_t size)
{
    uint64_t most = node->options.region_size / AHEAD_SHARE;
    return node->flights.ahead + size <= most && list_is_empty(&node->flights.line) &&
           store_room(node) >= most + size;
}

struct flight *flight_ahead(struct node *node, struct object *object, uint32_t index,
                            enum flight_phase phase)
{
    struct block_id id = { .object = object->id, .index = index };
    uint32_t size = object_block_bytes(object->size, object->block_size, index);
    if (blocks_find(node, id) != NULL) {
        return NULL;
    }
    if (!flights_room_ahead(node, size)) {
        MARK(node, "flights.ahead.no_room");
        return NULL;
    }
    struct block *block = blocks_take(node, id, size);
    if (block == NULL) {
        return NULL;
    }
    if (!block_give_buffer(node, block, MEMORY_BACKGROUND)) {
        MARK(node, "flights.ahead.nomem");
        block_settle(node, block);
        return NULL;
    }
    buffer_touch(block->buffer); /* it will be asked for: not the first to be thrown out */
    struct flight *flight = flight_new(node, block, object, phase);
    if (flight == NULL) {
        block_drop_buffer(node, block);
        block_settle(node, block);
        return NULL;
    }
    flight->ahead = true;
    node->flights.ahead += size;
    return flight;
}

void flight_hold(struct node *node, struct flight *flight)
{
    CHECK(flight->buffer == NULL && flight->block->buffer != NULL);
    flight->buffer = flight->block->buffer;
    buffer_ref(node, flight->buffer);
}

void flight_wait(struct flight *flight, struct read *read)
{
    CHECK(read->flight == NULL);
    read->flight = flight;
    list_push_back(&flight->waiters, &read->waiting);
}

enum data_tier flight_tier(const struct flight *flight)
{
    switch (flight->phase) {
    case FLIGHT_TIERS:
    case FLIGHT_DISK:
        return TIER_DISK;
    case FLIGHT_PEEK:
        return TIER_PEER;
    case FLIGHT_LINE:
    case FLIGHT_GATHER:
    case FLIGHT_SOURCE:
        return TIER_SOURCE;
    }
    BUG("a flight in no phase");
}

void flight_wake(struct node *node, struct flight *flight)
{
    for (struct list *item = flight->waiters.next; item != &flight->waiters;) {
        struct read *read = CONTAINER_OF(item, struct read, waiting);
        item = item->next;
        reads_wake(node, read, flight->block, flight_tier(flight));
    }
}

/* Take it off its block and give back what it holds. Its waiters are in `waiters` then. */
static void flight_end(struct node *node, struct flight *flight, struct list *waiters)
{
    struct block *block = flight->block;
    struct list *item;
    struct list tells;
    struct pull *pull = flight->pull;
    const bool whole = block->arrived == block->size;
    list_init(waiters);
    list_init(&tells);
    list_move_all(&flight->tells, &tells);
    while ((item = list_first(&flight->waiters)) != NULL) {
        list_remove(item);
        CONTAINER_OF(item, struct read, waiting)->flight = NULL;
        list_push_back(waiters, item);
    }
    peek_stop(node, flight);
    list_remove(&flight->queued);
    if (flight->phase == FLIGHT_LINE) {
        CHECK(node->flights.line_count > 0);
        node->flights.line_count--;
    }
    if (flight->owes) {
        store_forgive(node, block->size);
    }
    if (flight->ahead) {
        CHECK(node->flights.ahead >= block->size);
        node->flights.ahead -= block->size;
    }
    CHECK(block->flight == flight);
    block->flight = NULL;
    if (flight->buffer != NULL) {
        buffer_unref(node, flight->buffer);
        if (block->arrived == 0) {
            block_drop_buffer(node, block);
        }
    }
    if (flight->object != NULL) {
        object_unref(node, flight->object);
    }
    pool_give(&node->flights.pool, flight);
    block_settle(node, block);
    if (pull != NULL) {
        handover_on_pulled(node, pull, whole);
    }
    handover_on_told(node, &tells);
}

void flight_done(struct node *node, struct flight *flight)
{
    struct block *block = flight->block;
    struct list waiters;
    CHECK(block->arrived == block->size && flight->buffer == block->buffer);
    flight_wake(node, flight); /* each takes its own hold of the buffer */
    block->copy = flight->copy;
    if (flight->phase != FLIGHT_DISK && !flight->copy) {
        store_offer(node, block, flight->object);
    }
    flight_end(node, flight, &waiters);
    struct list *item;
    while ((item = list_first(&waiters)) != NULL) {
        list_remove(item); /* they are ready now */
    }
}

void flight_fail(struct node *node, struct flight *flight, enum err err, usec_t retry_us)
{
    struct list waiters;
    flight_end(node, flight, &waiters);
    struct list *item;
    while ((item = list_first(&waiters)) != NULL) {
        list_remove(item);
        reads_fail(node, CONTAINER_OF(item, struct read, waiting), err, retry_us);
    }
}

void flight_is_copy(struct node *node, struct flight *flight)
{
    CHECK(flight->owes && !flight->copy);
    flight->copy = true;
    flight->owes = false;
    store_forgive(node, flight->block->size);
}

void flight_no_copy(struct node *node, struct flight *flight)
{
    struct list waiters;
    CHECK(flight->copy);
    flight_end(node, flight, &waiters);
    struct list *item;
    while ((item = list_first(&waiters)) != NULL) {
        struct read *read = CONTAINER_OF(item, struct read, waiting);
        list_remove(item);
        if (read->mode == GET_COPY) {
            reads_fail(node, read, ERR_NOT_FOUND, 0);
        } else {
            reads_route(node, read);
        }
    }
}

void flight_reroute(struct node *node, struct flight *flight)
{
    struct list waiters;
    flight_end(node, flight, &waiters);
    struct list *item;
    while ((item = list_first(&waiters)) != NULL) {
        list_remove(item);
        reads_route(node, CONTAINER_OF(item, struct read, waiting));
    }
}

void flights_on_disk(struct node *node, struct flight *flight, enum err err)
{
    CHECK(flight->phase == FLIGHT_DISK);
    if (err != ERR_OK) {
        MARK(node, "flights.disk.failed");
        flight_reroute(node, flight);
        return;
    }
    flight->block->arrived = flight->block->size;
    flight_done(node, flight);
}

void flights_on_record(struct node *node, struct block *block)
{
    if (block->flight != NULL && block->flight->phase == FLIGHT_TIERS) {
        MARK(node, "flights.found_on_disk");
        flight_reroute(node, block->flight);
    }
}

void flights_on_tiers_ready(struct node *node)
{
    timers_set(&node->timers, &node->flights.timer, node->now.mono_us);
}

void flights_on_tiers_timer(struct node *node)
{
    struct list *item;
    while ((item = list_first(&node->flights.tiers)) != NULL) {
        if (!effects_roomy(node, 0)) {
            MARK(node, "flights.tiers.goes_on");
            timers_set(&node->timers, &node->flights.timer, node->now.mono_us);
            return;
        }
        flight_reroute(node, CONTAINER_OF(item, struct flight, queued));
    }
}

/* ---- the line ---------------------------------------------------------------------------- */

static struct flight *first_in_line(struct node *node)
{
    struct list *first = list_first(&node->flights.line);
    return first == NULL ? NULL : CONTAINER_OF(first, struct flight, queued);
}

void flights_on_room(struct node *node)
{
    const struct flight *first = first_in_line(node);
    if (first != NULL && store_room(node) >= first->block->size) {
        timers_set(&node->timers, &node->flights.line_timer, node->now.mono_us);
    }
}

/* Is it this one's turn? A reader does not wait for ever: the disk may be much slower than the
 * source, or stuck. When one has waited too long, nobody does until the disk has caught up. */
static bool is_its_turn(struct node *node, const struct flight *flight)
{
    if (store_room(node) >= flight->block->size) {
        return true;
    }
    usec_t waited = node_active(node) - flight->since_us;
    if (waited < FLIGHT_PATIENCE_US) {
        timers_set(&node->timers, &node->flights.line_timer,
                   node->now.mono_us + FLIGHT_PATIENCE_US - waited);
        return false;
    }
    MARK(node, "flights.line.late");
    store_give_up(node);
    return true;
}

void flights_on_line_timer(struct node *node)
{
    struct flight *flight;
    while ((flight = first_in_line(node)) != NULL) {
        if (!effects_roomy(node, 0)) {
            MARK(node, "flights.line.goes_on");
            timers_set(&node->timers, &node->flights.line_timer, node->now.mono_us);
            return;
        }
        if (!is_its_turn(node, flight)) {
            return;
        }
        node->flights.turn = flight->block->id;
        flight_reroute(node, flight);
        node->flights.turn = (struct block_id){ 0 };
    }
}
