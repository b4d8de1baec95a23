/* node/io/fetch_inside.h: what the files of the fetch actor share. Nobody else includes it. */
#pragma once
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/text.h"
#include "node/io/fetch.h"
#include "node/io/fetch_sink.h"
#include "node/io/item.h"
#include "node/io/secrets.h"
#include "node/origin/file.h"
#include "node/origin/request.h"

#define FETCH_THREADS_MAX 16
#define FETCH_WHY_SIZE 640
#define FETCH_CREDENTIAL_MAX 64
/* Transfers of one thread at a time; more wait here, background ones longest. 15 connections fill
 * 10 Gbit/s at the 90 MB/s a connection that stores give. */
#define FETCH_TRANSFERS_MAX 64
#define FETCH_SIGN_KEYS 8

/* A source as it was described: never changed, shared by the jobs that began with it. */
struct fetch_source {
    atomic_uint refs;
    struct source_id id;
    enum err err; /* the description is wrong, and why */
    char why[FETCH_WHY_SIZE];
    struct source source;
    char credential[FETCH_CREDENTIAL_MAX + 1];
    _Atomic usec_t skew_us; /* the store's clock minus ours, learned from its refusal */
    struct fetch_source *next;
};

enum fetch_kind { FETCH_GET, FETCH_LIST, FETCH_HEAD, FETCH_CANCEL, FETCH_STOP };

struct fetch_body {
    uint8_t *data;
    size_t size, room;
};

struct fetch_job {
    struct queue_item queue; /* first: on its way to the thread */
    struct list all;         /* of the thread's jobs */
    struct list line;        /* waiting for its turn, or active */
    struct list fresh;       /* has chunks that were not told */
    struct fetch_worker *worker;
    enum fetch_kind kind;
    uint64_t id;
    bool background;
    struct fetch_source *source;
    struct request request; /* spans into `memory` */
    struct sink sink;       /* GET */
    uint64_t told;          /* bytes reported */
    usec_t told_us;
    enum err err; /* decided before the transfer ended */
    char why[FETCH_WHY_SIZE];
    /* over HTTP */
    bool transferring; /* counts as one of FETCH_TRANSFERS_MAX */
    CURL *easy;
    struct curl_slist *headers;
    struct answer answer;
    struct fetch_body body;
    usec_t signed_us; /* by the store's clock as far as it is known: ours plus skew_us */
    usec_t skew_us;
    bool checked;    /* the answer's headers were */
    bool resigned;   /* once, with the store's time */
    uint64_t serial; /* of the credential it was signed with */
    bool rekeyed;    /* once, with the credential that came meanwhile */
    char curl_why[CURL_ERROR_SIZE];
    /* a file */
    bool opened;
    struct file_version file;
    uint64_t memory[]; /* parts, then bytes that spans point into */
};

struct fetch_worker {
    struct fetch *fetch;
    pthread_t thread;
    bool started;
    struct queue *jobs;
    atomic_uint load; /* jobs given and not ended */
    CURLM *multi;
    struct list all;
    struct list fresh;
    /* By how soon they are wanted: HEAD and LIST, reads, background reads. */
    struct list http[3]; /* wait for one of FETCH_TRANSFERS_MAX */
    struct list files[3];
    uint32_t transfers;
    CURL *idle[FETCH_TRANSFERS_MAX];
    uint32_t idle_count;
    struct sign_key keys[FETCH_SIGN_KEYS];
    struct file_lister lister;
    struct signed_request signed_request;
};

struct fetch {
    struct queue *out;
    struct secrets *secrets;
    bool environment;      /* has a credential, or should have */
    pthread_mutex_t mutex; /* of sources */
    struct fetch_source *sources;
    char *roots[64]; /* as the system resolves them */
    uint32_t root_count;
    _Atomic uint64_t requests[3];
    _Atomic uint64_t bytes;
    _Atomic uint64_t failed;
    _Atomic uint64_t open;
    uint32_t worker_count;
    struct fetch_worker workers[FETCH_THREADS_MAX];
};

/* ---- fetch_source.c ---- */
/* Keep the description of an effect NODE_SOURCE. ERR_NOMEM. */
enum err fetch_source_put(struct fetch *fetch, const struct node_effect *effect) MUST_USE;
/* NULL: never described. Give it to fetch_source_unref. */
struct fetch_source *fetch_source_ref(struct fetch *fetch, struct source_id id);
void fetch_source_unref(struct fetch_source *source);
void fetch_sources_fini(struct fetch *fetch);
/* The root directory of a file:// source with all links resolved, if it is at or below one that
 * may be shown. `out` holds PATH_MAX bytes. */
enum err fetch_source_root(const struct fetch *fetch, const struct source *source, char *out,
                           struct text *why) MUST_USE;

/* ---- fetch_job.c ---- */
/* From NODE_FETCH, NODE_LIST or NODE_HEAD; takes over the reference. NULL: no memory. */
struct fetch_job *fetch_job_new(const struct node_effect *effect, struct fetch_source *source);
struct fetch_job *fetch_job_command(enum fetch_kind kind, uint64_t id);
void fetch_job_free(struct fetch_job *job);
/* Tell the peer thread: how far it got; that it ended, in failure or with what `entry` or `listing`
 * says (a GET has neither). The listing is moved. */
void fetch_tell_progress(struct queue *out, struct fetch_job *job, usec_t now_us);
void fetch_tell_failed(struct queue *out, const struct fetch_job *job, enum err err);
void fetch_tell_done(struct queue *out, const struct fetch_job *job);
void fetch_tell_entry(struct queue *out, const struct fetch_job *job,
                      const struct listing_entry *entry);
void fetch_tell_listing(struct queue *out, const struct fetch_job *job, struct listing *listing);

/* ---- fetch_worker.c: all below on the thread of the job's worker ---- */
void *fetch_worker_run(void *self);
/* The sink has got further: it is told when there is enough, or time has passed. */
void fetch_worker_fresh(struct fetch_job *job);
/* Tell of the end and free the job. `err` with the line in job->why; ERR_OK is for a GET. */
void fetch_worker_end(struct fetch_job *job, enum err err);
void fetch_worker_end_entry(struct fetch_job *job, const struct listing_entry *entry);
void fetch_worker_end_listing(struct fetch_job *job, struct listing *listing);

/* ---- fetch_http.c ---- */
/* Begin a transfer; on failure the job is ended already. */
void fetch_http_start(struct fetch_job *job);
/* libcurl says it is over: ends the job, or begins it again with the right time or credential. */
void fetch_http_finish(struct fetch_job *job, CURLcode code);
/* Take it off the multi handle, if it is there. */
void fetch_http_drop(struct fetch_job *job);

/* ---- fetch_file.c ---- */
/* The next piece of work of a job over files; it may end the job. */
void fetch_file_step(struct fetch_job *job);
void fetch_file_drop(struct fetch_job *job);
