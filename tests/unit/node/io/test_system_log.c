#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/io/log.h"
#include "node/io/system_log.h"

static char dir[] = "/tmp/atoll-log-XXXXXX";
static struct sockaddr_un at = { .sun_family = AF_UNIX };

static int open_reader(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
    return fd;
}

static int prepare(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(at.sun_path, sizeof at.sun_path, "%s/log", dir);
    system_log_open(at.sun_path, "atoll");
    return 0;
}

static int clean(void **state)
{
    (void)state;
    unlink(at.sun_path);
    return rmdir(dir);
}

static void line_arrives_as_syslog_would_send_it(void **state)
{
    (void)state;
    char line[1024] = { 0 };
    char process[32];
    int fd = open_reader();
    LOG(LOG_WARN, "disk.slow", LOG_TEXT("dir", "/data"));
    assert_true(read(fd, line, sizeof line - 1) > 0);
    assert_true(strncmp(line, "<28>", 4) == 0); /* daemon, warning */
    snprintf(process, sizeof process, " atoll[%d]: ts=2", (int)getpid());
    assert_non_null(strstr(line, process));
    assert_non_null(strstr(line, " level=warn msg=disk.slow dir=/data"));
    assert_int_equal(line[strlen(line) - 1], 'a'); /* no newline */
    close(fd);
    unlink(at.sun_path);
}

/* The daemon may be restarted, full, or not there at all. */
static void nobody_waits_for_a_reader_that_does_not_read(void **state)
{
    (void)state;
    char line[1024] = { 0 };
    LOG(LOG_ERROR, "lost", LOG_NUM("n", 1));
    int fd = open_reader();
    for (uint32_t i = 0; i < 100000; i++) {
        system_log_send(0, "a line"); /* far more than a socket holds */
    }
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    while (poll(&ready, 1, 0) == 1) {
        assert_true(read(fd, line, sizeof line - 1) > 0);
    }
    LOG(LOG_ERROR, "heard");
    assert_true(read(fd, line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "msg=heard"));
    close(fd);
    unlink(at.sun_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_arrives_as_syslog_would_send_it),
        cmocka_unit_test(nobody_waits_for_a_reader_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
