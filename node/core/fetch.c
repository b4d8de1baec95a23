/* node/core/fetch.c: ranged GETs and their repetition. */
#include "node/core/fetch.h"

#include "base/hash.h"
#include "node/core/internal.h"
#include "node/core/outages.h"
#include "node/core/reads.h"

static uint32_t fetches_max(const struct node_options *options)
{
    return options->requests_max < 1024 ? options->requests_max + 64 : 1024;
}

size_t fetches_memory(const struct node_options *options)
{
    size_t count = fetches_max(options);
    return count * (sizeof(struct fetch) + 8 + 2 * sizeof(void *)) + 64;
}

uint32_t fetches_timers(const struct node_options *options)
{
    return fetches_max(options);
}

enum err fetches_init(struct fetches *fetches, struct arena *mem,
                      const struct node_options *options)
{
    *fetches = (struct fetches){ 0 };
    enum err err = map_init(&fetches->by_id, mem, fetches_max(options));
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&fetches->pool, mem, sizeof(struct fetch), fetches_max(options));
}

static struct fetch *fetch_find(const struct node *node, uint64_t id)
{
    struct map_node *at = map_first(&node->fetches.by_id, hash64_mix(id, 4));
    for (; at != NULL; at = map_next(at)) {
        struct fetch *fetch = CONTAINER_OF(at, struct fetch, by_id);
        if (fetch->id == id) {
            return fetch;
        }
    }
    return NULL;
}

static struct fetch *fetch_new(struct node *node, struct object *object)
{
    struct fetch *fetch = pool_take(&node->fetches.pool);
    if (fetch == NULL) {
        MARK(node, "fetch.full");
        return NULL;
    }
    fetch->timer.kind = TIMER_FETCH;
    fetch->object = object;
    object_ref(object);
    return fetch;
}

static void fetch_free(struct node *node, struct fetch *fetch)
{
    CHECK(fetch->id == 0 && fetch->at == fetch->count);
    timers_cancel(&node->timers, &fetch->timer);
    object_unref(node, fetch->object);
    pool_give(&node->fetches.pool, fetch);
}

static void fetch_add(struct fetch *fetch, struct flight *flight)
{
    CHECK(fetch->count < FETCH_PARTS_MAX);
    flight->phase = FLIGHT_SOURCE;
    flight->fetch = fetch;
    fetch->flights[fetch->count] = flight;
    fetch->count++;
}

/* ---- one attempt ------------------------------------------------------------------------- */

/* Where the rest of the first block goes: it begins with a chunk, as whole chunks are reported. */
static struct fetch_part first_part(const struct flight *flight)
{
    const uint32_t arrived = flight->block->arrived;
    CHECK(arrived % CHUNK_SIZE == 0 && arrived < flight->block->size);
    return (struct fetch_part){ .data = flight->buffer->data + arrived,
                                .checksums =
                                    (uint8_t *)(flight->buffer->checksums + arrived / CHUNK_SIZE),
                                .size = flight->block->size - arrived };
}

static void attempt_start(struct node *node, struct fetch *fetch)
{
    const struct object *object = fetch->object;
    const struct block *first = fetch->flights[fetch->at]->block;
    struct fetch_part *parts =
        (struct fetch_part *)(void *)scratch_take(node, FETCH_PARTS_MAX * sizeof *parts);
    uint32_t count = 1;
    uint64_t size = first->size - first->arrived;
    parts[0] = first_part(fetch->flights[fetch->at]);
    for (uint32_t i = fetch->at + 1; i < fetch->count; i++) {
        const struct flight *flight = fetch->flights[i];
        CHECK(flight->block->arrived == 0 && count < FETCH_PARTS_MAX);
        parts[count] = (struct fetch_part){ .data = flight->buffer->data,
                                            .checksums = (uint8_t *)flight->buffer->checksums,
                                            .size = flight->block->size };
        size += flight->block->size;
        count++;
    }
    fetch->id = node_next_id(node);
    fetch->bytes = 0;
    fetch->started_us = node->now.mono_us;
    map_insert(&node->fetches.by_id, &fetch->by_id, hash64_mix(fetch->id, 4));
    node->metrics.source_gets++;
    effects_push(node, &(struct node_effect){
                           .kind = NODE_FETCH,
                           .fetch = { .id = fetch->id,
                                      .source = object->source,
                                      .key = object_key(object),
                                      .pin = object_pin(object),
                                      .object_size = object->size,
                                      .offset = (uint64_t)first->id.index * object->block_size +
                                                first->arrived,
                                      .size = size,
                                      .parts = parts,
                                      .part_count = count,
                                      .background = fetch->background } });
}

/* ---- what one GET reads ------------------------------------------------------------------ */

/* A neighbour that can come with the asked block: absent, or known to be nowhere else. With `ahead`
 * absent ones may be begun. */
