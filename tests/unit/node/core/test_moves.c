/* tests/unit/node/core/test_moves.c: directories go to the nodes that keep them now. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>

#include "node/core/moves.h"

#define NODES 4
#define NAMES 3000u /* three pages */
#define DIRS 16u

static void list(struct shelf *shelf)
{
    char key[32];
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(key, sizeof key, "p/%05u", i);
        shelf_put(shelf, key, "v1", 100);
    }
    shelf_mount(shelf, 0, 0);
    struct root root = shelf_root(shelf, 0, "p/");
    assert_int_equal(shelf_count(shelf, &root), NAMES);
}

static struct shelf *listed(uint32_t nodes)
{
    struct shelf *shelf = shelf_new(nodes);
    list(shelf);
    lab_run(shelf->lab, SEC(120));
    return shelf;
}

static void end(struct shelf *shelf, uint32_t index)
{
    lab_kill(shelf->lab, index);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(120)); /* earlier tables are forgotten, and nobody asks */
}

/* Asked there, and nothing is listed for it. */
static void check_at(struct shelf *shelf, uint32_t node)
{
    const uint32_t lists = shelf->lists;
    lab_client_forget(shelf->lab, LAB_CLIENTS - 1);
    shelf->lab->clients[LAB_CLIENTS - 1].open = false;
    shelf_mount(shelf, 1, node);
    struct root root = shelf_root(shelf, 1, "p/");
    assert_int_equal(shelf_count(shelf, &root), NAMES);
    assert_int_equal(shelf->lists, lists);
}

/* Many directories with one file; returns the listings so far. */
static uint32_t list_many(struct shelf *shelf)
{
    for (uint32_t i = 0; i < DIRS; i++) {
        char name[16];
        char key[32];
        snprintf(name, sizeof name, "p/%02u/", i);
        snprintf(key, sizeof key, "%sa", name);
        shelf_put(shelf, key, "v1", 100);
        (void)shelf_root(shelf, 0, name);
    }
    return shelf->lists;
}

/* Asked there, and there are no more listings than that. */
static void check_many_at(struct shelf *shelf, uint32_t node, uint32_t lists)
{
    shelf_mount(shelf, 1, node);
    for (uint32_t i = 0; i < DIRS; i++) {
        char name[16];
        snprintf(name, sizeof name, "p/%02u/", i);
        struct root root = shelf_root(shelf, 1, name);
        assert_int_equal(shelf_count(shelf, &root), 1);
    }
    assert_int_equal(shelf->lists, lists);
}

static void a_directory_outlives_all_that_left_one_after_the_other(void **state)
{
    (void)state;
    struct shelf *shelf = listed(4);
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(shelf->lab, i);
        lab_run(shelf->lab, SEC(2));
        assert_true(shelf->lab->nodes[i].drained);
        end(shelf, i);
    }
    check_at(shelf, 3);
    shelf_free(shelf);
}

/* Nodes have just started, and remember a table in which somebody else kept everything. */
static void who_kept_nothing_yet_is_not_waited_for(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(4);
    struct lab *lab = shelf->lab;
    for (uint32_t i = 0; i < 3; i++) {
        lab_kill(lab, i);
        lab_tell_members(lab);
        lab_run(lab, SEC(1));
        lab_start(lab, i);
        lab->nodes[i].warming = true;
    }
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < 3; i++) {
        lab->nodes[i].warming = false;
    }
    lab_tell_members(lab);
    lab_run(lab, SEC(1));
    shelf_mount(shelf, 0, 0);
    const uint32_t lists = list_many(shelf);
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(lab, i);
        lab_run(lab, SEC(2));
        assert_true(lab->nodes[i].drained);
        lab_kill(lab, i);
        lab_tell_members(lab);
        lab_run(lab, SEC(1));
    }
    check_many_at(shelf, 3, lists);
    shelf_free(shelf);
}

