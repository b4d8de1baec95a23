/* tests/origin/server.h: what all requests share. */
#ifndef ATOLL_TESTS_ORIGIN_SERVER_H
#define ATOLL_TESTS_ORIGIN_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "tests/origin/address.h"
#include "tests/origin/counters.h"
#include "tests/origin/faults.h"
#include "tests/origin/keys.h"
#include "tests/origin/pacer.h"
#include "tests/origin/store.h"
#include "tests/origin/uploads.h"

struct server {
    struct store *store;
    struct counters *counters;
    struct faults *faults;
    struct pacer *pacer;
    struct uploads *uploads;
    /* Set before the first request. */
    struct address_domains domains;
    const char *region; /* NULL: signatures of any region are taken */
    bool anonymous_read;
    int64_t clock_offset_s; /* of the origin's clock against the machine's */
    FILE *log;              /* NULL: none. stdio locks it. */
    atomic_ullong next_request;
    pthread_rwlock_t keys_lock;
    struct keys *keys; /* under keys_lock: SIGHUP replaces them */
};

static inline int64_t server_now_s(const struct server *server)
{
    return (int64_t)time(NULL) + server->clock_offset_s;
}

#endif
