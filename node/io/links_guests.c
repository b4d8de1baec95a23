/* node/io/links_guests.c: the kernel's counts against the messages taken.
 * Thread: whoever calls links_poll (the peer thread). ZeroMQ owns the descriptors and may close one
 * at any time: before anything is done to one, its cookie tells whether it still is that socket. */
#include "node/io/links_guests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "node/io/address.h"
#include "node/io/links_socket.h"
#include "node/io/log.h"
#include "wire/message.h"

/* The thread sanitizer does not see that ZeroMQ closes its descriptors: what is done with one must
 * not be seen either, or whoever gets that number next seems to race with it. */
#if defined(__SANITIZE_THREAD__)
#include <sys/syscall.h>
#define SYSTEM(name, ...) syscall(SYS_##name, __VA_ARGS__)
#else
#define SYSTEM(name, ...) name(__VA_ARGS__)
#endif

#define UNKNOWN UINT64_MAX
#define EVERYBODY 5u /* all are weighed with each fifth look: a system call or two for each */
#define SKIPS_MAX 5u /* looks put off because messages wait: then it is done as well as can be */
/* What whole messages that nobody has taken may be. */
#define WAITING_BYTES ((uint64_t)SOCKET_ROUTER_MESSAGES * WIRE_REQUEST_MAX)
#define WAITING_LITTLE 65536u

enum guest_state {
    GUEST_NEW,   /* has said nothing yet */
    GUEST_KNOWN, /* has said something whole */
    GUEST_SHUT,  /* its link was closed by us */
};

struct guest {
    struct list all;
    int fd;
    enum link_purpose purpose;
    enum guest_state state;
    uint64_t cookie;
    usec_t go_us; /* it has to be gone by then; USEC_NEVER: it is welcome */
    bool said;    /* since the last look */
    bool heard;   /* bytes of it wait to be taken */
    bool doomed;  /* it was over the limit at the last look */
    bool cut;
    uint64_t base;   /* bytes taken from it when nothing was on its way; UNKNOWN */
    uint64_t excess; /* beyond that, when it was last heard */
};

struct guests {
    int epoll; /* who has sent what is not taken yet */
    struct list all;
    struct guest **by_fd;
    uint32_t room;
    uint32_t count;
    uint32_t new_count;
    uint32_t skips;
    uint32_t looks;
    usec_t look_us;
};

enum err guests_new(struct guests **out)
{
    struct guests *guests = calloc(1, sizeof *guests);
    if (guests == NULL) {
        return ERR_NOMEM;
    }
    list_init(&guests->all);
    guests->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (guests->epoll < 0) {
        free(guests);
        return ERR_SYSTEM;
    }
    *out = guests;
    return ERR_OK;
}

static void drop(struct guests *guests, struct guest *guest)
{
    guests->by_fd[guest->fd] = NULL;
    guests->count--;
    guests->new_count -= guest->state == GUEST_NEW ? 1 : 0;
    list_remove(&guest->all);
    free(guest);
}

void guests_free(struct guests **pointer)
{
    struct guests *guests = *pointer;
    if (guests == NULL) {
        return;
    }
    while (!list_is_empty(&guests->all)) {
        drop(guests, CONTAINER_OF(list_first(&guests->all), struct guest, all));
    }
    close(guests->epoll);
    free(guests->by_fd);
    free(guests);
    *pointer = NULL;
}

/* ---- who is there ------------------------------------------------------------------------ */

static bool cookie_of(int fd, uint64_t *out)
{
    socklen_t size = sizeof *out;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, out, &size) == 0;
}

/* Is it a connection that came through that port? By the time we hear of it, it may be gone, and
 * its descriptor stand for something else. */
static bool is_of_port(int fd, uint16_t port)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (getsockname(fd, (void *)&at, &size) != 0) {
        return false;
    }
    const in_port_t found = at.ss_family == AF_INET6
                                ? ((const struct sockaddr_in6 *)(void *)&at)->sin6_port
                                : ((const struct sockaddr_in *)(void *)&at)->sin_port;
    return (at.ss_family == AF_INET || at.ss_family == AF_INET6) && ntohs(found) == port;
}

