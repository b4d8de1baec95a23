/* node/io/ring_worker.c: builds rings off the hot thread.
 * Thread: "ring", one. Owns: the memory of every ring until it is dropped.
 * Takes:  struct job *, moved in.   Gives: rings, by the callback.   Shares: the list of rings,
 * under a mutex. */
#include "node/io/ring_worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/list.h"
#include "node/io/log.h"
#include "node/io/queue.h"
#include "node/io/threads.h"

/* Rings are mapped, not malloced: what is dropped goes back to the system at once. */
struct kept {
    struct list all;
    const struct ring *ring;
    void *memory;
    size_t size;
    uint32_t holds; /* of whoever got it, and of jobs that begin from it */
};

struct job {
    struct queue_item queue;
    uint64_t id;
    struct kept *previous;
    struct span selector; /* behind the members */
    uint32_t count;
    struct member members[];
};

struct ring_worker {
    pthread_t thread;
    struct queue *jobs;
    uint32_t slots_log2;
    ring_worker_done *done;
    void *self;
    pthread_mutex_t mutex; /* of the list and the holds */
    struct list kept;
};

static void kept_free(struct kept *kept)
{
    munmap(kept->memory, kept->size);
    free(kept);
}

/* NULL is fine. */
static void release(struct ring_worker *worker, struct kept *kept)
{
    bool last = false;
    if (kept == NULL) {
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    kept->holds--;
    last = kept->holds == 0;
    if (last) {
        list_remove(&kept->all);
    }
    pthread_mutex_unlock(&worker->mutex);
    if (last) {
        kept_free(kept);
    }
}

/* What only building needed goes back: most of it. */
static void trim(struct kept *kept, size_t used)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t keep = (used + page - 1) / page * page;
    if (keep < kept->size && munmap((char *)kept->memory + keep, kept->size - keep) == 0) {
        kept->size = keep;
    }
}

static enum err build(struct ring_worker *worker, const struct job *job, struct kept **out)
{
    struct arena arena;
    const struct ring_options options = { .slots_log2 = worker->slots_log2,
                                          .selector = job->selector,
                                          .previous =
                                              job->previous == NULL ? NULL : job->previous->ring };
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL) {
        return ERR_NOMEM;
    }
    kept->size = ring_memory(job->count, worker->slots_log2);
    kept->memory =
        mmap(NULL, kept->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kept->memory == MAP_FAILED) {
        free(kept);
        return ERR_NOMEM;
    }
    arena_init(&arena, kept->memory, kept->size);
    enum err err = ring_build(&arena, job->members, job->count, &options, &kept->ring);
    if (err != ERR_OK) {
        kept_free(kept);
        return err;
    }
    trim(kept, arena.used);
    kept->holds = 1;
    *out = kept;
    return ERR_OK;
}

static void work(struct ring_worker *worker, struct job *job)
{
    struct kept *kept = NULL;
    enum err err = build(worker, job, &kept);
    if (err != ERR_OK) {
        LOG(LOG_ERROR, "ring.failed", LOG_TEXT("err", err_name(err)),
            LOG_NUM("members", job->count));
        worker->done(worker->self, job->id, NULL);
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    list_push_back(&worker->kept, &kept->all);
    pthread_mutex_unlock(&worker->mutex);
    worker->done(worker->self, job->id, kept->ring);
}

static void *run(void *self)
{
    struct ring_worker *worker = self;
    struct queue_item *item;
    while ((item = queue_pop(worker->jobs, USEC_NEVER)) != NULL) {
        struct job *job = CONTAINER_OF(item, struct job, queue);
        work(worker, job);
        release(worker, job->previous);
        free(job);
    }
    return NULL;
}

enum err ring_worker_start(uint32_t slots_log2, ring_worker_done *done, void *self,
                           struct ring_worker **out)
{
    struct ring_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        return ERR_NOMEM;
    }
    worker->slots_log2 = slots_log2;
    worker->done = done;
    worker->self = self;
    list_init(&worker->kept);
    CHECK(pthread_mutex_init(&worker->mutex, NULL) == 0);
    enum err err = queue_new(&worker->jobs);
    if (err != ERR_OK) {
        goto out;
    }
    err = threads_start("ring", run, worker, &worker->thread);
    if (err != ERR_OK) {
        goto out;
    }
    *out = worker;
    return ERR_OK;
out:
    queue_free(&worker->jobs);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
    return err;
}

void ring_worker_stop(struct ring_worker **pointer)
{
    struct ring_worker *worker = *pointer;
    if (worker == NULL) {
        return;
    }
    queue_close(worker->jobs);
    threads_join(worker->thread);
    while (!list_is_empty(&worker->kept)) {
        struct kept *kept = CONTAINER_OF(list_first(&worker->kept), struct kept, all);
        list_remove(&kept->all);
        kept_free(kept);
    }
    queue_free(&worker->jobs);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
    *pointer = NULL;
}

/* Under the mutex. */
static struct kept *find(struct ring_worker *worker, const struct ring *ring)
{
    for (struct list *at = worker->kept.next; at != &worker->kept; at = at->next) {
        struct kept *kept = CONTAINER_OF(at, struct kept, all);
        if (kept->ring == ring) {
            return kept;
        }
    }
    BUG("a ring of another worker");
}

static struct kept *hold(struct ring_worker *worker, const struct ring *ring)
{
    struct kept *kept = NULL;
    if (ring != NULL) {
        pthread_mutex_lock(&worker->mutex);
        kept = find(worker, ring);
        kept->holds++;
        pthread_mutex_unlock(&worker->mutex);
    }
    return kept;
}

enum err ring_worker_build(struct ring_worker *worker, const struct ring_request *request)
{
    const size_t members_size = sizeof *request->members * request->count;
    struct job *job = malloc(sizeof *job + members_size + request->selector.size);
    if (job == NULL) {
        return ERR_NOMEM;
    }
    memset(job, 0, sizeof *job);
    job->id = request->id;
    job->count = request->count;
    job->previous = hold(worker, request->previous);
    if (request->count > 0) {
        memcpy(job->members, request->members, members_size);
    }
    if (request->selector.size > 0) {
        memcpy(job->members + job->count, request->selector.data, request->selector.size);
    }
    job->selector = span_of(job->members + job->count, request->selector.size);
    queue_push(worker->jobs, &job->queue);
    return ERR_OK;
}

void ring_worker_drop(struct ring_worker *worker, const struct ring *ring)
{
    if (ring != NULL) {
        pthread_mutex_lock(&worker->mutex);
        struct kept *kept = find(worker, ring);
        pthread_mutex_unlock(&worker->mutex);
        release(worker, kept);
    }
}
