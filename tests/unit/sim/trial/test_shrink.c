#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "sim/trial/shrink.h"

/* Half of it has nothing to do with its failure: two rings while the network is cut. */
static const char *const failing = "nodes 5\n"
                                   "mounts 2\n"
                                   "readers 2 in-order\n"
                                   "files small 5 large 1 deep 0 late-small 2 late-large 0\n"
                                   "at 2s clock-jump node1 -20m\n"
                                   "at 3.3s freeze-mount mount1 for 1.5s\n"
                                   "at 4.321s partition node0,node1 for 12.345s\n"
                                   "at 9s disorder 20% for 2s\n"
                                   "run 30s\n"
                                   "expect one ring by 14s\n";

static struct scenario parsed(const char *text)
{
    char room[256];
    struct text why;
    struct scenario scenario;
    text_init(&why, room, sizeof room);
    if (scenario_parse(span_text(text), &scenario, &why) != ERR_OK) {
        fail_msg("%s", room);
    }
    return scenario;
}

static struct shrink_result shrunk(struct scenario *scenario, uint32_t jobs, uint32_t runs_max)
{
    const struct shrink_options options = { .jobs = jobs, .runs_max = runs_max };
    struct shrink_result result;
    assert_int_equal(shrink_go(scenario, &options, &result), ERR_OK);
    return result;
}

static void what_has_nothing_to_do_with_a_failure_is_dropped(void **state)
{
    struct scenario scenario = parsed(failing);
    const struct shrink_result result = shrunk(&scenario, 2, 200);
    (void)state;
    assert_true(result.failed);
    assert_non_null(strstr(result.last.failure, "different views or rings"));
    assert_int_equal(scenario.fault_count, 1);
    assert_string_equal(scenario.faults[0].file, "");
    assert_true(scenario.faults[0].lasts_us < MSEC(12345));
    assert_int_equal(scenario.reader_count, 1);
    assert_int_equal(scenario.mount_count, 1);
    assert_true(scenario.node_count < 5);
    assert_int_equal(scenario.expected_count, 1);
}

static void the_smallest_does_not_depend_on_how_many_run_at_a_time(void **state)
{
    char rooms[2][8192];
    struct text texts[2];
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct scenario scenario = parsed(failing);
        const struct shrink_result result = shrunk(&scenario, 1 + 3 * i, 25);
        assert_true(result.failed);
        text_init(&texts[i], rooms[i], sizeof rooms[i]);
        scenario_write(&scenario, &texts[i]);
    }
    assert_string_equal(rooms[0], rooms[1]);
}

static void what_does_not_fail_stays_as_it_is(void **state)
{
    struct scenario scenario = parsed("readers 1 in-order\nrun 12s\n");
    const struct shrink_result result = shrunk(&scenario, 2, 100);
    (void)state;
    assert_false(result.failed);
    assert_int_equal(result.runs, 1);
    assert_int_equal(scenario.node_count, 5);
}

static void failures_are_the_same_whatever_their_numbers_and_names(void **state)
{
    (void)state;
    assert_true(shrink_is_same("at 1.5 s: mount0 read of \"a\": wrong bytes",
                               "at 22.75 s: mount12 read of \"b/c\": wrong bytes"));
    assert_false(shrink_is_same("at 1.5 s: node0 leaks", "at 1.5 s: node0 leaks a lot"));
    assert_false(shrink_is_same("at 1.5 s: wrong bytes", "at 1.5 s: fewer bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_nothing_to_do_with_a_failure_is_dropped),
        cmocka_unit_test(the_smallest_does_not_depend_on_how_many_run_at_a_time),
        cmocka_unit_test(what_does_not_fail_stays_as_it_is),
        cmocka_unit_test(failures_are_the_same_whatever_their_numbers_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