static bool make_room(struct guests *guests, int fd)
{
    uint32_t room = guests->room == 0 ? 256 : guests->room;
    while (room <= (uint32_t)fd) {
        room *= 2;
    }
    if (room == guests->room) {
        return true;
    }
    struct guest **larger = realloc(guests->by_fd, room * sizeof *larger);
    if (larger == NULL) {
        return false;
    }
    memset(larger + guests->room, 0, (room - guests->room) * sizeof *larger);
    guests->by_fd = larger;
    guests->room = room;
    return true;
}

static struct guest *find(const struct guests *guests, int fd)
{
    return guests != NULL && fd >= 0 && (uint32_t)fd < guests->room ? guests->by_fd[fd] : NULL;
}

void guests_came(struct guests *guests, usec_t now_us, int fd, struct guests_port port)
{
    uint64_t cookie;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };
    struct guest *guest = find(guests, fd);
    if (guest != NULL) {
        drop(guests, guest); /* its end is told by the other port's monitor, later */
    }
    if (fd < 0 || !is_of_port(fd, port.number) || !cookie_of(fd, &cookie) ||
        !make_room(guests, fd)) {
        return;
    }
    guest = calloc(1, sizeof *guest);
    if (guest == NULL || SYSTEM(epoll_ctl, guests->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(guest);
        return;
    }
    *guest = (struct guest){ .fd = fd,
                             .purpose = port.purpose,
                             .state = GUEST_NEW,
                             .cookie = cookie,
                             .go_us = now_us + GUESTS_SILENT_US };
    list_push_back(&guests->all, &guest->all);
    guests->by_fd[fd] = guest;
    guests->count++;
    guests->new_count++;
}

void guests_left(struct guests *guests, int fd, enum link_purpose purpose)
{
    struct guest *guest = find(guests, fd);
    if (guest != NULL && guest->purpose == purpose) {
        drop(guests, guest);
    }
}

static void become(struct guests *guests, struct guest *guest, enum guest_state state, usec_t go_us)
{
    guests->new_count -= guest->state == GUEST_NEW ? 1 : 0;
    guest->state = state;
    guest->go_us = go_us;
}

void guests_said(struct guests *guests, int fd)
{
    struct guest *guest = find(guests, fd);
    if (guest == NULL) {
        return;
    }
    guest->said = true;
    if (guest->state == GUEST_NEW) {
        become(guests, guest, GUEST_KNOWN, USEC_NEVER);
    }
}

void guests_shut(struct guests *guests, usec_t now_us, int fd)
{
    struct guest *guest = find(guests, fd);
    if (guest != NULL && guest->state != GUEST_SHUT) {
        become(guests, guest, GUEST_SHUT, now_us + GUESTS_SHUT_US);
    }
}

/* ---- looking ----------------------------------------------------------------------------- */

static bool is_still_there(const struct guest *guest)
{
    uint64_t cookie;
    return cookie_of(guest->fd, &cookie) && cookie == guest->cookie;
}

/* Bytes that ZeroMQ has taken out of the connection so far. */
static bool taken_of(const struct guest *guest, uint64_t *out)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    int unread = 0;
    if (getsockopt(guest->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received ||
        SYSTEM(ioctl, guest->fd, SIOCINQ, &unread) != 0) {
        return false;
    }
    /* The two are not from one moment: what came in between counts as unread. */
    const uint64_t received = (uint64_t)info.tcpi_bytes_received;
    const uint64_t waiting = (uint64_t)unread;
    *out = received > waiting ? received - waiting : 0;
    return true;
}

/* Who has completed something since the last look is well. Of the others, those are weighed from
 * whom bytes are waiting at this moment or were on their way before; now and then, all. */
static void weigh(struct guest *guest, bool everybody)
{
    uint64_t taken;
    if (guest->said) {
        guest->base = UNKNOWN;
        guest->excess = 0;
    } else if ((guest->heard || guest->excess > 0 || everybody) && taken_of(guest, &taken)) {
        guest->base = guest->base == UNKNOWN ? taken : guest->base;
        guest->excess = taken > guest->base ? taken - guest->base : 0;
    }
    guest->said = false;
    guest->heard = false;
}

