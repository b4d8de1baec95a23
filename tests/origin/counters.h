/* tests/origin/counters.h: requests and payload bytes per key and kind. Shared by all threads. */
#ifndef ATOLL_TESTS_ORIGIN_COUNTERS_H
#define ATOLL_TESTS_ORIGIN_COUNTERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum kind {
    KIND_GET,
    KIND_HEAD,
    KIND_PUT,
    KIND_DELETE,
    KIND_LIST,
    KIND_MULTIPART, /* initiate, complete, abort; a part is a PUT */
    KIND_BUCKET,    /* buckets themselves: list, head, create, location */
    KIND_COUNT,
};

struct counters;

struct counters *counters_new(void);
void counters_free(struct counters **counters);

const char *counters_kind_name(enum kind kind);
/* KIND_COUNT when the name is none. */
enum kind counters_kind_parse(const char *name);

/* A request for "bucket/key" came; of a listing, "bucket/prefix". */
void counters_start(struct counters *counters, enum kind kind, const char *name);

/* How a request ended. Bytes are those of bodies, headers apart. */
struct counters_end {
    enum kind kind;
    const char *name;
    int status; /* 0: the connection ended without an answer */
    uint64_t sent;
    uint64_t received;
    bool cut; /* before its last byte */
};
void counters_finish(struct counters *counters, const struct counters_end *end);

/* Forget all but the requests under way. */
void counters_reset(struct counters *counters);

/* The whole report; with `keys`, also per key, those whose "bucket/key" starts with `prefix`. */
json_t *counters_report(struct counters *counters, bool keys, const char *prefix);

#endif
