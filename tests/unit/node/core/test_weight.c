/* tests/unit/node/core/test_weight.c: how much a node wants to own, and what others hear of it. */
#include "tests/unit/node/core/shelf.h"

#include <string.h>

#include "node/core/weight.h"

#define MIB UINT64_C(1048576)

/* Of 101 parts memory is about 1, the first tier 20, the second 80. */
static void tune(struct node_options *options)
{
    options->directories_max = 64;
    options->links_max = 256;
    options->tier_count = 2;
    options->tier[0].quota = 320 * MIB;
    options->tier[1].quota = 1280 * MIB;
    options->tier[0].segment_size = 4u << 20;
    options->tier[1].segment_size = 4u << 20;
}

static void with_tiers(struct shelf *shelf)
{
    shelf->hooks.tune = tune;
}

/* The first tier has told at the start already. */
static struct shelf *shelf_with_tiers(enum err second)
{
    struct shelf *shelf = shelf_new_with(1, with_tiers);
    lab_event(shelf->lab, 0,
              &(struct node_event){ .kind = NODE_DISK_READY,
                                    .disk_ready = { .tier = 1, .err = second } });
    return shelf;
}

/* A window of operations of 1 MiB on the second tier, each of which took that long. */
static void window(struct shelf *shelf, uint32_t ops, usec_t took_us)
{
    struct node *node = shelf->lab->nodes[0].node;
    for (uint32_t i = 0; i < ops; i++) {
        weight_on_begin(node, 1);
        weight_on_disk(node, 1, 1 << 20, took_us);
    }
    lab_run(shelf->lab, WEIGHT_WINDOW_US + MSEC(1));
}

static void windows(struct shelf *shelf, uint32_t count, usec_t took_us)
{
    for (uint32_t i = 0; i < count; i++) {
        window(shelf, WEIGHT_WINDOW_OPS, took_us);
    }
}

static const struct shelf_answer *set(struct shelf *shelf, uint32_t node, const char *argument)
{
    uint64_t admin = shelf_admin(shelf, node, ADMIN_NODE_WEIGHT, span_text(argument));
    lab_run(shelf->lab, MSEC(50));
    const struct shelf_answer *answer = shelf_answer(shelf, admin);
    assert_non_null(answer);
    return answer;
}

/* ---- the operator ------------------------------------------------------------------------ */

static void a_weight_that_is_set_is_kept_and_told(void **state)
{
    struct shelf *shelf = shelf_new(2);
    const struct lab_node *b = &shelf->lab->nodes[1];
    (void)state;
    const struct shelf_answer *answer = set(shelf, 1, "b 50");
    assert_int_equal(answer->err, ERR_OK);
    assert_non_null(strstr(answer->text, "\"weight\":50,\"weight_wanted\":50,\"was\":100"));
    assert_int_equal(b->weight, 50);
    assert_int_equal(b->weight_kept, 50);
    assert_int_equal(set(shelf, 1, "b 0")->err, ERR_OK);
    assert_int_equal(b->weight, 0);
    assert_int_equal(set(shelf, 1, "b auto")->err, ERR_OK);
    assert_int_equal(b->weight, 100);
    assert_int_equal(b->weight_kept, UINT32_MAX);
    assert_int_equal(b->weight_tells, 3);
    shelf_free(shelf);
}

static void what_cannot_be_kept_is_not_told(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    shelf->lab->nodes[0].weight_keep_err = ERR_SYSTEM;
    assert_int_equal(set(shelf, 0, "a 50")->err, ERR_SYSTEM);
    assert_int_equal(shelf->lab->nodes[0].weight_tells, 0);
    shelf->lab->nodes[0].weight_keep_err = ERR_OK;
    assert_int_equal(set(shelf, 0, "a 50")->err, ERR_OK);
    shelf_free(shelf);
}

