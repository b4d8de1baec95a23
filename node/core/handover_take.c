/* node/core/handover_take.c: what other nodes offer is taken, and they are told what a block is. */
#include "base/hash.h"
#include "node/core/flights.h"
#include "node/core/handover.h"
#include "node/core/internal.h"
#include "node/core/peek.h"
#include "node/core/reads.h"

#define TAKES_MAX 32u  /* offers taken at once: one of each node that gives */
#define PULLS_MAX 128u /* blocks on their way */
#define TELLS_MAX 256u
#define LOADS_MAX 16u          /* blocks that are read from disk to be told */
#define TAKE_SHARE 16          /* blocks on their way hold at most a sixteenth of the region */
#define WHOLE_SHARE 4          /* and one of them at most a quarter, as read-ahead (flights.c) */
#define FREE_SHARE 8           /* without a disk an eighth of the region stays free */
#define TAKE_STEP 64u          /* entries looked at in one step */
#define TAKE_AGAIN_US MSEC(10) /* there was no room */
#define ASK_US SEC(10)

size_t handover_memory(const struct node_options *options)
{
    return handover_give_memory(options) + TAKES_MAX * (sizeof(struct take) + 8) +
           PULLS_MAX * (sizeof(struct pull) + 8) + TELLS_MAX * (sizeof(struct tell) + 8) +
           LOADS_MAX * (sizeof(struct load) + 8) + 128;
}

enum err handover_init(struct handover *handover, struct arena *mem,
                       const struct node_options *options)
{
    *handover = (struct handover){ .take_timer = { .kind = TIMER_TAKE } };
    list_init(&handover->taking);
    bool fits = handover_give_init(handover, mem, options) == ERR_OK &&
                pool_init(&handover->takes, mem, sizeof(struct take), TAKES_MAX) == ERR_OK &&
                pool_init(&handover->pulls, mem, sizeof(struct pull), PULLS_MAX) == ERR_OK &&
                pool_init(&handover->tells, mem, sizeof(struct tell), TELLS_MAX) == ERR_OK &&
                pool_init(&handover->loads, mem, sizeof(struct load), LOADS_MAX) == ERR_OK;
    return fits ? ERR_OK : ERR_NOMEM;
}

uint32_t handover_timers(void)
{
    return TAKES_MAX + TELLS_MAX + 2;
}

static void go_on(struct node *node)
{
    timers_set(&node->timers, &node->handover.take_timer, node->now.mono_us);
}

/* ---- offers -------------------------------------------------------------------------------- */

/* What an entry says; nothing of it is believed before it was compared. */
struct entry_of {
    struct block_id id;
    uint32_t size;
    struct place place;
    struct dataset_id dataset;
};

static struct entry_of entry_at(const struct take *take, uint32_t index)
{
    const uint8_t *at = take->entries + (size_t)index * HANDOVER_ENTRY_SIZE;
    struct entry_of entry = { .id = { .index = get_u32(at + 16) },
                              .size = get_u32(at + 20),
                              .place = { get_u64(at + 24) } };
    memcpy(entry.id.object.b, at, ID_SIZE);
    memcpy(entry.dataset.b, at + 32, ID_SIZE);
    return entry;
}

void handover_on_offer(struct node *node, struct link *link,
                       const struct message_block_offer *offer)
{
    struct handover *handover = &node->handover;
    size_t count = offer->entries.size / HANDOVER_ENTRY_SIZE;
    if (count == 0 || offer->entries.size % HANDOVER_ENTRY_SIZE != 0) {
        MARK(node, "handover.offer.odd");
        ask_refuse(node, link, offer->request, ERR_INVALID, 0);
        return;
    }
    for (struct list *at = handover->taking.next; at != &handover->taking; at = at->next) {
        if (node_id_equal(CONTAINER_OF(at, struct take, all)->from, link->session->node)) {
            MARK(node, "handover.offer.second"); /* the first is answered before */
            ask_refuse(node, link, offer->request, ERR_BUSY, ask_busy_us(node));
            return;
        }
    }
    struct take *take = pool_take(&handover->takes);
    if (take == NULL) {
        MARK(node, "handover.takes.full");
        ask_refuse(node, link, offer->request, ERR_BUSY, ask_busy_us(node));
        return;
    }
    take->ask.kind = ASK_TAKE;
    enum err err = ask_open(node, &take->ask, link, offer->request, (uint64_t)HANDOVER_OFFER_US);
    if (err != ERR_OK) {
        pool_give(&handover->takes, take);
        ask_refuse(node, link, offer->request, err, 0);
        return;
    }
    list_init(&take->all);
    list_init(&take->pulls);
    take->from = link->session->node;
    take->count = (uint32_t)count;
    memcpy(take->entries, offer->entries.data, offer->entries.size);
    list_push_back(&handover->taking, &take->all);
    rings_prolong(node);
    go_on(node);
}

