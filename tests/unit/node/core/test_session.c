/* tests/unit/node/core/test_session.c: HELLO, who is let in, and what a mount may read. */
#include "tests/unit/node/core/lab.h"

#include <sodium.h>
#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)8 << 20)

static const uint8_t client_key[32] = { 7, 7, 7 };

static struct link_peer anybody(void)
{
    return (struct link_peer){ .trust = LINK_TRUST_ANYBODY };
}

static struct link_peer client_peer(void)
{
    struct link_peer peer = { .trust = LINK_TRUST_CLIENT };
    memcpy(peer.client_key, client_key, sizeof client_key);
    return peer;
}

static struct link_peer no_peer(void)
{
    return (struct link_peer){ .trust = LINK_TRUST_NONE };
}

static struct client *mount(struct lab *lab, uint32_t index)
{
    struct client *client = &lab->clients[index];
    client->role = WIRE_MOUNT;
    memset(client->session, (int)(40 + index), ID_SIZE);
    return client;
}

/* One node with keys. */
static struct lab *keyed(void)
{
    struct lab *lab = lab_new(1, REGION, 0);
    lab_kill(lab, 0);
    lab->nodes[0].options.insecure = false;
    lab_start(lab, 0);
    lab_tell_members(lab);
    lab_run(lab, MSEC(50));
    return lab;
}

/* A grant for that client and dataset, good for an hour. */
static struct span grant_for(struct lab *lab, const char *dataset, usec_t life_us)
{
    static uint8_t bytes[GRANT_SIZE_MAX];
    struct grant grant = { .datasets = { span_text(dataset) }, .dataset_count = 1 };
    size_t used = 0;
    grant.expires_wall_s = (uint64_t)((lab->now_us + SEC(1700000000) + life_us) / SEC(1));
    memcpy(grant.client_key, client_key, sizeof client_key);
    assert_int_equal(grant_encode_sign(&grant, lab->nodes[0].options.ring.keys[0].sign_secret,
                                       bytes, sizeof bytes, &used),
                     ERR_OK);
    return span_of(bytes, used);
}

static uint64_t hello(struct lab *lab, uint32_t client, struct link_peer peer,
                      struct message *message)
{
    enum link_purpose purpose = (enum link_purpose)message->hello.purpose;
    uint64_t link = lab_client_link(lab, client, 0, purpose, peer);
    lab_client_send(lab, link, message);
    lab_run(lab, MSEC(1));
    return link;
}

static uint64_t refused_with(const struct client *client)
{
    const struct received *received = lab_client_find(client, MESSAGE_REFUSED, 0);
    return received == NULL ? 0 : received->message.refused.err;
}

static void another_cluster_is_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.cluster = span_text("other");
    (void)hello(lab, 0, anybody(), &message);
    assert_int_equal(refused_with(client), ERR_UNAUTHENTICATED);
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 0);
    assert_int_equal(lab->nodes[0].node->sessions.link_pool.used, 0);
    lab_free(lab);
}

static void versions_that_do_not_meet_are_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.lowest_version = WIRE_VERSION_HIGHEST + 1;
    message.hello.highest_version = WIRE_VERSION_HIGHEST + 3;
    (void)hello(lab, 0, anybody(), &message);
    assert_int_equal(refused_with(client), ERR_VERSION);
    lab_free(lab);
}

static void a_newer_peer_that_still_speaks_our_version_is_welcome(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.highest_version = WIRE_VERSION_HIGHEST + 3;
    (void)hello(lab, 0, anybody(), &message);
    const struct received *welcome = lab_client_find(client, MESSAGE_WELCOME, 0);
    assert_non_null(welcome);
    assert_int_equal(welcome->message.welcome.version, WIRE_VERSION_HIGHEST);
    assert_memory_equal(welcome->message.welcome.node, lab->nodes[0].id.b, ID_SIZE);
    struct map_node *at = map_walk(&lab->nodes[0].node->sessions.links, NULL); /* the only one */
    assert_int_equal(CONTAINER_OF(at, struct link, by_id)->version, WIRE_VERSION_HIGHEST);
    lab_free(lab);
}

static void a_data_link_without_its_control_link_may_ask_again(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_DATA);
    uint64_t data = hello(lab, 0, no_peer(), &message);
    assert_int_equal(refused_with(client), ERR_NO_SESSION);
    struct message control = lab_client_hello(lab, 0, LINK_CONTROL);
    (void)hello(lab, 0, anybody(), &control);
    lab_client_send(lab, data, &message);
    lab_run(lab, MSEC(1));
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 2);
    assert_int_equal(lab->nodes[0].node->sessions.pool.used, 1);
    lab_free(lab);
}

