/* tests/origin/pacer.h: resumes suspended connections when their time has come.
 *
 * Thread: "pacer", one. Owns: a heap of connections that wait for a time, and a list of frozen ones
 * that wait for their client to give up. Any thread may hand it a connection, suspended already. */
#ifndef ATOLL_TESTS_ORIGIN_PACER_H
#define ATOLL_TESTS_ORIGIN_PACER_H

#include <stdint.h>

struct MHD_Connection;
struct pacer;

/* Nanoseconds of the monotonic clock. */
int64_t pacer_now_ns(void);

struct pacer *pacer_start(void);
/* Resume all that wait, and return when that is done. Connections handed over from now on are not
 * suspended: the server stops, and libmicrohttpd must have none that is. */
void pacer_release(struct pacer *pacer);
/* After pacer_release, and when no connection is left. */
void pacer_stop(struct pacer **pacer);

/* Suspend the connection and resume it at that time. */
void pacer_wait(struct pacer *pacer, struct MHD_Connection *connection, int64_t until_ns);
/* Suspend it and resume it when the client has closed its end, or on pacer_release. */
void pacer_freeze(struct pacer *pacer, struct MHD_Connection *connection);

#endif
