/* node/io/links_socket.c: options, frames, monitors and ZAP of libzmq 4.3. */
#include "node/io/links_socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/node.h"
#include "node/io/address.h"
#include "wire/message.h"

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

static void set_int(void *socket, int option, int value)
{
    CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_limit(void *socket, int64_t bytes)
{
    CHECK(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes) == 0);
}

static void set_common(void *socket)
{
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_IPV6, 1);
    set_int(socket, ZMQ_HANDSHAKE_IVL, 3000);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 30);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
    /* A peer that is frozen or cut off is gone after 20 s; fail-over of reads does not wait for
     * that, it only frees what the connection holds. */
    set_int(socket, ZMQ_HEARTBEAT_IVL, 5000);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 20000);
    /* 10,000 messages nobody takes: the link ends. Bytes are budgeted by whoever sends them. */
    set_int(socket, ZMQ_SNDHWM, 10000);
    set_int(socket, ZMQ_RCVHWM, 1000);
}

static void set_key(void *socket, int option, const uint8_t key[32])
{
    CHECK(zmq_setsockopt(socket, option, key, 32) == 0);
}

void *socket_router(void *zmq, const struct links_keys *keys)
{
    void *socket = zmq_socket(zmq, ZMQ_ROUTER);
    if (socket == NULL) {
        return NULL;
    }
    set_common(socket);
    set_limit(socket, WIRE_REQUEST_MAX);
    set_int(socket, ZMQ_RCVHWM, SOCKET_ROUTER_MESSAGES);
    set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    set_int(socket, ZMQ_BACKLOG, 1024); /* mounts come by the thousand */
    if (keys != NULL) {
        set_int(socket, ZMQ_CURVE_SERVER, 1);
        set_key(socket, ZMQ_CURVE_SECRETKEY, keys->server_secret);
        CHECK(zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "atoll", 5) == 0);
    }
    return socket;
}

void *socket_dealer(void *zmq, const struct links_keys *keys)
{
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    if (socket == NULL) {
        return NULL;
    }
    set_common(socket);
    set_limit(socket, (int64_t)BLOCK_SIZE_MAX + 4096);
    set_int(socket, ZMQ_IMMEDIATE, 1);
    set_int(socket, ZMQ_RECONNECT_IVL, -1); /* links.c tries again, with a fresh socket */
    set_int(socket, ZMQ_CONNECT_TIMEOUT, 2000);
    if (keys != NULL) {
        set_key(socket, ZMQ_CURVE_SERVERKEY, keys->server_key);
        set_key(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key);
        set_key(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key);
    }
    return socket;
}

void *socket_watch(void *zmq, void *socket, int events)
{
    static atomic_uint_fast64_t number; /* names of monitors are shared by a whole context */
    char name[48];
    snprintf(name, sizeof name, "inproc://watch-%llu",
             (unsigned long long)atomic_fetch_add(&number, 1));
    if (zmq_socket_monitor(socket, name, events) != 0) {
        return NULL;
    }
    void *watch = zmq_socket(zmq, ZMQ_PAIR);
    if (watch == NULL) {
        return NULL;
    }
    set_int(watch, ZMQ_LINGER, 0);
    set_int(watch, ZMQ_RCVHWM, 0);
    if (zmq_connect(watch, name) != 0) {
        zmq_close(watch);
        return NULL;
    }
    return watch;
}

void socket_unwatch(void *socket)
{
    CHECK(zmq_socket_monitor(socket, NULL, 0) == 0);
}

void *socket_zap(void *zmq)
{
    void *socket = zmq_socket(zmq, ZMQ_REP);
    if (socket == NULL) {
        return NULL;
    }
    set_int(socket, ZMQ_LINGER, 0);
    if (zmq_bind(socket, ZAP_ENDPOINT) != 0) {
        zmq_close(socket);
        return NULL;
    }
    return socket;
}

void socket_close(void **socket)
{
    if (*socket == NULL) {
        return;
    }
    CHECK(zmq_close(*socket) == 0);
    *socket = NULL;
}

void socket_endpoint(enum links_transport transport, const struct address *address, char *out)
{
    char text[ADDRESS_TEXT_SIZE];
    if (transport == LINKS_PRIVATE) {
        snprintf(out, SOCKET_ENDPOINT_MAX, "inproc://atoll-%u", address->port);
        return;
    }
    address_text(address, text);
    snprintf(out, SOCKET_ENDPOINT_MAX, "tcp://%s", text);
}

int socket_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    CHECK(zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0);
    return fd;
}

bool socket_readable(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    CHECK(zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0);
    return (events & ZMQ_POLLIN) != 0;
}

/* ---- frames ------------------------------------------------------------------------------ */

#if defined(__SANITIZE_THREAD__)
/* The thread sanitizer does not see how ZeroMQ's thread hands a frame to this one. In its builds a
 * frame is copied by code that it does not watch into memory that this thread has made. */
__attribute__((no_sanitize("thread"))) static void copy_unseen(const uint8_t *from, uint8_t *to,
                                                               size_t size)
{
    const volatile uint8_t *at = from; /* volatile: must not become a memcpy, which is watched */
    for (size_t i = 0; i < size; i++) {
        to[i] = at[i];
    }
}

static void take_over(zmq_msg_t *frame)
{
    zmq_msg_t ours;
    const size_t size = zmq_msg_size(frame);
    CHECK(zmq_msg_init_size(&ours, size) == 0);
    copy_unseen(zmq_msg_data(frame), zmq_msg_data(&ours), size);
    CHECK(zmq_msg_close(frame) == 0 && zmq_msg_init(frame) == 0);
    CHECK(zmq_msg_move(frame, &ours) == 0);
}
#else
static void take_over(zmq_msg_t *frame)
{
    (void)frame;
}
#endif

