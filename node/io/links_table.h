/* node/io/links_table.h: the links of links.c by number, route and descriptor. No sockets here. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "node/io/links.h"
#include "node/io/links_socket.h"

enum link_state {
    LINK_FREE = 0,
    LINK_TRYING, /* ours: a socket is connecting, or waits to be made again */
    LINK_OPEN,   /* told as LINKS_UP, or about to be (`news`) */
    LINK_FALLEN, /* was up, its end is about to be told */
    LINK_SHUT,   /* of others: closed by us; what still comes is dropped until they are gone */
    LINK_BURIED, /* closed; becomes free when no event of it can be in hand any more */
};

/* A socket that the poll looks at. */
struct port {
    struct list dirty; /* on links->dirty: there may be something to read */
    void *zmq;         /* NULL: closed */
    struct link *link; /* NULL: a socket that serves many */
    enum port_kind { PORT_ROUTER, PORT_DEALER, PORT_WATCH, PORT_ROUTER_WATCH, PORT_ZAP } kind;
    enum link_purpose purpose;
};

struct link {
    uint64_t id; /* 0 when free */
    enum link_state state;
    enum link_purpose purpose;
    bool outbound;
    struct list news;  /* on links->news: UP or DOWN is to be told */
    struct list retry; /* on links->trying */
    /* outbound */
    struct address address;
    struct node_id node;
    struct port socket;
    struct port watch;
    usec_t retry_at_us; /* USEC_NEVER: an attempt is going on */
    usec_t retry_wait_us;
    /* inbound */
    struct port *router;
    uint8_t route[SOCKET_ROUTE_SIZE];
    int fd;
    struct link_peer peer;
    struct map_node by_route;
    struct map_node by_fd;
};

struct table {
    struct link *links;
    uint32_t limit;
    uint32_t free_from; /* where to look first for a free one */
    uint32_t used;
    uint64_t next_number;
    struct map by_route;
    struct map by_fd;
    void *memory;
};

enum err table_init(struct table *table, uint32_t limit) MUST_USE;
void table_fini(struct table *table);
/* A free link with a new number; NULL: all are in use. */
struct link *table_take(struct table *table);
void table_give(struct table *table, struct link *link);
/* NULL: no such link, or it is free. */
struct link *table_find(const struct table *table, uint64_t id);
/* Links of others, by the socket they came through and their route there, or their descriptor. */
struct link *table_by_route(const struct table *table, const struct port *router,
                            const uint8_t *route);
struct link *table_by_fd(const struct table *table, const struct port *router, int fd);
void table_index(struct table *table, struct link *link);
/* Its descriptor may be another connection's from now on. */
void table_forget_fd(struct table *table, struct link *link);
