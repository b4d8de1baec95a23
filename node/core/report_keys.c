/* node/core/report_keys.c: the keys of the cluster by name, how far each member is with the newest,
 * and a rotation that an operator asks for. Never a key itself. */
#include "node/core/report_gather.h"

static const char *stage_word(enum key_stage stage)
{
    switch (stage) {
    case KEY_STAGE_NONE:
        return "lacks";
    case KEY_STAGE_HAS:
        return "has";
    case KEY_STAGE_USES:
        return "uses";
    }
    BUG("a stage that is none");
}

static enum key_stage stage_of(const struct node *node, struct node_id id)
{
    const struct keyring *ring = &node->keychain.ring;
    if (keyring_is_settled(ring)) {
        return KEY_STAGE_USES; /* or nothing that it says is read */
    }
    return keychain_stage(node, id);
}

void report_key_name(uint32_t number, uint64_t id, char out[REPORT_KEY_NAME_SIZE])
{
    struct text text;
    uint8_t bytes[8];
    for (uint32_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    text_init(&text, out, REPORT_KEY_NAME_SIZE);
    text_u64(&text, number);
    text_char(&text, '-');
    text_hex(&text, bytes, sizeof bytes);
}

static void put_name(struct json *json, const char *field, const struct cluster_key *key)
{
    char name[REPORT_KEY_NAME_SIZE];
    report_key_name(key->number, cluster_key_id(key).v, name);
    json_str(json, field, name);
}

/* Whole seconds that a key has left which is not the newest; false: nobody knows yet. */
static bool time_left(const struct node *node, uint64_t *out_s)
{
    const usec_t end_us = node->keychain.end_us;
    if (end_us == USEC_NEVER) {
        return false;
    }
    *out_s = (uint64_t)usec_max(end_us - node->now.mono_us + SEC(1) - 1, 0) / SEC(1);
    return true;
}

/* ends_in_seconds is not there for a key that goes on, and until all nodes are seen to use the newest. */
static void put_key(const struct node *node, struct json *json, const struct cluster_key *key,
                    const char *state)
{
    uint64_t left_s = 0;
    json_open(json, NULL, '{');
    put_name(json, "key", key);
    json_str(json, "state", state);
    json_u64(json, "number", key->number);
    json_u64(json, "era", key->era);
    json_u64(json, "ttl_seconds", key->ttl_s);
    if (strcmp(state, "ending") == 0 && time_left(node, &left_s)) {
        json_u64(json, "ends_in_seconds", left_s);
    }
    json_close(json, '}');
}

static void put_keys(const struct node *node, struct json *json)
{
    const struct keyring *ring = &node->keychain.ring;
    json_open(json, "keys", '[');
    for (uint32_t i = 0; i < ring->count; i++) {
        put_key(node, json, &ring->keys[i],
                i == ring->present  ? "in use"
                : i < ring->present ? "installed"
                                    : "ending");
    }
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        put_key(node, json, &ring->retired[i], "retired");
    }
    json_close(json, ']');
}

static void put_holders(struct node *node, struct json *json)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    json_open(json, "nodes", '[');
    for (uint32_t i = 0; i < count; i++) {
        if (!member_lives(&members[i])) {
            continue;
        }
        json_open(json, NULL, '{');
        report_node_name(node, json, "name", members[i].id);
        json_id(json, "id", members[i].id.b);
        json_str(json, "state", report_state_word(members[i].state));
        json_str(json, "newest_key", stage_word(stage_of(node, members[i].id)));
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Whom the next step waits for. */
static bool is_waited_for(const struct node *node, const struct member *member)
{
    const struct keyring *ring = &node->keychain.ring;
    const enum key_stage wanted = ring->present != 0 ? KEY_STAGE_HAS : KEY_STAGE_USES;
    return member_lives(member) && stage_of(node, member->id) < wanted;
}

static void put_waited(struct node *node, struct json *json)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    json_open(json, "waits_for", '[');
    for (uint32_t i = 0; i < count; i++) {
        if (is_waited_for(node, &members[i])) {
            report_node_name(node, json, NULL, members[i].id);
        }
    }
    json_close(json, ']');
}

