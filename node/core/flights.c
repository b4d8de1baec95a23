/* node/core/flights.c: the life of a block under way. */
#include "node/core/flights.h"

#include "node/core/internal.h"
#include "node/core/peek.h"
#include "node/core/reads.h"
#include "node/core/store.h"

#define FLIGHTS_EXTRA 1024u /* neighbours that nobody waits for yet */
#define AHEAD_SHARE 4       /* they hold at most a quarter of the region */

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
    return flights_max(options) + 1;
}

enum err flights_init(struct flights *flights, struct arena *mem,
                      const struct node_options *options)
{
    *flights = (struct flights){ .timer = { .kind = TIMER_TIERS } };
    list_init(&flights->tiers);
    return pool_init(&flights->pool, mem, sizeof(struct flight), flights_max(options));
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
    list_init(&flight->of_tiers);
    list_init(&flight->waiters);
    flight->timer.kind = TIMER_PEEK;
    flight->block = block;
    flight->phase = phase;
    flight->object = object;
    if (object != NULL) {
        object_ref(object);
    }
    block->flight = flight;
    if (phase == FLIGHT_TIERS) {
        list_push_back(&node->flights.tiers, &flight->of_tiers);
    } else if (block->buffer != NULL) {
        flight_hold(node, flight);
    }
    return flight;
}

struct flight *flight_ahead(struct node *node, struct object *object, uint32_t index,
                            enum flight_phase phase)
{
    struct block_id id = { .object = object->id, .index = index };
    uint32_t size = object_block_bytes(object->size, object->block_size, index);
    if (blocks_find(node, id) != NULL ||
        node->flights.ahead + size > node->options.region_size / AHEAD_SHARE) {
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
    list_init(waiters);
    while ((item = list_first(&flight->waiters)) != NULL) {
        list_remove(item);
        CONTAINER_OF(item, struct read, waiting)->flight = NULL;
        list_push_back(waiters, item);
    }
    peek_stop(node, flight);
    list_remove(&flight->of_tiers);
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
}

void flight_done(struct node *node, struct flight *flight)
{
    struct block *block = flight->block;
    struct list waiters;
    CHECK(block->arrived == block->size && flight->buffer == block->buffer);
    flight_wake(node, flight); /* each takes its own hold of the buffer */
    if (flight->phase != FLIGHT_DISK) {
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
        flight_reroute(node, CONTAINER_OF(item, struct flight, of_tiers));
    }
}