/* Pages lie elsewhere than roots, and who sees to them is another node than the one that leaves. */
static void who_leaves_waits_for_those_who_need_its_pages(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(4);
    struct lab *lab = shelf->lab;
    shelf_mount(shelf, 0, 0);
    lab_run(lab, SEC(1));
    const uint32_t lists = list_many(shelf);
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(lab, i);
        for (uint32_t wait = 0; !lab->nodes[i].drained; wait++) {
            assert_true(wait < 200);
            lab_run(lab, MSEC(10));
        }
        lab_kill(lab, i);
        lab_tell_members(lab);
    }
    check_many_at(shelf, 3, lists);
    shelf_free(shelf);
}

/* All are there, and that one leaves: what `to` is told. */
static void tell_leaves(struct lab *lab, uint32_t to, uint32_t index)
{
    struct member members[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        members[i] = lab_member(lab, i);
    }
    members[index].state = MEMBER_LEAVING;
    lab_event(
        lab, to,
        &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = NODES } });
}

/* All but node 1 hear that node 0 leaves. */
static void tell_all_but_one(struct lab *lab)
{
    tell_leaves(lab, 0, 0);
    tell_leaves(lab, 2, 0);
    tell_leaves(lab, 3, 0);
}

static void check_drains(struct lab *lab, usec_t after_us, usec_t within_us)
{
    lab_run(lab, after_us);
    assert_false(lab->nodes[0].drained);
    lab_run(lab, within_us);
    assert_true(lab->nodes[0].drained);
}

/* The others hear of it that much later, decline what they are offered, and are asked for their
 * members: none of that may be taken for their word that they need nothing. */
static void leave_unheard(struct lab *lab, uint32_t index, usec_t lag_us)
{
    lab->nodes[index].leaving = true;
    lab_event(lab, index, &(struct node_event){ .kind = NODE_LEAVE });
    tell_leaves(lab, index, index);
    lab_run(lab, lag_us);
    lab_tell_members(lab);
}

static struct shelf *with_blocks(void)
{
    struct shelf *shelf = shelf_new(NODES);
    struct lab *lab = shelf->lab;
    char key[32];
    shelf_mount(shelf, 0, 0);
    lab_run(lab, SEC(1));
    lab->dataset = shelf->dataset;
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(key, sizeof key, "p/big%u", i);
        struct message get = lab_get(lab, key, 700000, i % 3);
        (void)lab_client_get(lab, 0, &get);
        lab_run(lab, MSEC(20));
    }
    lab_run(lab, SEC(120));
    return shelf;
}

static void who_hears_late_that_a_node_leaves_is_waited_for(void **state)
{
    (void)state;
    for (usec_t lag_us = 0; lag_us <= MSEC(180); lag_us += MSEC(60)) {
        struct shelf *shelf = with_blocks();
        struct lab *lab = shelf->lab;
        leave_unheard(lab, 0, lag_us);
        for (uint32_t ms = 0; !lab->nodes[0].drained; ms++) {
            assert_true(ms < 5000);
            lab_run(lab, MSEC(1));
        }
        if (lag_us > 0) {
            assert_true(lab->nodes[0].node->metrics.handover_declined > 0);
        }
        for (uint32_t i = 1; i < NODES; i++) {
            assert_int_equal(moves_without(lab->nodes[i].node, lab->nodes[0].id), MOVES_TRIED);
        }
        shelf_free(shelf);
    }
}

static void who_is_not_heard_of_is_waited_for_two_seconds(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(NODES);
    struct lab *lab = shelf->lab;
    lab_run(lab, SEC(5));
    lab_kill(lab, 1); /* nobody knows it yet */
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    tell_all_but_one(lab);
    check_drains(lab, MSEC(1900), MSEC(500));
    shelf_free(shelf);
}

/* It had nothing to wait for when it let go: all was still here. */
static void who_let_go_before_all_was_handed_over_is_asked_again(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(NODES);
    struct lab *lab = shelf->lab;
    lab_run(lab, SEC(5));
    struct peer *peer = peer_find(lab->nodes[0].node, lab->nodes[1].id);
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    leave_on_peer_view(lab->nodes[0].node, peer,
                       &(struct message_view){ .directories = MOVES_TRIED });
    lab->nodes[1].frozen = true;
    tell_all_but_one(lab);
    check_drains(lab, MSEC(1900), MSEC(500));
    shelf_free(shelf);
}

