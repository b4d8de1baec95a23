/* tests/unit/node/core/test_corners.c: what happens rarely: full tables, odd answers, strangers. */
#include "tests/unit/node/core/lab_inside.h"

#include "node/core/segments.h"

#include <string.h>

#define KEY "train/part-0"
#define REGION ((size_t)16 << 20)
#define SIZE 700000

static uint64_t failure_of(const struct client *client, uint64_t request)
{
    const struct received *received = lab_client_find(client, MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

static bool marked(const struct lab *lab, const char *name)
{
    return marks_count(&lab->marks, name) > 0;
}

/* One node with other options than usual, and one mount. */
static struct lab *with(void (*change)(struct node_options *options))
{
    struct lab *lab = lab_new(1, REGION, (uint64_t)64 << 20);
    lab_kill(lab, 0);
    change(&lab->nodes[0].options);
    lab_start(lab, 0);
    lab_tell_members(lab);
    lab_run(lab, MSEC(100));
    lab_client_open(lab, 0, 0);
    return lab;
}

static void few_requests(struct node_options *options)
{
    options->requests_max = 4;
}

static void small_segments(struct node_options *options)
{
    options->tier[0].segment_size = 65536;
}

static void few_links(struct node_options *options)
{
    options->links_max = 1;
    options->members_max = 1;
}

static void a_number_that_is_open_is_not_taken_twice(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, SIZE, 0);
    get.get.request = 5;
    lab_client_send(lab, lab->clients[0].data, &get);
    lab_client_send(lab, lab->clients[0].data, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], 5), ERR_INVALID);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], 5, KEY, 0), LAB_BLOCK);
    lab_free(lab);
}

static void a_block_larger_than_the_region_is_told_at_once(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, (size_t)1 << 20, 0);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, 8u << 20, 0);
    get.get.block_size = 4u << 20;
    get.get.length = CHUNK_SIZE;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_NOMEM);
    lab_free(lab);
}

static void one_object_has_one_size(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, 100000, 0);
    (void)lab_client_get(lab, 0, &get);
    get = lab_get(lab, KEY, 90000, 0);
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_INVALID);
    lab_free(lab);
}

static void requests_beyond_the_table_are_busy(void **state)
{
    (void)state;
    struct lab *lab = with(few_requests);
    lab->source.latency_us = SEC(1);
    uint64_t requests[6];
    for (uint32_t i = 0; i < 6; i++) {
        struct message get = lab_get(lab, KEY, 8 * LAB_BLOCK, i);
        requests[i] = lab_client_get(lab, 0, &get);
    }
    lab_run(lab, MSEC(10));
    assert_int_equal(failure_of(&lab->clients[0], requests[3]), 0);
    assert_int_equal(failure_of(&lab->clients[0], requests[4]), ERR_BUSY);
    lab_run(lab, SEC(5));
    assert_int_equal(lab_client_bytes(&lab->clients[0], requests[0], KEY, 0), LAB_BLOCK);
    lab_free(lab);
}

static void without_a_ring_reads_are_busy(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_kill(lab, 0);
    lab_start(lab, 0);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, SIZE, 0);
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_BUSY);
    lab_free(lab);
}

static void a_record_larger_than_a_segment_stays_in_memory(void **state)
{
    (void)state;
    struct lab *lab = with(small_segments);
    struct message get = lab_get(lab, KEY, SIZE, 0);
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_int_equal(lab->nodes[0].disk.writes, 0);
    assert_int_equal(lab->nodes[0].node->metrics.disk_skipped, 1);
    lab_free(lab);
}

static void a_segment_file_that_is_gone_is_a_miss(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, (uint64_t)64 << 20);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, KEY, SIZE, 0);
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    lab_kill(lab, 0);
    lab_start(lab, 0);
    lab->nodes[0].disk.kept[0].record.segment = 99; /* somebody has removed it */
    lab_tell_members(lab);
    lab_run(lab, MSEC(100));
    lab_client_forget(lab, 0);
    lab_client_open(lab, 0, 0);
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, KEY, 0), LAB_BLOCK);
    assert_true(marked(lab, "store.read.failed"));
    lab_free(lab);
}

