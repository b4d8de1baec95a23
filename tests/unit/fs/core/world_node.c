/* tests/unit/fs/core/world_node.c: nodes that answer from the table of files. */
#include "tests/unit/fs/core/world_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/crc.h"
#include "base/hash.h"
#include "wire/dir.h"

#define FRAME_MAX (2u << 20)

static const struct source_id source = { { WORLD_SOURCE } };

/* ---- what there is ----------------------------------------------------------------------------- */

void world_file(struct world *w, const char *key, uint64_t size, const char *pin)
{
    struct world_file *file = NULL;
    for (uint32_t i = 0; i < w->file_count; i++) {
        file = strcmp(w->files[i].key, key) == 0 ? &w->files[i] : file;
    }
    if (file == NULL) {
        assert_true(w->file_count < WORLD_FILES);
        file = &w->files[w->file_count++];
    }
    snprintf(file->key, sizeof file->key, "%s", key);
    snprintf(file->pin, sizeof file->pin, "%s", pin);
    file->size = size;
}

uint8_t world_byte(const char *key, const char *pin, uint64_t offset)
{
    uint64_t seed = (uint64_t)key[0] + 131u * (uint64_t)pin[0] + 17u * strlen(key);
    return (uint8_t)(seed + offset * 31 + (offset >> 8) * 7 + (offset >> 16) * 13);
}

static const struct world_file *file_of(const struct world *w, struct span key)
{
    for (uint32_t i = 0; i < w->file_count; i++) {
        if (span_equal(span_text(w->files[i].key), key)) {
            return &w->files[i];
        }
    }
    return NULL;
}

void world_dataset(struct world *w)
{
    struct dataset *d = &w->dataset;
    memcpy(d->name, "train", 6);
    d->row_count = 1;
    snprintf(d->rows[0].uri, sizeof d->rows[0].uri, "s3://bucket");
    d->rows[0].source = source;
    d->block_size = 4u << 20;
    d->version = 1700000000000000;
    memset(d->writer.b, 1, ID_SIZE);
}

struct address world_address(uint32_t node, enum link_purpose purpose)
{
    struct address address = { .port = (uint16_t)(10 * (node + 1) + purpose) };
    address.ip[15] = 1;
    return address;
}

uint32_t world_rank(const struct world *w, struct place place, uint32_t rank)
{
    struct node_id ids[RING_RANKS];
    const struct ring *ring = NULL;
    struct member members[WORLD_NODES];
    memset(members, 0, sizeof members);
    for (uint32_t i = 0; i < w->node_count; i++) {
        members[i].id = w->nodes[i].id;
        members[i].state = MEMBER_OWNING;
        members[i].weight = 1;
        members[i].serve_weight = 1;
    }
    size_t size = ring_memory(w->node_count, 8);
    void *memory = malloc(size);
    struct arena arena;
    arena_init(&arena, memory, size);
    struct ring_options options = { .slots_log2 = 8 };
    assert_int_equal(ring_build(&arena, members, w->node_count, &options, &ring), ERR_OK);
    uint32_t count = ring_owners(ring, place, RING_RANKS, ids);
    assert_true(rank < count);
    free(memory);
    return ids[rank].b[0] - 1u;
}

