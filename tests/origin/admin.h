/* tests/origin/admin.h: the admin port: counters, faults, and what the objects really are. */
#ifndef ATOLL_TESTS_ORIGIN_ADMIN_H
#define ATOLL_TESTS_ORIGIN_ADMIN_H

#include "tests/origin/server.h"

struct MHD_Daemon;

/* Paths and their help, as --help and GET / show them. */
#define ADMIN_HELP                                                                                 \
    "GET  /counters               requests and payload bytes in all, per kind, per key\n"          \
    "       ?keys=0                 without the keys\n"                                            \
    "       ?prefix=BUCKET/PREFIX   only these keys\n"                                             \
    "POST /reset                  set all counters to zero\n"                                      \
    "GET  /faults                 faults and limits, and how often each matched and fired\n"       \
    "POST /faults                 replace them: {\"faults\": [{\"action\": …}], \"bandwidth\": " \
    "…}\n"                                                                                       \
    "DELETE /faults               none any more\n"                                                 \
    "GET  /objects?bucket=B       key, size, ETag of all objects\n"                                \
    "       &prefix=P               only these\n"                                                  \
    "       &sha256=1               with the SHA-256 of their bytes\n"                             \
    "GET  /health                 {\"ok\": true}\n"

/* The socket moves in. NULL when the library refuses. */
struct MHD_Daemon *admin_start(struct server *server, int listening);

#endif
