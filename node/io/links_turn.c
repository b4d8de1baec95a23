/* node/io/links_turn.c: one turn of the loop: what arrives becomes events.
 * Thread: whoever calls links_poll (the peer thread). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "node/io/clock.h"
#include "node/io/links_inside.h"
#include "node/core/node.h"
#include "wire/message.h"

#define BATCH 64 /* messages of one socket in a row: the others wait no longer than that */

static void tell(struct links *links, const struct links_event *event)
{
    links->told++;
    links->handler(links->self, event);
}

static void tell_news(struct links *links)
{
    while (!list_is_empty(&links->news)) {
        struct link *link = CONTAINER_OF(list_first(&links->news), struct link, news);
        struct links_event event = { .kind = link->state == LINK_OPEN ? LINKS_UP : LINKS_DOWN,
                                     .link = { link->id },
                                     .purpose = link->purpose,
                                     .outbound = link->outbound,
                                     .address = link->address,
                                     .node = link->node,
                                     .peer = link->peer };
        list_remove(&link->news);
        if (event.kind == LINKS_UP) {
            links->totals.open++;
        } else if (!link->outbound && link->fd >= 0) { /* the connection is not yet seen to end */
            links->totals.open--;
            link->state = LINK_SHUT;
        } else {
            links->totals.open--;
            links_bury(links, link);
        }
        tell(links, &event);
    }
}

/* ---- what arrives -------------------------------------------------------------------------- */

/* The other side broke the rules, or said that it is closed. */
static void link_end(struct links *links, struct link *link)
{
    struct links_event event = { .kind = LINKS_DOWN, .link = { link->id } };
    if (link->state != LINK_OPEN) {
        return;
    }
    const bool told = !list_is_linked(&link->news);
    links_close(links, event.link);
    if (told) {
        tell(links, &event);
    }
}

static struct payload hold(struct links *links, zmq_msg_t *frame)
{
    struct held *held = malloc(sizeof *held);
    if (held == NULL) {
        return (struct payload){ 0 };
    }
    CHECK(zmq_msg_init(&held->frame) == 0 && zmq_msg_move(&held->frame, frame) == 0);
    list_push_back(&links->held, &held->all);
    const size_t size = zmq_msg_size(&held->frame);
    links->totals.held_bytes += size;
    return (struct payload){ .data = zmq_msg_data(&held->frame),
                             .size = (uint32_t)size,
                             .token = (uint64_t)(uintptr_t)held | LINKS_RECEIVED };
}

static bool is_well_formed(const struct incoming *in)
{
    return !in->excess && in->count >= 1 && zmq_msg_size((zmq_msg_t *)&in->frames[0]) > 0 &&
           zmq_msg_size((zmq_msg_t *)&in->frames[0]) <= WIRE_HEADER_MAX &&
           (in->count == 1 || zmq_msg_size((zmq_msg_t *)&in->frames[1]) <= BLOCK_SIZE_MAX);
}

static void deliver(struct links *links, struct link *link, struct incoming *in)
{
    struct links_event event = { .kind = LINKS_MESSAGE, .link = { link->id } };
    if (link->state != LINK_OPEN) {
        return;
    }
    if (!is_well_formed(in)) {
        const bool goodbye = in->count == 1 && zmq_msg_size(&in->frames[0]) == 0;
        links->totals.malformed += !goodbye;
        link_end(links, link);
        return;
    }
    event.frame = span_of(zmq_msg_data(&in->frames[0]), zmq_msg_size(&in->frames[0]));
    links->totals.messages_in++;
    links->totals.bytes_in += event.frame.size;
    if (in->count == 2 && zmq_msg_size(&in->frames[1]) > 0) {
        event.payload = hold(links, &in->frames[1]);
        links->totals.bytes_in += event.payload.size;
        if (event.payload.token == 0) { /* no memory: lost, and a lost message ends the link */
            link_end(links, link);
            return;
        }
    }
    tell(links, &event);
}