static void more_sources_than_open_segments_take_turns(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, (uint64_t)64 << 20);
    struct node *node = lab->nodes[0].node;
    static struct node_effects effects;
    effects_begin(&node->effects, &effects);
    for (uint8_t i = 0; i < STORE_OPEN_MAX + 2; i++) {
        struct source_id source = { { (uint8_t)(i + 1) } };
        assert_non_null(segment_for(node, 0, source, 8192));
    }
    assert_true(marked(lab, "store.open.many"));
    struct source_id first = { { 1 } };
    const struct segment *again = segment_for(node, 0, first, 8192);
    assert_non_null(again);
    assert_int_equal(again->number, STORE_OPEN_MAX + 2); /* its first one was closed */
    lab_free(lab);
}

static void a_link_beyond_the_table_is_closed(void **state)
{
    (void)state;
    struct lab *lab = with(few_links);
    struct link_peer peer = { .trust = LINK_TRUST_ANYBODY };
    for (uint32_t i = 0; i < 3; i++) {
        (void)lab_client_link(lab, 0, 0, LINK_CONTROL, peer);
    }
    assert_true(marked(lab, "session.links.full"));
    lab_free(lab);
}

static void a_role_nobody_knows_is_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct link_peer peer = { .trust = LINK_TRUST_ANYBODY };
    uint64_t link = lab_client_link(lab, 0, 0, LINK_CONTROL, peer);
    struct message hello = lab_client_hello(lab, 0, LINK_CONTROL);
    hello.hello.role = 0;
    lab_client_send(lab, link, &hello);
    lab_run(lab, MSEC(1));
    const struct received *refused = lab_client_find(&lab->clients[0], MESSAGE_REFUSED, 0);
    assert_non_null(refused);
    assert_int_equal(refused->message.refused.err, ERR_INVALID);
    lab_free(lab);
}

static void an_address_that_is_another_nodes_now_is_left_alone(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    lab_kill(lab, 1);
    lab->nodes[1].options.id.b[3] ^= 1; /* members still say the old id */
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(3));
    assert_true(marked(lab, "peers.welcome.stranger"));
    assert_false(peer_is_open(lab->nodes[0].node, lab->nodes[1].id, LINK_CONTROL));
    lab_free(lab);
}

static void a_member_that_refuses_us_is_not_asked_all_the_time(void **state)
{
    (void)state;
    struct lab *lab = lab_new(2, REGION, 0);
    lab_kill(lab, 1);
    strcpy(lab->nodes[1].options.cluster, "renamed");
    lab_start(lab, 1);
    lab_tell_members(lab);
    uint32_t before = lab->nodes[0].connects;
    lab_run(lab, SEC(60));
    assert_true(marked(lab, "peers.refused"));
    assert_in_range(lab->nodes[0].connects - before, 5, 15);
    lab_free(lab);
}

/* An answer to the open call of node 0 to node 1, as node 1 would send it. */
static void inject(struct lab *lab, enum link_purpose purpose, struct message *answer,
                   uint32_t payload_size)
{
    static uint8_t frame[65536];
    struct node *node = lab->nodes[0].node;
    const struct peer *peer = peer_find(node, lab->nodes[1].id);
    const struct link *link = purpose == LINK_CONTROL ? peer->control : peer->data;
    size_t used = 0;
    answer->ping.request = node->calls.next_request;
    assert_int_equal(message_encode(answer, frame, sizeof frame, &used), ERR_OK);
    uint32_t side = 0;
    const struct wire *wire = lab_wire(lab, link->id.v, &side);
    uint8_t *bytes = test_calloc(1, payload_size + 1);
    struct payload payload = { .data = bytes, .size = payload_size };
    lab_send(lab, wire->link[1 - side], span_of(frame, used), payload_size > 0 ? &payload : NULL);
    test_free(bytes);
    lab_run(lab, MSEC(1));
}

