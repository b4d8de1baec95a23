/* tests/unit/node/core/lab_client.c: mounts as a node sees them. */
#include "tests/unit/node/core/lab_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wire/dir.h"

void lab_client_take(struct lab *lab, uint32_t client, const struct pending *item)
{
    struct client *c = &lab->clients[client];
    if (item->event.kind != NODE_MESSAGE) {
        return;
    }
    uint32_t side = 0;
    const struct wire *wire = lab_wire(lab, item->link, &side);
    assert_true(c->count < INBOX_MAX);
    struct received *received = &c->inbox[c->count++];
    received->frame = item->frame;
    received->payload = item->payload;
    received->payload_size = item->event.message.payload.size;
    received->at_us = lab->now_us;
    received->control = wire->purpose == LINK_CONTROL;
    assert_int_equal(message_decode(item->event.message.frame, &received->message), ERR_OK);
}

void lab_client_forget(struct lab *lab, uint32_t client)
{
    struct client *c = &lab->clients[client];
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->inbox[i].frame);
        free(c->inbox[i].payload);
    }
    c->count = 0;
}

uint64_t lab_client_link(struct lab *lab, uint32_t client, uint32_t node, enum link_purpose purpose,
                         struct link_peer peer)
{
    const struct wire *wire = lab_connect(lab, LAB_NODES + client, node, purpose);
    lab_event(lab, node,
              &(struct node_event){
                  .kind = NODE_LINK_UP,
                  .link_up = { .link = { wire->link[1] }, .purpose = purpose, .peer = peer } });
    return wire->link[0];
}

struct message lab_client_hello(const struct lab *lab, uint32_t client, enum link_purpose purpose)
{
    const struct client *c = &lab->clients[client];
    struct message message = {
        .kind = MESSAGE_HELLO,
        .hello = { .lowest_version = WIRE_VERSION_LOWEST,
                   .highest_version = WIRE_VERSION_HIGHEST,
                   .cluster = span_text(lab->cluster),
                   .role = c->role,
                   .purpose = (uint64_t)purpose,
                   .name = span_text("host") },
    };
    memcpy(message.hello.session, c->session, ID_SIZE);
    memcpy(message.hello.node, c->id.b, ID_SIZE);
    return message;
}

void lab_client_send(struct lab *lab, uint64_t link, const struct message *message)
{
    static uint8_t frame[1 << 20];
    size_t used = 0;
    assert_int_equal(message_encode(message, frame, sizeof frame, &used), ERR_OK);
    lab_send(lab, link, span_of(frame, used), NULL);
}

void lab_client_close(struct lab *lab, uint64_t link)
{
    lab_close(lab, link);
}

void lab_client_open(struct lab *lab, uint32_t client, uint32_t node)
{
    struct client *c = &lab->clients[client];
    struct link_peer cluster = { .trust = LINK_TRUST_ANYBODY };
    struct link_peer none = { .trust = LINK_TRUST_NONE };
    if (c->role == 0) {
        c->role = WIRE_MOUNT;
    }
    memset(c->session, (int)(100 + client), ID_SIZE);
    c->node = node;
    c->control = lab_client_link(lab, client, node, LINK_CONTROL, cluster);
    c->data = lab_client_link(lab, client, node, LINK_DATA, none);
    struct message hello = lab_client_hello(lab, client, LINK_CONTROL);
    lab_client_send(lab, c->control, &hello);
    hello = lab_client_hello(lab, client, LINK_DATA);
    lab_client_send(lab, c->data, &hello);
    lab_run(lab, MSEC(1));
    assert_int_equal(lab_client_count(c, MESSAGE_WELCOME, 0), 2);
    c->open = true;
}

struct place lab_place(const struct lab *lab, const char *key, uint64_t size, uint32_t index)
{
    struct object_id id =
        object_id_make(lab->dataset.rows[0].source, span_text(key), span_text("v1"), LAB_BLOCK);
    if (size <= SMALL_FILE_MAX) {
        return (struct place){ hash64(id.b, ID_SIZE, 7) };
    }
    return place_of_extent(id, index / (EXTENT_SIZE / LAB_BLOCK));
}

uint32_t lab_rank(struct lab *lab, const char *key, uint64_t size, uint32_t index, uint32_t rank)
{
    struct node_id ids[RING_RANKS];
    uint32_t alive = 0;
    while (!lab->nodes[alive].up || lab->nodes[alive].frozen) {
        alive++;
    }
    const struct ring *ring = rings_current(lab->nodes[alive].node, span_text(""));
    assert_non_null(ring);
    uint32_t count = ring_owners(ring, lab_place(lab, key, size, index), RING_RANKS, ids);
    assert_true(rank < count);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        if (node_id_equal(lab->nodes[i].id, ids[rank])) {
            return i;
        }
    }
    fail_msg("a rank that is no node");
    return 0;
}

