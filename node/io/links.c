/* node/io/links.c: the sockets of a process: opening, sending, closing.
 * Thread: whoever calls links_poll (the peer thread). Owns: the ZeroMQ context and every socket.
 * Takes: frames and buffers of the node's region.   Gives: links_event, by a callback.
 * Shares: the queue of sent buffers, with ZeroMQ's own threads. */
#include "node/io/links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/clock.h"
#include "node/io/links_inside.h"
#include "node/io/log.h"

/* The thread sanitizer does not see hand-overs inside ZeroMQ, nor that it closes its descriptors: what
 * is done with one must not be seen either, or whoever gets that number next seems to race with it. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#include <sys/syscall.h>
#define HAND_OVER(at) __tsan_release(at)
#define HANDED_OVER(at) __tsan_acquire(at)
#define WATCH(epoll, what, fd, event) syscall(SYS_epoll_ctl, epoll, what, fd, event)
#else
#define HAND_OVER(at) ((void)(at))
#define HANDED_OVER(at) ((void)(at))
#define WATCH(epoll, what, fd, event) epoll_ctl(epoll, what, fd, event)
#endif

#define RETRY_FIRST_US MSEC(100)
#define RETRY_LAST_US SEC(2)

/* ---- ports ------------------------------------------------------------------------------- */

void links_mark_dirty(struct links *links, struct port *port)
{
    if (port->zmq != NULL && !list_is_linked(&port->dirty)) {
        list_push_back(&links->dirty, &port->dirty);
    }
}

/* Takes over `zmq` in every case. */
static bool port_open(struct links *links, struct port *port, enum port_kind kind, void *zmq)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = port };
    if (zmq == NULL) {
        return false;
    }
    list_init(&port->dirty);
    port->kind = kind;
    port->zmq = zmq;
    if (WATCH(links->epoll, EPOLL_CTL_ADD, socket_fd(zmq), &event) != 0) {
        socket_close(&port->zmq);
        return false;
    }
    links_mark_dirty(links, port); /* what came before epoll looked */
    return true;
}

static void port_close(struct links *links, struct port *port)
{
    if (port->zmq == NULL) {
        return;
    }
    list_remove(&port->dirty);
    WATCH(links->epoll, EPOLL_CTL_DEL, socket_fd(port->zmq), NULL);
    socket_close(&port->zmq);
}

/* ---- one link's life ----------------------------------------------------------------------- */

/* The watched one is told first: ZeroMQ's thread waits for ever to tell an event to a watch that
 * is gone. */
static void close_pair(struct links *links, struct port *socket, struct port *watch)
{
    if (socket->zmq != NULL && watch->zmq != NULL) {
        socket_unwatch(socket->zmq);
    }
    port_close(links, watch);
    port_close(links, socket);
}

void links_bury(struct links *links, struct link *link)
{
    close_pair(links, &link->socket, &link->watch);
    list_remove(&link->news);
    list_remove(&link->retry);
    link->state = LINK_BURIED;
    links->has_buried = true;
}

void links_sweep(struct links *links)
{
    for (uint32_t i = 0; links->has_buried && i < links->table.limit; i++) {
        if (links->table.links[i].state == LINK_BURIED) {
            table_give(&links->table, &links->table.links[i]);
        }
    }
    links->has_buried = false;
}

static bool try_to_open(struct links *links, struct link *link, const char *endpoint)
{
    const bool curve = links->options.keys != NULL && link->purpose == LINK_CONTROL;
    void *zmq = socket_dealer(links->zmq, curve ? links->options.keys : NULL);
    if (!port_open(links, &link->socket, PORT_DEALER, zmq)) {
        return false;
    }
    if (links->options.transport == LINKS_TCP &&
        !port_open(links, &link->watch, PORT_WATCH,
                   socket_watch(links->zmq, zmq, SOCKET_UP_EVENT | SOCKET_END_EVENTS))) {
        return false;
    }
    return zmq_connect(zmq, endpoint) == 0;
}