static struct flight *neighbour(struct node *node, struct object *object, uint32_t index,
                                bool ahead)
{
    const struct block_id id = { .object = object->id, .index = index };
    const struct block *block = blocks_find(node, id);
    if (block == NULL) {
        ahead = ahead && !lent_is(&node->hot.lent, id); /* it is asked for there first */
        return ahead ? flight_ahead(node, object, index, FLIGHT_SOURCE) : NULL;
    }
    struct flight *flight = block->flight;
    if (flight == NULL || flight->phase != FLIGHT_GATHER || flight->object != object ||
        block->arrived > 0) { /* one that has a beginning needs a GET from there */
        return NULL;
    }
    MARK(node, "fetch.gathered");
    timers_cancel(&node->timers, &flight->timer);
    return flight;
}

/* Blocks after the asked one, in the same GET. */
static void add_following(struct node *node, struct fetch *fetch, uint32_t index, bool ahead)
{
    uint64_t begin;
    uint64_t end;
    object_extent(fetch->object, index, &begin, &end);
    for (uint64_t k = (uint64_t)index + 1; k < end && fetch->count < FETCH_PARTS_MAX; k++) {
        struct flight *flight = neighbour(node, fetch->object, (uint32_t)k, ahead);
        if (flight == NULL) {
            return;
        }
        fetch_add(fetch, flight);
    }
}

/* Nowhere here, and not lent to anybody. */
static bool is_unknown(const struct node *node, struct block_id id)
{
    return blocks_find(node, id) == NULL && !lent_is(&node->hot.lent, id);
}

/* Blocks before it, back to the first that is known, by a GET of their own. */
static void fetch_preceding(struct node *node, struct object *object, uint32_t index)
{
    uint64_t begin;
    uint64_t end;
    uint32_t first = index;
    object_extent(object, index, &begin, &end);
    while (first > begin && index - first < FETCH_PARTS_MAX &&
           is_unknown(node, (struct block_id){ .object = object->id, .index = first - 1 })) {
        first--;
    }
    struct fetch *fetch = first < index ? fetch_new(node, object) : NULL;
    if (fetch == NULL) {
        return;
    }
    fetch->background = true;
    for (uint32_t k = first; k < index; k++) {
        struct flight *flight = flight_ahead(node, object, k, FLIGHT_SOURCE);
        if (flight == NULL) {
            break;
        }
        fetch_add(fetch, flight);
    }
    if (fetch->count == 0) {
        fetch_free(node, fetch);
        return;
    }
    MARK(node, "fetch.preceding");
    attempt_start(node, fetch);
}

/* What the object is read for: its dataset, or else one of those that wait for it. NULL: deleted. */
static const struct dataset *dataset_of(struct node *node, const struct flight *flight)
{
    struct object *object = flight->object;
    bool serves = object_serve_for(node, object, object->dataset);
    struct list *item = flight->waiters.next;
    for (; !serves && item != &flight->waiters; item = item->next) {
        const struct read *read = CONTAINER_OF(item, struct read, waiting);
        serves = object_serve_for(node, object, read->dataset);
    }
    return catalog_find(node, object->dataset);
}

/* May this node read the source for it? */
static enum err source_use(struct node *node, const struct flight *flight)
{
    const struct dataset *dataset = dataset_of(node, flight);
    if (dataset == NULL) {
        MARK(node, "fetch.dataset.gone");
        return ERR_DATASET_DELETED;
    }
    return catalog_source_use(node, dataset, flight->object->source);
}

void fetch_source(struct node *node, struct flight *flight)
{
    struct object *object = flight->object;
    uint32_t index = flight->block->id.index;
    enum err err = source_use(node, flight);
    if (err != ERR_OK) {
        MARK(node, "fetch.source.refused");
        flight_fail(node, flight, err, 0);
        return;
    }
    struct fetch *fetch = fetch_new(node, object);
    if (fetch == NULL) {
        flight_fail(node, flight, ERR_BUSY, ask_busy_us(node));
        return;
    }
    node->metrics.fetch_acting += flight->acting ? 1 : 0;
    node->metrics.fetch_differing += flight->differing && !flight->acting ? 1 : 0;
    bool extent = flight->extent;
    bool ahead =
        extent && flight->candidate_count == 0; /* else each is asked for elsewhere first */
    fetch->background = list_is_empty(&flight->waiters);
    fetch_add(fetch, flight);
    if (extent) {
        add_following(node, fetch, index, ahead);
    }
    attempt_start(node, fetch);
    if (ahead) {
        fetch_preceding(node, object, index);
    }
}

/* ---- what comes -------------------------------------------------------------------------- */

/* `bytes` more are in the buffers. */
static void take_bytes(struct node *node, struct fetch *fetch, uint64_t bytes)
{
    node->metrics.source_bytes += bytes;
    while (bytes > 0) {
        CHECK(fetch->at < fetch->count);
        struct flight *flight = fetch->flights[fetch->at];
        struct block *block = flight->block;
        uint32_t room = block->size - block->arrived;
        uint32_t here = bytes < room ? (uint32_t)bytes : room;
        block->arrived += here;
        if (flight->acting || flight->differing) {
            node->metrics.source_again_bytes += here; /* its owner may have read it, too */
        }
        bytes -= here;
        if (block->arrived == block->size) {
            fetch->flights[fetch->at] = NULL;
            fetch->at++;
            flight->fetch = NULL;
            flight_done(node, flight);
        } else {
            flight_wake(node, flight);
        }
    }
}

