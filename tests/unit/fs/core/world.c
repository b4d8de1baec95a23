/* tests/unit/fs/core/world.c: the clock, the wires, and the mount's effects. */
#include "tests/unit/fs/core/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/fs/core/world_node.h"

#define EVENTS_MAX 65536u

struct world_event *world_push(struct world *w, usec_t in_us)
{
    assert_true(w->event_count < EVENTS_MAX);
    struct world_event *event = &w->events[w->event_count++];
    memset(event, 0, sizeof *event);
    event->at_us = w->now_us + in_us;
    event->order = w->next_order++;
    return event;
}

static void assert_budget(struct world *w)
{
    struct mount_totals totals = world_totals(w);
    assert_true(totals.memory_used <= totals.memory_size);
    w->payload_most = w->payload_bytes > w->payload_most ? w->payload_bytes : w->payload_most;
}

struct mount_totals world_totals(const struct world *w)
{
    struct mount_totals totals;
    mount_totals(w->mount, &totals);
    return totals;
}

/* ---- effects --------------------------------------------------------------------------------- */

static void send(struct world *w, struct link_id link, struct span frame)
{
    struct world_event *event = world_push(w, w->latency_us);
    event->kind = WORLD_TO_NODE;
    event->link = link.v;
    event->frame = malloc(frame.size);
    memcpy(event->frame, frame.data, frame.size);
    event->frame_size = (uint32_t)frame.size;
}

static void release(struct world *w, uint64_t token)
{
    struct world_payload *payload = (struct world_payload *)(uintptr_t)token;
    assert_true(payload->is_held);
    w->payload_bytes -= payload->size;
    struct world_payload **link = &w->held;
    while (*link != payload) {
        link = &(*link)->next;
    }
    *link = payload->next;
    free(payload);
}

static void connect_to(struct world *w, const struct address *address, enum link_purpose purpose)
{
    uint32_t node = address->port / 10u - 1;
    assert_true(node < WORLD_NODES);
    struct world_event *event = world_push(w, w->latency_us);
    event->kind = WORLD_CONNECTED;
    event->link = ++w->next_link;
    event->node = node;
    event->purpose = purpose;
    event->address = *address;
}

static void build_ring(struct world *w, const struct mount_effect *effect)
{
    size_t size = ring_memory(effect->ring_build.count, effect->ring_build.slots_log2);
    void *memory = malloc(size);
    struct arena arena;
    arena_init(&arena, memory, size);
    struct ring_options options = { .slots_log2 = effect->ring_build.slots_log2,
                                    .selector = effect->ring_build.selector };
    struct world_event *event = world_push(w, w->latency_us);
    event->kind = WORLD_RING;
    event->request = effect->ring_build.id;
    assert_int_equal(ring_build(&arena, effect->ring_build.members, effect->ring_build.count,
                                &options, &event->ring),
                     ERR_OK);
    assert_true(w->rings < 64);
    w->ring_memory[w->rings++] = memory;
}

static struct world_reply *reply_to(struct world *w, const struct mount_effect *effect)
{
    uint64_t id = effect->reply_err.id;
    assert_true(id > 0 && id <= w->next_op);
    struct world_reply *reply = &w->replies[id];
    assert_false(reply->done); /* exactly one answer */
    reply->done = true;
    reply->at_us = w->now_us;
    reply->kind = effect->kind;
    return reply;
}

static void take_data(struct world *w, const struct mount_effect *effect)
{
    struct world_reply *reply = reply_to(w, effect);
    assert_true(effect->reply_data.count <= MOUNT_REPLY_PIECES);
    for (uint32_t i = 0; i < effect->reply_data.count; i++) {
        reply->size += (uint32_t)effect->reply_data.pieces[i].size;
    }
    reply->data = malloc(reply->size + 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < effect->reply_data.count; i++) {
        struct span piece = effect->reply_data.pieces[i];
        memcpy(reply->data + at, piece.data, piece.size);
        at += (uint32_t)piece.size;
    }
    reply->pieces = effect->reply_data.count;
}