/* What the monitor of a ROUTER says: connections that came, or are gone. */
static void read_router_watch(struct links *links, struct port *router, struct port *watch)
{
    uint16_t event;
    uint32_t fd;
    while (watch->zmq != NULL && socket_watch_read(watch->zmq, &event, &fd)) {
        if (event == ZMQ_EVENT_ACCEPTED) {
            guests_came(links->guests, clock_mono_us(), (int)fd,
                        (struct guests_port){ router->purpose, links->ports[router->purpose] });
            continue;
        }
        guests_left(links->guests, (int)fd, router->purpose);
        struct link *link = table_by_fd(&links->table, router, (int)fd);
        while (link != NULL) { /* two: the last words of one that was gone already */
            table_forget_fd(&links->table, link);
            if (link->state == LINK_SHUT) {
                links_bury(links, link);
            }
            links_fall(links, link);
            link = table_by_fd(&links->table, router, (int)fd);
        }
    }
}

static struct link *link_accept(struct links *links, struct port *router, const struct incoming *in)
{
    struct port *watch = router == &links->control ? &links->control_watch : &links->data_watch;
    /* First forget connections that had this descriptor before (they ended before it could be used
     * again, and their end was told before this message was). */
    read_router_watch(links, router, watch);
    struct link *link = in->foreign ? NULL : table_take(&links->table);
    if (link == NULL) {
        links->totals.refused++;
        guests_shut(links->guests, clock_mono_us(), in->fd);
        if (!in->foreign) {
            links_say_closed(router, in->route);
        }
        return NULL;
    }
    link->state = LINK_OPEN;
    link->purpose = router->purpose;
    link->router = router;
    memcpy(link->route, in->route, SOCKET_ROUTE_SIZE);
    link->fd = in->fd;
    table_index(&links->table, link);
    if (links->options.keys == NULL) {
        link->peer.trust = LINK_TRUST_ANYBODY;
    } else if (in->has_key) {
        link->peer.trust = LINK_TRUST_CLIENT;
        memcpy(link->peer.client_key, in->key, 32);
    }
    list_push_back(&links->news, &link->news);
    tell_news(links);
    return link;
}

static void read_router(struct links *links, struct port *router)
{
    struct incoming in;
    for (uint32_t i = 0; i < BATCH; i++) {
        if (!socket_receive(router->zmq, true, &in)) {
            return;
        }
        guests_said(links->guests, in.fd);
        struct link *link = table_by_route(&links->table, router, in.route);
        const bool is_goodbye = in.count == 1 && zmq_msg_size(&in.frames[0]) == 0;
        if (link == NULL && !is_goodbye) {
            link = link_accept(links, router, &in);
        }
        if (link != NULL) {
            deliver(links, link, &in);
        }
        incoming_close(&in);
    }
    links_mark_dirty(links, router);
}

static void read_dealer(struct links *links, struct port *port, uint32_t batch)
{
    struct incoming in;
    for (uint32_t i = 0; i < batch && port->zmq != NULL; i++) {
        if (!socket_receive(port->zmq, false, &in)) {
            return;
        }
        deliver(links, port->link, &in);
        incoming_close(&in);
    }
    links_mark_dirty(links, port);
}

static void read_watch(struct links *links, struct port *port)
{
    struct link *link = port->link;
    uint16_t event;
    uint32_t value;
    while (port->zmq != NULL && socket_watch_read(port->zmq, &event, &value)) {
        if (event == SOCKET_UP_EVENT && link->state == LINK_TRYING) {
            link->state = LINK_OPEN;
            list_remove(&link->retry);
            list_push_back(&links->news, &link->news);
            tell_news(links);
        } else if ((event & SOCKET_END_EVENTS) != 0 && link->state == LINK_TRYING) {
            links_again(links, link);
        } else if ((event & SOCKET_END_EVENTS) != 0 && link->state == LINK_OPEN) {
            read_dealer(links, &link->socket,
                        UINT32_MAX); /* what was sent before the end still counts */
            links_fall(links, link);
        }
    }
}

