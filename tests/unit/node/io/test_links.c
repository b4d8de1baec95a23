#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "base/rng.h"
#include "node/io/address.h"
#include "node/io/clock.h"
#include "node/io/links.h"
#include "node/io/threads.h"
#include "tests/unit/node/io/links_pair.h"

static void a_client_is_told_by_its_key(void **state)
{
    struct pair *pair = pair_make(true, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    assert_int_equal(pair->node.events[0].peer.trust, LINK_TRUST_CLIENT);
    assert_memory_equal(pair->node.events[0].peer.client_key, pair->client.public_key, 32);
    pair_free(pair);
}

static void a_data_link_proves_nothing_when_there_are_keys(void **state)
{
    struct pair *pair = pair_make(true, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_DATA, &there, &here);
    assert_int_equal(pair->node.events[0].peer.trust, LINK_TRUST_NONE);
    assert_int_equal(pair->node.events[0].purpose, LINK_DATA);
    pair_free(pair);
}

static void without_keys_everybody_is_trusted(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    assert_int_equal(pair->node.events[0].peer.trust, LINK_TRUST_ANYBODY);
    pair_free(pair);
}

static void the_wrong_cluster_key_opens_no_link(void **state)
{
    struct pair *pair = pair_make(true, false);
    (void)state;
    pair_bind(pair);
    links_free(&pair->mount.links);
    pair_keys(&pair->client);
    memcpy(pair->client.server_key, pair->client.public_key, 32); /* of another cluster */
    pair_start(pair, &pair->mount, &pair->client);
    links_connect(pair->mount.links, &pair->control, LINK_CONTROL, (struct node_id){ { 0 } });
    pair_turn_quietly(pair, &pair->mount, MSEC(500));
    pair_turn_quietly(pair, &pair->node, MSEC(100));
    pair_free(pair);
}

static void a_link_opens_as_soon_as_somebody_listens(void **state)
{
    struct pair *pair = pair_make(false, false);
    (void)state;
    struct link_id link =
        links_connect(pair->mount.links, &pair->control, LINK_CONTROL, (struct node_id){ { 7 } });
    pair_turn_quietly(pair, &pair->mount, MSEC(300));
    /* Asking again for what is being tried is the same link. */
    assert_int_equal(
        links_connect(pair->mount.links, &pair->control, LINK_CONTROL, (struct node_id){ { 7 } }).v,
        link.v);
    pair_bind(pair);
    pair_turn_until(pair, &pair->mount, 1);
    assert_int_equal(pair->mount.events[0].kind, LINKS_UP);
    assert_int_equal(pair->mount.events[0].link.v, link.v);
    assert_int_equal(pair->mount.events[0].node.b[0], 7);
    pair_free(pair);
}

/* What is sent in `payload`'s bytes arrives, and SENT comes once. */
static void check_payloads(struct pair *pair, struct link_id from, uint8_t *bytes, uint32_t size)
{
    const uint32_t seen = pair->mount.count;
    const uint32_t told = pair->node.count;
    struct links_totals totals;
    for (uint64_t i = 1; i <= 3; i++) {
        links_send(pair->node.links, from, span_text("data"),
                   (struct payload){ .data = bytes, .size = size, .token = i });
    }
    pair_turn_until(pair, &pair->mount, seen + 3);
    pair_turn_until(pair, &pair->node, told + 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct links_event *event = &pair->mount.events[seen + i];
        assert_int_equal(event->kind, LINKS_MESSAGE);
        assert_memory_equal(pair->mount.frames[seen + i], "data", 4);
        assert_int_equal(event->payload.size, size);
        assert_memory_equal(event->payload.data, bytes, size);
        assert_true((event->payload.token & LINKS_RECEIVED) != 0);
        assert_int_equal(pair->node.events[told + i].kind, LINKS_SENT);
        assert_int_equal(pair->node.events[told + i].token, i + 1);
    }
    links_totals(pair->mount.links, &totals);
    assert_int_equal(totals.held_bytes, 3 * size);
    for (uint32_t i = 0; i < 3; i++) {
        links_release(pair->mount.links, pair->mount.events[seen + i].payload.token);
    }
    links_totals(pair->mount.links, &totals);
    assert_int_equal(totals.held_bytes, 0);
    links_totals(pair->node.links, &totals);
    assert_int_equal(totals.unsent_bytes, 0);
}

static void payloads_arrive_whole_and_buffers_come_back(void **state)
{
    const uint32_t size = 4u << 20;
    uint8_t *bytes = malloc(size);
    struct rng rng;
    (void)state;
    assert_non_null(bytes);
    rng_init(&rng, 1, 1);
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)rng_next(&rng);
    }
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct pair *pair = pair_make(kind == 1, kind == 2);
        struct link_id there;
        struct link_id here;
        pair_bind(pair);
        pair_open(pair, LINK_CONTROL, &there, &here);
        check_payloads(pair, here, bytes, size);
        check_payloads(pair, here, bytes, 1);
        pair_free(pair);
    }
    free(bytes);
}

