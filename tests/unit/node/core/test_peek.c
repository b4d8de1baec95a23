/* tests/unit/node/core/test_peek.c: several nodes: passing on, asking each other, acting. */
#include "tests/unit/node/core/world.h"

#include <string.h>

#define REGION ((size_t)32 << 20)
#define SIZE 700000

static uint64_t ask(struct world *world, uint32_t client, const char *key, uint64_t mode)
{
    struct message get = world_get(world, key, SIZE, 0);
    get.get.mode = mode;
    return client_get(world, client, &get);
}

static uint64_t failure_of(const struct client *client, uint64_t request)
{
    const struct received *received = client_find(client, MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

static uint64_t forwarded(const struct world *world, uint32_t node)
{
    return world->nodes[node].node->metrics.gets_forwarded;
}

/* `count` nodes that have been up for long: nobody was away. */
static struct world *settled(uint32_t count, uint64_t quota)
{
    struct world *world = world_new(count, REGION, quota);
    world_run(world, SEC(61));
    return world;
}

static void all_nodes_are_connected_and_tell_gossip_so(void **state)
{
    (void)state;
    struct world *world = settled(3, 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t open = 0;
        struct node *node = world->nodes[i].node;
        for (struct peer *peer = peers_next_open(node, NULL); peer != NULL;
             peer = peers_next_open(node, peer)) {
            assert_true(peer_is_open(node, peer->id, LINK_DATA));
            open++;
        }
        assert_int_equal(open, 2);
        assert_true(world->nodes[i].evidence >= 2);
        assert_true(world->nodes[i].owning);
        assert_int_equal(world->nodes[i].connects, 2);
    }
    world_free(world);
}

static void who_does_not_own_it_passes_the_request_on_once(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    assert_int_equal(forwarded(world, 0), 1);
    assert_int_equal(forwarded(world, 1), 0);
    assert_int_equal(world->source.gets, 1);
    assert_null(blocks_find(world->nodes[0].node, (struct block_id){ 0 }));
    assert_int_equal(world->nodes[0].node->blocks.pool.used, 0); /* it keeps no copy */
    assert_null(world->payloads);                                /* and gave the payload back */
    world_free(world);
}

static void a_slow_owner_keeps_the_forwarded_request_alive(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 1, SIZE, key);
    world->source.latency_us = SEC(3);
    client_open(world, 0, 0);
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(4));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    assert_true(client_pendings(&world->clients[0], request, NULL) >= 25);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void a_frozen_owner_is_told_after_400_ms(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    world->nodes[1].frozen = true;
    usec_t asked_us = world->now_us;
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    const struct received *fail = client_find(&world->clients[0], MESSAGE_FAIL, request);
    assert_non_null(fail);
    assert_int_equal(fail->message.fail.err, ERR_UNREACHABLE);
    assert_in_range(fail->at_us - asked_us, MSEC(400), MSEC(402));
    uint64_t again = ask(world, 0, key, GET_PLAIN);
    world_run(world, MSEC(2)); /* known by now: told at once */
    assert_int_equal(failure_of(&world->clients[0], again), ERR_UNREACHABLE);
    world->nodes[1].frozen = false;
    world_run(world, SEC(3)); /* heard again */
    uint64_t third = ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], third, key, 0), WORLD_BLOCK);
    world_free(world);
}

static void time_in_which_this_node_was_paused_is_not_silence(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    world->source.latency_us = MSEC(300);
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, MSEC(20));
    world->nodes[0].frozen = true;
    world_run(world, SEC(2));
    world->nodes[0].frozen = false;
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    assert_true(marks_count(&world->marks, "node.paused") > 0);
    assert_int_equal(marks_count(&world->marks, "calls.silent"), 0);
    world_free(world);
}

static void a_killed_owner_is_told_at_once(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    world->source.latency_us = SEC(1);
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, MSEC(100));
    world_kill(world, 1);
    world_run(world, MSEC(2));
    assert_int_equal(failure_of(&world->clients[0], request), ERR_UNREACHABLE);
    world_free(world);
}

static void a_forwarded_request_goes_no_further(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    uint64_t request = ask(world, 0, key, GET_FORWARDED);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    assert_int_equal(forwarded(world, 0) + forwarded(world, 1) + forwarded(world, 2), 0);
    assert_int_equal(world->source.gets, 1);
    assert_int_equal(world->nodes[0].node->metrics.fetch_differing, 1);
    world_free(world);
}

