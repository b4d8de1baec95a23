#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/request.h"

#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct request *request_new(struct server *server, struct MHD_Connection *connection,
                            const char *uri)
{
    struct request *request = text_alloc(sizeof *request);
    request->server = server;
    request->connection = connection;
    request->uri = text_dup(uri, strlen(uri));
    request->method = "";
    request->started_ns = pacer_now_ns();
    return request;
}

void request_free(struct request **request)
{
    struct request *old = *request;
    if (old->file_id != 0 && old->body != NULL && old->address.bucket != NULL) {
        /* A body that became no object. */
        struct bucket *bucket = store_bucket(old->server->store, old->address.bucket);
        if (bucket != NULL) {
            store_file_drop(old->server->store, bucket, old->file_id);
        }
    }
    body_free(&old->body);
    query_fini(&old->query);
    address_fini(&old->address);
    verify_fini(&old->verdict);
    free(old->name);
    free(old->uri);
    free(old);
    *request = NULL;
}

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct request *request = context;
    (void)kind;
    if (request->field_count == REQUEST_FIELDS_MAX) {
        return MHD_NO;
    }
    request->fields[request->field_count++] =
        (struct field){ .name = name, .value = value == NULL ? "" : value };
    return MHD_YES;
}

const char *request_field(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (text_same_nocase(request->fields[i].name, name)) {
            return request->fields[i].value;
        }
    }
    return NULL;
}

const char *request_own_field(const struct request *request, const char *name)
{
    struct text full = { 0 };
    text_printf(&full, "%s%s", request->dialect == DIALECT_OSS ? "x-oss-" : "x-amz-", name);
    const char *value = request_field(request, full.bytes);
    text_fini(&full);
    return value;
}

const char *request_param(const struct request *request, const char *name)
{
    return query_get(&request->query, name);
}

/* Bytes the connection has sent, by the kernel's count; the acknowledged ones are among them. */
static uint64_t wire_bytes(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct tcp_info tcp = { 0 };
    socklen_t size = sizeof tcp;
    if (info == NULL || getsockopt(info->connect_fd, IPPROTO_TCP, TCP_INFO, &tcp, &size) != 0) {
        return 0;
    }
    return tcp.tcpi_bytes_sent - tcp.tcpi_bytes_retrans;
}

static enum kind kind_of(const struct request *request)
{
    const char *method = request->method;
    bool has_key = request->address.key != NULL;
    bool upload =
        request_param(request, "uploads") != NULL || request_param(request, "uploadId") != NULL;
    if (strcmp(method, "GET") == 0 && !has_key && request->address.bucket != NULL) {
        bool other = request_param(request, "location") != NULL || upload ||
                     request_param(request, "versioning") != NULL;
        return other ? KIND_BUCKET : KIND_LIST;
    }
    if (!has_key && strcmp(method, "POST") != 0) {
        return KIND_BUCKET;
    }
    if (upload && request_param(request, "partNumber") == NULL) {
        return KIND_MULTIPART;
    }
    if (strcmp(method, "POST") == 0) {
        return KIND_DELETE; /* ?delete: many at once */
    }
    return counters_kind_parse(method);
}

static enum fail fail_of(const struct verdict *verdict)
{
    switch (verdict->kind) {
    case VERDICT_GOOD:
        return FAIL_NONE;
    case VERDICT_ANONYMOUS:
        return FAIL_DENIED;
    case VERDICT_MALFORMED:
        return FAIL_AUTHORIZATION;
    case VERDICT_UNKNOWN_KEY:
    case VERDICT_TOKEN_MISSING:
        return FAIL_KEY_ID;
    case VERDICT_WRONG_SIGNATURE:
        return FAIL_SIGNATURE;
    case VERDICT_SKEWED:
        return FAIL_SKEWED;
    case VERDICT_EXPIRED:
        return FAIL_EXPIRED;
    case VERDICT_TOKEN_WRONG:
        return FAIL_TOKEN;
    case VERDICT_HEADER_UNSIGNED:
        return FAIL_UNSIGNED_HEADER;
    case VERDICT_WRONG_REGION:
        return FAIL_REGION;
    }
    return FAIL_INTERNAL;
}

