/* tests/unit/node/core/test_peek.c: several nodes: passing on, asking each other, acting. */
#include "tests/unit/node/core/lab.h"

#include <string.h>

#define REGION ((size_t)32 << 20)
#define SIZE 700000

static uint64_t ask(struct lab *lab, uint32_t client, const char *key, uint64_t mode)
{
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.mode = mode;
    return lab_client_get(lab, client, &get);
}

static uint64_t failure_of(const struct client *client, uint64_t request)
{
    const struct received *received = lab_client_find(client, MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

static uint64_t forwarded(const struct lab *lab, uint32_t node)
{
    return lab->nodes[node].node->metrics.gets_forwarded;
}

/* `count` nodes that have been up for long: nobody was away. */
static struct lab *settled(uint32_t count, uint64_t quota)
{
    struct lab *lab = lab_new(count, REGION, quota);
    lab_run(lab, SEC(61));
    return lab;
}

static void all_nodes_are_connected_and_tell_gossip_so(void **state)
{
    (void)state;
    struct lab *lab = settled(3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t open = 0;
        struct node *node = lab->nodes[i].node;
        for (struct peer *peer = peers_next_open(node, NULL); peer != NULL;
             peer = peers_next_open(node, peer)) {
            assert_true(peer_is_open(node, peer->id, LINK_DATA));
            open++;
        }
        assert_int_equal(open, 2);
        assert_true(lab->nodes[i].evidence >= 2);
        assert_true(lab->nodes[i].owning);
        assert_int_equal(lab->nodes[i].connects, 2);
    }
    lab_free(lab);
}

static void who_does_not_own_it_passes_the_request_on_once(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_int_equal(forwarded(lab, 0), 1);
    assert_int_equal(forwarded(lab, 1), 0);
    assert_int_equal(lab->source.gets, 1);
    assert_null(blocks_find(lab->nodes[0].node, (struct block_id){ 0 }));
    assert_int_equal(lab->nodes[0].node->blocks.pool.used, 0); /* it keeps no copy */
    assert_null(lab->payloads);                                /* and gave the payload back */
    lab_free(lab);
}

static void a_slow_owner_keeps_the_forwarded_request_alive(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab->source.latency_us = SEC(3);
    lab_client_open(lab, 0, 0);
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(4));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_true(lab_client_pendings(&lab->clients[0], request, NULL) >= 25);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void a_frozen_owner_is_told_after_400_ms(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->nodes[1].frozen = true;
    usec_t asked_us = lab->now_us;
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, request);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_UNREACHABLE);
    assert_in_range(fail->at_us - asked_us, MSEC(400), MSEC(402));
    uint64_t again = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, MSEC(2)); /* known by now: told at once */
    assert_int_equal(failure_of(&lab->clients[0], again), ERR_UNREACHABLE);
    lab->nodes[1].frozen = false;
    lab_run(lab, SEC(3)); /* heard again */
    uint64_t third = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], third, key, 0), LAB_BLOCK);
    lab_free(lab);
}

static void time_in_which_this_node_was_paused_is_not_silence(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->source.latency_us = MSEC(300);
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, MSEC(20));
    lab->nodes[0].frozen = true;
    lab_run(lab, SEC(2));
    lab->nodes[0].frozen = false;
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_true(marks_count(&lab->marks, "node.paused") > 0);
    assert_int_equal(marks_count(&lab->marks, "calls.silent"), 0);
    lab_free(lab);
}

static void a_killed_owner_is_told_at_once(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab->source.latency_us = SEC(1);
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, MSEC(100));
    lab_kill(lab, 1);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], request), ERR_UNREACHABLE);
    lab_free(lab);
}

static void a_forwarded_request_goes_no_further(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    uint64_t request = ask(lab, 0, key, GET_FORWARDED);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_int_equal(forwarded(lab, 0) + forwarded(lab, 1) + forwarded(lab, 2), 0);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(lab->nodes[0].node->metrics.fetch_differing, 1);
    assert_int_equal(lab->nodes[0].node->metrics.source_again_bytes, lab->source.bytes);
    lab_free(lab);
}

static void peek_finds_what_is_there_and_fetches_nothing(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 0, SIZE, key);
    lab_client_open(lab, 0, 0);
    uint64_t before = ask(lab, 0, key, GET_PEEK);
    lab_run(lab, MSEC(2));
    assert_int_equal(failure_of(&lab->clients[0], before), ERR_NOT_FOUND);
    (void)ask(lab, 0, key, GET_PLAIN);
    uint64_t during = ask(lab, 0, key, GET_PEEK);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], during, key, 0), LAB_BLOCK);
    uint64_t after = ask(lab, 0, key, GET_PEEK);
    lab_run(lab, MSEC(2));
    assert_int_equal(lab_client_bytes(&lab->clients[0], after, key, 0), LAB_BLOCK);
    /* A word ahead of the bytes, which may take longer than who peeks waits for one. */
    assert_int_equal(lab_client_pendings(&lab->clients[0], after, NULL), 1);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