void links_attempt(struct links *links, struct link *link)
{
    char endpoint[SOCKET_ENDPOINT_MAX];
    link->retry_at_us = USEC_NEVER;
    socket_endpoint(links->options.transport, &link->address, endpoint);
    if (!try_to_open(links, link, endpoint)) {
        LOG(LOG_DEBUG, "link.failed", LOG_TEXT("endpoint", endpoint),
            LOG_TEXT("err", zmq_strerror(errno)));
        links_again(links, link);
    } else if (links->options.transport == LINKS_PRIVATE) { /* no handshake that could be watched */
        link->state = LINK_OPEN;
        list_remove(&link->retry);
        list_push_back(&links->news, &link->news);
    }
}

void links_again(struct links *links, struct link *link)
{
    close_pair(links, &link->socket, &link->watch);
    link->retry_at_us = clock_mono_us() + link->retry_wait_us;
    link->retry_wait_us = usec_min(2 * link->retry_wait_us, RETRY_LAST_US);
}

void links_fall(struct links *links, struct link *link)
{
    if (link->state != LINK_OPEN) {
        return;
    }
    if (list_is_linked(&link->news)) { /* its owner was never told that it is up */
        links_bury(links, link);
        return;
    }
    link->state = LINK_FALLEN;
    list_push_back(&links->news, &link->news);
}

void links_say_closed(struct port *router, const uint8_t *route)
{
    /* When it does not get through the connection is gone, which is as good. */
    (void)socket_send(router->zmq, route, span_of(NULL, 0), NULL);
}

/* ---- start and end ------------------------------------------------------------------------- */

static bool watch_queue(struct links *links, struct queue *queue)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    return epoll_ctl(links->epoll, EPOLL_CTL_ADD, queue_fd(queue), &event) == 0;
}

static enum err make_context(struct links *links)
{
    if (links->options.zmq != NULL) {
        links->zmq = links->options.zmq;
        return ERR_OK;
    }
    links->zmq = zmq_ctx_new();
    if (links->zmq == NULL) {
        return ERR_NOMEM;
    }
    /* A link of ours is a DEALER and both ends of its monitor. */
    const uint32_t sockets = links->options.links_max * 3 + 64;
    CHECK(zmq_ctx_set(links->zmq, ZMQ_MAX_SOCKETS, sockets < 65535 ? (int)sockets : 65535) == 0);
    CHECK(zmq_ctx_set(links->zmq, ZMQ_IO_THREADS, 1) == 0); /* two give nothing: ceilings, B */
    return ERR_OK;
}

enum err links_new(const struct links_options *options, struct links **out)
{
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL) {
        return ERR_NOMEM;
    }
    /* A context that others keep could call back for buffers after links_free. */
    CHECK(options->zmq == NULL || options->transport == LINKS_PRIVATE);
    links->options = *options;
    if (options->keys != NULL) {
        links->keys = *options->keys;
        links->options.keys = &links->keys;
    }
    list_init(&links->dirty);
    list_init(&links->news);
    list_init(&links->trying);
    list_init(&links->held);
    links->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum err err = links->epoll < 0 ? ERR_SYSTEM : queue_new(&links->sent);
    if (err == ERR_OK) {
        err = table_init(&links->table, options->links_max);
    }
    if (err == ERR_OK) {
        err = make_context(links);
    }
    if (err == ERR_OK && (!watch_queue(links, links->sent) ||
                          (options->wake != NULL && !watch_queue(links, options->wake)))) {
        err = ERR_SYSTEM;
    }
    if (err != ERR_OK) {
        links_free(&links);
        return err;
    }
    *out = links;
    return ERR_OK;
}

static void close_ports(struct links *links)
{
    for (uint32_t i = 0; links->table.memory != NULL && i < links->table.limit; i++) {
        close_pair(links, &links->table.links[i].socket, &links->table.links[i].watch);
    }
    close_pair(links, &links->control, &links->control_watch);
    close_pair(links, &links->data, &links->data_watch);
    port_close(links, &links->zap);
}

static void free_sent(struct links *links)
{
    struct queue_item *next = links->sent != NULL ? queue_take(links->sent) : NULL;
    while (next != NULL) {
        struct sending *sending = CONTAINER_OF(next, struct sending, queue);
        next = next->next;
        free(sending);
    }
}