static void take_dir(struct world *w, const struct mount_effect *effect)
{
    struct world_reply *reply = reply_to(w, effect);
    uint32_t count = effect->reply_dir.count;
    assert_true(count <= MOUNT_DIRENTS_MAX);
    reply->entries = calloc(count + 1, sizeof *reply->entries);
    reply->count = count;
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct mount_dirent *dirent = &effect->reply_dir.entries[i];
        memcpy(reply->entries[i].name, dirent->name.data, dirent->name.size);
        reply->entries[i].next = dirent->next;
        reply->entries[i].entry = dirent->entry;
        /* As fuse_add_direntry and fuse_add_direntry_plus of libfuse count. */
        used += ((effect->reply_dir.plus ? 152 : 24) + dirent->name.size + 7) / 8 * 8;
    }
    assert_true(used <= effect->reply_dir.size);
}

static void take_drop(struct world *w, const struct mount_effect *effect)
{
    if (w->drop_count == 256) {
        return; /* enough to look at */
    }
    struct span name = effect->drop_entry.name;
    memcpy(w->drop_names[w->drop_count], name.data, name.size);
    w->drop_names[w->drop_count][name.size] = '\0';
    w->drops[w->drop_count++] = *effect;
}

static void take_ready(struct world *w, const struct mount_effect *effect)
{
    assert_false(w->ready);
    w->ready = true;
    w->ready_err = effect->ready.err;
    memcpy(w->ready_text, effect->ready.text.data, effect->ready.text.size);
}

static void close_link(struct world *w, struct link_id link)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->links[i].link == link.v) {
            w->links[i] = w->links[--w->link_count];
            return;
        }
    }
}

static void take_log(struct world *w, struct span text)
{
    if (w->log_size + text.size + 2 <= sizeof w->log) {
        memcpy(w->log + w->log_size, text.data, text.size);
        w->log_size += text.size;
        w->log[w->log_size++] = '\n';
        w->log[w->log_size] = 0;
    }
}

static void take(struct world *w, const struct mount_effect *effect)
{
    switch (effect->kind) {
    case MOUNT_SEND:
        send(w, effect->send.link, effect->send.frame);
        return;
    case MOUNT_RELEASE:
        release(w, effect->release.token);
        return;
    case MOUNT_CONNECT:
        connect_to(w, &effect->connect.address, effect->connect.purpose);
        return;
    case MOUNT_CLOSE:
        close_link(w, effect->close.link);
        return;
    case MOUNT_RING_BUILD:
        build_ring(w, effect);
        return;
    case MOUNT_RESOLVE:
        world_push(w, w->latency_us)->kind = WORLD_SEEDS;
        return;
    case MOUNT_REPLY_ERR:
        reply_to(w, effect)->err = effect->reply_err.err;
        return;
    case MOUNT_REPLY_ENTRY:
        reply_to(w, effect)->entry = effect->reply_entry.entry;
        return;
    case MOUNT_REPLY_ATTR:
        reply_to(w, effect)->attr = effect->reply_attr.attr;
        return;
    case MOUNT_REPLY_OPEN: {
        struct world_reply *reply = reply_to(w, effect);
        reply->handle = effect->reply_open.handle;
        reply->keep_cache = effect->reply_open.keep_cache;
        return;
    }
    case MOUNT_REPLY_DATA:
        take_data(w, effect);
        return;
    case MOUNT_REPLY_DIR:
        take_dir(w, effect);
        return;
    case MOUNT_REPLY_STATFS: {
        struct world_reply *reply = reply_to(w, effect);
        reply->bytes = effect->reply_statfs.bytes;
        reply->files = effect->reply_statfs.files;
        return;
    }
    case MOUNT_DROP_ENTRY:
        take_drop(w, effect);
        return;
    case MOUNT_READY:
        take_ready(w, effect);
        return;
    case MOUNT_LOG:
        take_log(w, effect->log.text);
        return;
    case MOUNT_RING_DROP:
    case MOUNT_DROP_INODE:
    case MOUNT_ABANDON:
        return;
    }
}

static void step(struct world *w, const struct mount_event *event)
{
    static struct mount_effects effects;
    struct now now = { .mono_us = w->now_us, .wall_us = w->now_us };
    mount_step(w->mount, now, event, &effects);
    w->steps++;
    for (uint32_t i = 0; i < effects.count; i++) {
        take(w, &effects.items[i]);
    }
    assert_budget(w);
}

/* ---- events ----------------------------------------------------------------------------------- */

static bool has_link(const struct world *w, uint64_t link)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->links[i].link == link) {
            return true;
        }
    }
    return false;
}