/* The owner has the block; then the mount cannot reach it and asks the next rank to act. */
static void an_acting_rank_looks_at_the_others_before_the_source(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    lab_client_open(lab, 0, 1);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, next);
    uint64_t request = ask(lab, 1, key, GET_ACTING);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    const struct received *data = lab_client_find(&lab->clients[1], MESSAGE_DATA, request);
    assert_int_equal(data->message.data.tier, TIER_PEER);
    lab_free(lab);
}

/* The owner is well, but the mount does not hear it. */
static void an_acting_rank_asks_those_that_only_the_asker_finds_silent(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    lab_client_open(lab, 0, 1);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, next);
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.mode = GET_ACTING;
    get.get.silent = span_of(lab->nodes[1].id.b, ID_SIZE);
    uint64_t request = lab_client_get(lab, 1, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void one_that_is_silent_to_the_asker_costs_an_acting_rank_25_ms(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    lab_client_open(lab, 0, next);
    lab->nodes[1].frozen = true;
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.mode = GET_ACTING;
    get.get.silent = span_of(lab->nodes[1].id.b, ID_SIZE);
    usec_t asked_us = lab->now_us;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    const struct received *data = lab_client_find(&lab->clients[0], MESSAGE_DATA, request);
    assert_in_range(data->at_us - asked_us, MSEC(25), MSEC(35));
    assert_int_equal(lab->nodes[next].node->metrics.fetch_acting, 1);
    lab_free(lab);
}

/* It has said something since it was asked: what else it was asked for may be on its way. */
static void one_that_was_silent_to_the_asker_only_has_the_usual_time(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    lab_client_open(lab, 0, 1);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, next);
    lab->source.latency_us = MSEC(60);
    struct message get = lab_get(lab, key, SIZE, 1);
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, MSEC(1));
    uint64_t requests[2];
    for (uint32_t i = 0; i < 2; i++) {
        get = lab_get(lab, key, SIZE, i);
        get.get.mode = GET_ACTING;
        get.get.silent = span_of(lab->nodes[1].id.b, ID_SIZE);
        requests[i] = lab_client_get(lab, 1, &get);
    }
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], requests[0], key, 0), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(&lab->clients[1], requests[1], key, 1), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 2);
    lab_free(lab);
}

static void silent_ranks_cost_an_acting_one_at_most_100_ms_or_so(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(4, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t acting = lab_rank(lab, key, SIZE, 0, 2);
    lab_client_open(lab, 0, acting);
    for (uint32_t i = 0; i < 4; i++) {
        lab->nodes[i].frozen = i != acting;
    }
    usec_t asked_us = lab->now_us;
    uint64_t request = ask(lab, 0, key, GET_ACTING);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    const struct received *data = lab_client_find(&lab->clients[0], MESSAGE_DATA, request);
    assert_in_range(data->at_us - asked_us, MSEC(75), MSEC(135));
    lab_free(lab);
}

static void a_node_that_joins_takes_blocks_from_their_previous_owner(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 2, SIZE, key);
    lab_kill(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(70));
    uint32_t owner = lab_owner(lab, key, SIZE, 0);
    lab_client_open(lab, 0, owner);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab->source.gets, 1);
    lab_start(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, 2);
    uint64_t request = ask(lab, 1, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void a_remaining_node_takes_blocks_from_the_one_that_owned_them_before(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = lab_new(3, REGION, 0);
    lab_key_of(lab, 2, SIZE, key);
    lab_run(lab, SEC(61));
    lab_client_open(lab, 0, 2);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    struct member members[3];
    for (uint32_t i = 0; i < 3; i++) { /* the owner leaves, and still answers */
        const struct member *known = view_find(lab->nodes[0].node->rings.view, lab->nodes[i].id);
        members[i] = *known;
    }
    members[2].state = MEMBER_LEAVING;
    for (uint32_t i = 0; i < 3; i++) {
        lab_event(
            lab, i,
            &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = 3 } });
    }
    lab_run(lab, MSEC(100));
    uint32_t owner = lab_owner(lab, key, SIZE, 0);
    assert_true(owner != 2);
    lab_client_open(lab, 1, owner);
    uint64_t request = ask(lab, 1, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    assert_true(marks_count(&lab->marks, "peek.previous_owner") > 0);
    lab_free(lab);
}

static void two_that_ask_each_other_do_not_wait_for_each_other(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 0, SIZE, key);
    lab_client_open(lab, 0, 0);
    lab_client_open(lab, 1, 1);
    uint64_t a = ask(lab, 0, key, GET_ACTING);
    uint64_t b = ask(lab, 1, key, GET_ACTING);
    lab_run(lab, MSEC(50));
    assert_int_equal(lab_client_bytes(&lab->clients[0], a, key, 0), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(&lab->clients[1], b, key, 0), LAB_BLOCK);
    assert_true(marks_count(&lab->marks, "peek.unanswered") == 0);
    lab_free(lab);
}

