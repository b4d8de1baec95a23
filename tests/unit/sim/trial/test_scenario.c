#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sim/trial/fault_kinds.h"
#include "sim/trial/trial.h"

#define ROOM 65536

static const char *written(const struct scenario *scenario)
{
    static char rooms[2][ROOM];
    static int turn;
    struct text text;
    char *room = rooms[turn++ % 2];
    text_init(&text, room, ROOM);
    scenario_write(scenario, &text);
    assert_false(text.overflow);
    return room;
}

static enum err parse(const char *text, struct scenario *out, char why[256])
{
    struct text said;
    text_init(&said, why, 256);
    return scenario_parse(span_text(text), out, &said);
}

static struct scenario parsed(const char *text)
{
    struct scenario scenario;
    char why[256];
    if (parse(text, &scenario, why) != ERR_OK) {
        fail_msg("%s in:\n%s", why, text);
    }
    return scenario;
}

/* ---- drawing ----------------------------------------------------------------------------------- */

static void every_drawn_scenario_can_be(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed++) {
        const struct draw draw = { .calm = false };
        struct scenario scenario;
        scenario_draw(seed, &draw, &scenario);
        const char *fault = scenario_fault(&scenario);
        if (fault != NULL) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, fault);
        }
    }
}

static void every_kind_of_fault_is_drawn(void **state)
{
    uint32_t seen[64] = { 0 };
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        const struct draw draw = { .calm = false };
        struct scenario scenario;
        scenario_draw(seed, &draw, &scenario);
        for (uint32_t i = 0; i < scenario.fault_count; i++) {
            seen[scenario.faults[i].kind - fault_kinds_at(0)]++;
        }
    }
    for (uint32_t i = 0; i < fault_kinds_count(); i++) {
        if (seen[i] == 0) {
            fail_msg("%s is never drawn", fault_kinds_at(i)->name);
        }
    }
}

static void three_nodes_run_at_any_time_of_a_drawn_scenario(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        const struct draw draw = { .calm = false };
        struct scenario scenario;
        scenario_draw(seed, &draw, &scenario);
        for (usec_t at_us = 0; at_us < scenario.run_us; at_us += MSEC(100)) {
            uint32_t away = 0;
            for (uint32_t i = 0; i < scenario.fault_count; i++) {
                const struct planned *plan = &scenario.faults[i];
                const bool joins = strcmp(plan->kind->name, "join") == 0;
                const bool now =
                    joins ? at_us < plan->at_us
                          : at_us >= plan->at_us && (plan->lasts_us == USEC_NEVER ||
                                                     at_us < plan->at_us + plan->lasts_us);
                away |= fault_kind_takes_nodes(plan->kind) && now ? plan->nodes : 0;
            }
            assert_in_range(scenario.node_count - (uint32_t)__builtin_popcount(away), 3, 8);
        }
    }
}

static void a_calm_scenario_has_no_faults_and_one_kind_has_no_other(void **state)
{
    const struct draw calm = { .calm = true };
    const struct draw leaves = { .only = "leave" };
    struct scenario scenario;
    (void)state;
    scenario_draw(5, &calm, &scenario);
    assert_int_equal(scenario.fault_count, 0);
    scenario_draw(5, &leaves, &scenario);
    assert_true(scenario.fault_count > 0);
    for (uint32_t i = 0; i < scenario.fault_count; i++) {
        assert_string_equal(scenario.faults[i].kind->name, "leave");
    }
}

/* ---- texts ------------------------------------------------------------------------------------- */

static void a_text_that_was_written_is_read_as_the_same_scenario(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        const struct draw draw = { .calm = false };
        struct scenario scenario;
        scenario_draw(seed, &draw, &scenario);
        const char *text = written(&scenario);
        const struct scenario again = parsed(text);
        assert_string_equal(written(&again), text);
    }
}

