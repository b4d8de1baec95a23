/* tests/unit/node/core/test_keychain.c: keys that change under nodes and mounts that are connected. */
#include "tests/unit/node/core/lab.h"

#include <sodium.h>
#include <string.h>

#include "node/core/keychain.h"

#define REGION ((size_t)8 << 20)
#define KEY "train/part-0"

static const uint8_t client_key[32] = { 7, 7, 7 };

/* What operators were told, and what gossip was asked. */
static struct {
    char text[4096];
    enum err err;
    uint32_t replies;
    uint32_t rotations;
    uint64_t id;
    struct key_rotation rotation;
    usec_t end_us; /* what gossip says with the next ring */
} said;

static void tune(struct node_options *options)
{
    options->insecure = false;
}

static void load(struct lab *lab, uint32_t index)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t size = 0;
    assert_int_equal(dataset_encode(&lab->dataset, record, sizeof record, &size), ERR_OK);
    struct node_event event = { .kind = NODE_META_RECORD };
    event.meta_record.value = span_of(record, size);
    lab_event(lab, index, &event);
    lab_event(lab, index, &(struct node_event){ .kind = NODE_META_READY });
}

static bool effect(struct lab *lab, uint32_t index, const struct node_effect *effect)
{
    (void)lab;
    (void)index;
    if (effect->kind == NODE_ADMIN_REPLY) {
        said.replies++;
        said.err = effect->admin_reply.err;
        assert_true(effect->admin_reply.text.size < sizeof said.text);
        memcpy(said.text, effect->admin_reply.text.data, effect->admin_reply.text.size);
        said.text[effect->admin_reply.text.size] = 0;
        return true;
    }
    if (effect->kind == NODE_KEY_ROTATE) {
        said.rotations++;
        said.id = effect->key_rotate.id;
        assert_true(key_rotation_decode(effect->key_rotate.rotation, &said.rotation));
        return true;
    }
    return false;
}

static const struct lab_hooks hooks = { .tune = tune, .load = load, .effect = effect };

static struct lab *keyed(uint32_t count)
{
    memset(&said, 0, sizeof said);
    said.end_us = USEC_NEVER;
    return lab_new_hooked(count, REGION, &hooks);
}

/* ---- rings ----------------------------------------------------------------------------------- */

static void give_told(struct lab *lab, uint32_t index, const struct keyring *ring,
                      enum key_stage of_others)
{
    struct key_holder holders[LAB_NODES];
    struct node_event event = { .kind = NODE_KEYS, .keys.end_us = said.end_us };
    for (uint32_t i = 0; i < lab->node_count; i++) {
        holders[i] = (struct key_holder){ .node = lab->nodes[i].id,
                                          .stage = i == 0 ? KEY_STAGE_USES : of_others };
    }
    event.keys.ring = ring;
    event.keys.holders = holders;
    event.keys.count = lab->node_count;
    lab_event(lab, index, &event);
    lab_run(lab, MSEC(10));
}

static void give(struct lab *lab, uint32_t index, const struct keyring *ring)
{
    give_told(lab, index, ring, KEY_STAGE_NONE);
}

static void give_all(struct lab *lab, const struct keyring *ring)
{
    for (uint32_t i = 0; i < lab->node_count; i++) {
        give(lab, i, ring);
    }
}

static void install(struct keyring *ring, uint8_t byte, bool revokes)
{
    struct key_rotation rotation = { .key = lab_keyring(byte).keys[0], .revokes = revokes };
    assert_int_equal(keyring_install(ring, &rotation), ERR_OK);
}

static bool are_connected(const struct lab *lab, uint32_t from, uint32_t to)
{
    return peer_is_open(lab->nodes[from].node, lab->nodes[to].id, LINK_CONTROL) &&
           peer_is_open(lab->nodes[from].node, lab->nodes[to].id, LINK_DATA);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void nodes_with_a_common_key_connect(void **state)
{
    (void)state;
    struct lab *lab = keyed(3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(are_connected(lab, i, (i + 1) % 3));
    }
    lab_free(lab);
}

static void a_node_with_another_key_is_not_let_in(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    lab_kill(lab, 1);
    lab->nodes[1].options.ring = lab_keyring(2);
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(5));
    assert_false(are_connected(lab, 1, 0));
    assert_false(are_connected(lab, 0, 1));
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 0);
    lab_free(lab);
}