static void an_owner_that_was_away_asks_who_acted_for_it(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 1, SIZE, key);
    uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    lab->nodes[1].frozen = true;
    lab_client_open(lab, 0, next);
    (void)ask(lab, 0, key, GET_ACTING);
    lab_run(lab, SEC(2));
    assert_int_equal(lab->source.gets, 1);
    lab->nodes[1].frozen = false;
    lab_run(lab, SEC(2));
    lab_client_open(lab, 1, 1);
    uint64_t request = ask(lab, 1, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

/* Just started, it asks the others first; all the same one GET brings the whole extent. */
static void neighbours_that_nobody_has_come_by_one_get(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = lab_new(3, REGION, 0);
    lab_key_of(lab, 0, 8 * LAB_BLOCK, key);
    lab_client_open(lab, 0, 0);
    struct message get = lab_get(lab, key, 8 * LAB_BLOCK, 0);
    get.get.extent = 1;
    uint64_t request = lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_true(lab->nodes[0].node->metrics.peer_peeks >= 16);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(lab->source.bytes, 8 * LAB_BLOCK);
    lab_free(lab);
}

static void neighbours_come_from_the_previous_owner_too(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(3, 0);
    lab_key_of(lab, 2, 8 * LAB_BLOCK, key);
    lab_kill(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(70));
    uint32_t owner = lab_owner(lab, key, 8 * LAB_BLOCK, 0);
    lab_client_open(lab, 0, owner);
    struct message get = lab_get(lab, key, 8 * LAB_BLOCK, 0);
    get.get.extent = 1;
    (void)lab_client_get(lab, 0, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab->source.bytes, 8 * LAB_BLOCK);
    lab_start(lab, 2);
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, 2);
    get = lab_get(lab, key, 8 * LAB_BLOCK, 3);
    get.get.extent = 1;
    uint64_t request = lab_client_get(lab, 1, &get);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 3), LAB_BLOCK);
    assert_int_equal(lab->source.bytes, 8 * LAB_BLOCK);
    assert_int_equal(lab->nodes[2].node->blocks.pool.used, 8);
    lab_free(lab);
}

static void a_flipped_byte_from_another_node_is_not_served(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 1);
    (void)ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    struct object_id object =
        object_id_make(lab->dataset.rows[0].source, span_text(key), span_text("v1"), LAB_BLOCK);
    struct block *block = blocks_find(lab->nodes[1].node, (struct block_id){ .object = object });
    assert_non_null(block);
    block->buffer->data[100000] ^= 1;
    lab_client_open(lab, 1, 0);
    uint64_t request = ask(lab, 1, key, GET_ACTING);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[1], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->nodes[0].node->metrics.peer_corrupt, 1);
    assert_int_equal(lab->source.gets, 2);
    lab_free(lab);
}

static void a_dead_member_is_let_go_and_a_new_address_is_used(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(2, 0);
    lab_kill(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    assert_null(peer_find(lab->nodes[0].node, lab->nodes[1].id));
    lab_start(lab, 1);
    lab_tell_members(lab);
    lab_run(lab, SEC(3));
    lab_key_of(lab, 1, SIZE, key);
    lab_client_open(lab, 0, 0);
    uint64_t request = ask(lab, 0, key, GET_PLAIN);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_nodes_are_connected_and_tell_gossip_so),
        cmocka_unit_test(who_does_not_own_it_passes_the_request_on_once),
        cmocka_unit_test(a_slow_owner_keeps_the_forwarded_request_alive),
        cmocka_unit_test(a_frozen_owner_is_told_after_400_ms),
        cmocka_unit_test(time_in_which_this_node_was_paused_is_not_silence),
        cmocka_unit_test(a_killed_owner_is_told_at_once),
        cmocka_unit_test(a_forwarded_request_goes_no_further),
        cmocka_unit_test(peek_finds_what_is_there_and_fetches_nothing),
        cmocka_unit_test(an_acting_rank_looks_at_the_others_before_the_source),
        cmocka_unit_test(an_acting_rank_asks_those_that_only_the_asker_finds_silent),
        cmocka_unit_test(one_that_is_silent_to_the_asker_costs_an_acting_rank_25_ms),
        cmocka_unit_test(one_that_was_silent_to_the_asker_only_has_the_usual_time),
        cmocka_unit_test(silent_ranks_cost_an_acting_one_at_most_100_ms_or_so),
        cmocka_unit_test(a_node_that_joins_takes_blocks_from_their_previous_owner),
        cmocka_unit_test(a_remaining_node_takes_blocks_from_the_one_that_owned_them_before),
        cmocka_unit_test(two_that_ask_each_other_do_not_wait_for_each_other),
        cmocka_unit_test(an_owner_that_was_away_asks_who_acted_for_it),
        cmocka_unit_test(neighbours_that_nobody_has_come_by_one_get),
        cmocka_unit_test(neighbours_come_from_the_previous_owner_too),
        cmocka_unit_test(a_flipped_byte_from_another_node_is_not_served),
        cmocka_unit_test(a_dead_member_is_let_go_and_a_new_address_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
