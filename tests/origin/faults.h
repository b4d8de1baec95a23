/* tests/origin/faults.h: what the origin does wrong on purpose, and how fast it may be.
 *
 * A fault has an action and says which requests it is for; of those, a drawn share, or a number.
 * The same seed and order of requests draw the same. Shared by all threads. */
#ifndef ATOLL_TESTS_ORIGIN_FAULTS_H
#define ATOLL_TESTS_ORIGIN_FAULTS_H

#include "tests/origin/counters.h"

/* X(name in JSON, enum, what it does). Fields `ms`, `bytes`, `status` and `code` belong to some. */
#define FAULT_ACTIONS(X)                                                                        \
    X("latency", FAULT_LATENCY, "wait `ms` (and up to `jitter_ms` more) before the first byte") \
    X("status", FAULT_STATUS,                                                                   \
      "answer `status` (503) with the error `code` (SlowDown, OSS: "                            \
      "ServiceUnavailable)")                                                                    \
    X("cut", FAULT_CUT, "close the connection after `bytes` of the body")                       \
    X("drop", FAULT_DROP, "close the connection without an answer")                             \
    X("freeze", FAULT_FREEZE, "never answer")                                                   \
    X("stall", FAULT_STALL, "after `bytes` of the body wait `ms`, then go on")                  \
    X("wrong-range", FAULT_WRONG_RANGE, "206 with a Content-Range one byte off")                \
    X("short-range", FAULT_SHORT_RANGE, "206 with half of the bytes asked for, honestly said")  \
    X("wrong-bytes", FAULT_WRONG_BYTES, "flip a bit in the middle of the body")                 \
    X("whole", FAULT_WHOLE, "200 and the whole object instead of 206")                          \
    X("etag", FAULT_ETAG, "another ETag than the object's in the answer")                       \
    X("changed", FAULT_CHANGED,                                                                 \
      "act as if the object was overwritten: another ETag, If-Match fails")

enum fault_action {
#define X(name, action, help) action,
    FAULT_ACTIONS(X)
#undef X
        FAULT_ACTION_COUNT,
};

/* What all faults together make of one request. */
struct fault_plan {
    bool has[FAULT_ACTION_COUNT];
    uint64_t wait_ms;
    int status;
    char code[64]; /* "": the usual one */
    uint64_t cut_bytes;
    uint64_t stall_bytes;
    uint64_t stall_ms;
};

struct faults_request {
    enum kind kind;
    const char *bucket;
    const char *key;
};

struct faults;

struct faults *faults_new(void);
void faults_free(struct faults **faults);

/* Replace all faults and limits by those of
 *   {"faults": [{"action": …, "kind": …, "bucket": …, "prefix": …, "probability": 0.1, "count": N,
 *                "skip": N, "seed": N, "ms": N, …}],
 *    "bandwidth": BYTES, "connection_bandwidth": BYTES, "requests_per_second": N}
 * where all but "action" may be missing. False with a message to be freed in *why; nothing has
 * changed then. */
bool faults_set(struct faults *faults, const json_t *setting, char **why);
/* Add one more from "ACTION,name=value,…", as on the command line. */
bool faults_add_text(struct faults *faults, const char *text, char **why);
void faults_set_limits(struct faults *faults, uint64_t bandwidth, uint64_t connection_bandwidth,
                       uint64_t requests_per_second);
/* The setting, with how often each fault matched and fired. */
json_t *faults_report(struct faults *faults);

/* Draw for one request that came at `now_ns`. */
void faults_plan(struct faults *faults, const struct faults_request *request, int64_t now_ns,
                 struct fault_plan *out);

/* Bytes a second of a connection, 0 for no limit. */
uint64_t faults_connection_bandwidth(struct faults *faults);
bool faults_has_bandwidth(struct faults *faults);
/* Take up to `wanted` bytes of the total bandwidth; 0: none before *wait_ns have passed. */
uint64_t faults_take_bytes(struct faults *faults, uint64_t wanted, int64_t now_ns,
                           int64_t *wait_ns);

#endif