static void take_free(struct node *node, struct take *take)
{
    CHECK(!ask_is_open(&take->ask) && list_is_empty(&take->pulls));
    list_remove(&take->all);
    pool_give(&node->handover.takes, take);
}

static void take_answer(struct node *node, struct take *take)
{
    struct message message = { .kind = MESSAGE_BLOCK_OFFERED,
                               .block_offered = { .request = take->ask.request,
                                                  .ends = span_of(take->ends, take->count) } };
    node_send(node, take->ask.link, &message, (struct payload){ 0 });
    ask_close(node, &take->ask);
    take_free(node, take);
}

static void pull_free(struct node *node, struct pull *pull)
{
    struct handover *handover = &node->handover;
    CHECK(handover->taking_bytes >= pull->size && pull->call == 0);
    handover->taking_bytes -= pull->size;
    list_remove(&pull->of_take);
    pool_give(&handover->pulls, pull);
}

static void pull_end(struct node *node, struct pull *pull, enum handover_end end)
{
    if (pull->take != NULL) {
        pull->take->ends[pull->at] = (uint8_t)end;
    }
    pull_free(node, pull);
    go_on(node);
}

/* Who offered does not wait any more: what has begun to arrive goes on. */
void handover_on_take_gone(struct node *node, struct ask *ask)
{
    struct take *take = CONTAINER_OF(ask, struct take, ask);
    struct list *item;
    MARK(node, "handover.offer.gone");
    while ((item = list_first(&take->pulls)) != NULL) {
        struct pull *pull = CONTAINER_OF(item, struct pull, of_take);
        list_remove(item);
        pull->take = NULL;
        if (pull->call != 0) {
            call_cancel(node, pull->call, true);
            pull->call = 0;
            pull_end(node, pull, HANDOVER_FAILED);
        }
    }
    take_free(node, take);
}

/* ---- one entry ----------------------------------------------------------------------------- */

static bool is_mine(struct node *node, const struct entry_of *entry)
{
    return !node->leaving && store_is_ready(node) &&
           handover_owns(node, entry->dataset, entry->place);
}

/* May that much come in now? Readers, their read-ahead and the disk go first (flight_ahead). */
static bool has_room(const struct node *node, uint32_t size)
{
    const struct handover *handover = &node->handover;
    uint64_t most = node->options.region_size / TAKE_SHARE;
    return handover->taking_bytes == 0 || handover->taking_bytes + size <= most;
}

/* Without a disk what comes would throw out what readers have wanted. */
static bool is_full(const struct node *node, uint32_t size)
{
    uint64_t all = node->options.region_size;
    uint64_t used = buddy_used(node->memory.buddy) + node->handover.taking_bytes;
    return size > all / WHOLE_SHARE || (!store_takes(node) && used + size > all - all / FREE_SHARE);
}

static uint64_t ask_what(struct node *node, struct pull *pull)
{
    struct message message = { .kind = MESSAGE_BLOCK_ASK,
                               .block_ask = { .index = pull->id.index } };
    memcpy(message.block_ask.object, pull->id.object.b, ID_SIZE);
    return call_start(node, pull->from, &message,
                      &(struct call_options){ .kind = CALL_BLOCK_ASK,
                                              .purpose = LINK_CONTROL,
                                              .deadline_us = node->now.mono_us + ASK_US,
                                              .owner = pull });
}

/* Begin with this entry. */
static enum handover_end pull_start(struct node *node, struct take *take,
                                    const struct entry_of *entry)
{
    struct handover *handover = &node->handover;
    struct pull *pull = pool_take(&handover->pulls);
    CHECK(pull != NULL);
    pull->take = take;
    pull->from = take->from;
    pull->at = take->next;
    pull->id = entry->id;
    pull->size = entry->size;
    pull->place = entry->place;
    pull->dataset = entry->dataset;
    list_init(&pull->of_take);
    list_push_back(&take->pulls, &pull->of_take);
    handover->taking_bytes += pull->size;
    pull->call = ask_what(node, pull);
    if (pull->call == 0) {
        MARK(node, "handover.ask.no_link");
        pull_free(node, pull);
        return HANDOVER_FAILED;
    }
    return HANDOVER_NOT_YET;
}

