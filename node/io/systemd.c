/* node/io/systemd.c: one datagram to $NOTIFY_SOCKET. The protocol is a promise of systemd's, so that
 * no library is needed for it. */
#include "node/io/systemd.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

void systemd_notify(const char *state)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    const char *name = getenv("NOTIFY_SOCKET");
    const size_t size = name != NULL ? strlen(name) : 0;
    if (size < 2 || size >= sizeof at.sun_path || (name[0] != '/' && name[0] != '@')) {
        return;
    }
    memcpy(at.sun_path, name, size);
    at.sun_path[0] = name[0] == '@' ? 0 : name[0];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&at,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    close(fd);
}

usec_t systemd_watchdog_us(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    uint64_t us;
    uint64_t wanted;
    if (text == NULL || !parse_u64(span_text(text), &us) || us < 1000) {
        return USEC_NEVER;
    }
    if (pid != NULL && (!parse_u64(span_text(pid), &wanted) || wanted != (uint64_t)getpid())) {
        return USEC_NEVER;
    }
    return (usec_t)(us / 2);
}