/* What may have to go elsewhere now is not what they let go. */
static void all_are_asked_again_when_the_ring_changes_meanwhile(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(NODES);
    struct lab *lab = shelf->lab;
    struct member members[NODES];
    lab_run(lab, SEC(5));
    lab->nodes[1].frozen = true;
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    tell_all_but_one(lab);
    lab_run(lab, SEC(1));
    for (uint32_t i = 0; i < NODES; i++) {
        members[i] = lab_member(lab, i);
    }
    members[0].state = MEMBER_LEAVING;
    members[3].state = MEMBER_DEAD;
    lab_event(
        lab, 0,
        &(struct node_event){ .kind = NODE_VIEW, .view = { .members = members, .count = NODES } });
    check_drains(lab, MSEC(1900), MSEC(600));
    shelf_free(shelf);
}

static void (*tune_shelf)(struct node_options *options);

static void drain_a_minute(struct node_options *options)
{
    tune_shelf(options);
    options->drain_us = SEC(60);
}

static void be_patient(struct shelf *shelf)
{
    tune_shelf = shelf->hooks.tune;
    shelf->hooks.tune = drain_a_minute;
}

/* They never hear that it leaves. */
static void who_never_lets_go_is_waited_for_ten_seconds(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new_with(NODES, be_patient);
    struct lab *lab = shelf->lab;
    lab_run(lab, SEC(5));
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    tell_leaves(lab, 0, 0);
    check_drains(lab, MSEC(9900), MSEC(500));
    shelf_free(shelf);
}

/* Only who says that it is not through yet keeps us. */
static void an_earlier_version_that_says_nothing_of_directories_lets_go(void **state)
{
    (void)state;
    struct shelf *shelf = shelf_new(2);
    struct lab *lab = shelf->lab;
    struct node *node = lab->nodes[0].node;
    const uint32_t said[] = { MOVES_UNSAID, MOVES_UNDER_WAY, MOVES_TRIED };
    lab_run(lab, SEC(5));
    struct peer *peer = peer_find(node, lab->nodes[1].id);
    lab_event(lab, 0, &(struct node_event){ .kind = NODE_LEAVE });
    for (uint32_t i = 0; i < 3; i++) {
        leave_on_peer_view(node, peer, &(struct message_view){ .directories = said[i] });
        assert_int_equal(peer->lets_go, said[i] != MOVES_UNDER_WAY);
    }
    shelf_free(shelf);
}

/* Whoever keeps it is killed, long enough after the one before for the others to see to it. */
static void a_directory_outlives_all_that_died_one_after_the_other(void **state)
{
    (void)state;
    struct shelf *shelf = listed(4);
    for (uint32_t i = 0; i < 3; i++) {
        end(shelf, i);
    }
    check_at(shelf, 3);
    shelf_free(shelf);
}

static void a_restarted_keeper_reads_the_root_from_its_store(void **state)
{
    (void)state;
    struct shelf *shelf = listed(3);
    end(shelf, 0);
    lab_start(shelf->lab, 0);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(120));
    end(shelf, 1);
    end(shelf, 2);
    check_at(shelf, 0);
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_outlives_all_that_left_one_after_the_other),
        cmocka_unit_test(who_kept_nothing_yet_is_not_waited_for),
        cmocka_unit_test(who_leaves_waits_for_those_who_need_its_pages),
        cmocka_unit_test(who_hears_late_that_a_node_leaves_is_waited_for),
        cmocka_unit_test(who_is_not_heard_of_is_waited_for_two_seconds),
        cmocka_unit_test(who_let_go_before_all_was_handed_over_is_asked_again),
        cmocka_unit_test(all_are_asked_again_when_the_ring_changes_meanwhile),
        cmocka_unit_test(who_never_lets_go_is_waited_for_ten_seconds),
        cmocka_unit_test(an_earlier_version_that_says_nothing_of_directories_lets_go),
        cmocka_unit_test(a_directory_outlives_all_that_died_one_after_the_other),
        cmocka_unit_test(a_restarted_keeper_reads_the_root_from_its_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
