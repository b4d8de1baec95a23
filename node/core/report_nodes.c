/* node/core/report_nodes.c: the members. */
#include "node/core/report_gather.h"

const char *report_state_word(enum member_state state)
{
    switch (state) {
    case MEMBER_WARMING:
        return "warming";
    case MEMBER_OWNING:
        return "owning";
    case MEMBER_LEAVING:
        return "leaving";
    case MEMBER_DEAD:
        return "dead";
    case MEMBER_LEFT:
        return "left";
    }
    BUG("a state that is none");
}

void report_node_name(struct node *node, struct json *json, const char *key, struct node_id id)
{
    const struct member *member = view_find(node->rings.view, id);
    if (member == NULL || member->name[0] == '\0') {
        json_id(json, key, id.b);
    } else {
        json_str(json, key, member->name);
    }
}

static uint32_t slots_of(const struct ring *ring, struct node_id id)
{
    for (uint32_t i = 0; ring != NULL && i < ring_count(ring); i++) {
        if (node_id_equal(ring_node(ring, i), id)) {
            return ring_slots_owned(ring, i);
        }
    }
    return 0;
}

/* ---- nodes ------------------------------------------------------------------------------- */

static void put_addresses(struct json *json, const struct member *member)
{
    static const char *const words[] = { "gossip", "control", "data" };
    json_open(json, "addresses", '[');
    for (uint32_t i = 0; i < member->endpoint_count; i++) {
        const struct endpoint *endpoint = &member->endpoints[i];
        json_open(json, NULL, '{');
        json_str(json, "purpose",
                 (uint32_t)endpoint->purpose < ARRAY_COUNT(words) ? words[endpoint->purpose]
                                                                  : "other");
        json_address(json, "address", &endpoint->address);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void put_member(const struct node *node, struct json *json, const struct member *member)
{
    const struct member *successor = view_successor(node->rings.view, member);
    json_str(json, "name", member->name);
    json_id(json, "id", member->id.b);
    json_str(json, "zone", member->zone);
    json_str(json, "labels", member->labels);
    json_str(json, "credentials", member->credentials);
    json_str(json, "state", report_state_word(member->state));
    if (successor != NULL) {
        json_id(json, "replaced_by", successor->id.b);
    }
    json_u64(json, "weight", member->weight);
    json_u64(json, "incarnation", member->incarnation);
    put_addresses(json, member);
}

/* "heard": seconds since its last message; -1: none is known of. "protocol": what it and we speak; 0: we have
 * no link to it. */
static void put_contact(struct node *node, struct json *json, struct node_id id)
{
    const struct peer *peer = peer_find(node, id);
    bool is_self = node_id_equal(id, node->options.id);
    const usec_t last_us = is_self ? node->now.mono_us : peer_heard_us(node, id);
    const usec_t heard_us = last_us != 0 ? node->now.mono_us - last_us : -SEC(1);
    const struct link *link = peer != NULL && peer->control_open ? peer->control : NULL;
    json_u64(json, "protocol", is_self ? WIRE_VERSION_HIGHEST : link != NULL ? link->version : 0);
    json_bool(json, "reachable", is_self || (peer != NULL && peer->control_open && !peer->silent));
    json_fixed(json, "heard_seconds", heard_us / 1000, 3);
}

/* "" under --insecure, and of a version that has one key. */
static void put_key(struct json *json, const char *field, uint64_t number, uint64_t id)
{
    char name[REPORT_KEY_NAME_SIZE] = "";
    if (id != 0) {
        report_key_name((uint32_t)number, id, name);
    }
    json_str(json, field, name);
}

static void put_numbers(struct json *json, const struct report_numbers *numbers)
{
    json_u64(json, "memory_used", numbers->memory_used);
    json_u64(json, "memory_size", numbers->memory_size);
    json_u64(json, "disk_used", numbers->disk_used);
    json_u64(json, "disk_quota", numbers->disk_quota);
    json_u64(json, "disks_failed", numbers->disks_failed);
    json_u64(json, "disks_slow", numbers->disks_slow);
    json_u64(json, "weight_wanted", numbers->weight_wanted);
    json_u64(json, "blocks", numbers->blocks);
    json_u64(json, "requests_open", numbers->requests_open);
    json_u64(json, "handover_left_bytes", numbers->handover_left_bytes);
    json_u64(json, "handover_given_bytes", numbers->handover_given_bytes);
    json_u64(json, "handover_taken_bytes", numbers->handover_taken_bytes);
    json_u64(json, "served_bytes",
             numbers->served_memory + numbers->served_disk + numbers->served_peer +
                 numbers->served_source);
    json_u64(json, "load", numbers->load);
    json_u64(json, "hot_blocks", numbers->hot_blocks);
    json_u64(json, "hot_copies", numbers->hot_copies);
    json_u64(json, "handed_on", numbers->handed_on);
    json_u64(json, "source_bytes", numbers->source_bytes);
    json_hex(json, "ring", numbers->ring_digest);
    json_hex(json, "view", numbers->view_digest);
    json_hex(json, "catalog", numbers->catalog_digest);
    put_key(json, "key", numbers->key_number, numbers->key_id);
    put_key(json, "newest_key", numbers->newest_number, numbers->newest_id);
}

void report_nodes(struct node *node, struct gather *gather)
{
    uint32_t count = 0;
    struct text text;
    struct json json;
    const struct member *members = view_members(node->rings.view, &count);
    const struct ring *ring = rings_current(node, span_of(NULL, 0));
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    json_str(&json, "asked_node", node->options.name);
    json_open(&json, "nodes", '[');
    for (uint32_t i = 0; i < count; i++) {
        const struct gather_node *one = gather_find(gather, members[i].id);
        uint32_t slots = slots_of(ring, members[i].id);
        json_open(&json, NULL, '{');
        put_member(node, &json, &members[i]);
        put_contact(node, &json, members[i].id);
        json_u64(&json, "slots", slots);
        json_ratio(&json, "share", slots, UINT64_C(1) << node->options.slots_log2);
        json_bool(&json, "answered", one != NULL && one->state == GATHER_ANSWERED);
        if (one != NULL && one->state == GATHER_ANSWERED) {
            put_numbers(&json, &one->numbers);
        }
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    report_reply(node, gather->admin, ERR_OK, &text);
}