uint32_t world_block_rank(const struct world *w, const char *key, uint32_t index, uint32_t rank)
{
    const struct world_file *file = file_of(w, span_text(key));
    assert_non_null(file);
    struct object_id object =
        object_id_make(source, span_text(key), span_text(file->pin), w->dataset.block_size);
    uint32_t per_extent = (16u << 20) / w->dataset.block_size;
    struct place place = place_of_extent(object, index / per_extent);
    if (file->size <= SMALL_FILE_MAX) {
        place = place_of_shard(dir_id_make(source, span_text("")), span_of(NULL, 0));
    }
    return world_rank(w, place, rank);
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void say(struct world *w, uint64_t link, const struct message *message,
                struct world_payload *payload)
{
    size_t used = 0;
    uint8_t *frame = malloc(FRAME_MAX);
    assert_int_equal(message_encode(message, frame, FRAME_MAX, &used), ERR_OK);
    struct world_event *event = world_push(w, w->latency_us);
    event->kind = WORLD_TO_MOUNT;
    event->link = link;
    event->frame = realloc(frame, used);
    event->frame_size = (uint32_t)used;
    event->payload = payload;
}

static void refuse(struct world *w, uint64_t link, uint64_t request, enum err err)
{
    struct message message = { .kind = MESSAGE_FAIL };
    message.fail.request = request;
    message.fail.err = err;
    message.fail.retry_us = err == ERR_BUSY ? (uint64_t)MSEC(30) : 0;
    say(w, link, &message, NULL);
}

static struct world_payload *payload_of(const uint8_t *bytes, uint32_t size)
{
    struct world_payload *payload = malloc(sizeof *payload + size);
    payload->size = size;
    payload->is_held = false;
    if (bytes != NULL) {
        memcpy(payload->bytes, bytes, size);
    }
    return payload;
}

/* Ask that node. */
static void hand_on(struct world *w, const struct world_node *node, uint64_t link, uint64_t request)
{
    struct message message = { .kind = MESSAGE_FAIL };
    message.fail.request = request;
    message.fail.err = ERR_ELSEWHERE;
    memcpy(message.fail.node, w->nodes[node->names - 1].id.b, ID_SIZE);
    message.fail.node[3] ^= node->names_stranger ? 0xff : 0;
    say(w, link, &message, NULL);
}

static void answer_get(struct world *w, struct world_node *node, uint64_t link,
                       const struct message_get *get)
{
    const struct world_file *file = file_of(w, get->key);
    bool changed = file == NULL || !span_equal(get->pin, span_text(file->pin));
    char capability[32];
    snprintf(capability, sizeof capability, "cap%llu", (unsigned long long)w->capability);
    bool denied = w->capability > 0 && !span_equal(get->capability, span_text(capability));
    if (node->busy > 0 || node->fail != ERR_OK || changed || denied) {
        enum err err = changed ? ERR_CHANGED : denied ? ERR_DENIED : node->fail;
        err = node->busy > 0 ? ERR_BUSY : err;
        node->busy -= node->busy > 0;
        refuse(w, link, get->request, err);
        return;
    }
    if (node->names > 0 && get->elsewhere != 0) {
        hand_on(w, node, link, get->request);
        return;
    }
    assert_int_equal(get->size, file->size);
    assert_int_equal(get->block_size, w->dataset.block_size);
    assert_int_equal(get->offset % CHUNK_SIZE, 0);
    uint64_t start = get->index * get->block_size;
    assert_true(start + get->offset + get->length <= file->size);
    for (uint64_t at = 0; at < get->length;) {
        uint64_t left = get->length - at;
        uint32_t size = (uint32_t)(left < w->part_size ? left : w->part_size);
        struct world_payload *payload = payload_of(NULL, size);
        uint8_t checksums[2048];
        for (uint32_t i = 0; i < size; i++) {
            payload->bytes[i] = world_byte(file->key, file->pin, start + get->offset + at + i);
        }
        uint32_t chunks = chunk_count(size);
        for (uint32_t c = 0; c < chunks; c++) {
            uint32_t from = c * CHUNK_SIZE;
            uint32_t part = size - from < CHUNK_SIZE ? size - from : CHUNK_SIZE;
            put_u64(checksums + 8 * (size_t)c, crc64(0, payload->bytes + from, part));
        }
        checksums[0] ^= node->lies > 0;
        node->lies -= node->lies > 0;
        struct message message = { .kind = MESSAGE_DATA };
        message.data.request = get->request;
        message.data.offset = get->offset + at;
        message.data.length = size;
        message.data.checksums = span_of(checksums, 8 * (size_t)chunks);
        at += size;
        message.data.more = at < get->length;
        say(w, link, &message, payload);
        if (node->mute_after > 0 && --node->mute_after == 0) {
            node->silent = true;
            return;
        }
    }
}

static void answer_dir(struct world *w, struct world_node *node, uint64_t link,
                       const struct message_dir_get *get)
{
    static struct world_listing listing;
    world_listing_make(w, get->prefix, &listing);
    bool is_root = get->prefix.size == 0;
    struct message message = { .kind = MESSAGE_DIR_ROOT };
    message.dir_root.request = get->request;
    message.dir_root.fresh_us = w->fresh_us;
    uint8_t bytes[ENTRY_SIZE_MAX];
    size_t used = 0;
    bool found = false;
    for (uint32_t i = 0; i < listing.count && node->slow && get->name.size > 0; i++) {
        struct page page;
        struct entry entry;
        assert_int_equal(page_open(span_of(listing.pages[i], listing.sizes[i]), &page), ERR_OK);
        if (page_find(&page, get->name, &entry)) {
            assert_int_equal(entry_encode(&entry, bytes, sizeof bytes, &used), ERR_OK);
            found = true;
        }
    }
    if (node->dir_fail != ERR_OK) {
        refuse(w, link, get->request, node->dir_fail);
    } else if (listing.count == 0 && !is_root) {
        refuse(w, link, get->request, ERR_NOT_FOUND);
    } else {
        bool alone = node->slow && get->name.size > 0;
        message.dir_root.entry = alone && found ? span_of(bytes, used) : span_of(NULL, 0);
        message.dir_root.absent = alone && !found;
        message.dir_root.root = alone ? span_of(NULL, 0) : span_of(listing.root, listing.root_size);
        say(w, link, &message, NULL);
    }
    world_listing_free(&listing);
}

/* The prefix of this key that has that id. */
static bool is_above(const char *key, const uint8_t *id, struct span *out)
{
    size_t size = strlen(key);
    while (size > 0) {
        size--;
        while (size > 0 && key[size - 1] != '/') {
            size--;
        }
        *out = span_of(key, size);
        struct dir_id dir = dir_id_make(source, *out);
        if (memcmp(dir.b, id, ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void answer_shard(struct world *w, struct world_node *node, uint64_t link,
                         const struct message_shard_get *get)
{
    static struct world_listing listing;
    bool done = node->no_pages || get->generation != w->generation;
    for (uint32_t i = 0; i < w->file_count && !done; i++) {
        struct span prefix;
        if (!is_above(w->files[i].key, get->dir, &prefix)) {
            continue;
        }
        world_listing_make(w, prefix, &listing);
        for (uint32_t p = 0; p < listing.count && !done; p++) {
            struct page page;
            struct span bytes = span_of(listing.pages[p], listing.sizes[p]);
            assert_int_equal(page_open(bytes, &page), ERR_OK);
            done = span_equal(page.lower, get->fence);
            if (done) {
                struct message message = { .kind = MESSAGE_SHARD };
                message.shard.request = get->request;
                message.shard.checksum = page.crc;
                say(w, link, &message, payload_of(bytes.data, (uint32_t)bytes.size));
            }
        }
        world_listing_free(&listing);
        if (done) {
            return;
        }
    }
    refuse(w, link, get->request, ERR_NOT_FOUND);
}

static void answer_view(struct world *w, uint64_t link)
{
    uint8_t bytes[WORLD_NODES * MEMBER_RECORD_MAX];
    size_t all = 0;
    struct view *view = NULL;
    size_t size = view_memory(WORLD_NODES);
    void *memory = malloc(size);
    struct arena arena;
    arena_init(&arena, memory, size);
    assert_int_equal(view_new(&arena, WORLD_NODES, &view), ERR_OK);
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct member member = { .id = w->nodes[i].id,
                                 .incarnation = 1,
                                 .state = w->nodes[i].called_dead ? MEMBER_DEAD : MEMBER_OWNING,
                                 .weight = 1,
                                 .serve_weight = 1,
                                 .endpoint_count = 2 };
        snprintf(member.name, sizeof member.name, "node%u", i);
        member.endpoints[0].purpose = ENDPOINT_CONTROL;
        member.endpoints[0].address = world_address(i, LINK_CONTROL);
        member.endpoints[1].purpose = ENDPOINT_DATA;
        member.endpoints[1].address = world_address(i, LINK_DATA);
        size_t used = 0;
        assert_int_equal(member_encode(&member, bytes + all, MEMBER_RECORD_MAX, &used), ERR_OK);
        all += used;
        view_merge(view, &member, NULL);
    }
    struct message message = { .kind = MESSAGE_VIEW };
    message.view.digest = view_digest(view);
    message.view.members = span_of(bytes, all);
    message.view.slots_log2 = 8;
    say(w, link, &message, NULL);
    free(memory);
}

static void answer_dataset(struct world *w, uint64_t link, const struct message_dataset_get *get)
{
    uint8_t record[DATASET_RECORD_MAX];
    char capability[32];
    size_t used = 0;
    struct message message = { .kind = MESSAGE_DATASET };
    message.dataset.request = get->request;
    message.dataset.err = w->dataset_err;
    if (w->dataset_err == ERR_OK) {
        assert_int_equal(dataset_encode(&w->dataset, record, sizeof record, &used), ERR_OK);
        message.dataset.record = span_of(record, used);
        message.dataset.files = 42;
        message.dataset.bytes = 4242;
        if (w->capability > 0) {
            snprintf(capability, sizeof capability, "cap%llu", (unsigned long long)w->capability);
            message.dataset.capability = span_text(capability);
            message.dataset.capability_us = w->capability_us;
        }
    }
    w->capabilities++;
    say(w, link, &message, NULL);
}

static void answer_hello(struct world *w, uint32_t node, uint64_t link,
                         const struct message_hello *hello)
{
    struct message message = { .kind = MESSAGE_WELCOME };
    assert_true(span_equal(hello->cluster, span_text("lab")));
    if (w->hello_err != ERR_OK) {
        message.kind = MESSAGE_REFUSED;
        memset(&message.refused, 0, sizeof message.refused);
        message.refused.err = w->hello_err;
        say(w, link, &message, NULL);
        return;
    }
    message.welcome.version = 1;
    memcpy(message.welcome.node, w->nodes[node].id.b, ID_SIZE);
    message.welcome.slots_log2 = 8;
    say(w, link, &message, NULL);
}

/* ---- questions ---------------------------------------------------------------------------------------- */

static struct world_ask *note(struct world *w, uint32_t node, enum message_kind kind)
{
    assert_true(w->ask_count < WORLD_ASKS);
    struct world_ask *ask = &w->asks[w->ask_count++];
    ask->at_us = w->now_us;
    ask->node = node;
    ask->kind = kind;
    return ask;
}

static void copy(char *to, struct span a, struct span b)
{
    memcpy(to, a.data, a.size);
    if (b.size > 0) {
        memcpy(to + a.size, b.data, b.size);
    }
    to[a.size + b.size] = '\0';
}

static void record(struct world *w, uint32_t node, const struct message *message)
{
    struct world_ask *ask = note(w, node, message->kind);
    struct span none = span_of("", 0);
    if (message->kind == MESSAGE_GET) {
        const struct message_get *get = &message->get;
        ask->request = get->request;
        ask->mode = get->mode;
        ask->index = get->index;
        ask->offset = get->offset;
        ask->length = get->length;
        ask->extent = get->extent;
        ask->elsewhere = get->elsewhere != 0;
        ask->silent = get->silent.size / ID_SIZE;
        copy(ask->key, get->key, none);
        copy(ask->pin, get->pin, none);
    } else if (message->kind == MESSAGE_DIR_GET) {
        const struct message_dir_get *get = &message->dir_get;
        ask->request = get->request;
        ask->mode = get->mode;
        ask->newer_than = get->newer_than;
        ask->silent = get->silent.size / ID_SIZE;
        copy(ask->key, get->prefix.size > 0 ? get->prefix : none, get->name);
        if (get->newer_than >= w->generation) {
            w->generation = get->newer_than + 1;
        }
    } else if (message->kind == MESSAGE_CANCEL) {
        ask->request = message->cancel.request;
    }
}

static uint32_t node_of(const struct world *w, uint64_t link, enum link_purpose *purpose)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->links[i].link == link) {
            *purpose = w->links[i].purpose;
            return w->links[i].node;
        }
    }
    fail_msg("a message over a link that does not exist");
    return 0;
}

static void answer(struct world *w, uint32_t number, uint64_t link, const struct message *message)
{
    struct world_node *node = &w->nodes[number];
    struct message pong = { .kind = MESSAGE_PONG };
    switch (message->kind) {
    case MESSAGE_HELLO:
        answer_hello(w, number, link, &message->hello);
        return;
    case MESSAGE_PING:
        pong.pong.request = message->ping.request;
        say(w, link, &pong, NULL);
        return;
    case MESSAGE_VIEW_GET:
        answer_view(w, link);
        return;
    case MESSAGE_DATASET_GET:
        if (!w->dataset_silent) {
            answer_dataset(w, link, &message->dataset_get);
        }
        return;
    case MESSAGE_GET:
        answer_get(w, node, link, &message->get);
        return;
    case MESSAGE_DIR_GET:
        answer_dir(w, node, link, &message->dir_get);
        return;
    case MESSAGE_SHARD_GET:
        answer_shard(w, node, link, &message->shard_get);
        return;
    default:
        return;
    }
}

static bool is_work(enum message_kind kind)
{
    return kind == MESSAGE_GET || kind == MESSAGE_DIR_GET || kind == MESSAGE_SHARD_GET;
}

static void later(struct world *w, const struct world_event *event, usec_t in_us)
{
    struct world_event *again = world_push(w, in_us);
    again->kind = WORLD_AGAIN;
    again->link = event->link;
    again->frame = malloc(event->frame_size);
    memcpy(again->frame, event->frame, event->frame_size);
    again->frame_size = event->frame_size;
}

void world_node_take(struct world *w, const struct world_event *event)
{
    struct message message;
    enum link_purpose purpose = LINK_CONTROL;
    uint32_t number = node_of(w, event->link, &purpose);
    struct world_node *node = &w->nodes[number];
    assert_int_equal(message_decode(span_of(event->frame, event->frame_size), &message), ERR_OK);
    bool is_data = message.kind == MESSAGE_GET;
    bool is_open = message.kind == MESSAGE_HELLO || message.kind == MESSAGE_PING ||
                   message.kind == MESSAGE_CANCEL;
    assert_true(is_open || is_data == (purpose == LINK_DATA));
    record(w, number, &message);
    if (node->silent) {
        return;
    }
    if (node->pending && is_work(message.kind)) {
        later(w, event, MSEC(50));
    } else if (node->lazy_us > 0 && is_work(message.kind)) {
        later(w, event, node->lazy_us);
    } else {
        answer(w, number, event->link, &message);
    }
}

/* A question that waits at a node: PENDING over the control link, or at last the answer. */
void world_node_again(struct world *w, const struct world_event *event)
{
    struct message message;
    assert_int_equal(message_decode(span_of(event->frame, event->frame_size), &message), ERR_OK);
    uint32_t number = WORLD_NODES;
    for (uint32_t i = 0; i < w->link_count; i++) {
        number = w->links[i].link == event->link ? w->links[i].node : number;
    }
    if (number == WORLD_NODES || w->nodes[number].silent) {
        return;
    }
    if (!w->nodes[number].pending) {
        answer(w, number, event->link, &message);
        return;
    }
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->links[i].node == number && w->links[i].purpose == LINK_CONTROL) {
            uint8_t id[8];
            put_u64(id, message.get.request);
            struct message pending = { .kind = MESSAGE_PENDING };
            pending.pending.requests = span_of(id, sizeof id);
            say(w, w->links[i].link, &pending, NULL);
            break;
        }
    }
    later(w, event, MSEC(100));
}