static void peek_finds_what_is_there_and_fetches_nothing(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 0, SIZE, key);
    client_open(world, 0, 0);
    uint64_t before = ask(world, 0, key, GET_PEEK);
    world_run(world, MSEC(2));
    assert_int_equal(failure_of(&world->clients[0], before), ERR_NOT_FOUND);
    (void)ask(world, 0, key, GET_PLAIN);
    uint64_t during = ask(world, 0, key, GET_PEEK);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], during, key, 0), WORLD_BLOCK);
    uint64_t after = ask(world, 0, key, GET_PEEK);
    world_run(world, MSEC(2));
    assert_int_equal(client_bytes(&world->clients[0], after, key, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

/* The owner has the block; then the mount cannot reach it and asks the next rank to act. */
static void an_acting_rank_looks_at_the_others_before_the_source(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 1, SIZE, key);
    uint32_t next = world_rank(world, key, SIZE, 0, 1);
    client_open(world, 0, 1);
    (void)ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    client_open(world, 1, next);
    uint64_t request = ask(world, 1, key, GET_ACTING);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    const struct received *data = client_find(&world->clients[1], MESSAGE_DATA, request);
    assert_int_equal(data->message.data.tier, TIER_PEER);
    world_free(world);
}

static void an_acting_rank_does_not_ask_those_that_are_listed_as_silent(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 1, SIZE, key);
    uint32_t next = world_rank(world, key, SIZE, 0, 1);
    client_open(world, 0, next);
    world->nodes[1].frozen = true;
    struct message get = world_get(world, key, SIZE, 0);
    get.get.mode = GET_ACTING;
    get.get.silent = span_of(world->nodes[1].id.b, ID_SIZE);
    usec_t asked_us = world->now_us;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    const struct received *data = client_find(&world->clients[0], MESSAGE_DATA, request);
    assert_true(data->at_us - asked_us < MSEC(10));
    assert_int_equal(world->nodes[next].node->metrics.fetch_acting, 1);
    world_free(world);
}

static void silent_ranks_cost_an_acting_one_at_most_100_ms_or_so(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(4, 0);
    world_key_of(world, 1, SIZE, key);
    uint32_t acting = world_rank(world, key, SIZE, 0, 2);
    client_open(world, 0, acting);
    for (uint32_t i = 0; i < 4; i++) {
        world->nodes[i].frozen = i != acting;
    }
    usec_t asked_us = world->now_us;
    uint64_t request = ask(world, 0, key, GET_ACTING);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    const struct received *data = client_find(&world->clients[0], MESSAGE_DATA, request);
    assert_in_range(data->at_us - asked_us, MSEC(75), MSEC(135));
    world_free(world);
}

static void a_node_that_joins_takes_blocks_from_their_previous_owner(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 2, SIZE, key);
    world_kill(world, 2);
    world_tell_members(world);
    world_run(world, SEC(70));
    uint32_t owner = world_owner(world, key, SIZE, 0);
    client_open(world, 0, owner);
    (void)ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(world->source.gets, 1);
    world_start(world, 2);
    world_tell_members(world);
    world_run(world, SEC(1));
    client_open(world, 1, 2);
    uint64_t request = ask(world, 1, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

static void a_remaining_node_takes_blocks_from_the_one_that_owned_them_before(void **state)
{
    (void)state;
    char key[32];
    struct world *world = world_new(3, REGION, 0);
    world_key_of(world, 2, SIZE, key);
    world_run(world, SEC(61));
    client_open(world, 0, 2);
    (void)ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    struct member members[3];
    for (uint32_t i = 0; i < 3; i++) { /* the owner leaves, and still answers */
        const struct member *known =
            view_find(world->nodes[0].node->rings.view, world->nodes[i].id);
        members[i] = *known;
    }
    members[2].state = MEMBER_LEAVING;
    for (uint32_t i = 0; i < 3; i++) {
        world_event(
            world, i,
            &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = 3 } });
    }
    world_run(world, MSEC(100));
    uint32_t owner = world_owner(world, key, SIZE, 0);
    assert_true(owner != 2);
    client_open(world, 1, owner);
    uint64_t request = ask(world, 1, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    assert_true(marks_count(&world->marks, "peek.previous_owner") > 0);
    world_free(world);
}