static void count_error(struct node *node, enum err err)
{
    struct metrics *metrics = &node->metrics;
    if (err == ERR_SOURCE_THROTTLED) {
        metrics->source_throttled++;
    } else if (err == ERR_SOURCE_UNREACHABLE || err == ERR_TIMEOUT) {
        metrics->source_unreachable++;
    } else if (err == ERR_SOURCE_DENIED || err == ERR_NO_CREDENTIAL) {
        metrics->source_denied++;
    } else if (err == ERR_SOURCE_NOT_FOUND || err == ERR_NOT_FOUND) {
        metrics->source_missing++;
    } else if (err == ERR_CHANGED) {
        metrics->source_changed++;
    } else {
        metrics->source_other++;
    }
}

/* Would the next attempt end the same way? */
static bool is_final(enum err err)
{
    return err == ERR_CHANGED || err == ERR_SOURCE_DENIED || err == ERR_SOURCE_NOT_FOUND ||
           err == ERR_NOT_FOUND || err == ERR_NO_CREDENTIAL || err == ERR_SOURCE_NOT_ALLOWED ||
           err == ERR_INVALID || err == ERR_UNSUPPORTED || err == ERR_CLOSED;
}

static void log_failure(struct node *node, const struct fetch *fetch, enum err err)
{
    char line[512];
    struct text text;
    struct span key = object_key(fetch->object);
    text_init(&text, line, sizeof line);
    text_str(&text, "fetch.failed err=");
    text_str(&text, err_name(err));
    text_str(&text, " block=");
    text_u64(&text, fetch->flights[fetch->at]->block->id.index);
    text_str(&text, " key=");
    text_json(&text, span_of(key.data, key.size < 200 ? key.size : 200));
    node_log(node, LOG_WARN, &text);
}

static void give_up(struct node *node, struct fetch *fetch, enum err err)
{
    while (fetch->at < fetch->count) {
        struct flight *flight = fetch->flights[fetch->at];
        fetch->flights[fetch->at] = NULL;
        fetch->at++;
        flight->fetch = NULL;
        flight_fail(node, flight, err, 0);
    }
    fetch_free(node, fetch);
}

/* Blocks from the end that nobody waits for are let go: they can be asked for later. */
static bool is_wanted(struct node *node, struct fetch *fetch)
{
    while (fetch->count > fetch->at && !fetch->background) {
        struct flight *last = fetch->flights[fetch->count - 1];
        if (!list_is_empty(&last->waiters)) {
            return true;
        }
        MARK(node, "fetch.let_go");
        fetch->count--;
        last->fetch = NULL;
        flight_fail(node, last, ERR_CANCELLED, 0);
    }
    for (uint32_t i = fetch->at; i < fetch->count; i++) {
        if (!list_is_empty(&fetch->flights[i]->waiters)) {
            return true;
        }
    }
    return fetch->background && fetch->attempt < FETCH_BACKGROUND_TRIES;
}

static void attempt_failed(struct node *node, struct fetch *fetch, enum err err, usec_t retry_us)
{
    count_error(node, err);
    if (is_final(err)) {
        MARK(node, "fetch.failed");
        log_failure(node, fetch, err);
        give_up(node, fetch, err);
        return;
    }
    fetch->attempt = fetch->bytes > 0 ? 1 : fetch->attempt + 1;
    if (!is_wanted(node, fetch)) {
        MARK(node, "fetch.unwanted");
        give_up(node, fetch, err);
        return;
    }
    usec_t delay =
        node_backoff(node, FETCH_RETRY_FIRST_US, fetch->attempt - 1, FETCH_RETRY_MOST_US);
    timers_set(&node->timers, &fetch->timer, node->now.mono_us + usec_max(delay, retry_us));
}

void fetch_on_fetched(struct node *node, const struct node_event *event)
{
    struct fetch *fetch = fetch_find(node, event->fetched.id);
    CHECK(fetch != NULL && event->fetched.bytes >= fetch->bytes);
    uint64_t more = event->fetched.bytes - fetch->bytes;
    fetch->bytes = event->fetched.bytes;
    take_bytes(node, fetch, more);
    if (!event->fetched.ended) {
        return;
    }
    node->metrics.source_get_us += (uint64_t)(node->now.mono_us - fetch->started_us);
    map_remove(&node->fetches.by_id, &fetch->by_id);
    fetch->id = 0;
    outages_on_fetched(node, fetch->object, event);
    if (fetch->at == fetch->count) {
        fetch_free(node, fetch);
        return;
    }
    CHECK(event->fetched.err != ERR_OK);
    attempt_failed(node, fetch, event->fetched.err, event->fetched.retry_us);
}

void fetch_on_timer(struct node *node, struct fetch *fetch)
{
    if (!is_wanted(node, fetch)) {
        MARK(node, "fetch.unwanted.later");
        give_up(node, fetch, ERR_CANCELLED);
        return;
    }
    node->metrics.source_retries++;
    attempt_start(node, fetch);
}
