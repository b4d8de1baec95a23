/* node/core/gets.c: a GET is checked, then answered at once from memory or begins a read. */
#include <string.h>

#include "node/core/budget.h"
#include "node/core/internal.h"
#include "node/core/reads.h"
#include "wire/dir.h"

/* Are the fields what a mount or node would send? Nothing is looked up or taken before. */
static bool fields_are_good(const struct message_get *get)
{
    if (get->mode > GET_COPY || get->class > CLASS_BACKGROUND || get->hops > 1 ||
        get->remaining_us == 0) {
        return false;
    }
    if (get->key.size == 0 || get->pin.size == 0 || get->size == 0 ||
        get->silent.size % ID_SIZE != 0) {
        return false;
    }
    if (get->block_size < BLOCK_SIZE_MIN || get->block_size > BLOCK_SIZE_MAX ||
        get->block_size % CHUNK_SIZE != 0 ||
        get->index >= object_block_count(get->size, (uint32_t)get->block_size)) {
        return false;
    }
    uint64_t bytes = object_block_bytes(get->size, (uint32_t)get->block_size, (uint32_t)get->index);
    if (get->length == 0 || get->offset % CHUNK_SIZE != 0 || get->offset >= bytes ||
        get->length > bytes - get->offset) {
        return false;
    }
    /* Whole chunks, so that each has its checksum; the last one may be short. */
    return get->length % CHUNK_SIZE == 0 || get->offset + get->length == bytes;
}

/* The place of a large object's extent follows from its id; only small files bring their own. */
static bool place_is_good(const struct message_get *get, struct object_id object)
{
    if (get->size <= SMALL_FILE_MAX) {
        return true;
    }
    uint64_t extent = get->index / extent_blocks((uint32_t)get->block_size);
    return place_of_extent(object, extent).v == get->place;
}

bool gets_is_good(const struct message_get *get, struct block_id id)
{
    return fields_are_good(get) && place_is_good(get, id.object);
}

static void refuse(struct node *node, struct link *link, const struct message_get *get,
                   enum err err)
{
    usec_t retry_us = 0;
    if (err == ERR_BUSY) {
        node->metrics.gets_busy++;
        retry_us = ask_busy_us(node);
    } else if (err == ERR_DENIED || err == ERR_EXPIRED) {
        node->metrics.gets_denied++;
    } else if (err == ERR_NOT_FOUND || err == ERR_DATASET_DELETED) {
        node->metrics.gets_missing++;
    } else {
        node->metrics.gets_invalid++;
    }
    ask_refuse(node, link, get->request, err, retry_us);
}

/* The usual case: all of it is in memory and nobody is before it. false: it is not the case. */
static bool serve_at_once(struct node *node, struct link *link, const struct message_get *get,
                          struct block_id id)
{
    struct session *session = link->session;
    const struct block *block = blocks_find(node, id);
    if (block == NULL || block->buffer == NULL || get->length > READ_PART_MAX ||
        block_available(block) < get->offset + get->length ||
        block->size != object_block_bytes(get->size, (uint32_t)get->block_size, id.index)) {
        return false;
    }
    if (!list_is_empty(&node->reads.turns) || !list_is_empty(&session->queue) ||
        !budget_admits(node, session, get->length) || !effects_roomy(node, 0) ||
        !sends_room(node)) {
        return false;
    }
    buffer_touch(block->buffer);
    budget_take(session, get->length);
    serve_part(node, &(struct serve){ .session = session,
                                      .link = link->id,
                                      .request = get->request,
                                      .buffer = block->buffer,
                                      .offset = (uint32_t)get->offset,
                                      .size = (uint32_t)get->length,
                                      .announced = get->mode == GET_PEEK,
                                      .tier = TIER_MEMORY });
    serve_count(node, TIER_MEMORY, get->length, true);
    serve_count_answer(node, 0);
    return true;
}

