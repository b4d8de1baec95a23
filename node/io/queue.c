/* node/io/queue.c: a list under a mutex, with an eventfd for pollers and a condition for sleepers.
 * The eventfd is written only when the list stops being empty: one system call for a batch. */
#include "node/io/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct queue_item *first;
    struct queue_item **last; /* where the next item goes */
    bool closed;
    int fd;
};

enum err queue_new(struct queue **out)
{
    pthread_condattr_t attr;
    struct queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        return ERR_NOMEM;
    }
    queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->fd < 0) {
        free(queue);
        return ERR_SYSTEM;
    }
    queue->last = &queue->first;
    CHECK(pthread_mutex_init(&queue->mutex, NULL) == 0);
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&queue->filled, &attr) == 0);
    pthread_condattr_destroy(&attr);
    *out = queue;
    return ERR_OK;
}

void queue_free(struct queue **queue)
{
    if (*queue == NULL) {
        return;
    }
    CHECK((*queue)->first == NULL);
    close((*queue)->fd);
    pthread_cond_destroy(&(*queue)->filled);
    pthread_mutex_destroy(&(*queue)->mutex);
    free(*queue);
    *queue = NULL;
}

static void lock(struct queue *queue)
{
    CHECK(pthread_mutex_lock(&queue->mutex) == 0);
}

static void unlock(struct queue *queue)
{
    CHECK(pthread_mutex_unlock(&queue->mutex) == 0);
}

void queue_push(struct queue *queue, struct queue_item *item)
{
    const uint64_t one = 1;
    lock(queue);
    bool was_empty = queue->first == NULL;
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
    pthread_cond_signal(&queue->filled);
    if (was_empty) {
        /* Inside the lock: the taker may free the queue as soon as it has the last item. */
        ssize_t written = write(queue->fd, &one, sizeof one);
        CHECK(written == (ssize_t)sizeof one || errno == EAGAIN);
    }
    unlock(queue);
}

struct queue_item *queue_take(struct queue *queue)
{
    uint64_t count;
    lock(queue);
    struct queue_item *items = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    ssize_t got = read(queue->fd, &count, sizeof count);
    CHECK(got == (ssize_t)sizeof count || errno == EAGAIN);
    unlock(queue);
    return items;
}

int queue_fd(const struct queue *queue)
{
    return queue->fd;
}

static struct timespec after(usec_t wait_us)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(wait_us / 1000000);
    at.tv_nsec += (long)(wait_us % 1000000) * 1000;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

struct queue_item *queue_pop(struct queue *queue, usec_t wait_us)
{
    const bool forever = wait_us == USEC_NEVER;
    const struct timespec until = after(forever ? 0 : usec_max(wait_us, 0));
    int late = 0;
    lock(queue);
    while (queue->first == NULL && !queue->closed && late == 0) {
        late = forever ? pthread_cond_wait(&queue->filled, &queue->mutex)
                       : pthread_cond_timedwait(&queue->filled, &queue->mutex, &until);
    }
    struct queue_item *item = queue->first;
    if (item != NULL) {
        queue->first = item->next;
        if (queue->first == NULL) {
            queue->last = &queue->first;
        }
        item->next = NULL;
    }
    unlock(queue);
    return item;
}

void queue_close(struct queue *queue)
{
    lock(queue);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    unlock(queue);
}
