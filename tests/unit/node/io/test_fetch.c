/* The fetch actor against a server that says what each test wants said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/node/io/fetch_bench.h"
#include "tests/unit/node/io/little_server.h"

#define OBJECT_SIZE 3000000u
#define PIN "0a1b2c"

/* What the server does with a GET of the object. */
struct plan {
    int status;          /* 0: 206 and the range that was asked */
    const char *etag;    /* NULL: PIN */
    const char *headers; /* more of them, each with its line end */
    const char *body;    /* of a status */
    int64_t shift;       /* added to what Content-Range says of the first byte */
    int64_t total;       /* added to the object's size there */
    int64_t more;        /* bytes sent beyond the range, or kept back */
    int64_t cut;         /* the connection ends after so many bytes of the body */
    uint32_t failures;   /* the first so many requests get `status`, later ones what they asked */
    sem_t *gate;         /* wait here before the answer */
    atomic_uint seen;    /* requests so far */
    char request[8192];  /* the last one */
};

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

static bool answer_status(int fd, const struct plan *plan)
{
    char head[2048];
    const char *body = plan->body == NULL ? "" : plan->body;
    snprintf(head, sizeof head, "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\n%s\r\n", plan->status,
             strlen(body), plan->headers == NULL ? "" : plan->headers);
    little_write(fd, head, strlen(head));
    little_write(fd, body, strlen(body));
    return true;
}

static bool answer_get(int fd, const char *request, void *self)
{
    struct plan *plan = self;
    char range[64] = "", head[1024];
    uint64_t first = 0, last = 0;
    uint32_t number = atomic_fetch_add(&plan->seen, 1);
    snprintf(plan->request, sizeof plan->request, "%s", request);
    if (plan->gate != NULL) {
        sem_wait(plan->gate);
    }
    if (plan->status != 0 && (plan->failures == 0 || number < plan->failures)) {
        return answer_status(fd, plan);
    }
    CHECK(little_header(request, "range", range, sizeof range));
    CHECK(sscanf(range, "bytes=%" SCNu64 "-%" SCNu64, &first, &last) == 2);
    uint64_t size = (uint64_t)((int64_t)(last + 1 - first) + plan->more);
    snprintf(head, sizeof head,
             "HTTP/1.1 206 Partial Content\r\nContent-Length: %" PRIu64 "\r\n"
             "Content-Range: bytes %" PRId64 "-%" PRId64 "/%" PRId64 "\r\nETag: \"%s\"\r\n%s\r\n",
             size, (int64_t)first + plan->shift, (int64_t)last + plan->shift,
             (int64_t)OBJECT_SIZE + plan->total, plan->etag == NULL ? PIN : plan->etag,
             plan->headers == NULL ? "" : plan->headers);
    little_write(fd, head, strlen(head));
    send_bytes(fd, first, plan->cut > 0 ? (uint64_t)plan->cut : size);
    return plan->cut == 0;
}

struct fixture {
    struct plan plan;
    struct little_server *server;
    struct bench bench;
};

static void start_with(struct fixture *f, little_answer *answer, const char *uri)
{
    char endpoint[64];
    f->server = little_server_start(answer, &f->plan);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", little_server_port(f->server));
    bench_start(&f->bench, &(struct bench_options){ .uri = uri, .endpoint = endpoint });
}

static void start(struct fixture *f)
{
    start_with(f, answer_get, "s3://bucket");
}

static void stop(struct fixture *f)
{
    bench_stop(&f->bench);
    little_server_stop(&f->server);
}

static const struct bench_get whole = { .id = 1,
                                        .key = "a/b c+d%.bin",
                                        .pin = PIN,
                                        .object_size = OBJECT_SIZE,
                                        .sizes = { 1000000, 1000000, 1000000 } };
static const struct bench_get part = { .id = 1,
                                       .key = "k",
                                       .pin = PIN,
                                       .object_size = OBJECT_SIZE,
                                       .offset = 1000000,
                                       .sizes = { 200000 } };

/* The failure of one GET under this plan. */
static enum err outcome(const struct plan *plan)
{
    struct fixture f = { .plan = *plan };
    start(&f);
    bench_get(&f.bench, &part);
    enum err err = bench_wait(&f.bench, 1, NULL);
    stop(&f);
    return err;
}

static void a_range_fills_its_parts_and_their_checksums(void **state)
{
    struct fixture f = { 0 };
    uint64_t bytes = 0;
    (void)state;
    start(&f);
    bench_get(&f.bench, &whole);
    assert_int_equal(bench_wait(&f.bench, 1, &bytes), ERR_OK);
    assert_int_equal(bytes, OBJECT_SIZE);
    assert_true(bench_is_right(&f.bench, 0));
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_fills_its_parts_and_their_checksums),
    };
    (void)outcome;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