/* It has the cluster's CURVE pair, answers every HELLO, and has no key. */
static void a_server_that_proves_nothing_is_not_talked_to(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    lab_kill(lab, 1);
    lab->nodes[1].options.insecure = true;
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(5));
    assert_true(marks_count(&lab->marks, "peers.welcome.stranger") > 0); /* it was taken in there */
    assert_false(peer_is_open(lab->nodes[0].node, lab->nodes[1].id, LINK_CONTROL));
    lab_free(lab);
}

static void connections_outlive_a_rotation(void **state)
{
    (void)state;
    struct lab *lab = keyed(3);
    struct keyring ring = lab_keyring(1);
    const uint32_t connects = lab->nodes[0].connects;
    install(&ring, 2, false);
    give_all(lab, &ring);
    keyring_use(&ring);
    give_all(lab, &ring);
    keyring_retire(&ring);
    give_all(lab, &ring);
    lab_run(lab, SEC(5));
    assert_int_equal(lab->nodes[0].connects, connects);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(are_connected(lab, i, (i + 1) % 3));
    }
    lab_free(lab);
}

static void a_node_that_kept_its_old_key_is_cut_off_when_that_is_retired(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    keyring_use(&ring);
    give(lab, 0, &ring);
    assert_true(are_connected(lab, 1, 0)); /* both keys open */
    keyring_retire(&ring);
    give(lab, 0, &ring);
    lab_run(lab, SEC(5));
    assert_false(are_connected(lab, 1, 0));
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 0);
    lab_free(lab);
}

static void a_key_that_came_while_a_link_was_opened_is_proven_on_it(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    keyring_use(&ring);
    give(lab, 0, &ring);
    lab_kill(lab, 1); /* it still has the old one alone */
    lab_run(lab, MSEC(10));
    lab_start(lab, 1);
    lab_tell_members(lab);
    while (lab->nodes[0].node->sessions.pool.used == 0) {
        lab_run(lab, 10);
    }
    assert_false(peer_is_open(lab->nodes[1].node, lab->nodes[0].id, LINK_CONTROL));
    give(lab, 1, &ring); /* HELLO has been said, WELCOME is on its way */
    assert_true(are_connected(lab, 1, 0));
    const uint32_t connects = lab->nodes[1].connects;
    keyring_retire(&ring);
    give_all(lab, &ring);
    assert_int_equal(lab->nodes[1].connects, connects);
    assert_true(are_connected(lab, 1, 0));
    lab_free(lab);
}

static void a_node_that_starts_in_the_middle_of_a_rotation_connects(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    keyring_use(&ring);
    give(lab, 0, &ring);
    lab_kill(lab, 1); /* it still has the old one alone */
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(2));
    assert_true(are_connected(lab, 1, 0));
    lab_free(lab);
}

/* ---- mounts ---------------------------------------------------------------------------------- */

static struct link_peer client_peer(void)
{
    struct link_peer peer = { .trust = LINK_TRUST_CLIENT };
    memcpy(peer.client_key, client_key, sizeof client_key);
    return peer;
}

static struct span grant_by(const struct keyring *ring)
{
    static uint8_t bytes[GRANT_SIZE_MAX];
    struct grant grant = { .datasets = { span_text("*") },
                           .dataset_count = 1,
                           .expires_wall_s = UINT64_C(4000000000) };
    size_t used = 0;
    memcpy(grant.client_key, client_key, sizeof client_key);
    assert_int_equal(
        grant_encode_sign(&grant, keyring_newest(ring)->sign_secret, bytes, sizeof bytes, &used),
        ERR_OK);
    return span_of(bytes, used);
}

