#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/members_cases.h"

static struct marks marks;

static struct members *cluster(uint32_t nodes, uint64_t seed)
{
    const struct members_options options = { .nodes = nodes, .seed = seed };
    struct members *m = members_new(&options, &marks);
    for (uint32_t i = 0; i < nodes; i++) {
        m->nodes[i].is_expected = true;
        members_start(m, i);
    }
    return m;
}

static struct members *settled(uint32_t nodes)
{
    struct members *m = cluster(nodes, 7);
    assert_true(members_settle(m, SEC(20)) != USEC_NEVER);
    members_run(m, SEC(5));
    return m;
}

static void equal_seeds_give_equal_histories(void **state)
{
    uint64_t logs[3];
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct members *m = cluster(12, i < 2 ? 5 : 6);
        m->weather.loss = 100000;
        m->weather.twice = 50000;
        members_run(m, SEC(20));
        logs[i] = m->world->log;
        members_free(&m);
    }
    assert_int_equal(logs[0], logs[1]);
    assert_int_not_equal(logs[0], logs[2]);
}

static void all_find_each_other_and_have_one_ring(void **state)
{
    (void)state;
    struct members *m = settled(20);
    assert_true(members_have_one_view(m));
    for (uint32_t i = 0; i < m->count; i++) {
        assert_int_equal(m->nodes[i].ring_size, 20);
    }
    members_free(&m);
}

static void a_crashed_member_is_out_of_all_rings_in_one_step(void **state)
{
    (void)state;
    struct members *m = settled(20);
    members_forget_epochs(m);
    m->nodes[9].is_expected = false;
    members_crash(m, 9);
    assert_false(members_agree(m));
    assert_in_range(members_settle(m, SEC(20)), SEC(1), SEC(5));
    assert_int_equal(members_epochs(m), 1);
    assert_int_equal(m->faults.removed, 0);
    members_free(&m);
}

/* The records of members are shared: a process that ends gives back those that it referred to. */
static void hundreds_may_take_one_place_after_each_other(void **state)
{
    (void)state;
    struct members *m = settled(3);
    for (uint32_t i = 0; i < 400; i++) {
        members_crash(m, 2);
        members_renew(m, 2);
        members_start(m, 2);
        members_run(m, MSEC(50));
    }
    members_run(m, SEC(30));
    for (uint32_t i = 0; i < m->count; i++) {
        assert_int_equal(m->nodes[i].ring_size, 3);
    }
    members_free(&m);
}

/* Short, and with few: what they measure takes a processor hours. */
static void every_case_runs_to_its_end(void **state)
{
    (void)state;
    for (uint32_t i = 0; members_case_at(i) != NULL; i++) {
        const struct members_case *what = members_case_at(i);
        struct members_trial trial = { .nodes = 20, .seed = 1, .scale = 0.002, .marks = &marks };
        what->run(&trial);
        assert_string_equal(trial.failure, "");
        assert_true(trial.simulated_us > 0);
        for (const struct members_column *c = what->columns; c->title != NULL; c++) {
            assert_true(trial.series[c->series].count > 0 || strcmp(what->name, "churn") == 0 ||
                        strcmp(what->name, "crash") == 0);
        }
        members_trial_fini(&trial);
    }
}

static void the_removal_of_a_healthy_member_is_counted_once(void **state)
{
    (void)state;
    struct members *m = settled(20);
    m->nodes[9].loss_in = 1000000; /* nobody told the checker: it must see it by itself */
    members_run(m, SEC(15));
    assert_int_equal(m->faults.removed, 1);
    members_free(&m);
}

static void what_arrives_during_a_pause_is_read_after_it(void **state)
{
    (void)state;
    struct members *m = settled(20);
    m->nodes[4].is_faulty = true;
    members_pause(m, 4, MSEC(1500));
    members_run(m, MSEC(1400));
    assert_true(m->nodes[4].held_bytes > 0);
    members_run(m, SEC(5));
    assert_int_equal(m->nodes[4].held_bytes, 0);
    assert_true(members_agree(m));
    members_free(&m);
}

static void two_sides_become_two_rings_and_one_again(void **state)
{
    (void)state;
    struct members *m = settled(20);
    for (uint32_t i = 0; i < 10; i++) {
        m->nodes[i].side = 1;
    }
    members_run(m, SEC(20));
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(m->nodes[i].ring_size, 10);
        m->nodes[i].side = 0;
    }
    assert_true(members_settle(m, SEC(20)) != USEC_NEVER);
    members_free(&m);
}

