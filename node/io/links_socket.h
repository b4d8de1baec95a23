/* node/io/links_socket.h: single ZeroMQ sockets with Atoll's options, for links.c alone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "node/io/links.h"

#define SOCKET_ENDPOINT_MAX 80
/* Requests of one connection that wait to be taken; the rest waits on the wire. */
#define SOCKET_ROUTER_MESSAGES 256
#define SOCKET_ROUTE_SIZE 5 /* what a ROUTER names a connection: a zero and 32 bits */

/* What a monitor is asked for: the one event of an open connection, and all that end one. */
#define SOCKET_UP_EVENT ZMQ_EVENT_HANDSHAKE_SUCCEEDED
#define SOCKET_END_EVENTS                                                               \
    (ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* Make a socket; NULL: no memory or descriptors. CURVE when `keys` is not NULL. */
void *socket_router(void *zmq, const struct links_keys *keys);
void *socket_dealer(void *zmq, const struct links_keys *keys);
/* A PAIR that reads the monitor of `socket`; `events` is ZMQ_EVENT_*. */
void *socket_watch(void *zmq, void *socket, int events);
/* Stop telling events: before the PAIR is closed. */
void socket_unwatch(void *socket);
/* Who answers the question whether a CURVE key is welcome: all are; it becomes the User-Id. */
void *socket_zap(void *zmq);
void socket_close(void **socket);

/* "tcp://[::1]:7700" or "inproc://atoll-7"; `out` holds SOCKET_ENDPOINT_MAX. */
void socket_endpoint(enum links_transport transport, const struct address *address, char *out);
int socket_fd(void *socket);
/* Has it something to read? Looking also takes in what other threads told the socket. */
bool socket_readable(void *socket);

/* One message: a route when it is a ROUTER's, then at most two frames. The frames are the
 * caller's to close when `count` > 0. */
struct incoming {
    uint8_t route[SOCKET_ROUTE_SIZE];
    bool foreign; /* a route that our kind of peer does not have */
    int fd;       /* of the connection; -1: none */
    bool has_key; /* CURVE */
    uint8_t key[32];
    zmq_msg_t frames[2];
    uint32_t count;
    bool excess; /* there were more frames; they are gone */
};

/* false: nothing there. */
bool socket_receive(void *socket, bool is_router, struct incoming *out);
void incoming_close(struct incoming *in);

/* An event of a monitor: ZMQ_EVENT_*; false: nothing there. `value` may be a descriptor. */
bool socket_watch_read(void *watch, uint16_t *event, uint32_t *value);
/* Answer one question; false: nothing there. */
bool socket_zap_answer(void *zap);

/* Send what is not empty of route, frame and payload as one message; takes over `payload` (may be
 * NULL), also when it fails. */
bool socket_send(void *socket, const uint8_t *route, struct span frame, zmq_msg_t *payload);