static void hello(struct lab *lab, struct span grants)
{
    struct client *client = &lab->clients[0];
    client->role = WIRE_MOUNT;
    memset(client->session, 40, ID_SIZE);
    client->control = lab_client_link(lab, 0, 0, LINK_CONTROL, client_peer());
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.grants = grants;
    lab_client_send(lab, client->control, &message);
    lab_run(lab, MSEC(1));
}

/* A mount with both links; the capability it is given lies in `out`. */
static struct span let_in(struct lab *lab, const struct keyring *ring, uint8_t *out)
{
    struct client *client = &lab->clients[0];
    hello(lab, grant_by(ring));
    client->data =
        lab_client_link(lab, 0, 0, LINK_DATA, (struct link_peer){ .trust = LINK_TRUST_NONE });
    struct message message = lab_client_hello(lab, 0, LINK_DATA);
    lab_client_send(lab, client->data, &message);
    struct message get = { .kind = MESSAGE_DATASET_GET,
                           .dataset_get = { .request = 9, .name = span_text("train") } };
    lab_client_send(lab, client->control, &get);
    lab_run(lab, MSEC(5));
    const struct received *answer = lab_client_find(client, MESSAGE_DATASET, 9);
    assert_non_null(answer);
    const struct span capability = answer->message.dataset.capability;
    assert_true(capability.size > 0);
    memcpy(out, capability.data, capability.size);
    return span_of(out, capability.size);
}

static enum err get_with(struct lab *lab, struct span capability)
{
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.capability = capability;
    const uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, request);
    if (fail != NULL) {
        return err_from_wire(fail->message.fail.err);
    }
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    return ERR_OK;
}

static void a_capability_holds_until_its_key_is_retired(void **state)
{
    (void)state;
    uint8_t bytes[CAPABILITY_SIZE_MAX];
    struct lab *lab = keyed(1);
    struct keyring ring = lab_keyring(1);
    const struct span old = let_in(lab, &ring, bytes);
    assert_int_equal(get_with(lab, old), ERR_OK);
    install(&ring, 2, false);
    keyring_use(&ring);
    give(lab, 0, &ring);
    assert_int_equal(get_with(lab, old), ERR_OK);
    keyring_retire(&ring);
    give(lab, 0, &ring);
    assert_int_equal(get_with(lab, old), ERR_OTHER_KEY);
    lab_free(lab);
}

static void a_grant_outlives_a_rotation_and_gives_a_new_capability(void **state)
{
    (void)state;
    uint8_t bytes[CAPABILITY_SIZE_MAX];
    struct lab *lab = keyed(1);
    struct keyring ring = lab_keyring(1);
    (void)let_in(lab, &ring, bytes);
    install(&ring, 2, false);
    keyring_use(&ring);
    keyring_retire(&ring);
    give(lab, 0, &ring);
    lab_client_forget(lab, 0);
    struct message get = { .kind = MESSAGE_DATASET_GET,
                           .dataset_get = { .request = 10, .name = span_text("train") } };
    lab_client_send(lab, lab->clients[0].control, &get);
    lab_run(lab, MSEC(5));
    const struct received *answer = lab_client_find(&lab->clients[0], MESSAGE_DATASET, 10);
    assert_non_null(answer);
    assert_int_equal(answer->message.dataset.err, ERR_OK);
    assert_int_equal(get_with(lab, answer->message.dataset.capability), ERR_OK);
    lab_free(lab);
}

static void a_revocation_ends_what_rests_on_the_signing_key_before(void **state)
{
    (void)state;
    uint8_t bytes[CAPABILITY_SIZE_MAX];
    struct lab *lab = keyed(1);
    struct keyring ring = lab_keyring(1);
    const struct keyring before = ring;
    (void)let_in(lab, &ring, bytes);
    install(&ring, 2, true);
    keyring_use(&ring);
    give(lab, 0, &ring);
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 1); /* until it is over */
    keyring_retire(&ring);
    give(lab, 0, &ring);
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 0);
    lab_client_forget(lab, 0);
    hello(lab, grant_by(&before));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_REFUSED, 0), 1);
    hello(lab, grant_by(&ring));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_WELCOME, 0), 1);
    lab_free(lab);
}