static void odd_answers_to_a_forwarded_request_are_failures(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = lab_new(2, REGION, 0);
    lab_run(lab, SEC(61));
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->nodes[1].frozen = true;
    struct message odd[4] = {
        { .kind = MESSAGE_DATA, .data = { .offset = CHUNK_SIZE, .length = 100 } },
        { .kind = MESSAGE_DATA, .data = { .length = 100, .more = 0 } },
        { .kind = MESSAGE_ACK, .ack = { .err = 0 } },
        { .kind = MESSAGE_FAIL, .fail = { .err = ERR_OK } },
    };
    for (uint32_t i = 0; i < 4; i++) {
        struct message get = lab_get(lab, key, SIZE, 0);
        uint64_t request = lab_client_get(lab, 0, &get);
        lab_run(lab, MSEC(1));
        inject(lab, LINK_DATA, &odd[i], odd[i].kind == MESSAGE_DATA ? 100 : 0);
        assert_int_equal(failure_of(&lab->clients[0], request), ERR_UNREACHABLE);
    }
    assert_null(lab->payloads);
    lab_free(lab);
}

static void odd_answers_to_a_peek_lead_to_the_source(void **state)
{
    (void)state;
    char key[32];
    static uint8_t zeros[64];
    struct lab *lab = lab_new(2, REGION, 0);
    lab_run(lab, SEC(61));
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->nodes[1].frozen = true;
    struct message odd[3] = {
        { .kind = MESSAGE_DATA, .data = { .length = 100, .more = 1 } },
        { .kind = MESSAGE_DATA,
          .data = { .length = CHUNK_SIZE, .more = 1, .checksums = span_of(zeros, 8) } },
        { .kind = MESSAGE_SHARD, .shard = { .checksum = 1 } },
    };
    uint32_t sizes[3] = { 100, CHUNK_SIZE, 5 };
    for (uint32_t i = 0; i < 3; i++) {
        struct message get = lab_get(lab, key, SIZE, i);
        get.get.mode = GET_ACTING;
        get.get.place = lab_place(lab, key, SIZE, i).v;
        uint64_t request = lab_client_get(lab, 0, &get);
        lab_run(lab, MSEC(1));
        inject(lab, LINK_DATA, &odd[i], sizes[i]);
        lab_run(lab, MSEC(50));
        uint64_t bytes = i == 2 ? SIZE - 2 * LAB_BLOCK : LAB_BLOCK;
        assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, i), bytes);
    }
    assert_true(marked(lab, "peek.data.odd") && marked(lab, "peek.data.corrupt"));
    assert_null(lab->payloads);
    lab_free(lab);
}

static void a_peek_that_ends_early_goes_on_at_the_source(void **state)
{
    (void)state;
    char key[32];
    uint8_t checksum[8];
    static uint8_t zeros[CHUNK_SIZE];
    struct lab *lab = lab_new(2, REGION, 0);
    lab_run(lab, SEC(61));
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->nodes[1].frozen = true;
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.mode = GET_ACTING;
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(1));
    put_u64(checksum, crc64(0, zeros, CHUNK_SIZE));
    struct message data = { .kind = MESSAGE_DATA,
                            .data = { .length = CHUNK_SIZE, .checksums = span_of(checksum, 8) } };
    inject(lab, LINK_DATA, &data, CHUNK_SIZE);
    lab_run(lab, MSEC(50));
    assert_true(marked(lab, "peek.data.short"));
    assert_int_equal(lab->source.ranges[0].offset, CHUNK_SIZE); /* only what is missing */
    assert_int_equal(lab->source.bytes, LAB_BLOCK - CHUNK_SIZE);
    lab_free(lab);
}

static void a_message_of_a_later_version_is_passed_over(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    uint8_t frame[] = { 0x81, 0x00, 0xcd, 0x03, 0xe7 }; /* {0: 999} */
    lab_send(lab, lab->clients[0].control, span_of(frame, sizeof frame), NULL);
    lab_run(lab, MSEC(1));
    assert_true(marked(lab, "node.message.newer"));
    assert_int_equal(lab->nodes[0].node->metrics.unknown, 1);
    struct message ping = { .kind = MESSAGE_PING, .ping = { .request = 3 } };
    lab_client_send(lab, lab->clients[0].control, &ping);
    lab_run(lab, MSEC(1));
    assert_int_equal(lab_client_count(&lab->clients[0], MESSAGE_PONG, 3), 1);
    lab_free(lab);
}