static void read_port(struct links *links, struct port *port)
{
    switch (port->kind) {
    case PORT_ROUTER:
        read_router(links, port);
        return;
    case PORT_DEALER:
        if (port->link->state == LINK_TRYING && port->link->watch.zmq != NULL) {
            read_watch(links, &port->link->watch); /* UP comes before the first message */
        }
        read_dealer(links, port, BATCH);
        return;
    case PORT_WATCH:
        read_watch(links, port);
        return;
    case PORT_ROUTER_WATCH:
        read_router_watch(links, port == &links->control_watch ? &links->control : &links->data,
                          port);
        return;
    case PORT_ZAP:
        while (socket_zap_answer(port->zmq)) {
        }
        return;
    }
    BUG("a port of no kind");
}

/* ---- the turn ------------------------------------------------------------------------------ */

static void read_dirty(struct links *links)
{
    struct list now; /* ports that become dirty meanwhile have the next turn */
    list_init(&now);
    while (!list_is_empty(&links->dirty)) {
        struct list *item = list_first(&links->dirty);
        list_remove(item);
        list_push_back(&now, item);
    }
    while (!list_is_empty(&now)) {
        struct port *port = CONTAINER_OF(list_first(&now), struct port, dirty);
        list_remove(&port->dirty);
        if (port->zmq != NULL && socket_readable(port->zmq)) {
            read_port(links, port);
        }
    }
}

static void tell_sent(struct links *links)
{
    struct queue_item *next = queue_take(links->sent);
    while (next != NULL) {
        struct sending *sending = CONTAINER_OF(next, struct sending, queue);
        struct links_event event = { .kind = LINKS_SENT, .token = sending->token };
        next = next->next;
        links->totals.unsent_bytes -= sending->size;
        free(sending);
        tell(links, &event);
    }
}

/* Attempts that are due; returns when the next one is. */
static usec_t retry_due(struct links *links)
{
    usec_t next_us = USEC_NEVER;
    const usec_t now_us = clock_mono_us();
    struct list *at = links->trying.next;
    while (at != &links->trying) {
        struct link *link = CONTAINER_OF(at, struct link, retry);
        at = at->next;
        if (link->retry_at_us <= now_us) {
            links_attempt(links, link);
        }
        if (link->state == LINK_TRYING) {
            next_us = usec_min(next_us, link->retry_at_us);
        }
    }
    return next_us;
}

static void work(struct links *links)
{
    tell_news(links);
    read_dirty(links);
    tell_news(links);
    tell_sent(links);
    links_sweep(links);
}

static void wait_for_events(struct links *links, usec_t wait_us)
{
    struct epoll_event events[64];
    const int64_t ms = wait_us >= SEC(3600) ? 3600000 : (wait_us + 999) / 1000;
    int count = epoll_wait(links->epoll, events, ARRAY_COUNT(events), (int)ms);
    CHECK(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != NULL) { /* NULL: one of the queues */
            links_mark_dirty(links, events[i].data.ptr);
        }
    }
}

/* Is nothing left to read of what others sent? */
static bool is_drained(const struct links *links)
{
    return !list_is_linked(&links->control.dirty) && !list_is_linked(&links->data.dirty) &&
           !list_is_linked(&links->control_watch.dirty) &&
           !list_is_linked(&links->data_watch.dirty);
}

/* When the next look at those who came is due. */
static usec_t look_at_guests(struct links *links)
{
    const usec_t due_us = guests_due(links->guests);
    const usec_t now_us = clock_mono_us();
    if (now_us < due_us) {
        return due_us;
    }
    links->totals.cut += guests_look(links->guests, now_us, is_drained(links));
    return guests_due(links->guests);
}

void links_poll(struct links *links, usec_t wait_us, links_handler *handler, void *self)
{
    links->handler = handler;
    links->self = self;
    links->told = 0;
    usec_t next_us = retry_due(links);
    work(links);
    next_us = usec_min(next_us, look_at_guests(links));
    if (links->told > 0 || !list_is_empty(&links->dirty) || !list_is_empty(&links->news)) {
        wait_us = 0;
    }
    if (next_us != USEC_NEVER) {
        wait_us = usec_min(wait_us, next_us - clock_mono_us());
    }
    wait_for_events(links, usec_max(wait_us, 0));
    work(links);
}