static void a_mount_that_pretends_to_be_a_node_is_cut_off(void **state)
{
    (void)state;
    uint8_t bytes[CAPABILITY_SIZE_MAX];
    uint8_t proof[PROOF_SIZE] = { 1 };
    struct lab *lab = keyed(1);
    const struct keyring ring = lab_keyring(1);
    (void)let_in(lab, &ring, bytes);
    const struct message message = { .kind = MESSAGE_PROOF,
                                     .proof = { .proofs = span_of(proof, sizeof proof) } };
    lab_client_send(lab, lab->clients[0].control, &message);
    lab_run(lab, MSEC(5));
    assert_int_equal(lab->nodes[0].node->sessions.link_pool.used, 1); /* its data link */
    lab_free(lab);
}

/* ---- operators ------------------------------------------------------------------------------- */

static void ask(struct lab *lab, enum admin_kind kind, struct span argument)
{
    struct node_event event = { .kind = NODE_ADMIN };
    event.admin.id = 77;
    event.admin.kind = kind;
    event.admin.argument = argument;
    lab_event(lab, 0, &event);
}

static bool says(const char *text)
{
    return strstr(said.text, text) != NULL;
}

static void an_operator_sees_keys_by_name_and_who_is_late(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    struct keyring ring = lab_keyring(1);
    char id[20];
    install(&ring, 2, false);
    give_all(lab, &ring);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_int_equal(said.err, ERR_OK);
    snprintf(id, sizeof id, "2-%016llx",
             (unsigned long long)cluster_key_id(keyring_newest(&ring)).v);
    assert_true(says("\"rotation\":\"installing\"") && says(id));
    assert_true(says("\"waits_for\":[\"b\"]"));
    char secret[2 * TRUST_KEY_SIZE + 1];
    sodium_bin2hex(secret, sizeof secret, ring.keys[0].gossip, TRUST_KEY_SIZE);
    assert_false(says(secret));
    lab_free(lab);
}

static void who_has_the_newest_key_is_waited_for_no_more(void **state)
{
    (void)state;
    struct lab *lab = keyed(3);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    give_all(lab, &ring);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_true(says("\"waits_for\":[\"b\",\"c\"]") || says("\"waits_for\":[\"c\",\"b\"]"));
    give_told(lab, 0, &ring, KEY_STAGE_HAS);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_true(says("\"waits_for\":[]") && says("\"newest_key\":\"has\""));
    lab_free(lab);
}

static void a_settled_ring_waits_for_nobody(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_true(says("\"rotation\":\"none\"") && says("\"waits_for\":[]"));
    lab_free(lab);
}

static void an_operators_rotation_goes_to_gossip_and_its_answer_back(void **state)
{
    (void)state;
    uint8_t bytes[KEY_ROTATION_SIZE];
    struct lab *lab = keyed(1);
    const struct key_rotation rotation = { .key = { .ttl_s = 60, .gossip = { 9 } },
                                           .revokes = true };
    key_rotation_encode(&rotation, bytes);
    ask(lab, ADMIN_KEY_ROTATE, span_of(bytes, sizeof bytes));
    assert_int_equal(said.rotations, 1);
    assert_true(said.rotation.revokes && said.rotation.key.gossip[0] == 9);
    assert_int_equal(said.replies, 0);
    struct node_event event = { .kind = NODE_KEY_ROTATED,
                                .key_rotated = { .id = said.id, .err = ERR_BUSY } };
    lab_event(lab, 0, &event);
    assert_int_equal(said.err, ERR_BUSY);
    event.key_rotated.err = ERR_OK;
    lab_event(lab, 0, &event);
    assert_int_equal(said.err, ERR_OK);
    assert_true(says("{\"key\":\"1-"));
    lab_free(lab);
}

static void refuse(struct lab *lab, enum err err)
{
    const struct node_event event = { .kind = NODE_KEY_ROTATED,
                                      .key_rotated = { .id = 77, .err = err } };
    lab_event(lab, 0, &event);
    assert_int_equal(said.err, err);
}

