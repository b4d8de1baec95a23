/* tests/unit/node/io/fetch_plan.h: a store of one object whose answers are planned, wrong ones too. */
#pragma once
#include <semaphore.h>
#include <stdatomic.h>

#include "tests/unit/node/io/fetch_bench.h"
#include "tests/unit/node/io/little_server.h"

#define OBJECT_SIZE 3000000u
#define PIN "0a1b2c"

struct plan {
    int status;          /* 0: 206 with the range that was asked; else this one, with the body */
    const char *etag;    /* NULL: PIN */
    const char *headers; /* more of them, each with its line end */
    const char *body;    /* of `status` */
    bool plain;          /* 200 and the whole object, as if there were no ranges */
    bool chunked;        /* no Content-Length */
    int64_t shift;       /* added to the first and last byte that Content-Range names */
    int64_t total;       /* added to the object's size there */
    int64_t more;        /* bytes sent beyond the range; negative: kept back */
    int64_t cut;         /* the connection ends after so many bytes of the body */
    uint32_t failures;   /* `status` is for the first so many requests; 0: for all */
    const char *only;    /* the gates are for requests with this in them; NULL: for all */
    sem_t *gate;         /* waited for before the answer */
    sem_t *middle;       /* waited for after `middle_at` bytes of the body */
    int64_t middle_at;
    atomic_uint seen;      /* requests so far */
    sem_t *arrived;        /* posted for each of them */
    char request[4][8192]; /* the first of them */
};

/* little_answer, with a struct plan. */
bool plan_answer(int fd, const char *request, void *self);

struct fixture {
    struct plan plan;
    struct little_server *server;
    struct bench bench;
};

/* Uses f->plan, and of the options all but the endpoint; an empty uri is s3://bucket. */
void fixture_start(struct fixture *f, const struct bench_options *options);
void fixture_stop(struct fixture *f);
