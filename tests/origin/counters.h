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

/* A request for "bucket/key" came; of a listing, "bucket/prefix". Returns the era it belongs to: a
 * reset begins another one, and what came before it is counted no more. */
uint64_t counters_start(struct counters *counters, enum kind kind, const char *name);

/* What is known of a request. Bytes are those of bodies, headers apart. */
struct counters_note {
    uint64_t era;
    enum kind kind;
    const char *name;
    int status; /* 0: there is no answer */
    uint64_t sent;
    uint64_t received;
};
/* It is about to be answered. All of the answer counts at once, so that who has read it finds it
 * counted. */
void counters_answer(struct counters *counters, const struct counters_note *note);
/* It ended. `cut`: early, and `note` has what really was sent in place of what was counted,
 * `counted` bytes. */
void counters_finish(struct counters *counters, const struct counters_note *note, uint64_t counted,
                     bool cut);
/* Set all to zero, but for the number of requests under way. */
void counters_reset(struct counters *counters);

/* The whole report; with `keys`, also per key, those whose "bucket/key" starts with `prefix`. */
json_t *counters_report(struct counters *counters, bool keys, const char *prefix);

#endif