static void nobody_sets_the_weight_of_another(void **state)
{
    struct shelf *shelf = shelf_new(2);
    (void)state;
    const struct shelf_answer *answer = set(shelf, 0, "b 50");
    assert_int_equal(answer->err, ERR_INVALID);
    assert_non_null(strstr(answer->text, "its own --admin address; here answers a"));
    assert_non_null(strstr(answer->text, "the weight of b (its host is "));
    answer = set(shelf, 0, "nobody 50");
    assert_int_equal(answer->err, ERR_NOT_FOUND);
    assert_non_null(strstr(answer->text, "no node has the name nobody"));
    lab_kill(shelf->lab, 1);
    lab_tell_members(shelf->lab);
    lab_run(shelf->lab, SEC(1));
    answer = set(shelf, 0, "b 50");
    assert_int_equal(answer->err, ERR_UNREACHABLE);
    assert_non_null(strstr(answer->text, "b is dead: start it again"));
    assert_int_equal(shelf->lab->nodes[0].weight_tells + shelf->lab->nodes[1].weight_tells, 0);
    shelf_free(shelf);
}

static void only_numbers_up_to_65535_are_weights(void **state)
{
    static const char *const wrong[] = { "a 65536", "a -1", "a 1.5", "a ", "a", "", "a many" };
    struct shelf *shelf = shelf_new(1);
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(set(shelf, 0, wrong[i])->err, ERR_INVALID);
    }
    assert_int_equal(set(shelf, 0, "a 65535")->err, ERR_OK);
    shelf_free(shelf);
}

static void one_change_at_a_time(void **state)
{
    struct shelf *shelf = shelf_new(1);
    (void)state;
    uint64_t first = shelf_admin(shelf, 0, ADMIN_NODE_WEIGHT, span_text("a 50"));
    uint64_t second = shelf_admin(shelf, 0, ADMIN_NODE_WEIGHT, span_text("a 60"));
    lab_run(shelf->lab, MSEC(50));
    assert_int_equal(shelf_answer(shelf, first)->err, ERR_OK);
    assert_int_equal(shelf_answer(shelf, second)->err, ERR_BUSY);
    assert_int_equal(shelf->lab->nodes[0].weight, 50);
    shelf_free(shelf);
}

/* ---- disks ------------------------------------------------------------------------------- */

static void a_tier_that_failed_counts_nothing(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_SYSTEM);
    (void)state;
    assert_int_equal(shelf->lab->nodes[0].weight, 21); /* (16 + 320) / (16 + 320 + 1280) */
    assert_int_equal(set(shelf, 0, "a 1000")->err, ERR_OK);
    assert_int_equal(shelf->lab->nodes[0].weight, 208);
    shelf_free(shelf);
}

static void a_node_with_broken_disks_still_owns_a_little(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_SYSTEM);
    (void)state;
    assert_int_equal(set(shelf, 0, "a 1")->err, ERR_OK);
    assert_int_equal(shelf->lab->nodes[0].weight, 1);
    assert_int_equal(set(shelf, 0, "a 0")->err, ERR_OK);
    assert_int_equal(shelf->lab->nodes[0].weight, 0);
    shelf_free(shelf);
}

static void a_tier_that_stays_slow_counts_less_step_by_step(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    const struct lab_node *a = &shelf->lab->nodes[0];
    (void)state;
    windows(shelf, WEIGHT_SLOW_WINDOWS - 1, SEC(1));
    assert_int_equal(a->weight_tells, 0);
    windows(shelf, 1, SEC(1));
    assert_int_equal(a->weight, 80); /* three quarters of the second tier */
    assert_int_equal(weight_slow_tiers(a->node), 1);
    windows(shelf, 20 * WEIGHT_SLOW_WINDOWS, SEC(1));
    assert_int_equal(a->weight, 41); /* a quarter, and no less */
    assert_int_equal(a->weight_tells, 3);
    shelf_free(shelf);
}

