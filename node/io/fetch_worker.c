/* node/io/fetch_worker.c: the loop of one fetch thread.
 * Thread: "fetch", as many as the options say. Owns: its curl multi, its easy handles and its jobs.
 * Takes: struct fetch_job *, moved in.   Gives: items to the peer thread's queue, moved out.
 * Shares: sources, under fetch's mutex; credentials, by node/io/secrets.h; buffers of parts, until
 * a job's end. */
#include <stdlib.h>

#include "node/io/clock.h"
#include "node/io/fetch_inside.h"
#include "node/io/log.h"

/* Readers wait for chunks: told at once when nothing was told for a while, else in heaps. */
#define TELL_BYTES (256u << 10)
#define TELL_US MSEC(5)
#define IDLE_MS 1000

static uint32_t urgency(const struct fetch_job *job)
{
    if (job->kind != FETCH_GET) {
        return 0;
    }
    return job->background ? 2 : 1;
}

/* ---- the end of jobs ---- */

static void drop(struct fetch_job *job)
{
    struct fetch_worker *worker = job->worker;
    if (job->easy != NULL) {
        fetch_http_drop(job);
    }
    if (job->transferring) {
        worker->transfers--;
    }
    fetch_file_drop(job);
    atomic_fetch_sub(&worker->load, 1);
    atomic_fetch_sub(&worker->fetch->open, 1);
    fetch_job_free(job);
}

static bool is_ordinary(const struct fetch_job *job, enum err err)
{
    return err == ERR_CANCELLED || err == ERR_CHANGED ||
           (err == ERR_SOURCE_NOT_FOUND && job->kind == FETCH_HEAD);
}

static void log_failure(const struct fetch_job *job, enum err err)
{
    static const char *const names[] = { "GET", "LIST", "HEAD" };
    char uri[SOURCE_BUCKET_MAX + 16];
    struct text text;
    if (is_ordinary(job, err)) {
        return;
    }
    text_init(&text, uri, sizeof uri);
    source_uri(&job->source->source, &text);
    LOG(LOG_WARN, "fetch.failed", LOG_TEXT("kind", names[job->kind]), LOG_TEXT("source", uri),
        LOG_TEXT("err", err_name(err)), LOG_TEXT("why", job->why));
}

void fetch_worker_end(struct fetch_job *job, enum err err)
{
    struct fetch *fetch = job->worker->fetch;
    fetch_http_drop(job);
    if (err == ERR_OK) {
        fetch_tell_done(fetch->out, job);
    } else {
        atomic_fetch_add(&fetch->failed, err == ERR_CANCELLED ? 0 : 1);
        log_failure(job, err);
        fetch_tell_failed(fetch->out, job, err);
    }
    drop(job);
}

void fetch_worker_end_entry(struct fetch_job *job, const struct listing_entry *entry)
{
    fetch_tell_entry(job->worker->fetch->out, job, entry);
    drop(job);
}

void fetch_worker_end_listing(struct fetch_job *job, struct listing *listing)
{
    fetch_tell_listing(job->worker->fetch->out, job, listing);
    drop(job);
}

/* ---- progress ---- */

void fetch_worker_fresh(struct fetch_job *job)
{
    if (job->sink.complete > job->told && !list_is_linked(&job->fresh)) {
        list_push_back(&job->worker->fresh, &job->fresh);
    }
}

/* Tell what is due; how long the rest may wait. */
static usec_t tell_fresh(struct fetch_worker *worker)
{
    usec_t wait = MSEC(IDLE_MS);
    struct list *at = worker->fresh.next;
    usec_t now = list_is_empty(&worker->fresh) ? 0 : clock_mono_us();
    while (at != &worker->fresh) {
        struct fetch_job *job = CONTAINER_OF(at, struct fetch_job, fresh);
        usec_t left = job->told_us + TELL_US - now;
        at = at->next;
        if (left <= 0 || job->sink.complete - job->told >= TELL_BYTES) {
            list_remove(&job->fresh);
            fetch_tell_progress(worker->fetch->out, job, now);
        } else {
            wait = usec_min(wait, left);
        }
    }
    return wait;
}

