#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/trial/runs.h"

#define SEEDS 3

struct seen {
    uint32_t count;
    uint64_t hash[SEEDS];
    bool failed[SEEDS];
};

static void make(void *self, uint64_t index, struct scenario *out)
{
    const struct draw draw = { .calm = false };
    (void)self;
    scenario_draw(7 + index, &draw, out);
}

static bool done(void *self, uint64_t index, const struct trial_result *result)
{
    struct seen *seen = self;
    assert_in_range(index, 0, SEEDS - 1);
    seen->count++;
    seen->hash[index] = result->hash;
    seen->failed[index] = result->failed;
    return true;
}

static struct seen run(uint32_t jobs)
{
    struct seen seen = { 0 };
    const struct runs runs = {
        .count = SEEDS, .jobs = jobs, .self = &seen, .make = make, .done = done
    };
    assert_int_equal(runs_go(&runs), ERR_OK);
    return seen;
}

static void equal_seeds_have_equal_logs_however_many_run_at_a_time(void **state)
{
    const struct seen one = run(1);
    const struct seen other = run(SEEDS);
    (void)state;
    assert_int_equal(one.count, SEEDS);
    assert_int_equal(other.count, SEEDS);
    assert_memory_equal(one.hash, other.hash, sizeof one.hash);
}

static void different_seeds_have_different_logs(void **state)
{
    const struct seen seen = run(2);
    (void)state;
    assert_true(seen.hash[0] != seen.hash[1] && seen.hash[1] != seen.hash[2]);
    assert_false(seen.failed[0]);
}

/* ---- stopping ---------------------------------------------------------------------------------- */

struct stopping {
    int stop;
    uint32_t count;
};

/* The second one runs until it is killed. */
static void make_endless(void *self, uint64_t index, struct scenario *out)
{
    if (index == 1) {
        pause();
    }
    make(self, index, out);
}

static bool done_then_stop(void *self, uint64_t index, const struct trial_result *result)
{
    struct stopping *stopping = self;
    assert_int_not_equal(index, 1);
    assert_false(result->failed);
    if (++stopping->count == 2) {
        eventfd_write(stopping->stop, 1);
    }
    return true;
}

static void who_stops_runs_is_told_how_many_are_over_without_a_gap(void **state)
{
    struct stopping stopping = { .stop = eventfd(0, EFD_CLOEXEC) };
    uint64_t over = 99;
    const struct runs runs = { .count = SEEDS,
                               .jobs = 2,
                               .stop = &stopping.stop,
                               .over = &over,
                               .self = &stopping,
                               .make = make_endless,
                               .done = done_then_stop };
    (void)state;
    assert_int_equal(runs_go(&runs), ERR_CANCELLED);
    close(stopping.stop);
    assert_int_equal(stopping.count, 2);
    assert_int_equal(over, 1);
}

static void descriptor_zero_stops_runs_too(void **state)
{
    const int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    const int event = eventfd(1, EFD_CLOEXEC);
    const int stop = dup2(event, STDIN_FILENO);
    struct seen seen = { 0 };
    const struct runs runs = {
        .count = 1, .jobs = 1, .stop = &stop, .self = &seen, .make = make, .done = done
    };
    (void)state;
    assert_int_equal(stop, 0);
    const enum err err = runs_go(&runs);
    close(STDIN_FILENO);
    if (kept >= 0) {
        dup2(kept, STDIN_FILENO);
        close(kept);
    }
    close(event);
    assert_int_equal(err, ERR_CANCELLED);
}

/* Tells who it is, and runs until it is killed. */
static void make_told(void *self, uint64_t index, struct scenario *out)
{
    const int *pipe_end = self;
    const pid_t pid = getpid();
    (void)index;
    (void)out;
    if (write(*pipe_end, &pid, sizeof pid) == (ssize_t)sizeof pid) {
        pause();
    }
}

static void who_runs_dies_with_the_process_that_began_it(void **state)
{
    int ends[2];
    pid_t grandchild = 0;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        const struct runs runs = {
            .count = 1, .jobs = 1, .self = &ends[1], .make = make_told, .done = done
        };
        close(ends[0]);
        _exit(runs_go(&runs) == ERR_OK ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct pollfd end = { .fd = ends[0], .events = POLLIN }; /* the grandchild has the other one */
    const int ended = poll(&end, 1, 5000);
    if (ended == 0) {
        kill(grandchild, SIGKILL);
    }
    close(ends[0]);
    assert_int_equal(ended, 1);
}

static bool enough(void *self, uint64_t index, const struct trial_result *result)
{
    (void)self;
    (void)index;
    (void)result;
    return false;
}

static void runs_that_do_not_begin_are_not_over(void **state)
{
    uint64_t over = 99;
    const struct runs runs = {
        .count = SEEDS, .jobs = 1, .over = &over, .make = make, .done = enough
    };
    (void)state;
    assert_int_equal(runs_go(&runs), ERR_OK);
    assert_int_equal(over, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_have_equal_logs_however_many_run_at_a_time),
        cmocka_unit_test(different_seeds_have_different_logs),
        cmocka_unit_test(who_stops_runs_is_told_how_many_are_over_without_a_gap),
        cmocka_unit_test(descriptor_zero_stops_runs_too),
        cmocka_unit_test(who_runs_dies_with_the_process_that_began_it),
        cmocka_unit_test(runs_that_do_not_begin_are_not_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