/* It is in memory. A mere copy there may go at any time: it has to become ours, or is not counted. */
static bool is_kept(struct node *node, struct block_id id)
{
    struct block *block = blocks_find(node, id);
    return !block->copy || handover_keep_copy(node, block);
}

/* What becomes of an entry; NOT_YET: it is on its way here. `*wait`: look again later. */
static enum handover_end consider(struct node *node, struct take *take, bool *wait)
{
    const struct entry_of entry = entry_at(take, take->next);
    const enum block_state state = blocks_state(node, entry.id);
    if (entry.size == 0 || entry.size > BLOCK_SIZE_MAX) {
        return HANDOVER_FAILED;
    }
    if (!is_mine(node, &entry)) {
        MARK(node, "handover.not_mine");
        peers_compare_views(node, take->from);
        return HANDOVER_DECLINED;
    }
    if ((state == BLOCK_MEMORY && is_kept(node, entry.id)) || state == BLOCK_DISK) {
        return HANDOVER_HAD;
    }
    if (state == BLOCK_FETCHING || state == BLOCK_MEMORY) {
        return HANDOVER_FAILED;
    }
    if (is_full(node, entry.size)) {
        return HANDOVER_FULL;
    }
    if (!has_room(node, entry.size) || !flights_room_ahead(node, entry.size) ||
        node->handover.pulls.used == PULLS_MAX) {
        *wait = true;
        return HANDOVER_NOT_YET;
    }
    return pull_start(node, take, &entry);
}

/* Entries of one offer, as far as there is room. false: it has to wait for that. */
static bool take_some(struct node *node, struct take *take, uint32_t *left)
{
    bool wait = false;
    while (*left > 0 && take->next < take->count && effects_roomy(node, 0)) {
        enum handover_end end = consider(node, take, &wait);
        if (wait) {
            return false;
        }
        take->ends[take->next] = (uint8_t)end;
        take->next++;
        (*left)--;
    }
    return true;
}

/* All offers in turn: a new first one each time. */
void handover_on_take_timer(struct node *node)
{
    struct handover *handover = &node->handover;
    uint32_t left = TAKE_STEP;
    bool wait = false;
    struct list *first = list_first(&handover->taking);
    if (first != NULL) {
        list_remove(first);
        list_push_back(&handover->taking, first);
    }
    for (struct list *at = handover->taking.next; at != &handover->taking;) {
        struct take *take = CONTAINER_OF(at, struct take, all);
        at = at->next;
        wait |= !take_some(node, take, &left);
        if (take->next == take->count && list_is_empty(&take->pulls) && effects_roomy(node, 0)) {
            take_answer(node, take);
        }
    }
    if (left == 0 || !effects_roomy(node, 0)) {
        timers_set(&node->timers, &handover->take_timer, node->now.mono_us + 1);
    } else if (wait) {
        timers_set(&node->timers, &handover->take_timer, node->now.mono_us + TAKE_AGAIN_US);
    }
}

/* ---- what it is, and its bytes --------------------------------------------------------------- */

void handover_on_what_lost(struct node *node, struct pull *pull)
{
    pull->call = 0;
    pull_end(node, pull, HANDOVER_FAILED);
}

/* The GET that a reader would send for it. ERR_INVALID: it is not what was offered. */
static enum err get_of(const struct pull *pull, const struct message_block_is *is,
                       struct message_get *get)
{
    struct source_id source;
    *get = (struct message_get){ .mode = GET_PEEK,
                                 .class = CLASS_BACKGROUND,
                                 .key = is->key,
                                 .pin = is->pin,
                                 .size = is->size,
                                 .block_size = is->block_size,
                                 .index = pull->id.index,
                                 .length = pull->size,
                                 .place = pull->place.v,
                                 .remaining_us = 1 };
    memcpy(source.b, is->source, ID_SIZE);
    memcpy(get->source, is->source, ID_SIZE);
    memcpy(get->dataset, pull->dataset.b, ID_SIZE);
    if (!gets_is_good(get, pull->id) || is->place != pull->place.v ||
        memcmp(is->dataset, pull->dataset.b, ID_SIZE) != 0 ||
        object_block_bytes(is->size, (uint32_t)is->block_size, pull->id.index) != pull->size) {
        return ERR_INVALID;
    }
    struct object_id object = object_id_make(source, is->key, is->pin, (uint32_t)is->block_size);
    return object_id_equal(object, pull->id.object) ? ERR_OK : ERR_INVALID;
}