static void a_seed_and_its_text_run_alike(void **state)
{
    static struct trial_result drawn;
    static struct trial_result read;
    const struct draw draw = { .calm = false };
    const struct trial_options options = { .verbose = false };
    struct scenario scenario;
    (void)state;
    scenario_draw(11, &draw, &scenario);
    trial_run(&scenario, &options, &drawn);
    const struct scenario again = parsed(written(&scenario));
    trial_run(&again, &options, &read);
    assert_true(drawn.hash == read.hash);
    assert_true(drawn.steps > 10000);
}

static void an_empty_text_is_a_calm_cluster(void **state)
{
    const struct scenario scenario = parsed("# nothing\n\n   \n");
    (void)state;
    assert_int_equal(scenario.node_count, 5);
    assert_int_equal(scenario.reader_count, 4);
    assert_int_equal(scenario.fault_count, 0);
}

static void a_fault_is_read_with_its_targets_amount_and_length(void **state)
{
    const struct scenario scenario = parsed("nodes 6\nmounts 3\n"
                                            "at 12.5s loss 7.25% for 300ms\n"
                                            "at 20s clock-jump mount1 -1h # back\n"
                                            "at 21s partition node0,node5,mount2 for 10s\n"
                                            "at 35s crash all for 5s\n"
                                            "at 45s overwrite large-0\n"
                                            "at 46s overwrite 12\n"
                                            "at 50s crash owner-of large-1\n");
    const struct planned *plan = scenario.faults;
    (void)state;
    assert_int_equal(scenario.fault_count, 7);
    assert_int_equal(plan[0].at_us, MSEC(12500));
    assert_int_equal(plan[0].amount, 72500);
    assert_int_equal(plan[0].lasts_us, MSEC(300));
    assert_int_equal(plan[1].amount, -SEC(3600));
    assert_int_equal(plan[1].mounts, 2);
    assert_int_equal(plan[2].nodes, 0x21);
    assert_int_equal(plan[2].mounts, 4);
    assert_int_equal(plan[3].nodes, 0x3f);
    assert_string_equal(plan[4].file, "large-0");
    assert_int_equal(plan[5].amount, 12);
    assert_string_equal(plan[6].file, "large-1");
    assert_true(plan[6].lasts_us == USEC_NEVER);
    assert_int_equal(scenario.run_us, SEC(62));
}

static void all_are_as_many_nodes_as_the_text_says_wherever_it_does(void **state)
{
    const struct scenario scenario = parsed("at 5s crash all for 5s\nnodes 3\n");
    (void)state;
    assert_int_equal(scenario.faults[0].nodes, 7);
}

static void expectations_are_read_with_their_values(void **state)
{
    const struct scenario scenario = parsed("expect amplification <= 1.01\n"
                                            "expect repeated <= 0\n"
                                            "expect stall < 800ms\n"
                                            "expect read >= 50MB\n"
                                            "expect no errors\n"
                                            "expect nobody silent\n"
                                            "expect one ring by 60s\n");
    static const struct expected expected[] = {
        { EXPECT_AMPLIFICATION, 1010 }, { EXPECT_REPEATED, 0 },  { EXPECT_STALL, MSEC(800) },
        { EXPECT_READ, 50000000 },      { EXPECT_NO_ERRORS, 0 }, { EXPECT_NO_SILENCE, 0 },
        { EXPECT_ONE_RING, SEC(60) },
    };
    (void)state;
    assert_int_equal(scenario.expected_count, ARRAY_COUNT(expected));
    for (uint32_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(scenario.expected[i].kind, expected[i].kind);
        assert_int_equal(scenario.expected[i].value, expected[i].value);
    }
}

static void a_run_of_no_given_length_goes_on_until_its_last_fault_and_moment(void **state)
{
    (void)state;
    assert_int_equal(parsed("at 5s rest for 5s").run_us, SEC(62));
    assert_int_equal(parsed("at 90s rest for 5s").run_us, SEC(105));
    assert_int_equal(parsed("at 5s rest for 5s\nexpect one ring by 2m").run_us, SEC(120));
}