static void to_mount(struct world *w, struct world_event *event)
{
    struct mount_event out = { .kind = MOUNT_MESSAGE };
    out.message.link.v = event->link;
    out.message.frame = span_of(event->frame, event->frame_size);
    if (!has_link(w, event->link)) {
        free(event->payload);
    } else {
        if (event->payload != NULL) {
            event->payload->is_held = true;
            event->payload->next = w->held;
            w->held = event->payload;
            w->payload_bytes += event->payload->size;
            out.message.payload.data = event->payload->bytes;
            out.message.payload.size = event->payload->size;
            out.message.payload.token = (uint64_t)(uintptr_t)event->payload;
        }
        step(w, &out);
    }
    free(event->frame);
}

static void connected(struct world *w, const struct world_event *event)
{
    if (w->nodes[event->node].down) {
        return; /* refused: the mount hears nothing and tries again */
    }
    assert_true(w->link_count < 256);
    w->links[w->link_count].link = event->link;
    w->links[w->link_count].node = event->node;
    w->links[w->link_count++].purpose = event->purpose;
    struct mount_event out = { .kind = MOUNT_LINK_UP };
    out.link_up.link.v = event->link;
    out.link_up.purpose = event->purpose;
    out.link_up.address = event->address;
    step(w, &out);
}

static void seeds(struct world *w)
{
    struct address addresses[WORLD_NODES];
    for (uint32_t i = 0; i < w->node_count; i++) {
        addresses[i] = world_address(i, LINK_CONTROL);
    }
    struct mount_event out = { .kind = MOUNT_SEEDS };
    out.seeds.addresses = addresses;
    out.seeds.count = w->node_count;
    step(w, &out);
}

static void deliver(struct world *w, struct world_event *event)
{
    struct mount_event out = { .kind = MOUNT_RING };
    switch (event->kind) {
    case WORLD_TO_NODE:
        if (has_link(w, event->link)) {
            world_node_take(w, event);
        }
        free(event->frame);
        return;
    case WORLD_TO_MOUNT:
        to_mount(w, event);
        return;
    case WORLD_CONNECTED:
        connected(w, event);
        return;
    case WORLD_SEEDS:
        seeds(w);
        return;
    case WORLD_RING:
        out.ring.id = event->request;
        out.ring.ring = event->ring;
        step(w, &out);
        return;
    case WORLD_AGAIN:
        world_node_again(w, event);
        free(event->frame);
        return;
    }
}

static struct world_event *earliest(struct world *w)
{
    struct world_event *best = NULL;
    for (uint32_t i = 0; i < w->event_count; i++) {
        struct world_event *event = &w->events[i];
        bool sooner = best == NULL || event->at_us < best->at_us ||
                      (event->at_us == best->at_us && event->order < best->order);
        best = sooner ? event : best;
    }
    return best;
}

static bool is_for_mount(const struct world_event *event)
{
    return event->kind != WORLD_TO_NODE && event->kind != WORLD_AGAIN;
}

/* The next thing that happens; false: nothing does until `end_us`. */
static bool turn(struct world *w, usec_t end_us)
{
    struct world_event *event = earliest(w);
    usec_t due = mount_deadline(w->mount);
    due = usec_max(due, w->stopped_us);
    usec_t at = event == NULL ? USEC_NEVER : event->at_us;
    if (event != NULL && is_for_mount(event)) {
        at = usec_max(at, w->stopped_us);
    }
    usec_t next = usec_min(due, at);
    if (next > end_us) {
        w->now_us = end_us;
        return false;
    }
    w->now_us = usec_max(w->now_us, next);
    if (event != NULL && at <= due) {
        struct world_event copy = *event;
        *event = w->events[--w->event_count];
        if (is_for_mount(&copy) && w->now_us > copy.at_us) {
            step(w, &(struct mount_event){ .kind = MOUNT_TICK });
        }
        deliver(w, &copy);
    } else {
        step(w, &(struct mount_event){ .kind = MOUNT_TICK });
    }
    return true;
}

void world_run(struct world *w, usec_t for_us)
{
    usec_t end = w->now_us + for_us;
    while (turn(w, end)) {
    }
}

