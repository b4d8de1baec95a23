/* tests/unit/node/core/test_hot.c: readers of a hot block are handed on, and copies come and go. */
#include "tests/unit/node/core/lab.h"

#include <string.h>

#define REGION ((size_t)32 << 20)
#define QUOTA (UINT64_C(64) << 20)
#define SIZE 700000
#define OWNER 1

/* Nodes, one of which owns the key; nobody was away. Client 0 is at the owner. */
static struct lab *settled_with(uint32_t nodes, char key[32])
{
    struct lab *lab = lab_new(nodes, REGION, QUOTA);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        lab->nodes[i].node->hot.shares.meter.floor = 1;
    }
    lab_run(lab, SEC(61));
    lab_key_of(lab, OWNER, SIZE, key);
    lab_client_open(lab, 0, OWNER);
    return lab;
}

static struct lab *settled(char key[32])
{
    return settled_with(3, key);
}

static uint64_t ask(struct lab *lab, uint32_t client, const char *key, bool may)
{
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.elsewhere = may;
    return lab_client_get(lab, client, &get);
}

static uint64_t ask_copy(struct lab *lab, uint32_t client, const char *key)
{
    struct message get = lab_get(lab, key, SIZE, 0);
    get.get.mode = GET_COPY;
    return lab_client_get(lab, client, &get);
}

static uint64_t failure_of(const struct lab *lab, uint32_t client, uint64_t request)
{
    const struct received *received = lab_client_find(&lab->clients[client], MESSAGE_FAIL, request);
    return received == NULL ? 0 : received->message.fail.err;
}

/* The others serve nothing, as gossip has it. */
static void tell_loads(struct lab *lab)
{
    const uint64_t rates[] = { 0, 0 };
    const struct node_event event = { .kind = NODE_LOADS, .loads = { .rates = rates, .count = 2 } };
    lab_event(lab, OWNER, &event);
}

/* Everybody reads that block for so long. How many reads were handed on; *last is the number of the
 * node that the last of them was sent to. */
static uint32_t read_hot(struct lab *lab, const char *key, usec_t us, bool may, uint32_t *last)
{
    uint32_t handed = 0;
    tell_loads(lab);
    (void)ask(lab, 0, key, false);
    lab_run(lab, MSEC(200)); /* the first one is read from the source */
    for (usec_t end_us = lab->now_us + us; lab->now_us < end_us;) {
        lab_client_forget(lab, 0);
        const uint64_t request = ask(lab, 0, key, may);
        lab_run(lab, MSEC(5));
        const struct received *fail = lab_client_find(&lab->clients[0], MESSAGE_FAIL, request);
        if (fail == NULL) {
            assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
            continue;
        }
        assert_int_equal(fail->message.fail.err, ERR_ELSEWHERE);
        handed++;
        for (uint32_t i = 0; i < lab->node_count; i++) {
            *last = memcmp(fail->message.fail.node, lab->nodes[i].id.b, ID_SIZE) == 0 ? i : *last;
        }
        assert_true(*last < lab->node_count && *last != OWNER);
    }
    return handed;
}

static uint32_t disk_writes(const struct lab *lab, uint32_t node)
{
    return lab->nodes[node].disk.writes;
}

static void readers_of_a_hot_block_are_sent_to_who_agreed_and_get_it_there(void **state)
{
    (void)state;
    char key[32];
    uint32_t to = UINT32_MAX;
    struct lab *lab = settled(key);
    assert_true(read_hot(lab, key, SEC(3), true, &to) > 100);
    assert_true(lab->nodes[to].node->metrics.shares_granted > 0);
    lab_client_open(lab, 1, to);
    const uint64_t first = ask_copy(lab, 1, key);
    lab_run(lab, MSEC(50));
    const uint64_t second = ask_copy(lab, 1, key);
    lab_run(lab, MSEC(50));
    assert_int_equal(lab_client_bytes(&lab->clients[1], first, key, 0), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(&lab->clients[1], second, key, 0), LAB_BLOCK);
    assert_int_equal(lab->nodes[to].node->metrics.copies_brought, 1);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(disk_writes(lab, OWNER), 1);
    assert_int_equal(disk_writes(lab, to), 0);
    assert_int_equal(lab->nodes[to].node->store.debts, 0);
    lab_free(lab);
}

