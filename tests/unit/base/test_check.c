/* tests/unit/base/test_check.c: a broken invariant is told on stderr, and ends the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child process that breaks an invariant writes to stderr; *status is how it ended. */
static size_t told(char *buffer, size_t room, int *status)
{
    int pipe_ends[2];
    size_t used = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(pipe_ends[1], STDERR_FILENO);
        (void)close(pipe_ends[0]);
        check_failed("ring/ring.c", 1207, "slots > 0");
    }
    (void)close(pipe_ends[1]);
    for (;;) {
        ssize_t got = read(pipe_ends[0], buffer + used, room - used);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    (void)close(pipe_ends[0]);
    assert_int_equal(waitpid(child, status, 0), child);
    return used;
}

static void a_failed_check_says_where_and_what_and_aborts(void **state)
{
    (void)state;
    static const char expected[] = "atoll: bug at ring/ring.c:1207: slots > 0\n";
    char text[4096];
    int status = 0;
    size_t size = told(text, sizeof text, &status);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_in_range(size, sizeof expected - 1, sizeof text);
    assert_memory_equal(text, expected, sizeof expected - 1);
}

static void a_check_that_holds_evaluates_once_and_goes_on(void **state)
{
    (void)state;
    int evaluated = 0;
    CHECK(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_check_says_where_and_what_and_aborts),
        cmocka_unit_test(a_check_that_holds_evaluates_once_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