void links_free(struct links **pointer)
{
    struct links *links = *pointer;
    if (links == NULL) {
        return;
    }
    close_ports(links);
    guests_free(&links->guests);
    while (!list_is_empty(&links->held)) {
        struct held *held = CONTAINER_OF(list_first(&links->held), struct held, all);
        links_release(links, (uint64_t)(uintptr_t)held | LINKS_RECEIVED);
    }
    if (links->zmq != NULL && links->options.zmq == NULL) {
        /* Returns when the last buffer was given back. */
        while (zmq_ctx_term(links->zmq) != 0) {
            CHECK(errno == EINTR);
        }
    }
    free_sent(links);
    queue_free(&links->sent);
    table_fini(&links->table);
    if (links->epoll >= 0) {
        close(links->epoll);
    }
    free(links);
    *pointer = NULL;
}

/* ---- links of others ------------------------------------------------------------------------ */

static enum err bind_port(struct links *links, struct port *port, const struct address *address,
                          struct text *why)
{
    char endpoint[SOCKET_ENDPOINT_MAX];
    socket_endpoint(links->options.transport, address, endpoint);
    if (zmq_bind(port->zmq, endpoint) == 0) {
        return ERR_OK;
    }
    const bool taken = errno == EADDRINUSE;
    text_str(why, endpoint);
    text_str(why, ": ");
    text_str(why, taken ? "another process listens there; stop it or choose another --listen"
                        : zmq_strerror(errno));
    return taken ? ERR_ADDRESS_IN_USE : ERR_SYSTEM;
}

static bool open_router(struct links *links, struct port *port, struct port *watch,
                        const struct links_keys *keys)
{
    void *zmq = socket_router(links->zmq, keys);
    if (!port_open(links, port, PORT_ROUTER, zmq)) {
        return false;
    }
    return links->options.transport == LINKS_PRIVATE ||
           port_open(links, watch, PORT_ROUTER_WATCH,
                     socket_watch(links->zmq, zmq, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED));
}

enum err links_bind(struct links *links, const struct address *control, const struct address *data,
                    struct text *why)
{
    const struct links_keys *keys = links->options.keys;
    enum err err = ERR_SYSTEM;
    links->control.purpose = LINK_CONTROL;
    links->data.purpose = LINK_DATA;
    links->ports[LINK_CONTROL] = control->port;
    links->ports[LINK_DATA] = data->port;
    if (links->options.transport == LINKS_TCP && guests_new(&links->guests) != ERR_OK) {
        text_str(why, "no memory or descriptor to watch connections with");
        return ERR_NOMEM;
    }
    if ((keys != NULL && !port_open(links, &links->zap, PORT_ZAP, socket_zap(links->zmq))) ||
        !open_router(links, &links->control, &links->control_watch, keys) ||
        !open_router(links, &links->data, &links->data_watch, NULL)) {
        text_str(why, "no socket: ");
        text_str(why, zmq_strerror(errno));
        goto out;
    }
    err = bind_port(links, &links->control, control, why);
    if (err != ERR_OK) {
        goto out;
    }
    err = bind_port(links, &links->data, data, why);
    if (err != ERR_OK) {
        goto out;
    }
    return ERR_OK;
out:
    close_ports(links);
    guests_free(&links->guests);
    return err;
}

struct address links_private_address(uint16_t number)
{
    return (struct address){ .ip = { 1 }, .port = number }; /* 100::, the prefix nobody routes */
}

/* ---- links of ours -------------------------------------------------------------------------- */

/* What is still tried for this purpose: `found` the same address, or another one of this node. */
static struct link *find_trying(struct links *links, const struct address *address,
                                enum link_purpose purpose, struct node_id node)
{
    struct list *at = links->trying.next;
    while (at != &links->trying) {
        struct link *link = CONTAINER_OF(at, struct link, retry);
        const bool same_node = node_id_equal(link->node, node);
        at = at->next;
        if (link->purpose != purpose || !same_node) {
            continue;
        }
        if (address_equal(&link->address, address)) {
            return link;
        }
        if (!node_id_is_zero(node)) { /* it has moved: nobody will answer at the old address */
            links_bury(links, link);
        }
    }
    return NULL;
}

/* A slot; when there is none, that of what was tried longest without success. */
static struct link *take_slot(struct links *links)
{
    struct link *link = table_take(&links->table);
    if (link == NULL && !list_is_empty(&links->trying)) {
        struct link *victim = CONTAINER_OF(list_first(&links->trying), struct link, retry);
        links_bury(links, victim);
        table_give(&links->table, victim); /* nobody looks at a link that was never up */
        link = table_take(&links->table);
    }
    return link;
}