static void a_request_before_hello_is_not_answered(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    client->data = lab_client_link(lab, 0, 0, LINK_DATA, no_peer());
    struct message get = lab_get(lab, KEY, 700000, 0);
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(100));
    const struct received *fail = lab_client_find(client, MESSAGE_FAIL, request);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_NO_SESSION);
    assert_int_equal(lab->source.gets, 0);
    lab_free(lab);
}

static void garbage_ends_the_link(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    uint64_t link = lab_client_link(lab, 0, 0, LINK_CONTROL, anybody());
    (void)link;
    struct node_event event = { .kind = NODE_MESSAGE };
    event.message.link.v = lab->next_link;
    event.message.frame = span_text("garbage");
    lab_event(lab, 0, &event);
    assert_int_equal(lab->nodes[0].node->sessions.link_pool.used, 0);
    assert_int_equal(lab->nodes[0].node->metrics.malformed, 1);
    lab_free(lab);
}

static void a_node_needs_a_proof_that_it_has_a_key(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    struct client *client = mount(lab, 0);
    client->role = WIRE_NODE;
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    struct proof_terms terms = { .side = PROOF_OF_CLIENT, .node = client->id };
    uint8_t proof[PROOF_SIZE];
    (void)hello(lab, 0, client_peer(), &message);
    assert_int_equal(refused_with(client), ERR_UNAUTHENTICATED);
    memcpy(terms.session, client->session, ID_SIZE);
    memcpy(terms.client_key, client_key, sizeof client_key);
    proof_make(&lab->nodes[0].options.ring.keys[0], &terms, proof);
    message.hello.proofs = span_of(proof, sizeof proof);
    struct link_peer other = client_peer();
    other.client_key[0] ^= 1;
    (void)hello(lab, 0, other, &message); /* overheard, and said on another link */
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 0);
    (void)hello(lab, 0, client_peer(), &message);
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 1);
    lab_free(lab);
}

static void a_mount_without_a_grant_is_refused(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    (void)hello(lab, 0, client_peer(), &message);
    assert_int_equal(refused_with(client), ERR_DENIED);
    message.hello.grants = grant_for(lab, "train", -SEC(10));
    (void)hello(lab, 0, client_peer(), &message);
    assert_int_equal(lab_client_count(client, MESSAGE_REFUSED, 0), 2); /* expired */
    struct link_peer other = client_peer();
    other.client_key[0] ^= 1;
    message.hello.grants = grant_for(lab, "train", SEC(3600));
    (void)hello(lab, 0, other, &message);
    assert_int_equal(lab_client_count(client, MESSAGE_REFUSED, 0), 3); /* somebody else's */
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 0);
    lab_free(lab);
}

/* Let a mount in with a grant for `dataset`, and ask for the dataset "train". */
static const struct message_dataset *let_in(struct lab *lab, const char *dataset, usec_t life_us)
{
    struct client *client = mount(lab, 0);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.grants = grant_for(lab, dataset, life_us);
    client->control = hello(lab, 0, client_peer(), &message);
    message = lab_client_hello(lab, 0, LINK_DATA);
    client->data = hello(lab, 0, no_peer(), &message);
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 2);
    struct message get = { .kind = MESSAGE_DATASET_GET,
                           .dataset_get = { .request = 9, .name = span_text("train") } };
    lab_client_send(lab, client->control, &get);
    lab_run(lab, MSEC(1));
    const struct received *answer = lab_client_find(client, MESSAGE_DATASET, 9);
    assert_non_null(answer);
    return &answer->message.dataset;
}

static void a_grant_gives_a_capability_that_opens_blocks(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    const struct message_dataset *dataset = let_in(lab, "train", SEC(3600));
    assert_int_equal(dataset->err, ERR_OK);
    assert_int_equal(dataset->capability_us, SEC(600));
    assert_true(dataset->record.size > 0);
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.capability = dataset->capability;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    lab_free(lab);
}

static void without_a_capability_no_block_is_served_or_fetched(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    const struct message_dataset *dataset = let_in(lab, "train", SEC(3600));
    uint8_t forged[CAPABILITY_SIZE_MAX];
    memcpy(forged, dataset->capability.data, dataset->capability.size);
    forged[dataset->capability.size - 1] ^= 1;
    struct message get = lab_get(lab, KEY, 700000, 0);
    uint64_t none = lab_client_get(lab, 0, &get);
    get.get.capability = span_of(forged, dataset->capability.size);
    uint64_t wrong = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    const struct received *a = lab_client_find(&lab->clients[0], MESSAGE_FAIL, none);
    const struct received *b = lab_client_find(&lab->clients[0], MESSAGE_FAIL, wrong);
    assert_int_equal(a->message.fail.err, ERR_DENIED);
    assert_int_equal(b->message.fail.err, ERR_DENIED);
    assert_int_equal(lab->source.gets, 0);
    lab_free(lab);
}