static void read_fill(struct read *read, const struct message_get *get, struct block_id id)
{
    read->id = id;
    read->place.v = get->place;
    read->block_bytes = object_block_bytes(get->size, (uint32_t)get->block_size, id.index);
    read->offset = (uint32_t)get->offset;
    read->length = (uint32_t)get->length;
    read->class = (enum get_class)get->class;
    read->mode = (enum get_mode)get->mode;
    if (read->mode == GET_PLAIN && get->hops > 0) {
        read->mode = GET_FORWARDED;
    }
    read->extent = get->extent != 0;
    read->trace = get->trace;
    memcpy(read->mount, get->mount, ID_SIZE);
    memcpy(read->dataset.b, get->dataset, ID_SIZE);
    CHECK(get->silent.size <= READ_SILENT_MAX);
    if (get->silent.size > 0) {
        memcpy(read->silent, get->silent.data, get->silent.size);
    }
    read->silent_size = (uint32_t)get->silent.size;
}

static struct read *read_new(struct node *node, struct link *link, const struct message_get *get,
                             struct block_id id)
{
    struct read *read = pool_take(&node->reads.pool);
    if (read == NULL) {
        MARK(node, "gets.full");
        refuse(node, link, get, ERR_BUSY);
        return NULL;
    }
    read->ask.kind = ASK_READ;
    list_init(&read->waiting);
    list_init(&read->turn);
    list_init(&read->disk_ops);
    read->session = link->session;
    read->moved_us = node->now.mono_us;
    read_fill(read, get, id);
    read->object = object_take(node, id.object, get);
    enum err err = read->object == NULL ? ERR_BUSY : ERR_OK;
    if (err == ERR_OK) {
        err = ask_open(node, &read->ask, link, get->request, get->remaining_us);
        if (err != ERR_OK) {
            object_unref(node, read->object);
        }
    }
    if (err != ERR_OK) {
        pool_give(&node->reads.pool, read);
        refuse(node, link, get, err);
        return NULL;
    }
    return read;
}

/* A node that sees another ring than ours is asked for its members. */
static bool compare_rings(struct node *node, const struct session *session,
                          const struct message_get *get)
{
    struct dataset_id dataset;
    memcpy(dataset.b, get->dataset, ID_SIZE);
    if (get->ring == node_ring_digest(node, dataset)) {
        return false;
    }
    if (session->role == WIRE_NODE) {
        MARK(node, "gets.ring.differs");
        peers_compare_views(node, session->node);
    }
    return true;
}

void reads_on_get(struct node *node, struct link *link, const struct message_get *get)
{
    struct session *session = link->session;
    node->metrics.gets++;
    node->metrics.copy_gets += get->mode == GET_COPY ? 1 : 0;
    if (!fields_are_good(get) || link->purpose != LINK_DATA) {
        MARK(node, "gets.invalid");
        refuse(node, link, get, ERR_INVALID);
        return;
    }
    struct access access = { .key = get->key, .capability = get->capability };
    memcpy(access.source.b, get->source, ID_SIZE);
    memcpy(access.dataset.b, get->dataset, ID_SIZE);
    enum err err = session_admits(node, session, &access);
    if (err != ERR_OK) {
        refuse(node, link, get, err);
        return;
    }
    if (get->length > node->options.region_size / 2 ||
        get->block_size > node->options.region_size) {
        MARK(node, "gets.too_large"); /* it would be busy for ever */
        refuse(node, link, get, ERR_NOMEM);
        return;
    }
    struct block_id id = { .index = (uint32_t)get->index };
    id.object = object_id_make(access.source, get->key, get->pin, (uint32_t)get->block_size);
    bool differs = compare_rings(node, session, get);
    if (hot_hands_on(node, link, get, id)) {
        return;
    }
    if (serve_at_once(node, link, get, id)) {
        return;
    }
    if (get->mode != GET_PEEK && !place_is_good(get, id.object)) {
        MARK(node, "gets.place.wrong");
        refuse(node, link, get, ERR_INVALID);
        return;
    }
    bool admit = list_is_empty(&session->queue) && budget_admits(node, session, get->length);
    if (!admit && session->queued >= SESSION_QUEUE_MAX) {
        MARK(node, "gets.queue.full");
        refuse(node, link, get, ERR_BUSY);
        return;
    }
    struct read *read = read_new(node, link, get, id);
    if (read == NULL) {
        return;
    }
    read->differing = differs;
    if (!admit) {
        MARK(node, "gets.queue");
        list_push_back(&session->queue, &read->turn);
        session->queued++;
        return;
    }
    read->admitted = true;
    budget_take(session, read->length);
    reads_route(node, read);
}
