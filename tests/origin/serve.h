/* tests/origin/serve.h: the HTTP server in front of the operations. */
#ifndef ATOLL_TESTS_ORIGIN_SERVE_H
#define ATOLL_TESTS_ORIGIN_SERVE_H

#include "tests/origin/server.h"

struct MHD_Daemon;

/* Serve requests that come to the listening socket, with `threads` threads; the socket moves in.
 * NULL when the library refuses. End it with pacer_release, then MHD_stop_daemon. */
struct MHD_Daemon *serve_start(struct server *server, int listening, unsigned threads,
                               unsigned idle_s);

#endif
