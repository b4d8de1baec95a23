#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/serve.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/origin/api.h"

static bool is(const struct request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

/* Sub-resources that S3 and OSS have and this origin has not. To ignore one would be to answer
 * something else than what was asked. */
static bool asks_for_more(const struct request *request)
{
    static const char *const names[] = {
        "acl",         "tagging",    "policy",    "lifecycle",    "cors",
        "encryption",  "versions",   "versionId", "torrent",      "retention",
        "legal-hold",  "attributes", "restore",   "select",       "append",
        "replication", "website",    "logging",   "notification", "symlink",
        "bucketInfo",  "stat",       "inventory", "object-lock",  "x-oss-process",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (request_param(request, names[i]) != NULL) {
            return true;
        }
    }
    return request->payload != NULL && text_starts(request->payload, "STREAMING-");
}

static enum MHD_Result dispatch_upload(struct request *request)
{
    if (is(request, "POST") && request_param(request, "uploads") != NULL) {
        return api_upload_start(request);
    }
    if (is(request, "POST")) {
        return api_upload_complete(request);
    }
    if (is(request, "DELETE")) {
        return api_upload_abort(request);
    }
    return reply_fail(request, FAIL_NOT_IMPLEMENTED, NULL);
}

static enum MHD_Result dispatch_kind(struct request *request)
{
    switch (request->kind) {
    case KIND_GET:
    case KIND_HEAD:
        return api_object_read(request);
    case KIND_PUT:
        return request_param(request, "uploadId") != NULL ? api_upload_part(request)
                                                          : api_object_put(request);
    case KIND_DELETE:
        if (is(request, "DELETE")) {
            return api_object_delete(request);
        }
        return request_param(request, "delete") != NULL
                   ? api_object_delete_many(request)
                   : reply_fail(request, FAIL_NOT_IMPLEMENTED, NULL);
    case KIND_LIST:
        return api_list_objects(request);
    case KIND_MULTIPART:
        return dispatch_upload(request);
    case KIND_BUCKET:
    case KIND_COUNT:
        return api_bucket(request);
    }
    return MHD_NO;
}

static void make_plan(struct request *request)
{
    const char *key = request->address.key;
    const struct faults_request what = {
        .kind = request->kind,
        .bucket = request->address.bucket == NULL ? "" : request->address.bucket,
        .key = request->kind == KIND_LIST ? strchr(request->name, '/') + 1
               : key == NULL              ? ""
                                          : key,
    };
    faults_plan(request->server->faults, &what, pacer_now_ns(), &request->plan);
    request->planned = true;
}

/* The request is complete: do what the faults say first, and answer. Comes here again after each
 * wait. */
static enum MHD_Result answer(struct request *request)
{
    struct fault_plan *plan = &request->plan;
    if (!request->planned) {
        make_plan(request);
    }
    if (request->frozen) {
        return MHD_NO; /* the client has given up, or the origin stops */
    }
    if (plan->has[FAULT_FREEZE]) {
        request->frozen = true;
        pacer_freeze(request->server->pacer, request->connection);
        return MHD_YES;
    }
    if (plan->has[FAULT_LATENCY] && !request->waited) {
        request->waited = true;
        pacer_wait(request->server->pacer, request->connection,
                   pacer_now_ns() + (int64_t)plan->wait_ms * 1000000);
        return MHD_YES;
    }
    if (plan->has[FAULT_DROP]) {
        return MHD_NO;
    }
    if (request->fail != FAIL_NONE) {
        return reply_fail(request, request->fail, NULL);
    }
    if (plan->has[FAULT_STATUS]) {
        return reply_status(request, plan->status, plan->code);
    }
    if (asks_for_more(request)) {
        return reply_fail(request, FAIL_NOT_IMPLEMENTED, NULL);
    }
    return dispatch_kind(request);
}

/* Where a body may come, get ready for it; it is dropped where the request is refused anyway. */
static void prepare_body(struct request *request)
{
    if (request->fail != FAIL_NONE) {
        return;
    }
    /* 64 hex digits: the body's hash, else it says UNSIGNED-PAYLOAD or nothing. */
    bool hashed = request->payload != NULL && strlen(request->payload) == 64;
    if (is(request, "POST")) {
        request->body = body_new(-1, hashed);
    }
    struct bucket *bucket = request->kind == KIND_PUT && request->address.bucket != NULL
                                ? store_bucket(request->server->store, request->address.bucket)
                                : NULL;
    if (bucket != NULL) {
        int fd = store_file_create(request->server->store, bucket, &request->file_id);
        if (fd < 0) {
            request->fail = FAIL_INTERNAL;
            return;
        }
        request->body = body_new(fd, hashed);
    }
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **state)
{
    struct request *request = *state;
    (void)context;
    (void)connection;
    (void)url;
    (void)version;
    if (!request->begun) {
        request_begin(request, method);
        prepare_body(request);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        request->received += *upload_size;
        if (request->fail == FAIL_NONE && request->body != NULL &&
            !body_add(request->body, upload, *upload_size)) {
            request->fail = FAIL_INTERNAL;
        }
        *upload_size = 0;
        return MHD_YES;
    }
    return answer(request);
}

static void *on_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    return request_new(context, connection, uri);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;
    (void)context;
    (void)connection;
    if (request != NULL) {
        request_end(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        request_free(&request);
    }
    *state = NULL;
}

/* Paths and queries are decoded by query.c and address.c: signatures need them as they came. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

/* As many connections as descriptors allow, some kept for the objects' files. */
static unsigned connections_most(void)
{
    struct rlimit limit = { .rlim_cur = 1024 };
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur > 65536 ? 32768 : (unsigned)(limit.rlim_cur / 2);
}

struct MHD_Daemon *serve_start(struct server *server, int listening, unsigned threads,
                               unsigned idle_s)
{
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, server, MHD_OPTION_LISTEN_SOCKET, listening,
        MHD_OPTION_URI_LOG_CALLBACK, on_line, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_THREAD_POOL_SIZE,
        threads > 1 ? threads : 0, MHD_OPTION_CONNECTION_TIMEOUT, idle_s,
        MHD_OPTION_CONNECTION_LIMIT, connections_most(),
        /* Room for the headers of a 1,024 byte key, three times as long when encoded, and for
         * bodies to come in large pieces. */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)128 * 1024,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)64 * 1024, MHD_OPTION_END);
}
