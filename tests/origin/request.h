/* tests/origin/request.h: one request, from its first line to its last byte. It belongs to one
 * thread at a time: that of its connection. */
#ifndef ATOLL_TESTS_ORIGIN_REQUEST_H
#define ATOLL_TESTS_ORIGIN_REQUEST_H

#include <microhttpd.h>

#include "tests/origin/body.h"
#include "tests/origin/fail.h"
#include "tests/origin/server.h"
#include "tests/origin/verify.h"

enum { REQUEST_FIELDS_MAX = 64 };

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    char *uri; /* as sent; cut at the "?" once begun */
    const char *method;
    struct field fields[REQUEST_FIELDS_MAX]; /* their text is the connection's */
    size_t field_count;
    struct query query;
    struct address address;
    enum kind kind;
    enum dialect dialect;
    char *name; /* "bucket/key" for the counters and the log */
    char id[33];
    enum fail fail; /* why it is refused, found out before its body came */
    struct verdict verdict;
    const char *payload; /* the signed hash of the body, or UNSIGNED-PAYLOAD; NULL: none said */

    bool begun;
    struct body *body; /* NULL: what comes is dropped */
    uint64_t file_id;  /* of a body that goes to the store */
    uint64_t received;

    bool planned;
    bool waited;
    bool frozen;
    struct fault_plan plan;

    int64_t started_ns;
    uint64_t wire_start; /* bytes the connection had sent before */
    uint64_t era;        /* of the counters */
    int status;          /* 0 until it is answered */
    uint64_t reply_size;
    uint64_t streamed;
    bool is_streamed;
};

struct request *request_new(struct server *server, struct MHD_Connection *connection,
                            const char *uri);
void request_free(struct request **request);

/* Headers are there: find out what is asked, by whom, and whether it is allowed. */
void request_begin(struct request *request, const char *method);
/* It is about to be answered with `size` bytes of body. */
void request_answer(struct request *request, int status, uint64_t size);
/* It is over: count and log it. `complete`: all of the answer was handed to the kernel. */
void request_end(struct request *request, bool complete);

const char *request_field(const struct request *request, const char *name);
/* Of x-amz-NAME and x-oss-NAME the one of the request's dialect. */
const char *request_own_field(const struct request *request, const char *name);
const char *request_param(const struct request *request, const char *name);

#endif
