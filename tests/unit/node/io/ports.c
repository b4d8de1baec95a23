#include "tests/unit/node/io/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

#define LOWEST 10000u

static bool is_free(uint32_t port, int kind)
{
    const struct sockaddr_in at = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, kind, 0);
    CHECK(fd >= 0);
    const bool free = bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return free;
}

/* Where the kernel's own begin. */
static uint32_t highest(void)
{
    unsigned first = 0;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    CHECK(file != NULL && fscanf(file, "%u", &first) == 1);
    fclose(file);
    return first > 2 * LOWEST ? first : 60000; /* there is no room below */
}

uint16_t ports_take(uint32_t count)
{
    static uint32_t next;
    uint32_t free = 0;
    if (next == 0) { /* each process begins elsewhere */
        next = LOWEST + (uint32_t)getpid() * 37 % (highest() - LOWEST);
    }
    for (uint32_t tried = 0; free < count; tried++) {
        CHECK(tried < 20000);
        next = next + 1 < highest() ? next + 1 : LOWEST;
        free = is_free(next, SOCK_STREAM) && is_free(next, SOCK_DGRAM) ? free + 1 : 0;
        free = next == LOWEST && free > 0 ? 1 : free;
    }
    return (uint16_t)(next + 1 - count);
}