static void between_two_links_of_a_process_a_kept_payload_pins_no_buffer(void **state)
{
    struct pair *pair = pair_make(false, true);
    struct link_id there;
    struct link_id here;
    uint8_t bytes[1000] = { 1 };
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_DATA, &there, &here);
    links_send(pair->node.links, here, span_text("d"),
               (struct payload){ .data = bytes, .size = sizeof bytes, .token = 9 });
    pair_turn_until(pair, &pair->node, 3); /* SENT, while the mount still holds it */
    assert_int_equal(pair_last(&pair->node)->kind, LINKS_SENT);
    pair_turn_until(pair, &pair->mount, 2);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(pair_last(&pair->mount)->payload.data[0], 1);
    pair_free(pair);
}

static void a_payload_for_a_link_that_is_gone_comes_back(void **state)
{
    struct pair *pair = pair_make(false, false);
    uint8_t byte = 0;
    (void)state;
    links_send(pair->node.links, (struct link_id){ 12345 }, span_text("d"),
               (struct payload){ .data = &byte, .size = 1, .token = 77 });
    pair_turn_until(pair, &pair->node, 1);
    assert_int_equal(pair->node.events[0].kind, LINKS_SENT);
    assert_int_equal(pair->node.events[0].token, 77);
    pair_free(pair);
}

static void the_node_sees_a_mount_that_went_away(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    struct links_totals totals;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    links_close(pair->mount.links, there);
    pair_turn_until(pair, &pair->node, 3);
    assert_int_equal(pair_last(&pair->node)->kind, LINKS_DOWN);
    assert_int_equal(pair_last(&pair->node)->link.v, here.v);
    links_totals(pair->node.links, &totals);
    assert_int_equal(totals.open, 0);
    pair_free(pair);
}

static void the_mount_sees_a_node_that_went_away(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_DATA, &there, &here);
    links_free(&pair->node.links);
    pair_start(pair, &pair->node, NULL);
    pair_turn_until(pair, &pair->mount, 2);
    assert_int_equal(pair_last(&pair->mount)->kind, LINKS_DOWN);
    assert_int_equal(pair_last(&pair->mount)->link.v, there.v);
    pair_free(pair);
}

static void a_link_the_node_closes_goes_down_at_the_mount_only(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    links_close(pair->node.links, here);
    pair_turn_until(pair, &pair->mount, 2);
    assert_int_equal(pair_last(&pair->mount)->kind, LINKS_DOWN);
    pair_turn_quietly(pair, &pair->node, MSEC(100));
    /* And its number is not given to the next. */
    pair_open(pair, LINK_CONTROL, &there, &here);
    assert_int_not_equal(pair->node.events[2].link.v, pair->node.events[0].link.v);
    pair_free(pair);
}

static void *end_node(void *self)
{
    struct pair *pair = self;
    links_free(&pair->node.links);
    return NULL;
}