const struct world_reply *world_wait(struct world *w, uint64_t op, usec_t for_us)
{
    usec_t end = w->now_us + for_us;
    while (!w->replies[op].done && turn(w, end)) {
    }
    return &w->replies[op];
}

/* ---- requests ----------------------------------------------------------------------------------- */

uint64_t world_op(struct world *w, struct mount_op op)
{
    assert_true(w->next_op + 1 < WORLD_REPLIES);
    struct mount_event event = { .kind = MOUNT_OP };
    event.op = op;
    event.op.id = ++w->next_op;
    step(w, &event);
    return w->next_op;
}

void world_interrupt(struct world *w, uint64_t op)
{
    struct mount_event event = { .kind = MOUNT_INTERRUPT };
    event.interrupt.id = op;
    step(w, &event);
}

void world_forget(struct world *w, uint64_t ino, uint64_t count)
{
    struct mount_event event = { .kind = MOUNT_OP };
    event.op = (struct mount_op){ .kind = OP_FORGET, .ino = ino, .count = count };
    step(w, &event);
}

void world_inject(struct world *w, uint32_t link, struct span frame, uint32_t payload)
{
    struct world_event event = { .kind = WORLD_TO_MOUNT };
    assert_true(w->link_count > 0);
    event.link = w->links[link % w->link_count].link;
    event.frame = malloc(frame.size + 1);
    memcpy(event.frame, frame.data, frame.size);
    event.frame_size = (uint32_t)frame.size;
    if (payload > 0) {
        event.payload = calloc(1, sizeof *event.payload + payload);
        event.payload->size = payload;
    }
    to_mount(w, &event);
}

void world_cut(struct world *w, uint32_t node)
{
    w->nodes[node].down = true;
    uint64_t gone[256];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->links[i].node == node) {
            gone[count++] = w->links[i].link;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        close_link(w, (struct link_id){ gone[i] });
        struct mount_event event = { .kind = MOUNT_LINK_DOWN };
        event.link_down.link.v = gone[i];
        step(w, &event);
    }
}

/* ---- making it ------------------------------------------------------------------------------------- */

struct world *world_make(uint32_t nodes)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->files = calloc(WORLD_FILES, sizeof *w->files);
    w->asks = calloc(WORLD_ASKS, sizeof *w->asks);
    w->replies = calloc(WORLD_REPLIES, sizeof *w->replies);
    w->events = calloc(EVENTS_MAX, sizeof *w->events);
    w->node_count = nodes;
    w->now_us = SEC(1000);
    w->latency_us = 100;
    w->part_size = 1u << 20;
    w->generation = 1;
    w->fresh_us = (uint64_t)SEC(3600);
    for (uint32_t i = 0; i < nodes; i++) {
        memset(w->nodes[i].id.b, (int)(i + 1), ID_SIZE);
    }
    struct mount_options *options = &w->options;
    memcpy(options->dataset, "train", 6);
    memcpy(options->cluster, "lab", 4);
    memset(options->session, 9, ID_SIZE);
    options->seed = 7;
    options->memory = 64u << 20;
    options->inodes_max = 8192;
    options->pages_max = 64;
    options->requests_max = 64;
    options->timeo_us = SEC(300);
    options->read_max = 1u << 20;
    options->marks = &w->marks;
    world_dataset(w);
    return w;
}

void world_begin(struct world *w)
{
    size_t size = mount_memory(&w->options);
    w->memory = malloc(size);
    struct arena arena;
    arena_init(&arena, w->memory, size);
    assert_int_equal(mount_new(&arena, &w->options, &w->mount), ERR_OK);
    step(w, &(struct mount_event){ .kind = MOUNT_TICK });
    usec_t end = w->now_us + SEC(30);
    while (!w->ready && turn(w, end)) {
    }
    assert_true(w->ready);
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < w->event_count; i++) {
        free(w->events[i].frame);
        free(w->events[i].payload);
    }
    for (uint64_t i = 0; i < WORLD_REPLIES; i++) {
        free(w->replies[i].data);
        free(w->replies[i].entries);
    }
    for (uint32_t i = 0; i < w->rings; i++) {
        free(w->ring_memory[i]);
    }
    while (w->held != NULL) {
        struct world_payload *next = w->held->next;
        free(w->held);
        w->held = next;
    }
    free(w->memory);
    free(w->files);
    free(w->asks);
    free(w->replies);
    free(w->events);
    free(w);
}