static void who_does_not_allow_it_is_never_sent_elsewhere(void **state)
{
    (void)state;
    char key[32];
    uint32_t to = UINT32_MAX;
    struct lab *lab = settled(key);
    assert_int_equal(read_hot(lab, key, SEC(3), false, &to), 0);
    assert_true(lab->nodes[OWNER].node->metrics.shares_obtained > 0); /* others could be */
    for (uint64_t mode = GET_FORWARDED; mode <= GET_COPY; mode++) {
        struct message get = lab_get(lab, key, SIZE, 0);
        get.get.mode = mode;
        get.get.elsewhere = 1;
        const uint64_t request = lab_client_get(lab, 0, &get);
        lab_run(lab, MSEC(5));
        assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    }
    lab_free(lab);
}

static void a_hotspot_that_is_over_leaves_nothing_behind(void **state)
{
    (void)state;
    char key[32];
    uint32_t to = UINT32_MAX;
    struct lab *lab = settled(key);
    (void)read_hot(lab, key, SEC(3), true, &to);
    assert_true(lab->nodes[OWNER].node->hot.shares.pool.used > 0);
    lab_run(lab, SHARES_LEASE_US + SEC(1));
    assert_int_equal(lab->nodes[OWNER].node->hot.shares.pool.used, 0);
    assert_int_equal(lab->nodes[OWNER].node->calls.pool.used, 0);
    lab_free(lab);
}

static void to_a_node_that_stands_still_nobody_is_sent(void **state)
{
    (void)state;
    char key[32];
    uint32_t to = UINT32_MAX;
    struct lab *lab = settled(key);
    (void)read_hot(lab, key, SEC(3), true, &to);
    lab->nodes[0].frozen = true;
    lab->nodes[2].frozen = true;
    (void)read_hot(lab, key, SHARES_LEASE_US + SEC(1), true, &to);
    assert_int_equal(read_hot(lab, key, SEC(1), true, &to), 0);
    lab_free(lab);
}

static void a_copy_never_comes_from_the_source(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(key);
    lab_client_open(lab, 1, 2);
    lab->nodes[OWNER].frozen = true;
    const uint64_t silent = ask_copy(lab, 1, key);
    lab_run(lab, SEC(1));
    assert_int_equal(failure_of(lab, 1, silent), ERR_NOT_FOUND);
    lab->nodes[OWNER].frozen = false;
    lab_run(lab, SEC(3));
    const uint64_t absent = ask_copy(lab, 1, key); /* the owner has not got it either */
    lab_run(lab, SEC(1));
    assert_int_equal(failure_of(lab, 1, absent), ERR_NOT_FOUND);
    assert_int_equal(lab->source.gets, 0);
    lab_free(lab);
}

static void who_waits_for_a_copy_in_place_of_a_silent_owner_gets_it_from_the_source(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(key);
    struct message get = lab_get(lab, key, SIZE, 0);
    lab_client_open(lab, 1, 2);
    lab_client_open(lab, 2, 2);
    lab->nodes[OWNER].frozen = true;
    const uint64_t copy = ask_copy(lab, 1, key);
    lab_run(lab, MSEC(1));
    get.get.mode = GET_ACTING;
    const uint64_t acting = lab_client_get(lab, 2, &get);
    lab_run(lab, SEC(2));
    assert_int_equal(failure_of(lab, 1, copy), ERR_NOT_FOUND);
    assert_int_equal(lab_client_bytes(&lab->clients[2], acting, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(disk_writes(lab, 2), 1); /* it is no copy then */
    lab_free(lab);
}

static void asked_for_a_copy_of_its_own_a_node_serves_as_the_owner(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(key);
    const uint64_t request = ask_copy(lab, 0, key);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], request, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
    assert_int_equal(disk_writes(lab, OWNER), 1);
    lab_free(lab);
}

static void a_copy_is_written_once_the_ring_has_made_it_ours(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(key);
    const uint32_t next = lab_rank(lab, key, SIZE, 0, 1);
    const uint64_t first = ask(lab, 0, key, false);
    lab_run(lab, SEC(1));
    lab_client_open(lab, 1, next);
    const uint64_t copy = ask_copy(lab, 1, key);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], first, key, 0), LAB_BLOCK);
    assert_int_equal(lab_client_bytes(&lab->clients[1], copy, key, 0), LAB_BLOCK);
    assert_int_equal(disk_writes(lab, next), 0);
    lab_kill(lab, OWNER);
    lab_tell_members(lab);
    lab_run(lab, SEC(3));
    assert_int_equal(lab_owner(lab, key, SIZE, 0), next);
    assert_int_equal(disk_writes(lab, next), 1);
    assert_int_equal(lab->source.gets, 1);
    lab_free(lab);
}

static void lose_blocks(struct node *owner)
{
    assert_true(store_drop_oldest(owner));
    while (memory_evict(owner)) {
    }
    assert_int_equal(owner->blocks.pool.used, 0);
}

