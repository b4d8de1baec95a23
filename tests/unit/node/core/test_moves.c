/* tests/unit/node/core/test_moves.c: directories go to the nodes that keep them now. */
#include "tests/unit/node/core/shelf.h"

#include <stdio.h>

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
    char name[DIRS][16];
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
    for (uint32_t i = 0; i < DIRS; i++) {
        char key[32];
        snprintf(name[i], sizeof name[i], "p/%02u/", i);
        snprintf(key, sizeof key, "%sa", name[i]);
        shelf_put(shelf, key, "v1", 100);
        (void)shelf_root(shelf, 0, name[i]);
    }
    const uint32_t lists = shelf->lists;
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(lab, i);
        lab_run(lab, SEC(2));
        assert_true(lab->nodes[i].drained);
        lab_kill(lab, i);
        lab_tell_members(lab);
        lab_run(lab, SEC(1));
    }
    shelf_mount(shelf, 1, 3);
    for (uint32_t i = 0; i < DIRS; i++) {
        struct root root = shelf_root(shelf, 1, name[i]);
        assert_int_equal(shelf_count(shelf, &root), 1);
    }
    assert_int_equal(shelf->lists, lists);
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
    char name[DIRS][16];
    for (uint32_t i = 0; i < DIRS; i++) {
        char key[32];
        snprintf(name[i], sizeof name[i], "p/%02u/", i);
        snprintf(key, sizeof key, "%sa", name[i]);
        shelf_put(shelf, key, "v1", 100);
        (void)shelf_root(shelf, 0, name[i]);
    }
    const uint32_t lists = shelf->lists;
    for (uint32_t i = 0; i < 3; i++) {
        lab_leave(lab, i);
        for (uint32_t wait = 0; !lab->nodes[i].drained; wait++) {
            assert_true(wait < 200);
            lab_run(lab, MSEC(10));
        }
        lab_kill(lab, i);
        lab_tell_members(lab);
    }
    shelf_mount(shelf, 1, 3);
    for (uint32_t i = 0; i < DIRS; i++) {
        struct root root = shelf_root(shelf, 1, name[i]);
        assert_int_equal(shelf_count(shelf, &root), 1);
    }
    assert_int_equal(shelf->lists, lists);
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
        cmocka_unit_test(a_directory_outlives_all_that_died_one_after_the_other),
        cmocka_unit_test(a_restarted_keeper_reads_the_root_from_its_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