/* false: nothing there, and `frame` needs no closing. */
static bool receive_frame(void *socket, zmq_msg_t *frame)
{
    CHECK(zmq_msg_init(frame) == 0);
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR) {
            CHECK(errno == EAGAIN);
            zmq_msg_close(frame);
            return false;
        }
    }
    return true;
}

static void drop_rest(void *socket)
{
    zmq_msg_t frame;
    bool more = true;
    while (more && receive_frame(socket, &frame)) {
        more = zmq_msg_more(&frame) != 0;
        zmq_msg_close(&frame);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As socket_zap_answer wrote it. */
static bool parse_key(const char *text, uint8_t key[32])
{
    if (text == NULL || strlen(text) != 64) {
        return false;
    }
    for (uint32_t i = 0; i < 32; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void read_origin(zmq_msg_t *frame, struct incoming *out)
{
    const char *fd = zmq_msg_gets(frame, "__fd");
    out->fd = fd != NULL ? atoi(fd) : -1;
    out->has_key = parse_key(zmq_msg_gets(frame, "User-Id"), out->key);
}

static bool receive_route(void *socket, struct incoming *out)
{
    zmq_msg_t frame;
    if (!receive_frame(socket, &frame)) {
        return false;
    }
    out->foreign = zmq_msg_size(&frame) != SOCKET_ROUTE_SIZE;
    if (!out->foreign) {
        memcpy(out->route, zmq_msg_data(&frame), SOCKET_ROUTE_SIZE);
    }
    out->excess = zmq_msg_more(&frame) == 0; /* a route and nothing else */
    zmq_msg_close(&frame);
    return true;
}

bool socket_receive(void *socket, bool is_router, struct incoming *out)
{
    bool more = true;
    memset(out, 0, sizeof *out);
    out->fd = -1;
    if (is_router && !receive_route(socket, out)) {
        return false;
    }
    while (more && !out->excess && out->count < 2 &&
           receive_frame(socket, &out->frames[out->count])) {
        more = zmq_msg_more(&out->frames[out->count]) != 0;
        out->count++;
    }
    if (out->count == 0) {
        return is_router;
    }
    if (more) {
        out->excess = true;
        drop_rest(socket);
    }
    read_origin(&out->frames[0], out);
    for (uint32_t i = 0; i < out->count; i++) {
        take_over(&out->frames[i]);
    }
    return true;
}

void incoming_close(struct incoming *in)
{
    while (in->count > 0) {
        zmq_msg_close(&in->frames[--in->count]);
    }
}

bool socket_watch_read(void *watch, uint16_t *event, uint32_t *value)
{
    zmq_msg_t frame;
    if (!receive_frame(watch, &frame)) {
        return false;
    }
    CHECK(zmq_msg_size(&frame) == 6);
    const uint8_t *data = zmq_msg_data(&frame);
    memcpy(event, data, 2);
    memcpy(value, data + 2, 4);
    if (zmq_msg_more(&frame) != 0) {
        drop_rest(watch);
    }
    zmq_msg_close(&frame);
    return true;
}

/* ---- ZAP (RFC 27): version, request id, domain, address, identity, mechanism, key ---------- */

#define ZAP_FRAMES 7

static void send_text(void *socket, const char *text, size_t size, bool more)
{
    zmq_send(socket, text, size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void zap_reply(void *zap, zmq_msg_t *request_id, zmq_msg_t *key)
{
    static const char digits[] = "0123456789abcdef";
    char user[64] = { 0 };
    const bool welcome = key != NULL && zmq_msg_size(key) == 32;
    const uint8_t *bytes = welcome ? zmq_msg_data(key) : NULL;
    for (uint32_t i = 0; welcome && i < 32; i++) {
        user[2 * i] = digits[bytes[i] >> 4];
        user[2 * i + 1] = digits[bytes[i] & 15];
    }
    send_text(zap, "1.0", 3, true);
    send_text(zap, zmq_msg_data(request_id), zmq_msg_size(request_id), true);
    send_text(zap, welcome ? "200" : "400", 3, true);
    send_text(zap, "", 0, true);
    send_text(zap, user, welcome ? sizeof user : 0, true);
    send_text(zap, "", 0, false);
}

bool socket_zap_answer(void *zap)
{
    zmq_msg_t frames[ZAP_FRAMES];
    uint32_t count = 0;
    bool more = true;
    while (more && count < ZAP_FRAMES && receive_frame(zap, &frames[count])) {
        more = zmq_msg_more(&frames[count]) != 0;
        count++;
    }
    if (count == 0) {
        return false;
    }
    if (more) {
        drop_rest(zap);
    }
    if (count >= 2) {
        zap_reply(zap, &frames[1], count == ZAP_FRAMES ? &frames[6] : NULL);
    }
    while (count > 0) {
        zmq_msg_close(&frames[--count]);
    }
    return true;
}

bool socket_send(void *socket, const uint8_t *route, struct span frame, zmq_msg_t *payload)
{
    const int more = ZMQ_DONTWAIT | ZMQ_SNDMORE;
    bool sent = route == NULL || zmq_send(socket, route, SOCKET_ROUTE_SIZE, more) >= 0;
    sent = sent &&
           zmq_send(socket, frame.data, frame.size, payload != NULL ? more : ZMQ_DONTWAIT) >= 0;
    if (payload == NULL) {
        return sent;
    }
    sent = sent && zmq_msg_send(payload, socket, ZMQ_DONTWAIT) >= 0;
    if (!sent) {
        zmq_msg_close(payload);
    }
    return sent;
}