static void nodes_that_come_and_go_leave_the_other_links_alone(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct pair *steady = pair_make(false, false);
    struct end *mount = &pair->mount;
    struct link_id here;
    pthread_t thread;
    (void)state;
    pair_bind(pair);
    pair_bind(steady);
    for (uint32_t i = 0; i < 100; i++) {
        struct link_id there[2];
        pair_open(pair, LINK_CONTROL, &there[0], &here);
        pair_open(pair, LINK_DATA, &there[1], &here);
        memcpy(mount->links_of_peer, there, sizeof there);
        /* The mount sees the first end while the node still closes the second one. */
        assert_int_equal(threads_start("end", end_node, pair, &thread), ERR_OK);
        const uint32_t seen = mount->count;
        while (mount->count == seen) {
            links_poll(mount->links, SEC(10), pair_record, mount);
        }
        assert_int_equal(pair_last(mount)->kind, LINKS_DOWN);
        threads_join(thread);
        pair_start(pair, &pair->node, NULL);
        pair_bind(pair);
        /* The context of the mount's links still works. */
        const struct link_id link =
            links_connect(mount->links, &steady->control, LINK_CONTROL, (struct node_id){ { 0 } });
        pair_turn_until(pair, mount, mount->count + 1);
        assert_int_equal(pair_last(mount)->kind, LINKS_UP);
        links_close(mount->links, link);
        mount->count = 0;
        pair->node.count = 0;
    }
    pair_free(steady);
    pair_free(pair);
}

static void more_than_two_frames_end_the_link(void **state)
{
    struct pair *pair = pair_make(false, false);
    char endpoint[64];
    void *zmq = zmq_ctx_new();
    void *dealer = zmq_socket(zmq, ZMQ_DEALER);
    int wait_ms = 60000;
    char answer[8];
    struct links_totals totals;
    (void)state;
    pair_bind(pair);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", pair->control.port);
    zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_connect(dealer, endpoint), 0);
    zmq_send(dealer, "a", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "b", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "c", 1, 0);
    pair_turn_until(pair, &pair->node, 2);
    assert_int_equal(pair->node.events[1].kind, LINKS_DOWN);
    assert_int_equal(zmq_recv(dealer, answer, sizeof answer, 0), 0); /* it is told */
    links_totals(pair->node.links, &totals);
    assert_int_equal(totals.malformed, 1);
    zmq_send(dealer, "d", 1, 0); /* and not heard any more */
    pair_turn_quietly(pair, &pair->node, MSEC(100));
    zmq_close(dealer);
    zmq_ctx_term(zmq);
    pair_free(pair);
}

static int connect_raw(const struct address *address)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd = socket(address_to_socket(address, &at, &size), SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, size), 0);
    return fd;
}

static void garbage_on_both_ports_harms_nobody(void **state)
{
    struct pair *pair = pair_make(true, false);
    struct link_id there;
    struct link_id here;
    struct rng rng;
    uint8_t junk[4096];
    (void)state;
    pair_bind(pair);
    rng_init(&rng, 20261122, 0);
    for (uint32_t i = 0; i < 64; i++) {
        int fd = connect_raw(i % 2 == 0 ? &pair->control : &pair->data);
        const size_t size = (size_t)rng_below(&rng, sizeof junk);
        for (size_t k = 0; k < size; k++) {
            junk[k] = (uint8_t)rng_next(&rng);
        }
        if (i % 4 >= 2 && size > 64) { /* a greeting of ZMTP 3.1, then junk */
            memset(junk, 0, 64);
            junk[0] = 0xff;
            junk[9] = 0x7f;
            junk[10] = 3;
            memcpy(junk + 12, i % 8 >= 4 ? "NULL" : "CURVE", i % 8 >= 4 ? 4 : 5);
        }
        (void)!write(fd, junk, size);
        links_poll(pair->node.links, 0, pair_record, &pair->node);
        close(fd);
    }
    pair_turn_quietly(pair, &pair->node, MSEC(100));
    pair_open(pair, LINK_CONTROL, &there, &here);
    pair_free(pair);
}

static void a_request_over_the_limit_ends_the_link(void **state)
{
    static const uint8_t large[20000];
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    links_send(pair->mount.links, there, span_of(large, sizeof large), (struct payload){ 0 });
    pair_turn_until(pair, &pair->mount, 2);
    assert_int_equal(pair_last(&pair->mount)->kind, LINKS_DOWN);
    pair_turn_until(pair, &pair->node, 3);
    assert_int_equal(pair_last(&pair->node)->kind, LINKS_DOWN);
    pair_free(pair);
}