static void two_that_ask_each_other_do_not_wait_for_each_other(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 0, SIZE, key);
    client_open(world, 0, 0);
    client_open(world, 1, 1);
    uint64_t a = ask(world, 0, key, GET_ACTING);
    uint64_t b = ask(world, 1, key, GET_ACTING);
    world_run(world, MSEC(50));
    assert_int_equal(client_bytes(&world->clients[0], a, key, 0), WORLD_BLOCK);
    assert_int_equal(client_bytes(&world->clients[1], b, key, 0), WORLD_BLOCK);
    assert_true(marks_count(&world->marks, "peek.unanswered") == 0);
    world_free(world);
}

static void an_owner_that_was_away_asks_who_acted_for_it(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 1, SIZE, key);
    uint32_t next = world_rank(world, key, SIZE, 0, 1);
    world->nodes[1].frozen = true;
    client_open(world, 0, next);
    (void)ask(world, 0, key, GET_ACTING);
    world_run(world, SEC(2));
    assert_int_equal(world->source.gets, 1);
    world->nodes[1].frozen = false;
    world_run(world, SEC(2));
    client_open(world, 1, 1);
    uint64_t request = ask(world, 1, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 0), WORLD_BLOCK);
    assert_int_equal(world->source.gets, 1);
    world_free(world);
}

/* Just started, it asks the others first; all the same one GET brings the whole extent. */
static void neighbours_that_nobody_has_come_by_one_get(void **state)
{
    (void)state;
    char key[32];
    struct world *world = world_new(3, REGION, 0);
    world_key_of(world, 0, 8 * WORLD_BLOCK, key);
    client_open(world, 0, 0);
    struct message get = world_get(world, key, 8 * WORLD_BLOCK, 0);
    get.get.extent = 1;
    uint64_t request = client_get(world, 0, &get);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    assert_true(world->nodes[0].node->metrics.peer_peeks >= 16);
    assert_int_equal(world->source.gets, 1);
    assert_int_equal(world->source.bytes, 8 * WORLD_BLOCK);
    world_free(world);
}

static void neighbours_come_from_the_previous_owner_too(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(3, 0);
    world_key_of(world, 2, 8 * WORLD_BLOCK, key);
    world_kill(world, 2);
    world_tell_members(world);
    world_run(world, SEC(70));
    uint32_t owner = world_owner(world, key, 8 * WORLD_BLOCK, 0);
    client_open(world, 0, owner);
    struct message get = world_get(world, key, 8 * WORLD_BLOCK, 0);
    get.get.extent = 1;
    (void)client_get(world, 0, &get);
    world_run(world, SEC(1));
    assert_int_equal(world->source.bytes, 8 * WORLD_BLOCK);
    world_start(world, 2);
    world_tell_members(world);
    world_run(world, SEC(1));
    client_open(world, 1, 2);
    get = world_get(world, key, 8 * WORLD_BLOCK, 3);
    get.get.extent = 1;
    uint64_t request = client_get(world, 1, &get);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 3), WORLD_BLOCK);
    assert_int_equal(world->source.bytes, 8 * WORLD_BLOCK);
    assert_int_equal(world->nodes[2].node->blocks.pool.used, 8);
    world_free(world);
}

static void a_flipped_byte_from_another_node_is_not_served(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 1);
    (void)ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    struct object_id object =
        object_id_make(world->dataset.rows[0].source, span_text(key), span_text("v1"), WORLD_BLOCK);
    struct block *block = blocks_find(world->nodes[1].node, (struct block_id){ .object = object });
    assert_non_null(block);
    block->buffer->data[100000] ^= 1;
    client_open(world, 1, 0);
    uint64_t request = ask(world, 1, key, GET_ACTING);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[1], request, key, 0), WORLD_BLOCK);
    assert_int_equal(world->nodes[0].node->metrics.peer_corrupt, 1);
    assert_int_equal(world->source.gets, 2);
    world_free(world);
}

static void a_dead_member_is_let_go_and_a_new_address_is_used(void **state)
{
    (void)state;
    char key[32];
    struct world *world = settled(2, 0);
    world_kill(world, 1);
    world_tell_members(world);
    world_run(world, SEC(1));
    assert_null(peer_find(world->nodes[0].node, world->nodes[1].id));
    world_start(world, 1);
    world_tell_members(world);
    world_run(world, SEC(3));
    world_key_of(world, 1, SIZE, key);
    client_open(world, 0, 0);
    uint64_t request = ask(world, 0, key, GET_PLAIN);
    world_run(world, SEC(1));
    assert_int_equal(client_bytes(&world->clients[0], request, key, 0), WORLD_BLOCK);
    world_free(world);
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
        cmocka_unit_test(an_acting_rank_does_not_ask_those_that_are_listed_as_silent),
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