static void a_capability_ends_with_the_grant_and_after_ten_minutes(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    const struct message_dataset *dataset = let_in(lab, "train", SEC(120));
    assert_in_range(dataset->capability_us, SEC(118), SEC(120));
    struct message get = lab_get(lab, KEY, 700000, 0);
    get.get.capability = dataset->capability;
    lab_run(lab, SEC(121));
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(5));
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, request);
    assert_int_equal(fail->message.fail.err, ERR_EXPIRED);
    lab_free(lab);
}

static void a_grant_for_another_dataset_gives_nothing(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    const struct message_dataset *dataset = let_in(lab, "others", SEC(3600));
    assert_int_equal(dataset->err, ERR_DENIED);
    assert_int_equal(dataset->capability.size, 0);
    assert_int_equal(dataset->record.size, 0);
    lab_free(lab);
}

static void a_session_cannot_be_taken_over_by_another_client(void **state)
{
    (void)state;
    struct lab *lab = keyed();
    (void)let_in(lab, "train", SEC(3600));
    struct link_peer other = client_peer();
    other.client_key[0] ^= 1;
    static uint8_t bytes[GRANT_SIZE_MAX];
    struct grant grant = { .datasets = { span_text("train") }, .dataset_count = 1 };
    size_t used = 0;
    grant.expires_wall_s = UINT64_C(4000000000);
    memcpy(grant.client_key, other.client_key, sizeof other.client_key);
    assert_int_equal(grant_encode_sign(&grant, lab->nodes[0].options.ring.keys[0].sign_secret,
                                       bytes, sizeof bytes, &used),
                     ERR_OK);
    struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
    message.hello.grants = span_of(bytes, used);
    (void)hello(lab, 0, other, &message);
    assert_int_equal(refused_with(&lab->clients[0]), ERR_UNAUTHENTICATED);
    lab_free(lab);
}

static void too_many_clients_are_told_so(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct client *client = mount(lab, 0);
    for (uint32_t i = 0; i < 17; i++) {
        memset(client->session, (int)(1 + i), ID_SIZE);
        struct message message = lab_client_hello(lab, 0, LINK_CONTROL);
        (void)hello(lab, 0, anybody(), &message);
    }
    assert_int_equal(lab_client_count(client, MESSAGE_WELCOME, 0), 16);
    assert_int_equal(refused_with(client), ERR_BUSY);
    lab_free(lab);
}

static void what_belongs_to_nodes_is_refused_to_mounts(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    struct message message = { .kind = MESSAGE_CATALOG_RECORD, .catalog_record = { .request = 5 } };
    lab_client_send(lab, lab->clients[0].control, &message);
    lab_run(lab, MSEC(1));
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, 5);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_DENIED);
    lab_free(lab);
}

static void a_ping_is_answered(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    struct message message = { .kind = MESSAGE_PING, .ping = { .request = 77 } };
    lab_client_send(lab, lab->clients[0].control, &message);
    lab_run(lab, MSEC(1));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_PONG, 77), 1);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(versions_that_do_not_meet_are_refused),
        cmocka_unit_test(a_newer_peer_that_still_speaks_our_version_is_welcome),
        cmocka_unit_test(a_data_link_without_its_control_link_may_ask_again),
        cmocka_unit_test(a_request_before_hello_is_not_answered),
        cmocka_unit_test(garbage_ends_the_link),
        cmocka_unit_test(a_node_needs_a_proof_that_it_has_a_key),
        cmocka_unit_test(a_mount_without_a_grant_is_refused),
        cmocka_unit_test(a_grant_gives_a_capability_that_opens_blocks),
        cmocka_unit_test(without_a_capability_no_block_is_served_or_fetched),
        cmocka_unit_test(a_capability_ends_with_the_grant_and_after_ten_minutes),
        cmocka_unit_test(a_grant_for_another_dataset_gives_nothing),
        cmocka_unit_test(a_session_cannot_be_taken_over_by_another_client),
        cmocka_unit_test(too_many_clients_are_told_so),
        cmocka_unit_test(what_belongs_to_nodes_is_refused_to_mounts),
        cmocka_unit_test(a_ping_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