static void lines_about_one_thing_may_say_it_in_parts(void **state)
{
    const struct scenario scenario = parsed("node node1 weight 50\nnode node1 zone a\n"
                                            "network rate 50MB\nnetwork delay 1ms\n"
                                            "dataset block 64KiB\ndataset metadata ttl=24h\n");
    (void)state;
    assert_int_equal(scenario.nodes[1].weight, 50);
    assert_string_equal(scenario.nodes[1].zone, "a");
    assert_int_equal(scenario.network_rate, 50000000);
    assert_int_equal(scenario.network_delay_us, MSEC(1));
    assert_int_equal(scenario.ttl_us, SEC(86400));
}

struct bad {
    const char *text;
    const char *why;
};

static void all_are_refused(const struct bad *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scenario scenario;
        char why[256] = "nothing";
        if (parse(bad[i].text, &scenario, why) == ERR_OK || strcmp(why, bad[i].why) != 0) {
            fail_msg("%s: %s", bad[i].text, why);
        }
    }
}

static void what_is_wrong_in_a_text_is_told_with_its_line(void **state)
{
    static const struct bad bad[] = {
        { "\nnode 5\n", "line 2: a node is expected: node0" },
        { "nods 5", "line 1: there is no such line" },
        { "nodes five", "line 1: a number is expected that is not too large" },
        { "nodes 5 memory much", "line 1: a size is expected: 64KiB, 8MiB, 100MB" },
        { "nodes 5 wings 2", "line 1: there is no such word in this line" },
        { "nodes 17", "line 1: nodes: 1 to 16 of them" },
        { "nodes 32\nat 5s crash all for 5s", "line 1: nodes: 1 to 16 of them" },
        { "at 5s crash node4,all for 5s\nnodes 3",
          "line 1: a fault is about a node or mount that there is not" },
        { "node node1 weight 0", "line 1: a weight is 1 at least" },
        { "nodes 3\nnode node3 zone a",
          "line 2: a weight or zone is that of a node that there is not" },
        { "nodes 3 memory 1GiB", "line 1: memory: 4MiB to 256MiB" },
        { "mounts 3 memory 3MiB", "line 1: memory: 4MiB to 256MiB" },
        { "nodes 3 disk 1TiB", "line 1: disk: 16GiB at most" },
        { "settle 2h", "line 1: settle: 1h at most" },
        { "readers 3 upwards", "line 1: readers are in-order, shuffled, random or listing" },
        { "readers 25 random", "line 1: a number is expected that is not too large" },
        { "dataset block 100KiB", "line 1: block: a power of two, 64KiB to 16MiB" },
        { "dataset metadata never", "line 1: metadata is once, always or ttl=TIME" },
        { "at 5s explode node0", "line 1: there is no such fault" },
        { "at soon crash node0", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 5s crash reader0", "line 1: nodes or mounts are expected: node0,mount1" },
        { "at 5s crash node0 for 5s now", "line 1: there is a word too many" },
        { "at 5s crash node9 for 5s",
          "line 1: a fault is about a node or mount that there is not" },
        { "at 5s crash mount0 for 5s", "line 1: it wants nodes: node0,node1" },
        { "at 5s loss 120% for 5s", "line 1: a share is expected: 12.5%" },
        { "at 5s loss 12% ", "line 1: it must end: say \"for\" how long" },
        { "at 5s overwrite 3 for 5s", "line 1: it has no end: leave out \"for\"" },
        { "at 5s leave node1 for 5s", "line 1: a node that leaves is away for 15 s at least" },
        { "at 5s crash node1 for 0s", "line 1: it must last: \"for\" is more than 0s" },
        { "run 20s\nat 5s crash node0 for 10s",
          "line 2: the run must go on for 10 s when the last fault is over" },
        { "at 5s crash node0 for 10s\nat 9s freeze node0 for 1s",
          "line 2: two faults take one node or mount away at the same time" },
        { "run 30s\nexpect one ring by 31s",
          "line 2: one ring is expected after the end of the run" },
        { "expect luck", "line 1: nothing like that can be expected" },
        { "expect stall < fast", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "expect amplification <= 1.0001", "line 1: a ratio is expected: 1.01" },
    };
    (void)state;
    all_are_refused(bad, ARRAY_COUNT(bad));
}

static void no_time_is_negative_but_that_of_a_clock_that_jumps(void **state)
{
    static const struct bad bad[] = {
        { "expect stall < -1s", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "nodes 5\nexpect one ring by -3s", "line 2: a time is expected: 300ms, 12.5s, 1h" },
        { "at -5s crash node0", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 12s crash node0 for -3s", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 12s slow-disk node0 -200ms for 3s", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 12s clock-jump node0 --1h", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 12s clock-jump node0 0s", "line 1: it wants a time: 200ms, -1h" },
        { "settle -5s", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "at 2000000000h crash node0 for 2000000000h", "line 1: a time is ten years at most" },
        { "dataset metadata ttl=-10s", "line 1: a time is expected: 300ms, 12.5s, 1h" },
        { "dataset metadata ttl=0s",
          "line 1: a ttl is more than zero: ttl=10s; \"always\" asks again each time" },
    };
    (void)state;
    all_are_refused(bad, ARRAY_COUNT(bad));
}

static void what_was_said_before_is_not_said_again(void **state)
{
    static const struct bad bad[] = {
        { "seed 1\nseed 2", "line 2: this was said before" },
        { "nodes 5 memory 8MiB memory 9MiB", "line 1: this was said before" },
        { "dataset block 1MiB\ndataset block 2MiB", "line 2: this was said before" },
        { "dataset metadata once metadata always", "line 1: this was said before" },
        { "node node1 weight 5\nnode node1 weight 6", "line 2: this was said before" },
    };
    (void)state;
    all_are_refused(bad, ARRAY_COUNT(bad));
}

static void what_is_wrong_with_the_whole_is_told_with_the_line_that_made_it_so(void **state)
{
    static const struct bad bad[] = {
        { "at 5s crash node0 for 5s\nat 7s loss 12%\nnode node7 zone a\nnodes 8\nmounts 2",
          "line 2: it must end: say \"for\" how long" },
        { "at 5s crash node7 for 5s\n\nnode node1 zone a\nnodes 17\nmounts 2",
          "line 4: nodes: 1 to 16 of them" },
    };
    (void)state;
    all_are_refused(bad, ARRAY_COUNT(bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_drawn_scenario_can_be),
        cmocka_unit_test(every_kind_of_fault_is_drawn),
        cmocka_unit_test(three_nodes_run_at_any_time_of_a_drawn_scenario),
        cmocka_unit_test(a_calm_scenario_has_no_faults_and_one_kind_has_no_other),
        cmocka_unit_test(a_text_that_was_written_is_read_as_the_same_scenario),
        cmocka_unit_test(a_seed_and_its_text_run_alike),
        cmocka_unit_test(an_empty_text_is_a_calm_cluster),
        cmocka_unit_test(a_fault_is_read_with_its_targets_amount_and_length),
        cmocka_unit_test(all_are_as_many_nodes_as_the_text_says_wherever_it_does),
        cmocka_unit_test(expectations_are_read_with_their_values),
        cmocka_unit_test(a_run_of_no_given_length_goes_on_until_its_last_fault_and_moment),
        cmocka_unit_test(lines_about_one_thing_may_say_it_in_parts),
        cmocka_unit_test(what_is_wrong_in_a_text_is_told_with_its_line),
        cmocka_unit_test(no_time_is_negative_but_that_of_a_clock_that_jumps),
        cmocka_unit_test(what_was_said_before_is_not_said_again),
        cmocka_unit_test(what_is_wrong_with_the_whole_is_told_with_the_line_that_made_it_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
