/* tests/unit/node/core/lab_links.c: links, messages, and effects in general. */
#include "tests/unit/node/core/lab_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define DELAY_US 100

/* Rings live as long as the test: one arena each. */
static void *ring_memories[4096];
static uint32_t ring_count_all;

void lab_free_rings(void)
{
    for (uint32_t i = 0; i < ring_count_all; i++) {
        free(ring_memories[i]);
    }
    ring_count_all = 0;
}

struct wire *lab_wire(const struct lab *lab, uint64_t link, uint32_t *side)
{
    for (struct wire *wire = lab->wires; wire != NULL; wire = wire->next) {
        for (uint32_t i = 0; i < 2; i++) {
            if (wire->link[i] == link && !wire->cut) {
                *side = i;
                return wire;
            }
        }
    }
    return NULL;
}

struct wire *lab_connect(struct lab *lab, uint32_t from, uint32_t to, enum link_purpose purpose)
{
    struct wire *wire = calloc(1, sizeof *wire);
    assert_non_null(wire);
    wire->link[0] = ++lab->next_link;
    wire->link[1] = ++lab->next_link;
    wire->end[0] = from;
    wire->end[1] = to;
    wire->purpose = purpose;
    wire->next = lab->wires;
    lab->wires = wire;
    return wire;
}

void lab_send(struct lab *lab, uint64_t link, struct span frame, const struct payload *payload)
{
    uint32_t side = 0;
    const struct wire *wire = lab_wire(lab, link, &side);
    if (wire == NULL || wire->link[1 - side] == 0) {
        return; /* the other end has closed it: that we hear soon */
    }
    struct pending item = { .node = wire->end[1 - side], .link = wire->link[1 - side] };
    item.event.kind = NODE_MESSAGE;
    item.frame = malloc(frame.size);
    assert_non_null(item.frame);
    memcpy(item.frame, frame.data, frame.size);
    item.event.message.link.v = item.link;
    item.event.message.frame = span_of(item.frame, frame.size);
    if (payload != NULL && payload->data != NULL) {
        item.payload = malloc(payload->size);
        assert_non_null(item.payload);
        memcpy(item.payload, payload->data, payload->size);
        item.event.message.payload.data = item.payload;
        item.event.message.payload.size = payload->size;
    }
    lab_later(lab, DELAY_US, &item);
}

static void tell_down(struct lab *lab, uint32_t end, uint64_t link)
{
    struct pending item = { .node = end, .ends_link = true };
    item.event.kind = NODE_LINK_DOWN;
    item.event.link_down.link.v = link;
    lab_later(lab, DELAY_US, &item);
}

void lab_close(struct lab *lab, uint64_t link)
{
    uint32_t side = 0;
    struct wire *wire = lab_wire(lab, link, &side);
    if (wire != NULL) {
        tell_down(lab, wire->end[1 - side], wire->link[1 - side]);
        wire->link[side] = 0; /* the other end still gets what is on the way */
    }
}

void lab_cut_links(struct lab *lab, uint32_t index)
{
    for (struct wire *wire = lab->wires; wire != NULL; wire = wire->next) {
        for (uint32_t side = 0; side < 2; side++) {
            if (wire->end[side] == index && !wire->cut) {
                tell_down(lab, wire->end[1 - side], wire->link[1 - side]);
                wire->link[side] = 0;
            }
        }
    }
}

void lab_pending_free(struct pending *item)
{
    free(item->frame);
    free(item->payload);
    free(item);
}

/* A received payload belongs to the node until it RELEASEs it. */
static void keep_payload(struct lab *lab, struct pending *item)
{
    if (item->payload == NULL) {
        return;
    }
    struct received_payload *kept = calloc(1, sizeof *kept);
    assert_non_null(kept);
    kept->token = ++lab->next_token;
    kept->data = item->payload;
    kept->node = item->node;
    kept->next = lab->payloads;
    lab->payloads = kept;
    item->event.message.payload.token = kept->token;
}

void lab_deliver(struct lab *lab, struct pending *item)
{
    uint32_t side = 0;
    bool to_client = item->node >= LAB_NODES;
    bool link_gone = item->link != 0 && lab_wire(lab, item->link, &side) == NULL;
    bool node_gone = !to_client && !lab->nodes[item->node].up;
    if (link_gone || node_gone) {
        free(item->frame);
        free(item->payload);
        return;
    }
    if (item->ends_link) {
        struct wire *wire = lab_wire(lab, item->event.link_down.link.v, &side);
        if (wire == NULL) {
            return;
        }
        wire->cut = true;
    }
    if (to_client) {
        lab_client_take(lab, item->node - LAB_NODES, item);
        return;
    }
    if (item->event.kind == NODE_MESSAGE) {
        keep_payload(lab, item);
    }
    lab_event(lab, item->node, &item->event);
    free(item->frame);
}

static void effect_send(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    const struct payload *payload = &effect->send.payload;
    lab_send(lab, effect->send.link.v, effect->send.frame, payload);
    if (payload->token != 0) {
        struct pending item = { .node = index };
        item.event.kind = NODE_SENT;
        item.event.sent.token = payload->token;
        lab_later(lab, lab->sent_us > 0 ? lab->sent_us : DELAY_US, &item);
    }
}

static void effect_release(struct lab *lab, uint64_t token)
{
    for (struct received_payload **at = &lab->payloads; *at != NULL; at = &(*at)->next) {
        struct received_payload *payload = *at;
        if (payload->token == token) {
            *at = payload->next;
            free(payload->data);
            free(payload);
            return;
        }
    }
    fail_msg("a payload was released that is not there");
}