void report_keys(struct node *node, uint64_t admin)
{
    const struct keyring *ring = &node->keychain.ring;
    struct text text;
    struct json json;
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    json_str(&json, "asked_node", node->options.name);
    json_bool(&json, "secure", !node->options.insecure);
    json_str(&json, "rotation",
             keyring_is_settled(ring) ? "none"
             : ring->present != 0     ? "installing"
                                      : "ending");
    put_keys(node, &json);
    put_waited(node, &json);
    put_holders(node, &json);
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}

/* ---- a rotation ------------------------------------------------------------------------------- */

void report_key_rotate(struct node *node, uint64_t admin, struct span rotation)
{
    if (node->options.insecure) {
        report_error(node, admin, ERR_UNSUPPORTED, "this cluster runs with --insecure: no keys");
        return;
    }
    if (rotation.size != KEY_ROTATION_SIZE) {
        report_error(node, admin, ERR_INVALID, err_text(ERR_INVALID));
        return;
    }
    effects_push(node, &(struct node_effect){
                           .kind = NODE_KEY_ROTATE,
                           .key_rotate = { .id = admin, .rotation = scratch_copy(node, rotation) },
                       });
}

/* "2 h 5 min", "14 min", "50 s": nobody waits longer than that, and a minute at most too long. */
static void add_time(struct text *text, uint64_t s)
{
    if (s < 120) {
        text_u64(text, s);
        text_str(text, " s");
        return;
    }
    const uint64_t minutes = (s + 59) / 60;
    if (minutes >= 60) {
        text_u64(text, minutes / 60);
        text_str(text, " h ");
    }
    text_u64(text, minutes % 60);
    text_str(text, " min");
}

/* The first of those whom the next step waits for, and how many there are besides. */
static void add_waited(struct node *node, struct text *text)
{
    uint32_t count = 0;
    uint32_t more = 0;
    const struct member *first = NULL;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_waited_for(node, &members[i])) {
            more += first != NULL ? 1 : 0;
            first = first == NULL ? &members[i] : first;
        }
    }
    if (first == NULL) {
        text_str(text, "it goes on within a second");
        return;
    }
    text_str(text, "it waits for ");
    text_str(text, first->name[0] != '\0' ? first->name : "a node without a name");
    if (more > 0) {
        text_str(text, " and ");
        text_u64(text, more);
        text_str(text, " more");
    }
    text_str(text,
             node->keychain.ring.present != 0 ? " to have the new key" : " to use the new key");
}

static void refuse_another(struct node *node, uint64_t admin)
{
    char room[256];
    struct text text;
    uint64_t left_s = 0;
    text_init(&text, room, sizeof room);
    text_str(&text, "another rotation is not over: ");
    if (time_left(node, &left_s) && left_s > 0) {
        text_str(&text, "the key before it is accepted for another ");
        add_time(&text, left_s);
    } else {
        add_waited(node, &text);
    }
    report_error(node, admin, ERR_ROTATING, room);
}

void report_on_rotated(struct node *node, uint64_t admin, enum err err)
{
    struct text text;
    struct json json;
    if (err == ERR_ROTATING) {
        refuse_another(node, admin);
        return;
    }
    if (err == ERR_BUSY) {
        report_error(node, admin, err,
                     "another rotation that was asked of this node is not answered yet");
        return;
    }
    if (err == ERR_TIMEOUT) {
        report_error(node, admin, err,
                     "the new key was not seen on two nodes' disks in time: whether a rotation has "
                     "begun is seen in the key list of this node, and of another one");
        return;
    }
    if (err == ERR_INVALID) {
        report_error(
            node, admin, err,
            "this secret is that of a key which this cluster has, or had: whoever has that "
            "one would have the new one; make another with `atoll keygen key`");
        return;
    }
    if (err != ERR_OK) {
        report_error(node, admin, err,
                     err == ERR_SYSTEM
                         ? "the new key could not be written to this node's --data-dir: "
                           "nothing was begun, the keys are as before"
                         : err_text(err));
        return;
    }
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    put_name(&json, "key", keyring_newest(&node->keychain.ring));
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}