static void the_ledger_counts_bytes_with_headers_by_node_and_second(void **state)
{
    (void)state;
    struct members_ledger *ledger = calloc(1, sizeof *ledger);
    struct members_meter meter = { .second = 0 };
    ledger_open(ledger, SEC(10));
    for (int64_t second = 10; second < 110; second++) {
        ledger_count(ledger, &meter, SEC(second) + MSEC(300), MEMBERS_OUT, 100);
        ledger_count(ledger, &meter, SEC(second) + MSEC(900), MEMBERS_OUT,
                     second == 50 ? 900 : 100);
    }
    ledger_flush(ledger, &meter);
    ledger_close(ledger, SEC(110), 1);
    const struct ledger_figures out = ledger_figures(ledger, MEMBERS_OUT);
    assert_true(out.mean == (99 * 2 * 128 + 128 + 928) / 100.0);
    assert_true(out.most == 128 + 928);
    assert_true(out.packets == 2);
    assert_true(out.p99 >= 256 && out.p99 <= 256 + LEDGER_STEP);
    assert_true(ledger_figures(ledger, MEMBERS_IN).mean == 0);
    free(ledger);
}

static void the_ledger_counts_parts_of_a_second(void **state)
{
    (void)state;
    struct members_ledger *ledger = calloc(1, sizeof *ledger);
    struct members_meter meter = { .second = 0 };
    ledger_open(ledger, SEC(10));
    ledger_count(ledger, &meter, SEC(10) + MSEC(300), MEMBERS_OUT, 100);
    ledger_count(ledger, &meter, SEC(11) + MSEC(300), MEMBERS_OUT, 100);
    ledger_count(ledger, &meter, SEC(11) + MSEC(400), MEMBERS_OUT, 100);
    ledger_flush(ledger, &meter);
    ledger_close(ledger, SEC(11) + MSEC(500), 1);
    assert_true(ledger_figures(ledger, MEMBERS_OUT).mean == 3 * 128 / 1.5);
    assert_true(ledger_figures(ledger, MEMBERS_OUT).packets == 2);
    free(ledger);
}

static void figures_are_taken_from_samples_by_rank(void **state)
{
    (void)state;
    struct members_trial trial = { .nodes = 1 };
    for (uint32_t i = 0; i < 200; i++) {
        members_note(&trial, 3, (double)((i * 37) % 200)); /* 0 .. 199 in another order */
    }
    struct members_column column = { .series = 3, .how = HOW_P50 };
    assert_true(members_figure(&trial, &column) == 99);
    column.how = HOW_P99;
    assert_true(members_figure(&trial, &column) == 197);
    column.how = HOW_MOST;
    assert_true(members_figure(&trial, &column) == 199);
    column.how = HOW_MEAN;
    assert_true(members_figure(&trial, &column) == 99.5);
    column.how = HOW_SUM;
    assert_true(members_figure(&trial, &column) == 199 * 100);
    members_trial_fini(&trial);
}

static void every_case_can_be_run_on_a_small_cluster(void **state)
{
    (void)state;
    for (uint32_t i = 0; members_case_at(i) != NULL; i++) {
        const struct members_case *what = members_case_at(i);
        struct members_trial trial = { .nodes = 24, .seed = 3, .scale = 0.1, .marks = &marks };
        print_message("%s\n", what->name);
        assert_ptr_equal(members_case_find(what->name), what);
        what->run(&trial);
        assert_string_equal(trial.failure, "");
        assert_true(trial.simulated_us > 0);
        members_trial_fini(&trial);
    }
    assert_null(members_case_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_runs_to_its_end),
        cmocka_unit_test(equal_seeds_give_equal_histories),
        cmocka_unit_test(all_find_each_other_and_have_one_ring),
        cmocka_unit_test(a_crashed_member_is_out_of_all_rings_in_one_step),
        cmocka_unit_test(hundreds_may_take_one_place_after_each_other),
        cmocka_unit_test(the_removal_of_a_healthy_member_is_counted_once),
        cmocka_unit_test(what_arrives_during_a_pause_is_read_after_it),
        cmocka_unit_test(two_sides_become_two_rings_and_one_again),
        cmocka_unit_test(the_ledger_counts_bytes_with_headers_by_node_and_second),
        cmocka_unit_test(the_ledger_counts_parts_of_a_second),
        cmocka_unit_test(figures_are_taken_from_samples_by_rank),
        cmocka_unit_test(every_case_can_be_run_on_a_small_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