/* Does the dataset show that object? */
static bool is_shown(const struct node *node, const struct pull *pull,
                     const struct message_block_is *is)
{
    struct source_id source;
    const struct dataset *dataset = catalog_find(node, pull->dataset);
    memcpy(source.b, is->source, ID_SIZE);
    return dataset != NULL && dataset_shows(dataset, source, is->key);
}

static enum handover_end bring(struct node *node, struct pull *pull,
                               const struct message_block_is *is)
{
    struct message_get get;
    if (get_of(pull, is, &get) != ERR_OK) {
        MARK(node, "handover.what.odd");
        return HANDOVER_FAILED;
    }
    if (!is_shown(node, pull, is)) {
        MARK(node, "handover.what.not_shown");
        return HANDOVER_DECLINED;
    }
    struct object *object = object_take(node, pull->id.object, &get);
    struct flight *flight = NULL;
    if (object != NULL) {
        flight = flight_ahead(node, object, pull->id.index, FLIGHT_PEEK);
        object_unref(node, object);
    }
    if (flight == NULL) {
        MARK(node, "handover.no_room"); /* any more, or a reader was faster */
        return HANDOVER_FAILED;
    }
    struct peek_list list = { .ids = { pull->from }, .count = 1, .sure = 1 };
    flight->pull = pull;
    peek_start(node, flight, &list); /* may end it */
    return HANDOVER_NOT_YET;
}

void handover_on_what(struct node *node, struct pull *pull, const struct message *message)
{
    enum handover_end end = HANDOVER_FAILED;
    pull->call = 0;
    if (message->kind == MESSAGE_BLOCK_IS) {
        end = bring(node, pull, &message->block_is);
    }
    if (end != HANDOVER_NOT_YET) {
        pull_end(node, pull, end);
    }
}

void handover_on_pulled(struct node *node, struct pull *pull, bool whole)
{
    if (whole) {
        node->metrics.handover_taken++;
        node->metrics.handover_taken_bytes += pull->size;
    }
    pull_end(node, pull, whole ? HANDOVER_TAKEN : HANDOVER_FAILED);
    if (node->leaving) {
        handover_wake(node); /* it goes on to whoever owns it now */
    }
}

/* ---- telling what a block is ----------------------------------------------------------------- */

static void say_what(struct node *node, struct link_id link, uint64_t request,
                     const struct block *block)
{
    const struct object *object = block->object;
    struct message message = { .kind = MESSAGE_BLOCK_IS,
                               .block_is = { .request = request,
                                             .key = object_key(object),
                                             .pin = object_pin(object),
                                             .size = object->size,
                                             .block_size = object->block_size,
                                             .place = block->place.v } };
    memcpy(message.block_is.source, object->source.b, ID_SIZE);
    memcpy(message.block_is.dataset, block->dataset.b, ID_SIZE);
    node_send(node, link, &message, (struct payload){ 0 });
}

/* The rest of the block from disk, and its header. false: no room for that now. */
static bool load_start(struct node *node, struct block *block)
{
    struct handover *handover = &node->handover;
    if (block_is_whole(block)) {
        if (block->buffer->refs > 1) {
            return false;
        }
        block_drop_buffer(node, block); /* it is not kept what it is: only the disk can tell */
    }
    if (block->buffer == NULL && !block_give_buffer(node, block, MEMORY_BACKGROUND)) {
        return false;
    }
    struct load *load = pool_take(&handover->loads);
    struct flight *flight = load == NULL ? NULL : flight_new(node, block, NULL, FLIGHT_DISK);
    uint32_t offset = block_available(block);
    struct store_read what = { .block = block,
                               .buffer = block->buffer,
                               .offset = offset,
                               .into = offset,
                               .size = block->size - offset,
                               .header = load == NULL ? NULL : load->header,
                               .load = load,
                               .flight = flight };
    if (flight != NULL && store_read(node, &what)) {
        return true;
    }
    MARK(node, "handover.loads.full");
    if (load != NULL) {
        pool_give(&handover->loads, load);
    }
    if (flight != NULL) {
        flight_fail(node, flight, ERR_BUSY, ask_busy_us(node));
    } else if (block->arrived == 0) {
        block_drop_buffer(node, block);
    }
    return false;
}