static void a_link_too_many_is_told_so(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct pair *other = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    struct links_totals totals;
    (void)state;
    pair_bind(pair);
    for (uint32_t i = 0; i < 16; i++) {
        pair_open(pair, LINK_CONTROL, &there, &here);
    }
    links_connect(other->mount.links, &pair->control, LINK_CONTROL, (struct node_id){ { 0 } });
    pair_turn_until(other, &other->mount, 1);
    links_send(other->mount.links, other->mount.events[0].link, span_text("hello"),
               (struct payload){ 0 });
    while (other->mount.count < 2) {
        pair_turn_quietly(pair, &pair->node, MSEC(1));
        pair_turn_quietly(other, &other->node, MSEC(1));
    }
    assert_int_equal(pair_last(&other->mount)->kind, LINKS_DOWN);
    links_totals(pair->node.links, &totals);
    assert_int_equal(totals.refused, 1);
    /* When one leaves there is room again. */
    links_close(pair->mount.links, there);
    pair_turn_until(pair, &pair->node, pair->node.count + 1);
    pair_open(pair, LINK_CONTROL, &there, &here);
    pair_free(other);
    pair_free(pair);
}

static void a_busy_port_is_told_and_leaves_nothing_bound(void **state)
{
    struct pair *first = pair_make(false, false);
    struct pair *second = pair_make(false, false);
    char why_room[200];
    struct text why;
    (void)state;
    pair_bind(first);
    text_init(&why, why_room, sizeof why_room);
    /* The control port is free, the data port is not. */
    assert_int_equal(links_bind(second->node.links, &second->control, &first->data, &why),
                     ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(why_room, "another process listens there"));
    links_free(&second->node.links);
    pair_start(second, &second->node, NULL);
    pair_bind(second);
    pair_free(second);
    pair_free(first);
}

static void many_messages_arrive_in_order(void **state)
{
    struct pair *pair = pair_make(false, false);
    struct link_id there;
    struct link_id here;
    (void)state;
    pair_bind(pair);
    pair_open(pair, LINK_CONTROL, &there, &here);
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t frame[4];
        put_u32(frame, i);
        links_send(pair->mount.links, there, span_of(frame, sizeof frame), (struct payload){ 0 });
        if (i % 500 == 0) {
            pair_turn_until(pair, &pair->node, 2 + i);
        }
    }
    pair_turn_until(pair, &pair->node, 3002);
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(pair->node.events[i + 2].kind, LINKS_MESSAGE);
        assert_int_equal(get_u32(pair->node.frames[i + 2]), i);
    }
    pair_free(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_told_by_its_key),
        cmocka_unit_test(a_data_link_proves_nothing_when_there_are_keys),
        cmocka_unit_test(without_keys_everybody_is_trusted),
        cmocka_unit_test(the_wrong_cluster_key_opens_no_link),
        cmocka_unit_test(a_link_opens_as_soon_as_somebody_listens),
        cmocka_unit_test(payloads_arrive_whole_and_buffers_come_back),
        cmocka_unit_test(between_two_links_of_a_process_a_kept_payload_pins_no_buffer),
        cmocka_unit_test(a_payload_for_a_link_that_is_gone_comes_back),
        cmocka_unit_test(the_node_sees_a_mount_that_went_away),
        cmocka_unit_test(the_mount_sees_a_node_that_went_away),
        cmocka_unit_test(a_link_the_node_closes_goes_down_at_the_mount_only),
        cmocka_unit_test(nodes_that_come_and_go_leave_the_other_links_alone),
        cmocka_unit_test(more_than_two_frames_end_the_link),
        cmocka_unit_test(garbage_on_both_ports_harms_nobody),
        cmocka_unit_test(a_request_over_the_limit_ends_the_link),
        cmocka_unit_test(a_link_too_many_is_told_so),
        cmocka_unit_test(a_busy_port_is_told_and_leaves_nothing_bound),
        cmocka_unit_test(many_messages_arrive_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
