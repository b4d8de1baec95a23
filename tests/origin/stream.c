#include "tests/origin/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 128 KiB: what one call of a reader makes; larger ones only cost cache. */
enum { BLOCK_SIZE = 128 * 1024 };

struct stream {
    struct request *request;
    struct object *object;
    int fd;
    uint64_t offset;
    uint64_t size;
    bool stalled;
    int64_t started_ns;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void stream_free(void *context)
{
    struct stream *stream = context;
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    object_unref(stream->object);
    free(stream);
}

/* How many of `wanted` bytes the limits let pass at `at`; 0: the connection was put to sleep. */
static uint64_t pass_limits(struct stream *stream, uint64_t at, uint64_t wanted)
{
    struct request *request = stream->request;
    struct server *server = request->server;
    int64_t now_ns = pacer_now_ns();
    uint64_t rate = faults_connection_bandwidth(server->faults);
    if (rate > 0) {
        /* 50 ms ahead at most: a connection has one answer at a time, so its own rate is kept. */
        double due_s = (double)(now_ns - stream->started_ns) / 1e9 + 0.05;
        double due = due_s * (double)rate - (double)at;
        if (due < 1) {
            int64_t until_ns = now_ns + (int64_t)((1024 - due) * 1e9 / (double)rate) + 1000000;
            pacer_wait(server->pacer, request->connection, until_ns);
            return 0;
        }
        wanted = least(wanted, (uint64_t)due);
    }
    int64_t wait_ns = 0;
    uint64_t taken = faults_take_bytes(server->faults, wanted, now_ns, &wait_ns);
    if (taken == 0) {
        pacer_wait(server->pacer, request->connection, now_ns + wait_ns);
    }
    return taken;
}

static ssize_t stream_read(void *context, uint64_t at, char *out, size_t room)
{
    struct stream *stream = context;
    struct request *request = stream->request;
    const struct fault_plan *plan = &request->plan;
    uint64_t wanted = least(room, stream->size - at);
    if (plan->has[FAULT_CUT]) {
        if (at >= plan->cut_bytes) {
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        wanted = least(wanted, plan->cut_bytes - at);
    }
    if (plan->has[FAULT_STALL] && !stream->stalled) {
        if (at >= plan->stall_bytes) {
            stream->stalled = true;
            pacer_wait(request->server->pacer, request->connection,
                       pacer_now_ns() + (int64_t)plan->stall_ms * 1000000);
            return 0;
        }
        wanted = least(wanted, plan->stall_bytes - at);
    }
    wanted = pass_limits(stream, at, wanted);
    if (wanted == 0) {
        return 0;
    }
    size_t got = object_read(stream->object, stream->fd, stream->offset + at, out, (size_t)wanted);
    if (got < wanted) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    uint64_t spoilt = stream->size / 2;
    if (plan->has[FAULT_WRONG_BYTES] && spoilt >= at && spoilt < at + got) {
        out[spoilt - at] = (char)(out[spoilt - at] ^ 0x10);
    }
    request->streamed = at + got;
    return (ssize_t)got;
}

static bool needs_pieces(const struct request *request, const struct object *object)
{
    const struct fault_plan *plan = &request->plan;
    struct faults *faults = request->server->faults;
    return object->kind == OBJECT_GENERATED || plan->has[FAULT_CUT] || plan->has[FAULT_STALL] ||
           plan->has[FAULT_WRONG_BYTES] || faults_has_bandwidth(faults) ||
           faults_connection_bandwidth(faults) > 0;
}

/* Headers alone: what HEAD gets. */
static ssize_t never_read(void *context, uint64_t at, char *out, size_t room)
{
    (void)context;
    (void)at;
    (void)out;
    (void)room;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *response_in_pieces(struct request *request, struct stream *stream)
{
    size_t block = stream->size < BLOCK_SIZE ? (size_t)stream->size : BLOCK_SIZE;
    request->is_streamed = true;
    return MHD_create_response_from_callback(stream->size, block, stream_read, stream, stream_free);
}

struct MHD_Response *stream_response(struct request *request, struct object *object, int fd,
                                     uint64_t offset, uint64_t size)
{
    struct MHD_Response *response = NULL;
    bool head = strcmp(request->method, "HEAD") == 0;
    if (!head && size > 0 && needs_pieces(request, object)) {
        struct stream *stream = text_alloc(sizeof *stream);
        *stream = (struct stream){ .request = request,
                                   .object = object_ref(object),
                                   .fd = fd,
                                   .offset = offset,
                                   .size = size,
                                   .started_ns = pacer_now_ns() };
        response = response_in_pieces(request, stream);
    } else if (!head && size > 0) {
        response = MHD_create_response_from_fd_at_offset64(size, fd, offset);
    } else {
        response = size == 0 ? MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT)
                             : MHD_create_response_from_callback(size, 1, never_read, NULL, NULL);
        if (fd >= 0) {
            close(fd);
        }
    }
    if (response == NULL) {
        abort();
    }
    return response;
}
