/* node/io/links_inside.h: what links.c (opening, sending, closing) and links_turn.c (the poll, and
 * what arrives) share. Nobody else includes it.
 *
 * ZeroMQ's descriptors only say "look": a socket is `dirty` until it was read to its end, and
 * becomes dirty when its descriptor is readable or when we sent through it (sending may swallow
 * the signal). So a turn costs what is active, not what is open. */
#pragma once
#include "node/io/links.h"
#include "node/io/links_guests.h"
#include "node/io/links_table.h"

/* A received payload until its release. Its address is its token. */
struct held {
    struct list all;
    zmq_msg_t frame;
};

/* A payload on its way out; ZeroMQ's thread hands it back through the queue `sent`. */
struct sending {
    struct queue_item queue;
    struct links *links;
    uint64_t token;
    uint32_t size;
};

struct links {
    struct links_options options;
    struct links_keys keys;
    void *zmq;
    int epoll;
    struct queue *sent;
    struct table table;
    struct port control;
    struct port control_watch;
    struct port data;
    struct port data_watch;
    struct port zap;
    struct guests *guests; /* NULL: nobody can come, or all are of this process */
    uint16_t ports[2];     /* by enum link_purpose */
    struct list dirty;
    struct list news;   /* links whose LINKS_UP or LINKS_DOWN is to be told */
    struct list trying; /* outbound links between two attempts, and during one */
    struct list held;
    bool has_buried;
    uint32_t told; /* events of this turn */
    links_handler *handler;
    void *self;
    struct links_totals totals;
};

void links_mark_dirty(struct links *links, struct port *port);
/* No event of it will be told. Its slot is used again only after the turn in which this happens:
 * a loop further up may still look at it. */
void links_bury(struct links *links, struct link *link);
/* An open link is at its end, and its owner has to be told. */
void links_fall(struct links *links, struct link *link);
/* Start an attempt now; plan the next one, later each time. */
void links_attempt(struct links *links, struct link *link);
void links_again(struct links *links, struct link *link);
/* Tell a link of others that it is closed. */
void links_say_closed(struct port *router, const uint8_t *route);
/* Slots of buried links become free. */
void links_sweep(struct links *links);