static enum fail check_signature(struct request *request)
{
    const struct signed_request said = { .method = request->method,
                                         .path = request->uri,
                                         .query = &request->query,
                                         .fields = request->fields,
                                         .field_count = request->field_count,
                                         .bucket = request->address.bucket,
                                         .key = request->address.key };
    struct server *server = request->server;
    pthread_rwlock_rdlock(&server->keys_lock);
    const struct verify_policy policy = { .keys = server->keys,
                                          .region = server->region,
                                          .now_s = server_now_s(server) };
    verify_request(&said, &policy, &request->verdict);
    pthread_rwlock_unlock(&server->keys_lock);
    request->dialect = request->verdict.dialect;
    request->payload = request_own_field(request, "content-sha256");
    bool reads = request->kind == KIND_GET || request->kind == KIND_HEAD ||
                 request->kind == KIND_LIST ||
                 (request->kind == KIND_BUCKET && strcmp(request->method, "HEAD") == 0);
    if (request->verdict.kind == VERDICT_ANONYMOUS && server->anonymous_read && reads) {
        return FAIL_NONE;
    }
    return fail_of(&request->verdict);
}

/* The last kind is what an unknown method gets; it is refused later. */
static void classify(struct request *request)
{
    enum kind kind = kind_of(request);
    const char *bucket = request->address.bucket;
    const char *key = request->address.key;
    request->kind = kind == KIND_COUNT ? KIND_BUCKET : kind;
    if (kind == KIND_LIST) {
        key = request_param(request, "prefix");
    }
    struct text name = { 0 };
    text_printf(&name, "%s/%s", bucket == NULL ? "" : bucket, key == NULL ? "" : key);
    request->name = name.bytes;
}

void request_begin(struct request *request, const char *method)
{
    struct server *server = request->server;
    request->begun = true;
    request->method = method;
    request->wire_start = wire_bytes(request);
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_field, request);
    snprintf(request->id, sizeof request->id, "%016llX",
             (unsigned long long)atomic_fetch_add(&server->next_request, 1));
    char *question = strchr(request->uri, '?');
    if (question != NULL) {
        *question = '\0';
    }
    bool good = query_init(&request->query, question == NULL ? NULL : question + 1) &&
                address_init(&request->address, request_field(request, "host"), request->uri,
                             &server->domains);
    classify(request);
    request->era = counters_start(server->counters, request->kind, request->name);
    if (!good) {
        request->fail = FAIL_URI;
        return;
    }
    request->fail = check_signature(request);
    /* 1,024 bytes: the longest key of S3; OSS says 1,023. */
    if (request->fail == FAIL_NONE && request->address.key != NULL &&
        strlen(request->address.key) > 1024) {
        request->fail = FAIL_KEY_TOO_LONG;
    }
}

/* Of an answer that was cut off, what left the machine; ±300 bytes, since the headers' share is
 * taken as 400. */
static uint64_t sent_of_cut(const struct request *request)
{
    uint64_t wire = wire_bytes(request);
    uint64_t sent = wire > request->wire_start + 400 ? wire - request->wire_start - 400 : 0;
    return sent < request->reply_size ? sent : request->reply_size;
}

static void log_request(const struct request *request, const struct counters_note *note,
                        bool complete)
{
    const char *range = request_field(request, "range");
    double took_ms = (double)(pacer_now_ns() - request->started_ns) / 1e6;
    struct text name = { 0 };
    text_uri(&name, note->name, strlen(note->name), URI_PATH);
    fprintf(request->server->log,
            "kind=%s name=%s range=%s status=%d sent=%" PRIu64 " received=%" PRIu64
            " cut=%d ms=%.3f dialect=%s\n",
            counters_kind_name(note->kind), name.bytes, range == NULL ? "-" : range, note->status,
            note->sent, note->received, !complete, took_ms,
            request->dialect == DIALECT_OSS ? "oss" : "s3");
    fflush(request->server->log);
    text_fini(&name);
}

static struct counters_note note_of(const struct request *request)
{
    return (struct counters_note){ .era = request->era,
                                   .kind = request->kind,
                                   .name = request->name,
                                   .status = request->status,
                                   .sent = request->reply_size,
                                   .received = request->received };
}

void request_answer(struct request *request, int status, uint64_t size)
{
    request->status = status;
    request->reply_size = strcmp(request->method, "HEAD") == 0 ? 0 : size;
    const struct counters_note note = note_of(request);
    counters_answer(request->server->counters, &note);
}

void request_end(struct request *request, bool complete)
{
    if (!request->begun) {
        return;
    }
    struct counters_note note = note_of(request);
    if (!complete) {
        note.sent = request->is_streamed ? request->streamed : sent_of_cut(request);
    }
    counters_finish(request->server->counters, &note, request->reply_size, !complete);
    if (request->server->log != NULL) {
        log_request(request, &note, complete);
    }
}
