#include "node/io/system_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define LINE_MAX_BYTES 4352 /* a line of log.c, and what stands in front */

/* Written once, before `fd` is. */
static struct {
    struct sockaddr_un at;
    char name[32];
    atomic_int fd; /* -1: closed */
} state = { .fd = -1 };

void system_log_open(const char *path, const char *name)
{
    CHECK(!system_log_is_open() && strlen(path) < sizeof state.at.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    state.at.sun_family = AF_UNIX;
    memcpy(state.at.sun_path, path, strlen(path) + 1);
    snprintf(state.name, sizeof state.name, "%s", name);
    atomic_store(&state.fd, fd);
}

bool system_log_is_open(void)
{
    return atomic_load(&state.fd) >= 0;
}

void system_log_send(int level, const char *line)
{
    static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
    char room[LINE_MAX_BYTES];
    char at[32];
    struct tm tm;
    const time_t now = time(NULL);
    CHECK(level >= 0 && level < 4);
    localtime_r(&now, &tm);
    strftime(at, sizeof at, "%b %e %H:%M:%S", &tm);
    const int size = snprintf(room, sizeof room, "<%d>%s %s[%d]: %s",
                              LOG_DAEMON | priorities[level], at, state.name, (int)getpid(), line);
    CHECK(size > 0 && (size_t)size < sizeof room);
    (void)sendto(atomic_load(&state.fd), room, (size_t)size, MSG_NOSIGNAL, (const void *)&state.at,
                 sizeof state.at);
}