struct link_peer lab_node_peer(const struct lab *lab, uint32_t index, enum link_purpose purpose)
{
    struct link_peer peer = { .trust = LINK_TRUST_NONE };
    if (purpose == LINK_CONTROL && lab->insecure) {
        peer.trust = LINK_TRUST_ANYBODY;
    } else if (purpose == LINK_CONTROL) {
        peer.trust = LINK_TRUST_CLIENT;
        memcpy(peer.client_key, lab->nodes[index].options.link_key, sizeof peer.client_key);
    }
    return peer;
}

static void effect_connect(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    lab->nodes[index].connects++;
    for (uint32_t i = 0; i < lab->node_count; i++) {
        if (!node_id_equal(lab->nodes[i].id, effect->connect.node) || !lab->nodes[i].up) {
            continue;
        }
        for (uint32_t p = 0; p < 2; p++) {
            enum link_purpose purpose = p == 0 ? LINK_CONTROL : LINK_DATA;
            const struct wire *wire = lab_connect(lab, index, i, purpose);
            struct pending item = { .node = index, .link = wire->link[0] };
            item.event.kind = NODE_LINK_UP;
            item.event.link_up.link.v = wire->link[0];
            item.event.link_up.purpose = purpose;
            item.event.link_up.outbound = true;
            item.event.link_up.node = effect->connect.node;
            lab_later(lab, DELAY_US, &item);
            item.node = i;
            item.link = wire->link[1];
            item.event.link_up.link.v = wire->link[1];
            item.event.link_up.outbound = false;
            item.event.link_up.peer = lab_node_peer(lab, index, purpose);
            lab_later(lab, DELAY_US, &item);
        }
    }
}

static void effect_ring(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct arena arena;
    size_t size = ring_memory(effect->ring_build.count, lab->slots_log2);
    void *memory = malloc(size);
    assert_non_null(memory);
    assert_true(ring_count_all < ARRAY_COUNT(ring_memories));
    ring_memories[ring_count_all++] = memory;
    arena_init(&arena, memory, size);
    struct ring_options options = { .slots_log2 = lab->slots_log2,
                                    .selector = effect->ring_build.selector,
                                    .previous = effect->ring_build.previous };
    struct pending item = { .node = index };
    item.event.kind = NODE_RING;
    item.event.ring.id = effect->ring_build.id;
    assert_int_equal(ring_build(&arena, effect->ring_build.members, effect->ring_build.count,
                                &options, &item.event.ring.ring),
                     ERR_OK);
    lab_later(lab, MSEC(1), &item);
}

static void effect_meta(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct pending item = { .node = index };
    item.event.kind = NODE_META;
    item.event.meta.id = effect->meta.id;
    item.event.meta.err = effect->kind == NODE_META_GET ? ERR_NOT_FOUND : ERR_OK;
    lab->meta_puts++;
    lab_later(lab, DELAY_US, &item);
}

static void effect_keep_weight(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    struct lab_node *w = &lab->nodes[index];
    struct pending item = { .node = index };
    item.event.kind = NODE_WEIGHT_KEPT;
    item.event.weight_kept.err = w->weight_keep_err;
    if (w->weight_keep_err == ERR_OK) {
        w->weight_kept = effect->weight.forget ? UINT32_MAX : effect->weight.weight;
    }
    lab_later(lab, MSEC(5), &item);
}

void lab_effect(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    if (lab->hooks != NULL && lab->hooks->effect(lab, index, effect)) {
        return;
    }
    switch (effect->kind) {
    case NODE_SEND:
        effect_send(lab, index, effect);
        return;
    case NODE_RELEASE:
        effect_release(lab, effect->release.token);
        return;
    case NODE_CONNECT:
        effect_connect(lab, index, effect);
        return;
    case NODE_CLOSE:
        lab_close(lab, effect->close.link.v);
        return;
    case NODE_RING_BUILD:
        effect_ring(lab, index, effect);
        return;
    case NODE_FETCH:
        lab_fetch(lab, index, effect);
        return;
    case NODE_DISK_WRITE:
    case NODE_DISK_READ:
    case NODE_DISK_DROP:
        lab_disk(lab, index, effect);
        return;
    case NODE_META_PUT:
    case NODE_META_GET:
    case NODE_META_DELETE:
        effect_meta(lab, index, effect);
        return;
    case NODE_EVIDENCE:
        lab->nodes[index].evidence++;
        return;
    case NODE_OWNING:
        lab->nodes[index].owning = true;
        return;
    case NODE_WEIGHT:
        lab->nodes[index].weight = effect->weight.weight;
        lab->nodes[index].weight_tells++;
        return;
    case NODE_WEIGHT_KEEP:
        effect_keep_weight(lab, index, effect);
        return;
    case NODE_DRAINED:
        lab->nodes[index].drained = true;
        return;
    case NODE_RING_DROP:
    case NODE_SOURCE:
    case NODE_CATALOG:
    case NODE_LOAD:
    case NODE_LOG:
        return;
    case NODE_LIST:
    case NODE_HEAD:
        lab_ask(lab, index, effect);
        return;
    case NODE_FETCH_CANCEL:
    case NODE_KEY_ROTATE:
    case NODE_ADMIN_REPLY:
        fail_msg("an effect that block reads do not have");
    }
}