/* The source has been asked once, and is not asked again. */
static void check_without_source(struct lab *lab, const char *key)
{
    lab_client_forget(lab, 0);
    const uint64_t again = ask(lab, 0, key, false);
    lab_run(lab, SEC(1));
    assert_int_equal(lab_client_bytes(&lab->clients[0], again, key, 0), LAB_BLOCK);
    assert_int_equal(lab->source.gets, 1);
}

static void an_owner_that_has_lost_the_block_asks_where_it_has_lent_it(void **state)
{
    (void)state;
    char key[32];
    uint32_t to = UINT32_MAX;
    struct lab *lab = settled(key);
    (void)read_hot(lab, key, SEC(3), true, &to);
    lab_client_open(lab, 1, to);
    const uint64_t copy = ask_copy(lab, 1, key);
    lab_run(lab, SEC(6)); /* the shares are over */
    assert_int_equal(lab_client_bytes(&lab->clients[1], copy, key, 0), LAB_BLOCK);
    lose_blocks(lab->nodes[OWNER].node);
    check_without_source(lab, key);
    lab_free(lab);
}

/* Who really has it was lent it first, and is asked last. */
static void silent_nodes_do_not_hide_the_one_that_has_a_copy(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled_with(6, key);
    struct node *owner = lab->nodes[OWNER].node;
    const uint32_t holder = (OWNER + 1) % lab->node_count;
    (void)ask(lab, 0, key, false);
    lab_run(lab, SEC(1));
    const struct block_id id = ((struct block *)pool_at(&owner->blocks.pool, 0))->id;
    lab_client_open(lab, 1, holder);
    (void)ask_copy(lab, 1, key);
    lab_run(lab, SEC(1));
    lent_note(&owner->hot.lent, id, lab->nodes[holder].id);
    for (uint32_t i = 0; i < lab->node_count; i++) {
        lab->nodes[i].frozen = i != holder && i != OWNER;
        if (lab->nodes[i].frozen) {
            lent_note(&owner->hot.lent, id, lab->nodes[i].id);
        }
    }
    lose_blocks(owner);
    check_without_source(lab, key);
    lab_free(lab);
}

static void shares_are_for_nodes_and_not_from_who_leaves(void **state)
{
    (void)state;
    char key[32];
    struct lab *lab = settled(key);
    struct message get = lab_get(lab, key, SIZE, 0);
    struct message ask = { .kind = MESSAGE_SHARE_ASK,
                           .share_ask = { .request = 7, .rate = 1 << 20, .mean = 4 << 20 } };
    memcpy(ask.share_ask.dataset, get.get.dataset, ID_SIZE);
    lab_client_send(lab, lab->clients[0].control, &ask);
    lab_run(lab, MSEC(10));
    assert_int_equal(failure_of(lab, 0, 7), ERR_DENIED);
    lab->clients[1].role = WIRE_NODE;
    lab->clients[1].id.b[0] = 77;
    lab_client_open(lab, 1, 2);
    lab_client_send(lab, lab->clients[1].control, &ask);
    lab_run(lab, MSEC(10));
    const struct received *share = lab_client_find(&lab->clients[1], MESSAGE_SHARE, 7);
    assert_non_null(share);
    assert_int_equal(share->message.share.rate, 1 << 20);
    lab_leave(lab, 2);
    ask.share_ask.request = 8;
    lab_client_send(lab, lab->clients[1].control, &ask);
    lab_run(lab, MSEC(10));
    share = lab_client_find(&lab->clients[1], MESSAGE_SHARE, 8);
    assert_true(share == NULL || share->message.share.rate == 0);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_of_a_hot_block_are_sent_to_who_agreed_and_get_it_there),
        cmocka_unit_test(who_does_not_allow_it_is_never_sent_elsewhere),
        cmocka_unit_test(a_hotspot_that_is_over_leaves_nothing_behind),
        cmocka_unit_test(to_a_node_that_stands_still_nobody_is_sent),
        cmocka_unit_test(a_copy_never_comes_from_the_source),
        cmocka_unit_test(who_waits_for_a_copy_in_place_of_a_silent_owner_gets_it_from_the_source),
        cmocka_unit_test(asked_for_a_copy_of_its_own_a_node_serves_as_the_owner),
        cmocka_unit_test(a_copy_is_written_once_the_ring_has_made_it_ours),
        cmocka_unit_test(an_owner_that_has_lost_the_block_asks_where_it_has_lent_it),
        cmocka_unit_test(silent_nodes_do_not_hide_the_one_that_has_a_copy),
        cmocka_unit_test(shares_are_for_nodes_and_not_from_who_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