static void leaving_ends_after_five_seconds_whatever_is_open(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    lab_client_open(lab, 0, 0);
    lab->source.latency_us = SEC(20);
    struct message get = lab_get(lab, KEY, SIZE, 0);
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(10));
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    lab_run(lab, SEC(4));
    assert_false(lab->nodes[0].drained);
    lab_run(lab, SEC(2));
    assert_true(lab->nodes[0].drained);
    lab_free(lab);
}

static void selectors_nobody_uses_make_room_for_others(void **state)
{
    (void)state;
    char selector[16] = "zone=aa";
    struct lab *lab = lab_new(1, REGION, 0);
    for (uint32_t i = 0; i < RINGS_MAX + 2; i++) {
        static struct node_effects effects;
        effects_begin(&lab->nodes[0].node->effects, &effects);
        selector[6] = (char)('a' + (int)i);
        (void)rings_current(lab->nodes[0].node, span_text(selector));
        for (uint32_t k = 0; k < effects.count; k++) {
            lab_effect(lab, 0, &effects.items[k]);
        }
        lab_run(lab, MSEC(10));
    }
    assert_true(marked(lab, "rings.use.full"));
    lab_run(lab, SEC(601));
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_TICK });
    assert_null(rings_current(lab->nodes[0].node, span_text("rack=1")));
    assert_non_null(rings_find(lab->nodes[0].node, span_text("rack=1")));
    assert_true(marked(lab, "rings.use.unneeded"));
    lab_free(lab);
}

static void a_ring_that_could_not_be_built_is_tried_again(void **state)
{
    (void)state;
    struct lab *lab = lab_new(1, REGION, 0);
    struct node *node = lab->nodes[0].node;
    struct member member = lab_member(lab, 0);
    const struct ring *before = rings_current(node, span_text(""));
    member.version++;
    member.weight = 7;
    lab_event(
        lab, 0,
        &(struct node_event){ .kind = NODE_VIEW, .view = { .members = &member, .count = 1 } });
    for (struct pending *item = lab->pending; item != NULL; item = item->next) {
        if (item->event.kind == NODE_RING) {
            item->event.ring.ring = NULL;
        }
    }
    lab_run(lab, MSEC(500));
    assert_true(marked(lab, "rings.build.failed"));
    assert_ptr_equal(rings_current(node, span_text("")), before);
    lab_run(lab, SEC(1));
    assert_ptr_not_equal(rings_current(node, span_text("")), before);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_that_is_open_is_not_taken_twice),
        cmocka_unit_test(a_block_larger_than_the_region_is_told_at_once),
        cmocka_unit_test(one_object_has_one_size),
        cmocka_unit_test(requests_beyond_the_table_are_busy),
        cmocka_unit_test(without_a_ring_reads_are_busy),
        cmocka_unit_test(a_record_larger_than_a_segment_stays_in_memory),
        cmocka_unit_test(a_segment_file_that_is_gone_is_a_miss),
        cmocka_unit_test(more_sources_than_open_segments_take_turns),
        cmocka_unit_test(a_link_beyond_the_table_is_closed),
        cmocka_unit_test(a_role_nobody_knows_is_refused),
        cmocka_unit_test(an_address_that_is_another_nodes_now_is_left_alone),
        cmocka_unit_test(a_member_that_refuses_us_is_not_asked_all_the_time),
        cmocka_unit_test(odd_answers_to_a_forwarded_request_are_failures),
        cmocka_unit_test(odd_answers_to_a_peek_lead_to_the_source),
        cmocka_unit_test(a_peek_that_ends_early_goes_on_at_the_source),
        cmocka_unit_test(a_message_of_a_later_version_is_passed_over),
        cmocka_unit_test(leaving_ends_after_five_seconds_whatever_is_open),
        cmocka_unit_test(selectors_nobody_uses_make_room_for_others),
        cmocka_unit_test(a_ring_that_could_not_be_built_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
