#include "tests/unit/node/io/fetch_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *text_or(const char *text, const char *other)
{
    return text == NULL ? other : text;
}

static void send_bytes(int fd, uint64_t first, uint64_t size)
{
    uint8_t block[4096];
    while (size > 0) {
        size_t take = size < sizeof block ? (size_t)size : sizeof block;
        for (size_t i = 0; i < take; i++) {
            block[i] = bench_byte(first + i);
        }
        little_write(fd, block, take);
        first += take;
        size -= take;
    }
}

static void answer_status(int fd, const struct plan *plan)
{
    static char head[4096];
    const char *body = text_or(plan->body, "");
    snprintf(head, sizeof head, "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\n%s\r\n", plan->status,
             strlen(body), text_or(plan->headers, ""));
    little_write(fd, head, strlen(head));
    little_write(fd, body, strlen(body));
}

static void send_body(int fd, const struct plan *plan, uint64_t first, uint64_t size)
{
    char line[32];
    if (plan->chunked) {
        snprintf(line, sizeof line, "%" PRIx64 "\r\n", size);
        little_write(fd, line, strlen(line));
    }
    if (plan->middle != NULL) {
        send_bytes(fd, first, (uint64_t)plan->middle_at);
        sem_wait(plan->middle);
        first += (uint64_t)plan->middle_at;
        size -= (uint64_t)plan->middle_at;
    }
    send_bytes(fd, first, plan->cut > 0 ? (uint64_t)plan->cut : size);
    if (plan->chunked) {
        little_write(fd, "\r\n0\r\n\r\n", 7);
    }
}

static void answer_object(int fd, const struct plan *plan, const char *request)
{
    char range[64], length[64] = "Transfer-Encoding: chunked";
    char where[128] = "X-Nothing: 0", head[2048];
    uint64_t first = 0, last = OBJECT_SIZE - 1;
    if (!plan->plain) {
        CHECK(little_header(request, "range", range, sizeof range));
        CHECK(sscanf(range, "bytes=%" SCNu64 "-%" SCNu64, &first, &last) == 2);
        snprintf(where, sizeof where, "Content-Range: bytes %" PRId64 "-%" PRId64 "/%" PRId64,
                 (int64_t)first + plan->shift, (int64_t)last + plan->shift,
                 (int64_t)OBJECT_SIZE + plan->total);
    }
    uint64_t size = (uint64_t)((int64_t)(last + 1 - first) + plan->more);
    if (!plan->chunked) {
        snprintf(length, sizeof length, "Content-Length: %" PRIu64, size);
    }
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%s\r\n%s\r\nETag: \"%s\"\r\n%s\r\n",
             plan->plain ? "200 OK" : "206 Partial Content", length, where,
             text_or(plan->etag, PIN), text_or(plan->headers, ""));
    little_write(fd, head, strlen(head));
    send_body(fd, plan, first, size);
}

bool plan_answer(int fd, const char *request, void *self)
{
    struct plan *plan = self;
    uint32_t number = atomic_fetch_add(&plan->seen, 1);
    if (number < 4) {
        snprintf(plan->request[number], sizeof plan->request[0], "%s", request);
    }
    if (plan->arrived != NULL) {
        sem_post(plan->arrived);
    }
    if (plan->gate != NULL && (plan->only == NULL || strstr(request, plan->only) != NULL)) {
        sem_wait(plan->gate);
    }
    if (plan->status != 0 && (plan->failures == 0 || number < plan->failures)) {
        answer_status(fd, plan);
        return true;
    }
    answer_object(fd, plan, request);
    return plan->cut == 0;
}

void fixture_start(struct fixture *f, const struct bench_options *options)
{
    char endpoint[64];
    struct bench_options wanted = *options;
    f->server = little_server_start(plan_answer, &f->plan);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", little_server_port(f->server));
    wanted.endpoint = endpoint;
    wanted.uri = text_or(options->uri, "s3://bucket");
    bench_start(&f->bench, &wanted);
}

void fixture_stop(struct fixture *f)
{
    bench_stop(&f->bench);
    little_server_stop(&f->server);
}