static void an_operator_sees_how_long_an_older_key_has(void **state)
{
    (void)state;
    struct lab *lab = keyed(2);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    keyring_use(&ring);
    give_told(lab, 0, &ring, KEY_STAGE_HAS);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_true(says("\"state\":\"ending\""));
    assert_false(says("ends_in_seconds")); /* its time does not run yet */
    said.end_us = lab->now_us + SEC(50) - MSEC(500);
    give_told(lab, 0, &ring, KEY_STAGE_USES);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    const char *first = strstr(said.text, "ends_in_seconds\":50");
    assert_non_null(first);
    assert_null(strstr(first + 1, "ends_in_seconds")); /* the one in use goes on */
    lab_free(lab);
}

static void a_refused_rotation_is_told_what_it_would_wait_for(void **state)
{
    (void)state;
    struct lab *lab = keyed(3);
    struct keyring ring = lab_keyring(1);
    install(&ring, 2, false);
    give_all(lab, &ring);
    refuse(lab, ERR_ROTATING);
    assert_true(says("it waits for ") && says(" and 1 more to have the new key"));
    keyring_use(&ring);
    give_told(lab, 0, &ring, KEY_STAGE_HAS);
    refuse(lab, ERR_ROTATING);
    assert_true(says(" and 1 more to use the new key"));
    said.end_us = lab->now_us + SEC(7200) + SEC(61);
    give_told(lab, 0, &ring, KEY_STAGE_USES);
    refuse(lab, ERR_ROTATING);
    assert_true(says("is accepted for another 2 h 2 min"));
    lab_free(lab);
}

static void a_rotation_that_could_not_be_kept_is_told_as_one_that_is_not(void **state)
{
    (void)state;
    struct lab *lab = keyed(1);
    refuse(lab, ERR_SYSTEM);
    assert_true(says("nothing was begun"));
    lab_free(lab);
}

static void without_keys_there_is_nothing_to_rotate(void **state)
{
    (void)state;
    struct lab_hooks open = hooks;
    open.tune = NULL;
    uint8_t bytes[KEY_ROTATION_SIZE] = { 0 };
    memset(&said, 0, sizeof said);
    struct lab *lab = lab_new_hooked(1, REGION, &open);
    ask(lab, ADMIN_KEY_ROTATE, span_of(bytes, sizeof bytes));
    assert_int_equal(said.err, ERR_UNSUPPORTED);
    ask(lab, ADMIN_KEYS, span_of(NULL, 0));
    assert_true(says("\"secure\":false"));
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_with_a_common_key_connect),
        cmocka_unit_test(a_node_with_another_key_is_not_let_in),
        cmocka_unit_test(a_server_that_proves_nothing_is_not_talked_to),
        cmocka_unit_test(connections_outlive_a_rotation),
        cmocka_unit_test(a_node_that_kept_its_old_key_is_cut_off_when_that_is_retired),
        cmocka_unit_test(a_key_that_came_while_a_link_was_opened_is_proven_on_it),
        cmocka_unit_test(a_node_that_starts_in_the_middle_of_a_rotation_connects),
        cmocka_unit_test(a_capability_holds_until_its_key_is_retired),
        cmocka_unit_test(a_grant_outlives_a_rotation_and_gives_a_new_capability),
        cmocka_unit_test(a_revocation_ends_what_rests_on_the_signing_key_before),
        cmocka_unit_test(a_mount_that_pretends_to_be_a_node_is_cut_off),
        cmocka_unit_test(an_operator_sees_keys_by_name_and_who_is_late),
        cmocka_unit_test(who_has_the_newest_key_is_waited_for_no_more),
        cmocka_unit_test(a_settled_ring_waits_for_nobody),
        cmocka_unit_test(an_operators_rotation_goes_to_gossip_and_its_answer_back),
        cmocka_unit_test(an_operator_sees_how_long_an_older_key_has),
        cmocka_unit_test(a_refused_rotation_is_told_what_it_would_wait_for),
        cmocka_unit_test(a_rotation_that_could_not_be_kept_is_told_as_one_that_is_not),
        cmocka_unit_test(without_keys_there_is_nothing_to_rotate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