uint32_t lab_owner(struct lab *lab, const char *key, uint64_t size, uint32_t index)
{
    return lab_rank(lab, key, size, index, 0);
}

void lab_key_of(struct lab *lab, uint32_t node, uint64_t size, char key[32])
{
    for (uint32_t i = 0; i < 10000; i++) {
        struct text text;
        text_init(&text, key, 32);
        text_str(&text, "object-");
        text_u64(&text, i);
        if (lab_owner(lab, key, size, 0) == node) {
            return;
        }
    }
    fail_msg("no key for that node");
}

struct message lab_get(struct lab *lab, const char *key, uint64_t size, uint32_t index)
{
    uint64_t begin = (uint64_t)index * LAB_BLOCK;
    uint64_t bytes = size - begin < LAB_BLOCK ? size - begin : LAB_BLOCK;
    struct message message = { .kind = MESSAGE_GET,
                               .get = { .key = span_text(key),
                                        .pin = span_text("v1"),
                                        .size = size,
                                        .block_size = LAB_BLOCK,
                                        .index = index,
                                        .length = bytes,
                                        .place = lab_place(lab, key, size, index).v,
                                        .remaining_us = (uint64_t)SEC(30) } };
    struct dataset_id dataset = dataset_id_make(span_text(lab->dataset.name));
    memcpy(message.get.source, lab->dataset.rows[0].source.b, ID_SIZE);
    memcpy(message.get.dataset, dataset.b, ID_SIZE);
    return message;
}

uint64_t lab_client_get(struct lab *lab, uint32_t client, struct message *get)
{
    struct client *c = &lab->clients[client];
    c->next_request++;
    get->get.request = c->next_request;
    lab_client_send(lab, c->data, get);
    return c->next_request;
}

const struct received *lab_client_find(const struct client *client, enum message_kind kind,
                                       uint64_t request)
{
    const struct received *found = NULL;
    for (uint32_t i = 0; i < client->count; i++) {
        const struct received *received = &client->inbox[i];
        if (received->message.kind == kind &&
            (request == 0 || message_request(&received->message) == request)) {
            found = received;
        }
    }
    return found;
}

uint32_t lab_client_count(const struct client *client, enum message_kind kind, uint64_t request)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < client->count; i++) {
        const struct received *received = &client->inbox[i];
        if (received->message.kind == kind &&
            (request == 0 || message_request(&received->message) == request)) {
            count++;
        }
    }
    return count;
}

static void check_part(const struct received *received, uint64_t hash, uint64_t begin)
{
    const struct message_data *data = &received->message.data;
    assert_int_equal(data->length, received->payload_size);
    for (uint64_t i = 0; i < data->length; i++) {
        if (received->payload[i] != lab_object_byte(hash, begin + data->offset + i)) {
            fail_msg("a wrong byte");
        }
    }
    assert_int_equal(data->checksums.size, (size_t)chunk_count(data->length) * 8);
    for (uint32_t at = 0; at < data->length; at += CHUNK_SIZE) {
        uint32_t size = data->length - at < CHUNK_SIZE ? (uint32_t)data->length - at : CHUNK_SIZE;
        assert_int_equal(get_u64(data->checksums.data + (size_t)(at / CHUNK_SIZE) * 8),
                         crc64(0, received->payload + at, size));
    }
}

uint64_t lab_client_bytes(const struct client *client, uint64_t request, const char *key,
                          uint32_t index)
{
    uint64_t bytes = 0;
    bool ended = false;
    for (uint32_t i = 0; i < client->count; i++) {
        const struct received *received = &client->inbox[i];
        if (received->message.kind != MESSAGE_DATA || received->message.data.request != request) {
            continue;
        }
        assert_false(ended);
        check_part(received, lab_key_hash(key), (uint64_t)index * LAB_BLOCK);
        bytes += received->payload_size;
        ended = received->message.data.more == 0;
    }
    return ended ? bytes : 0;
}

uint32_t lab_client_pendings(const struct client *client, uint64_t request, usec_t *first_us)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < client->count; i++) {
        const struct received *received = &client->inbox[i];
        if (received->message.kind != MESSAGE_PENDING) {
            continue;
        }
        struct span numbers = received->message.pending.requests;
        for (size_t at = 0; at + 8 <= numbers.size; at += 8) {
            if (get_u64(numbers.data + at) != request) {
                continue;
            }
            assert_true(received->control);
            if (count == 0 && first_us != NULL) {
                *first_us = received->at_us;
            }
            count++;
        }
    }
    return count;
}