/* ---- the beginning ---- */

static void cancel(struct fetch_worker *worker, uint64_t id)
{
    for (struct list *at = worker->all.next; at != &worker->all; at = at->next) {
        struct fetch_job *job = CONTAINER_OF(at, struct fetch_job, all);
        if (job->kind == FETCH_GET && job->id == id) {
            fetch_worker_end(job, ERR_CANCELLED);
            return;
        }
    }
}

static void admit(struct fetch_worker *worker, struct fetch_job *job)
{
    bool file = job->source->source.kind == SOURCE_FILE;
    struct list *lines = file ? worker->files : worker->http;
    list_push_back(&worker->all, &job->all);
    list_push_back(&lines[urgency(job)], &job->line);
}

/* false: the thread shall end. */
static bool take_jobs(struct fetch_worker *worker)
{
    bool going = true;
    struct queue_item *item = queue_take(worker->jobs);
    while (item != NULL) {
        struct fetch_job *job = CONTAINER_OF(item, struct fetch_job, queue);
        item = item->next;
        switch (job->kind) {
        case FETCH_GET:
        case FETCH_LIST:
        case FETCH_HEAD:
            admit(worker, job);
            break;
        case FETCH_CANCEL:
            cancel(worker, job->id);
            fetch_job_free(job);
            break;
        case FETCH_STOP:
            going = false;
            fetch_job_free(job);
            break;
        }
    }
    return going;
}

/* The job that is wanted soonest; NULL: none waits. */
static struct fetch_job *first_of(struct list lines[3])
{
    for (uint32_t i = 0; i < 3; i++) {
        struct list *first = list_first(&lines[i]);
        if (first != NULL) {
            return CONTAINER_OF(first, struct fetch_job, line);
        }
    }
    return NULL;
}

static void start_transfers(struct fetch_worker *worker)
{
    while (worker->transfers < FETCH_TRANSFERS_MAX) {
        struct fetch_job *job = first_of(worker->http);
        if (job == NULL) {
            return;
        }
        list_remove(&job->line);
        job->transferring = true;
        worker->transfers++;
        fetch_http_start(job);
    }
}

/* ---- the loop ---- */

static void finish_transfers(struct fetch_worker *worker)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(worker->multi, &left)) != NULL) {
        struct fetch_job *job = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job) == CURLE_OK) {
            fetch_http_finish(job, message->data.result);
        }
    }
}

/* One round; `wait` is how long the next one may be put off. false: the thread shall end. */
static bool turn(struct fetch_worker *worker, usec_t *wait)
{
    struct curl_waitfd jobs = { .fd = queue_fd(worker->jobs), .events = CURL_WAIT_POLLIN };
    struct fetch_job *file;
    int running;
    int wait_ms = (int)((*wait + 999) / 1000);
    (void)curl_multi_poll(worker->multi, &jobs, 1, wait_ms, NULL);
    if (!take_jobs(worker)) {
        return false;
    }
    start_transfers(worker);
    (void)curl_multi_perform(worker->multi, &running);
    finish_transfers(worker);
    start_transfers(worker);
    file = first_of(worker->files);
    if (file != NULL) {
        fetch_file_step(file);
    }
    *wait = tell_fresh(worker);
    if (first_of(worker->files) != NULL) {
        *wait = 0;
    }
    return true;
}

void *fetch_worker_run(void *self)
{
    struct fetch_worker *worker = self;
    usec_t wait = 0;
    while (turn(worker, &wait)) {
    }
    while (!list_is_empty(&worker->all)) {
        drop(CONTAINER_OF(list_first(&worker->all), struct fetch_job, all));
    }
    while (worker->idle_count > 0) {
        curl_easy_cleanup(worker->idle[--worker->idle_count]);
    }
    file_lister_fini(&worker->lister);
    return NULL;
}
