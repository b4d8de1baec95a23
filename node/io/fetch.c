/* node/io/fetch.c: the fetch actor as the peer thread sees it: threads, and jobs handed to them. */
#include "node/io/fetch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "node/io/fetch_inside.h"
#include "node/io/threads.h"

static enum err keep_roots(struct fetch *fetch, const struct fetch_options *options)
{
    CHECK(options->allow_root_count <= ARRAY_COUNT(fetch->roots));
    for (uint32_t i = 0; i < options->allow_root_count; i++) {
        char path[PATH_MAX];
        /* One that is not there yet is kept as it is written. */
        const char *kept = realpath(options->allow_roots[i], path);
        char *copy = strdup(kept == NULL ? options->allow_roots[i] : kept);
        if (copy == NULL) {
            return ERR_NOMEM;
        }
        fetch->roots[fetch->root_count++] = copy;
    }
    return ERR_OK;
}

static enum err start_worker(struct fetch *fetch, struct fetch_worker *worker)
{
    worker->fetch = fetch;
    list_init(&worker->all);
    list_init(&worker->fresh);
    for (uint32_t i = 0; i < 3; i++) {
        list_init(&worker->http[i]);
        list_init(&worker->files[i]);
    }
    worker->multi = curl_multi_init();
    if (worker->multi == NULL) {
        return ERR_NOMEM;
    }
    (void)curl_multi_setopt(worker->multi, CURLMOPT_MAXCONNECTS, (long)FETCH_TRANSFERS_MAX);
    enum err err = queue_new(&worker->jobs);
    if (err == ERR_OK) {
        err = threads_start("fetch", fetch_worker_run, worker, &worker->thread);
        worker->started = err == ERR_OK;
    }
    return err;
}

enum err fetch_start(const struct fetch_options *options, struct fetch **out, struct text *why)
{
    uint32_t threads = options->threads == 0 ? 1 : options->threads;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        return ERR_NOMEM;
    }
    CHECK(pthread_mutex_init(&fetch->mutex, NULL) == 0);
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    fetch->out = options->out;
    fetch->environment = options->environment;
    const struct secrets_options secrets = { .directory = options->credentials_dir,
                                             .environment = options->environment,
                                             .changed = options->changed,
                                             .self = options->self };
    enum err err = secrets_start(&secrets, &fetch->secrets, why);
    if (err != ERR_OK) {
        goto out;
    }
    err = keep_roots(fetch, options);
    while (err == ERR_OK && fetch->worker_count < threads &&
           fetch->worker_count < FETCH_THREADS_MAX) {
        err = start_worker(fetch, &fetch->workers[fetch->worker_count++]);
    }
    if (err == ERR_OK) {
        *out = fetch;
        return ERR_OK;
    }
    text_str(why, "the threads that read from stores could not be started");
out:
    fetch_stop(&fetch);
    return err;
}

static void stop_worker(struct fetch_worker *worker)
{
    if (worker->started) {
        struct fetch_job *stop = fetch_job_command(FETCH_STOP, 0);
        CHECK(stop != NULL);
        queue_push(worker->jobs, &stop->queue);
        threads_join(worker->thread);
    }
    queue_free(&worker->jobs);
    (void)curl_multi_cleanup(worker->multi);
    explicit_bzero(worker->keys, sizeof worker->keys);
}

void fetch_stop(struct fetch **pointer)
{
    struct fetch *fetch = *pointer;
    if (fetch == NULL) {
        return;
    }
    for (uint32_t i = 0; i < fetch->worker_count; i++) {
        stop_worker(&fetch->workers[i]);
    }
    for (uint32_t i = 0; i < fetch->root_count; i++) {
        free(fetch->roots[i]);
    }
    fetch_sources_fini(fetch);
    secrets_stop(&fetch->secrets);
    curl_global_cleanup();
    pthread_mutex_destroy(&fetch->mutex);
    free(fetch);
    *pointer = NULL;
}

static enum err give(struct fetch_worker *worker, enum fetch_kind kind, uint64_t id)
{
    struct fetch_job *command = fetch_job_command(kind, id);
    if (command == NULL) {
        return ERR_NOMEM;
    }
    queue_push(worker->jobs, &command->queue);
    return ERR_OK;
}

/* Which thread has the job is not remembered: all are told, and the others do not know it. */
static enum err cancel(struct fetch *fetch, uint64_t id)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < fetch->worker_count && err == ERR_OK; i++) {
        err = give(&fetch->workers[i], FETCH_CANCEL, id);
    }
    return err;
}

static struct fetch_worker *least_loaded(struct fetch *fetch)
{
    struct fetch_worker *best = &fetch->workers[0];
    for (uint32_t i = 1; i < fetch->worker_count; i++) {
        if (atomic_load(&fetch->workers[i].load) < atomic_load(&best->load)) {
            best = &fetch->workers[i];
        }
    }
    return best;
}

static struct source_id source_of(const struct node_effect *effect)
{
    if (effect->kind == NODE_FETCH) {
        return effect->fetch.source;
    }
    return effect->kind == NODE_LIST ? effect->list.source : effect->head.source;
}

/* A job that no thread needs to see. */
static enum err refuse(struct fetch *fetch, struct fetch_job *job, enum err err, const char *text)
{
    struct text why;
    text_init(&why, job->why, sizeof job->why);
    text_str(&why, text);
    atomic_fetch_add(&fetch->failed, 1);
    fetch_tell_failed(fetch->out, job, err);
    fetch_job_free(job);
    return ERR_OK;
}

static enum err begin(struct fetch *fetch, const struct node_effect *effect)
{
    struct fetch_source *source = fetch_source_ref(fetch, source_of(effect));
    struct fetch_job *job = fetch_job_new(effect, source);
    if (job == NULL) {
        if (source != NULL) {
            fetch_source_unref(source);
        }
        return ERR_NOMEM;
    }
    if (source == NULL) {
        return refuse(fetch, job, ERR_INVALID, "nobody has described this source to the node");
    }
    if (source->err != ERR_OK) {
        return refuse(fetch, job, source->err, source->why);
    }
    job->worker = least_loaded(fetch);
    atomic_fetch_add(&job->worker->load, 1);
    atomic_fetch_add(&fetch->open, 1);
    queue_push(job->worker->jobs, &job->queue);
    return ERR_OK;
}

enum err fetch_do(struct fetch *fetch, const struct node_effect *effect)
{
    if (effect->kind == NODE_SOURCE) {
        return fetch_source_put(fetch, effect);
    }
    if (effect->kind == NODE_FETCH_CANCEL) {
        return cancel(fetch, effect->fetch_cancel.id);
    }
    return begin(fetch, effect);
}

uint32_t fetch_credentials(struct fetch *fetch, char *out)
{
    return secrets_names(fetch->secrets, out, MEMBER_CREDENTIALS_MAX + 1);
}

void fetch_totals(struct fetch *fetch, struct fetch_totals *out)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(out->requests); i++) {
        out->requests[i] = atomic_load(&fetch->requests[i]);
    }
    out->bytes = atomic_load(&fetch->bytes);
    out->failed = atomic_load(&fetch->failed);
    out->open = atomic_load(&fetch->open);
}
