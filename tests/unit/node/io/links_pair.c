#include "tests/unit/node/io/links_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "node/io/address.h"
#include "node/io/clock.h"
#include "tests/unit/node/io/ports.h"

#define PATIENCE SEC(60)

void pair_record(void *self, const struct links_event *event)
{
    struct end *end = self;
    assert_true(end->count < EVENTS_MAX);
    end->events[end->count] = *event;
    if (event->kind == LINKS_MESSAGE) {
        memcpy(end->frames[end->count], event->frame.data,
               event->frame.size < 32 ? event->frame.size : 32);
    }
    end->count++;
    if (event->kind == LINKS_DOWN && end->links_of_peer[0].v != 0) {
        const bool first = event->link.v == end->links_of_peer[0].v;
        links_close(end->links, end->links_of_peer[first ? 1 : 0]);
        memset(end->links_of_peer, 0, sizeof end->links_of_peer);
    }
}

void pair_keys(struct links_keys *keys)
{
    char public_text[41];
    char secret_text[41];
    assert_int_equal(zmq_curve_keypair(public_text, secret_text), 0);
    zmq_z85_decode(keys->public_key, public_text);
    zmq_z85_decode(keys->secret_key, secret_text);
    memcpy(keys->server_secret, keys->secret_key, sizeof keys->server_secret);
}

void pair_start(struct pair *pair, struct end *end, const struct links_keys *keys)
{
    const struct links_options options = {
        .transport = pair->zmq != NULL ? LINKS_PRIVATE : LINKS_TCP,
        .zmq = pair->zmq,
        .keys = keys,
        .links_max = 16,
    };
    assert_int_equal(links_new(&options, &end->links), ERR_OK);
}

void pair_bind(struct pair *pair)
{
    char why_room[200];
    struct text why;
    text_init(&why, why_room, sizeof why_room);
    if (links_bind(pair->node.links, &pair->control, &pair->data, &why) != ERR_OK) {
        fail_msg("%s", why_room);
    }
}

struct pair *pair_make(bool keyed, bool is_private)
{
    struct pair *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    assert_true(address_parse("127.0.0.1", ports_take(2), &pair->control));
    pair->data = pair->control;
    pair->data.port++;
    if (is_private) {
        pair->zmq = zmq_ctx_new();
        pair->control = links_private_address(1);
        pair->data = links_private_address(2);
    }
    pair_keys(&pair->cluster);
    pair_keys(&pair->client);
    memcpy(pair->cluster.server_key, pair->cluster.public_key, 32);
    memcpy(pair->client.server_key, pair->cluster.public_key, 32);
    pair_start(pair, &pair->node, keyed ? &pair->cluster : NULL);
    pair_start(pair, &pair->mount, keyed ? &pair->client : NULL);
    return pair;
}

void pair_free(struct pair *pair)
{
    links_free(&pair->mount.links);
    links_free(&pair->node.links);
    if (pair->zmq != NULL) {
        zmq_ctx_term(pair->zmq);
    }
    free(pair);
}

/* Turn both ends until `end` was told `count` events. */
void pair_turn_until(struct pair *pair, const struct end *end, uint32_t count)
{
    const usec_t until_us = clock_mono_us() + PATIENCE;
    while (end->count < count) {
        assert_true(clock_mono_us() < until_us);
        links_poll(pair->node.links, MSEC(1), pair_record, &pair->node);
        links_poll(pair->mount.links, MSEC(1), pair_record, &pair->mount);
    }
}

/* Turn for a while and be sure that nothing was told. */
void pair_turn_quietly(struct pair *pair, const struct end *end, usec_t wait_us)
{
    const uint32_t before = end->count;
    const usec_t until_us = clock_mono_us() + wait_us;
    while (clock_mono_us() < until_us) {
        links_poll(pair->node.links, MSEC(1), pair_record, &pair->node);
        links_poll(pair->mount.links, MSEC(1), pair_record, &pair->mount);
    }
    assert_int_equal(end->count, before);
}

const struct links_event *pair_last(const struct end *end)
{
    return &end->events[end->count - 1];
}

/* A link of the mount to the node, known to both by a first message. */
void pair_open(struct pair *pair, enum link_purpose purpose, struct link_id *mount_side,
               struct link_id *node_side)
{
    const struct address *address = purpose == LINK_CONTROL ? &pair->control : &pair->data;
    const uint32_t seen = pair->node.count;
    *mount_side = links_connect(pair->mount.links, address, purpose, (struct node_id){ { 0 } });
    pair_turn_until(pair, &pair->mount, pair->mount.count + 1);
    assert_int_equal(pair_last(&pair->mount)->kind, LINKS_UP);
    assert_true(pair_last(&pair->mount)->outbound);
    assert_int_equal(pair_last(&pair->mount)->link.v, mount_side->v);
    links_send(pair->mount.links, *mount_side, span_text("hello"), (struct payload){ 0 });
    pair_turn_until(pair, &pair->node, seen + 2);
    assert_int_equal(pair->node.events[seen].kind, LINKS_UP);
    assert_int_equal(pair->node.events[seen + 1].kind, LINKS_MESSAGE);
    *node_side = pair->node.events[seen].link;
}