static void a_tier_that_is_well_again_comes_back_step_by_step(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    const struct lab_node *a = &shelf->lab->nodes[0];
    (void)state;
    windows(shelf, 2 * WEIGHT_SLOW_WINDOWS, SEC(1));
    assert_int_equal(a->weight, 60);
    windows(shelf, WEIGHT_WELL_WINDOWS - 1, MSEC(5));
    assert_int_equal(a->weight, 60);
    windows(shelf, 1, MSEC(5));
    assert_int_equal(a->weight, 80);
    windows(shelf, WEIGHT_WELL_WINDOWS, MSEC(5));
    assert_int_equal(a->weight, 100);
    windows(shelf, 5 * WEIGHT_WELL_WINDOWS, MSEC(5));
    assert_int_equal(a->weight_tells, 4);
    shelf_free(shelf);
}

/* 1 MiB may take 205 ms, and is well in half of that. */
static void between_slow_and_well_nothing_changes(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    const struct lab_node *a = &shelf->lab->nodes[0];
    (void)state;
    windows(shelf, 30, MSEC(200));
    assert_int_equal(a->weight_tells, 0);
    windows(shelf, WEIGHT_SLOW_WINDOWS, MSEC(210));
    assert_int_equal(a->weight, 80);
    windows(shelf, 30, MSEC(150));
    assert_int_equal(a->weight, 80);
    shelf_free(shelf);
}

static void a_slow_moment_is_no_slow_disk(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        windows(shelf, WEIGHT_SLOW_WINDOWS - 1, SEC(3));
        windows(shelf, 1, MSEC(150));
    }
    for (uint32_t i = 0; i < 10; i++) {
        window(shelf, WEIGHT_WINDOW_OPS - 1, SEC(3)); /* too few to tell */
    }
    assert_int_equal(shelf->lab->nodes[0].weight_tells, 0);
    shelf_free(shelf);
}

static void a_disk_that_does_nothing_though_asked_is_slow(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    const struct lab_node *a = &shelf->lab->nodes[0];
    (void)state;
    weight_on_begin(a->node, 1);
    lab_run(shelf->lab, WEIGHT_WINDOW_US * WEIGHT_SLOW_WINDOWS + MSEC(1));
    assert_int_equal(a->weight_tells, 0); /* it was asked in the first of these windows */
    lab_run(shelf->lab, WEIGHT_WINDOW_US);
    assert_int_equal(a->weight, 80);
    weight_on_disk(a->node, 1, 4096, SEC(40));
    lab_run(shelf->lab, SEC(600));
    assert_int_equal(a->weight, 80); /* nobody asks it any more, so nobody knows */
    shelf_free(shelf);
}

static void operators_see_both_weights_and_the_reason(void **state)
{
    struct shelf *shelf = shelf_with_tiers(ERR_OK);
    (void)state;
    windows(shelf, WEIGHT_SLOW_WINDOWS, SEC(1));
    uint64_t nodes = shelf_admin(shelf, 0, ADMIN_NODES, span_text(""));
    uint64_t status = shelf_admin(shelf, 0, ADMIN_STATUS, span_text(""));
    lab_run(shelf->lab, SEC(3));
    assert_non_null(strstr(shelf_answer(shelf, nodes)->text, "\"disks_slow\":1"));
    assert_non_null(strstr(shelf_answer(shelf, nodes)->text, "\"weight_wanted\":100"));
    assert_non_null(strstr(shelf_answer(shelf, status)->text, "a disk tier is slow"));
    shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_weight_that_is_set_is_kept_and_told),
        cmocka_unit_test(what_cannot_be_kept_is_not_told),
        cmocka_unit_test(nobody_sets_the_weight_of_another),
        cmocka_unit_test(only_numbers_up_to_65535_are_weights),
        cmocka_unit_test(one_change_at_a_time),
        cmocka_unit_test(a_tier_that_failed_counts_nothing),
        cmocka_unit_test(a_node_with_broken_disks_still_owns_a_little),
        cmocka_unit_test(a_tier_that_stays_slow_counts_less_step_by_step),
        cmocka_unit_test(a_tier_that_is_well_again_comes_back_step_by_step),
        cmocka_unit_test(between_slow_and_well_nothing_changes),
        cmocka_unit_test(a_slow_moment_is_no_slow_disk),
        cmocka_unit_test(a_disk_that_does_nothing_though_asked_is_slow),
        cmocka_unit_test(operators_see_both_weights_and_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