static void cut(struct guest *guest, const char *reason)
{
    char from[ADDRESS_TEXT_SIZE] = "?";
    struct sockaddr_storage at;
    struct address address;
    socklen_t size = sizeof at;
    const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    if (!is_still_there(guest)) {
        return; /* its end is on its way to us */
    }
    if (getpeername(guest->fd, (void *)&at, &size) == 0) {
        address_from_socket(&at, &address);
        address_text(&address, from);
    }
    guest->cut = true;
    /* By a reset: a peer that waits for room to send would not notice anything else for a minute. */
    (void)setsockopt(guest->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)shutdown(guest->fd, SHUT_RDWR); /* ZeroMQ sees the end, and closes it */
    LOG(LOG_WARN, "link.cut", LOG_TEXT("from", from),
        LOG_TEXT("port", guest->purpose == LINK_CONTROL ? "control" : "data"),
        LOG_TEXT("why", reason), LOG_NUM("bytes", guest->excess));
}

static void listen_around(struct guests *guests)
{
    struct epoll_event events[256];
    int count = (int)ARRAY_COUNT(events);
    for (uint32_t i = 0; count == (int)ARRAY_COUNT(events) && i <= guests->count; i += 256) {
        count = epoll_wait(guests->epoll, events, (int)ARRAY_COUNT(events), 0);
        for (int k = 0; k < count; k++) {
            struct guest *guest = find(guests, events[k].data.fd);
            if (guest != NULL) {
                guest->heard = true;
            }
        }
    }
}

/* What one may have sent beyond whole messages. */
static uint64_t limit_of(uint64_t all, bool drained)
{
    if (all > GUESTS_ALL_BYTES) {
        return drained ? GUESTS_LITTLE : WAITING_LITTLE;
    }
    return drained ? GUESTS_BYTES : GUESTS_BYTES + WAITING_BYTES;
}

/* Twice over the limit, with a turn in between in which its messages were taken: a message may have
 * come after the last one was taken, and before it was weighed. */
static bool judge(struct guest *guest, uint64_t limit, usec_t now_us)
{
    const bool over = guest->excess > limit;
    const char *reason = NULL;
    if (over && guest->doomed) {
        reason = "a message without end";
    } else if (now_us >= guest->go_us) {
        reason = guest->state == GUEST_NEW ? "it says nothing" : "its link was closed";
    }
    guest->doomed = over;
    if (reason != NULL) {
        cut(guest, reason);
    }
    return reason != NULL;
}

/* Those who came first have had the most time to say something. */
static uint32_t cut_new(struct guests *guests)
{
    uint32_t surplus =
        guests->new_count > GUESTS_SILENT_MAX ? guests->new_count - GUESTS_SILENT_MAX : 0;
    uint32_t count = 0;
    for (struct list *at = guests->all.next; at != &guests->all && surplus > 0; at = at->next) {
        struct guest *guest = CONTAINER_OF(at, struct guest, all);
        if (guest->state == GUEST_NEW) {
            surplus--;
            count += guest->cut ? 0 : 1;
            if (!guest->cut) {
                cut(guest, "too many that say nothing");
            }
        }
    }
    return count;
}

uint32_t guests_look(struct guests *guests, usec_t now_us, bool drained)
{
    uint64_t all = 0;
    uint32_t count = 0;
    guests->look_us = now_us + GUESTS_LOOK_US;
    guests->skips = drained ? 0 : guests->skips + 1;
    if (!drained && guests->skips < SKIPS_MAX) {
        return 0;
    }
    listen_around(guests);
    guests->looks++;
    for (struct list *at = guests->all.next; at != &guests->all; at = at->next) {
        struct guest *guest = CONTAINER_OF(at, struct guest, all);
        weigh(guest, guests->looks % EVERYBODY == 0);
        all += guest->cut ? 0 : guest->excess;
    }
    const uint64_t limit = limit_of(all, drained);
    for (struct list *at = guests->all.next; at != &guests->all; at = at->next) {
        struct guest *guest = CONTAINER_OF(at, struct guest, all);
        count += !guest->cut && judge(guest, limit, now_us) ? 1 : 0;
    }
    return count + cut_new(guests);
}

usec_t guests_due(const struct guests *guests)
{
    return guests == NULL || guests->count == 0 ? USEC_NEVER : guests->look_us;
}
