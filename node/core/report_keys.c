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
    if (node_id_equal(id, node->options.id)) {
        return ring->present == 0 ? KEY_STAGE_USES : KEY_STAGE_HAS;
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

static void put_key(struct json *json, const struct cluster_key *key, const char *state)
{
    json_open(json, NULL, '{');
    put_name(json, "key", key);
    json_str(json, "state", state);
    json_u64(json, "number", key->number);
    json_u64(json, "era", key->era);
    json_u64(json, "ttl_seconds", key->ttl_s);
    json_close(json, '}');
}

static void put_keys(struct json *json, const struct keyring *ring)
{
    json_open(json, "keys", '[');
    for (uint32_t i = 0; i < ring->count; i++) {
        put_key(json, &ring->keys[i],
                i == ring->present  ? "in use"
                : i < ring->present ? "installed"
                                    : "ending");
    }
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        put_key(json, &ring->retired[i], "retired");
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
static void put_waited(struct node *node, struct json *json)
{
    const struct keyring *ring = &node->keychain.ring;
    const enum key_stage wanted = ring->present != 0 ? KEY_STAGE_HAS : KEY_STAGE_USES;
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    json_open(json, "waits_for", '[');
    for (uint32_t i = 0; i < count; i++) {
        if (member_lives(&members[i]) && stage_of(node, members[i].id) < wanted) {
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
    put_keys(&json, ring);
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

void report_on_rotated(struct node *node, uint64_t admin, enum err err)
{
    struct text text;
    struct json json;
    if (err == ERR_BUSY) {
        report_error(node, admin, err,
                     "another rotation is not over yet: `atoll key list` shows what it waits for");
        return;
    }
    if (err != ERR_OK) {
        report_error(node, admin, err,
                     err == ERR_SYSTEM ? "the new key cannot be written to this node's --data-dir"
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
