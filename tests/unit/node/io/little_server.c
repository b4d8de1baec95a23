#include "tests/unit/node/io/little_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

#define CONNECTIONS_MAX 256
#define REQUEST_MAX 16384

struct connection {
    struct little_server *server;
    int fd;
    pthread_t thread;
};

struct little_server {
    little_answer *answer;
    void *self;
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    struct connection connections[CONNECTIONS_MAX];
    uint32_t count;
};

void little_write(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the client went away: some tests want just that */
        }
        at += sent;
        size -= (size_t)sent;
    }
}

bool little_header(const char *request, const char *name, char *out, size_t room)
{
    size_t size = strlen(name);
    for (const char *line = strchr(request, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        const char *value = line + 1 + size;
        if (strncasecmp(line + 1, name, size) != 0 || *value != ':') {
            continue;
        }
        value += 1 + strspn(value + 1, " ");
        size_t length = strcspn(value, "\r\n");
        CHECK(length < room);
        memcpy(out, value, length);
        out[length] = '\0';
        return true;
    }
    return false;
}

/* Up to the empty line; false: the client is gone. */
static bool read_request(int fd, char *request)
{
    size_t used = 0;
    while (used < 4 || memcmp(request + used - 4, "\r\n\r\n", 4) != 0) {
        CHECK(used + 1 < REQUEST_MAX);
        if (recv(fd, request + used, 1, 0) != 1) {
            return false;
        }
        used++;
    }
    request[used] = '\0';
    return true;
}

static void *serve(void *self)
{
    struct connection *connection = self;
    struct little_server *server = connection->server;
    char request[REQUEST_MAX];
    while (read_request(connection->fd, request) &&
           server->answer(connection->fd, request, server->self)) {
    }
    /* Closed when the server stops: until then its number means this connection. */
    (void)shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

static void *listen_on(void *self)
{
    struct little_server *server = self;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        CHECK(pthread_mutex_lock(&server->mutex) == 0);
        CHECK(server->count < CONNECTIONS_MAX);
        struct connection *made = &server->connections[server->count++];
        *made = (struct connection){ .server = server, .fd = fd };
        CHECK(pthread_create(&made->thread, NULL, serve, made) == 0);
        CHECK(pthread_mutex_unlock(&server->mutex) == 0);
    }
    return NULL;
}

struct little_server *little_server_start(little_answer *answer, void *self)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    struct little_server *server = calloc(1, sizeof *server);
    CHECK(server != NULL);
    server->answer = answer;
    server->self = self;
    CHECK(pthread_mutex_init(&server->mutex, NULL) == 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(server->fd >= 0);
    CHECK(bind(server->fd, (const struct sockaddr *)&address, size) == 0);
    CHECK(listen(server->fd, CONNECTIONS_MAX) == 0);
    CHECK(getsockname(server->fd, (struct sockaddr *)&address, &size) == 0);
    server->port = ntohs(address.sin_port);
    CHECK(pthread_create(&server->thread, NULL, listen_on, server) == 0);
    return server;
}

uint16_t little_server_port(const struct little_server *server)
{
    return server->port;
}

uint32_t little_server_connections(struct little_server *server)
{
    CHECK(pthread_mutex_lock(&server->mutex) == 0);
    uint32_t count = server->count;
    CHECK(pthread_mutex_unlock(&server->mutex) == 0);
    return count;
}

void little_server_stop(struct little_server **pointer)
{
    struct little_server *server = *pointer;
    (void)shutdown(server->fd, SHUT_RDWR);
    CHECK(pthread_join(server->thread, NULL) == 0);
    close(server->fd);
    for (uint32_t i = 0; i < server->count; i++) {
        (void)shutdown(server->connections[i].fd, SHUT_RDWR);
        CHECK(pthread_join(server->connections[i].thread, NULL) == 0);
        close(server->connections[i].fd);
    }
    pthread_mutex_destroy(&server->mutex);
    free(server);
    *pointer = NULL;
}
