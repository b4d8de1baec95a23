#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/clock.h"
#include "node/io/log.h"

static int pipe_fds[2];
static int stderr_fd;

/* From here on stderr is a pipe. */
static int capture(void **state)
{
    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_true(fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
    stderr_fd = dup(STDERR_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[1]);
    log_level_set(LOG_INFO);
    return 0;
}

static int release(void **state)
{
    (void)state;
    close(pipe_fds[0]);
    return 0;
}

static const char *captured(void)
{
    static char text[1 << 20];
    size_t size = 0;
    ssize_t got;
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    while ((got = read(pipe_fds[0], text + size, sizeof text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = 0;
    return text;
}

static void a_line_has_time_level_message_and_fields(void **state)
{
    (void)state;
    LOG(LOG_WARN, "disk.slow", LOG_TEXT("dir", "/data"), LOG_NUM("ms", 12));
    const char *line = captured();
    assert_true(strncmp(line, "ts=2", 4) == 0);
    assert_non_null(strstr(line, "Z level=warn msg=disk.slow dir=/data ms=12\n"));
}

static void values_that_could_be_misread_are_quoted(void **state)
{
    (void)state;
    LOG(LOG_INFO, "quoted", LOG_TEXT("a", "two words"), LOG_TEXT("b", ""),
        LOG_TEXT("c", "x=\"y\"\nlevel=error"));
    const char *line = captured();
    assert_non_null(strstr(line, " a=\"two words\" b=\"\" c=\"x=\\\"y\\\"\\nlevel=error\"\n"));
}

static void lines_over_the_level_are_not_written(void **state)
{
    (void)state;
    LOG(LOG_DEBUG, "quiet");
    LOG(LOG_INFO, "loud");
    const char *lines = captured();
    assert_null(strstr(lines, "quiet"));
    assert_non_null(strstr(lines, "loud"));
}

static void a_storm_of_one_message_is_cut_and_the_others_are_not(void **state)
{
    uint32_t lines = 0;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        LOG(LOG_INFO, "storm", LOG_NUM("i", i));
    }
    LOG(LOG_INFO, "calm");
    const char *text = captured();
    assert_non_null(strstr(text, "msg=calm"));
    for (const char *at = strstr(text, "msg=storm"); at != NULL; at = strstr(at + 1, "msg=storm")) {
        lines++;
    }
    assert_in_range(lines, 20, 40); /* 40: the clock went on by a second in between */
}

static void text_of_the_core_keeps_its_fields(void **state)
{
    (void)state;
    log_text(LOG_ERROR, span_text("fetch.failed err=CHANGED key=\"a b\"\nevil"));
    const char *line = captured();
    assert_non_null(strstr(line, "level=error msg=fetch.failed err=CHANGED key=\"a b\" evil\n"));
}

static void a_long_line_is_cut(void **state)
{
    char value[10000];
    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    LOG(LOG_INFO, "long", LOG_TEXT("v", value));
    const char *line = captured();
    assert_int_equal(strlen(line), 4096);
    assert_non_null(strstr(line, "xxx...\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_message_and_fields, capture, release),
        cmocka_unit_test_setup_teardown(values_that_could_be_misread_are_quoted, capture, release),
        cmocka_unit_test_setup_teardown(lines_over_the_level_are_not_written, capture, release),
        cmocka_unit_test_setup_teardown(a_storm_of_one_message_is_cut_and_the_others_are_not,
                                        capture, release),
        cmocka_unit_test_setup_teardown(text_of_the_core_keeps_its_fields, capture, release),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
