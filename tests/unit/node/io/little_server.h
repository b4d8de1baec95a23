/* tests/unit/node/io/little_server.h: an HTTP server of a few lines that says exactly what a test
 * wants said, right or wrong. One thread for each connection. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct little_server;

/* One request: its text up to the empty line, terminated. Writes the answer to `fd`; true keeps
 * the connection. Called from several threads. */
typedef bool little_answer(int fd, const char *request, void *self);

/* Listens on a free port of 127.0.0.1. */
struct little_server *little_server_start(little_answer *answer, void *self);
uint16_t little_server_port(const struct little_server *server);
/* Connections taken so far. */
uint32_t little_server_connections(struct little_server *server);
/* Closes all connections and waits for their threads: no handler may be blocked. */
void little_server_stop(struct little_server **server);

/* For handlers. */
void little_write(int fd, const void *data, size_t size);
/* The value of header `name` (in lower case) as it is written; false: not there. */
bool little_header(const char *request, const char *name, char *out, size_t room);