struct link_id links_connect(struct links *links, const struct address *address,
                             enum link_purpose purpose, struct node_id node)
{
    struct link *link = find_trying(links, address, purpose, node);
    if (link != NULL) {
        return (struct link_id){ link->id };
    }
    link = take_slot(links);
    if (link == NULL) {
        links->totals.refused++;
        return (struct link_id){ 0 };
    }
    link->state = LINK_TRYING;
    link->outbound = true;
    link->purpose = purpose;
    link->address = *address;
    link->node = node;
    link->socket.link = link;
    link->watch.link = link;
    link->retry_wait_us = RETRY_FIRST_US;
    list_push_back(&links->trying, &link->retry);
    links_attempt(links, link);
    return (struct link_id){ link->id };
}

void links_close(struct links *links, struct link_id id)
{
    struct link *link = table_find(&links->table, id.v);
    if (link == NULL || link->state == LINK_BURIED || link->state == LINK_SHUT) {
        return;
    }
    const bool was_told = link->state == LINK_FALLEN || !list_is_linked(&link->news);
    if (link->state != LINK_TRYING && was_told) {
        links->totals.open--;
    }
    if (link->outbound) {
        links_bury(links, link);
        return;
    }
    links_say_closed(link->router, link->route);
    links_mark_dirty(links, link->router);
    if (link->fd < 0) {
        links_bury(links, link);
        return;
    }
    list_remove(&link->news);
    link->state = LINK_SHUT;
    guests_shut(links->guests, clock_mono_us(), link->fd);
}

/* ---- payloads ------------------------------------------------------------------------------ */

/* On one of ZeroMQ's threads, mostly. */
static void give_back(void *data, void *hint)
{
    struct sending *sending = hint;
    (void)data;
    HANDED_OVER(sending);
    queue_push(sending->links->sent, &sending->queue);
}

/* Wraps the payload, without a copy if it goes to another process. `frame` needs no closing when
 * it is not given to a socket and false was returned. */
static bool wrap(struct links *links, struct payload payload, zmq_msg_t *frame)
{
    struct sending *sending = malloc(sizeof *sending);
    if (sending == NULL) {
        BUG("out of memory: a buffer on its way out could not be accounted for");
    }
    *sending = (struct sending){ .links = links, .token = payload.token, .size = payload.size };
    links->totals.unsent_bytes += payload.size;
    HAND_OVER(sending);
    if (frame == NULL) {
        give_back(NULL, sending);
        return false;
    }
    if (links->options.transport == LINKS_TCP) {
        bool made = zmq_msg_init_data(frame, (void *)(uintptr_t)payload.data, payload.size,
                                      give_back, sending) == 0;
        if (!made) {
            give_back(NULL, sending);
        }
        return made;
    }
    bool made = zmq_msg_init_size(frame, payload.size) == 0;
    if (made) {
        memcpy(zmq_msg_data(frame), payload.data, payload.size);
    }
    give_back(NULL, sending);
    return made;
}

void links_send(struct links *links, struct link_id id, struct span frame, struct payload payload)
{
    struct link *link = table_find(&links->table, id.v);
    const bool has_payload = payload.token != 0;
    zmq_msg_t message;
    CHECK(frame.size > 0);
    if (link == NULL || link->state != LINK_OPEN) {
        if (has_payload) {
            wrap(links, payload, NULL);
        }
        return;
    }
    struct port *port = link->outbound ? &link->socket : link->router;
    bool sent = !has_payload || wrap(links, payload, &message);
    sent = sent && socket_send(port->zmq, link->outbound ? NULL : link->route, frame,
                               has_payload ? &message : NULL);
    links_mark_dirty(links, port);
    if (!sent) {
        links_fall(links, link);
        return;
    }
    links->totals.messages_out++;
    links->totals.bytes_out += frame.size + payload.size;
}

void links_release(struct links *links, uint64_t token)
{
    CHECK((token & LINKS_RECEIVED) != 0);
    struct held *held = (struct held *)(uintptr_t)(token & ~LINKS_RECEIVED);
    links->totals.held_bytes -= zmq_msg_size(&held->frame);
    list_remove(&held->all);
    zmq_msg_close(&held->frame);
    free(held);
}

void links_totals(const struct links *links, struct links_totals *out)
{
    *out = links->totals;
}