void handover_on_loaded(struct node *node, struct block *block, struct load *load, enum err err)
{
    struct record record;
    if (err == ERR_OK &&
        record_decode(span_of(load->header, sizeof load->header), &record) == ERR_OK &&
        block_id_equal(record.block, block->id)) {
        struct message_get get = { .key = record.key,
                                   .pin = record.pin,
                                   .size = record.object_size,
                                   .block_size = record.block_size,
                                   .place = record.place.v };
        memcpy(get.source, record.source.b, ID_SIZE);
        memcpy(get.dataset, record.dataset.b, ID_SIZE);
        struct object *object = object_take(node, block->id.object, &get);
        if (object != NULL) {
            block_describe(node, block, object);
            object_unref(node, object);
        }
    }
    pool_give(&node->handover.loads, load);
}

static void tell_free(struct node *node, struct tell *tell)
{
    list_remove(&tell->waiting);
    pool_give(&node->handover.tells, tell);
}

void handover_on_tell_gone(struct node *node, struct ask *ask)
{
    tell_free(node, CONTAINER_OF(ask, struct tell, ask));
}

static void tell_wait(struct node *node, struct link *link, const struct message_block_ask *ask,
                      struct block *block)
{
    struct tell *tell = pool_take(&node->handover.tells);
    if (tell == NULL) {
        ask_refuse(node, link, ask->request, ERR_BUSY, ask_busy_us(node));
        return;
    }
    tell->ask.kind = ASK_TELL;
    tell->id = block->id;
    list_init(&tell->waiting);
    enum err err = ask_open(node, &tell->ask, link, ask->request, (uint64_t)ASK_US);
    if (err != ERR_OK) {
        pool_give(&node->handover.tells, tell);
        ask_refuse(node, link, ask->request, err, 0);
        return;
    }
    list_push_back(&block->flight->tells, &tell->waiting);
}

void handover_on_ask(struct node *node, struct link *link, const struct message_block_ask *ask)
{
    struct block_id id = { .index = (uint32_t)ask->index };
    memcpy(id.object.b, ask->object, ID_SIZE);
    struct block *block = blocks_find(node, id);
    if (block != NULL && handover_knows(block)) {
        say_what(node, link->id, ask->request, block);
        return;
    }
    bool reads = block != NULL && block->flight != NULL && block->flight->phase == FLIGHT_DISK;
    if (block == NULL || (!reads && (block->flight != NULL || block->segment == NULL))) {
        MARK(node, "handover.ask.nothing");
        ask_refuse(node, link, ask->request, ERR_NOT_FOUND, 0);
        return;
    }
    if (!reads && !load_start(node, block)) {
        ask_refuse(node, link, ask->request, ERR_BUSY, ask_busy_us(node));
        return;
    }
    tell_wait(node, link, ask, block);
}

void handover_on_told(struct node *node, struct list *tells)
{
    struct list *item;
    while ((item = list_first(tells)) != NULL) {
        struct tell *tell = CONTAINER_OF(item, struct tell, waiting);
        const struct block *block = blocks_find(node, tell->id);
        if (block != NULL && handover_knows(block)) {
            say_what(node, tell->ask.link, tell->ask.request, block);
            ask_close(node, &tell->ask);
        } else {
            ask_fail(node, &tell->ask, ERR_NOT_FOUND, 0, (struct span){ 0 });
        }
        tell_free(node, tell);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

enum call_more handover_on_answer(struct node *node, const struct call *call,
                                  const struct message *message, struct payload payload)
{
    node_release(node, payload);
    if (call->options.kind == CALL_BLOCK_OFFER) {
        handover_on_offered(node, call->options.owner, message);
    } else {
        handover_on_what(node, call->options.owner, message);
    }
    return CALL_DONE;
}

void handover_on_failure(struct node *node, const struct call *call, enum err err)
{
    (void)err;
    if (call->options.kind == CALL_BLOCK_OFFER) {
        handover_on_offer_lost(node, call->options.owner);
    } else {
        handover_on_what_lost(node, call->options.owner);
    }
}
