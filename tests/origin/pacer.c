#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/pacer.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/origin/text.h"

#define SECOND_NS 1000000000ll
/* How often a frozen connection is looked at. */
#define FROZEN_LOOK_NS (SECOND_NS / 5)

struct waiter {
    int64_t until_ns;
    struct MHD_Connection *connection;
    bool frozen;
};

struct pacer {
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    pthread_cond_t drained; /* released, and nobody waits any more */
    struct waiter *heap;    /* the earliest first */
    size_t count;
    size_t room;
    bool released;
    bool stopping;
};

int64_t pacer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void push(struct pacer *pacer, struct waiter waiter)
{
    if (pacer->count == pacer->room) {
        size_t room = pacer->room == 0 ? 256 : pacer->room * 2;
        struct waiter *heap = text_alloc(room * sizeof *heap);
        if (pacer->count > 0) {
            memcpy(heap, pacer->heap, pacer->count * sizeof *heap);
        }
        free(pacer->heap);
        pacer->heap = heap;
        pacer->room = room;
    }
    size_t at = pacer->count++;
    while (at > 0 && pacer->heap[(at - 1) / 2].until_ns > waiter.until_ns) {
        pacer->heap[at] = pacer->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    pacer->heap[at] = waiter;
}

static struct waiter pop(struct pacer *pacer)
{
    struct waiter first = pacer->heap[0];
    struct waiter last = pacer->heap[--pacer->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < pacer->count &&
            pacer->heap[child + 1].until_ns < pacer->heap[child].until_ns) {
            child++;
        }
        if (child >= pacer->count || pacer->heap[child].until_ns >= last.until_ns) {
            break;
        }
        pacer->heap[at] = pacer->heap[child];
        at = child;
    }
    pacer->heap[at] = last;
    return first;
}

static bool client_is_gone(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd look = { .fd = info->connect_fd, .events = POLLRDHUP };
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* The mutex is held. Resume the one whose turn it is, or put a frozen one back. */
static void serve_first(struct pacer *pacer, int64_t now_ns)
{
    struct waiter waiter = pop(pacer);
    if (waiter.frozen && !pacer->released && !client_is_gone(waiter.connection)) {
        waiter.until_ns = now_ns + FROZEN_LOOK_NS;
        push(pacer, waiter);
        return;
    }
    MHD_resume_connection(waiter.connection);
    if (pacer->released && pacer->count == 0) {
        pthread_cond_signal(&pacer->drained);
    }
}

static void *run(void *context)
{
    struct pacer *pacer = context;
    pthread_mutex_lock(&pacer->mutex);
    while (!pacer->stopping) {
        int64_t now_ns = pacer_now_ns();
        if (pacer->count == 0) {
            pthread_cond_wait(&pacer->changed, &pacer->mutex);
        } else if (pacer->released || pacer->heap[0].until_ns <= now_ns) {
            serve_first(pacer, now_ns);
        } else {
            int64_t until_ns = pacer->heap[0].until_ns;
            struct timespec until = { .tv_sec = until_ns / SECOND_NS,
                                      .tv_nsec = until_ns % SECOND_NS };
            pthread_cond_timedwait(&pacer->changed, &pacer->mutex, &until);
        }
    }
    pthread_mutex_unlock(&pacer->mutex);
    return NULL;
}

struct pacer *pacer_start(void)
{
    struct pacer *pacer = text_alloc(sizeof *pacer);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pacer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_cond_init(&pacer->drained, NULL);
    pthread_mutex_init(&pacer->mutex, NULL);
    if (pthread_create(&pacer->thread, NULL, run, pacer) != 0) {
        free(pacer);
        return NULL;
    }
    pthread_setname_np(pacer->thread, "pacer");
    return pacer;
}

void pacer_release(struct pacer *pacer)
{
    pthread_mutex_lock(&pacer->mutex);
    pacer->released = true;
    pthread_cond_signal(&pacer->changed);
    while (pacer->count > 0) {
        pthread_cond_wait(&pacer->drained, &pacer->mutex);
    }
    pthread_mutex_unlock(&pacer->mutex);
}

void pacer_stop(struct pacer **pacer)
{
    struct pacer *old = *pacer;
    pthread_mutex_lock(&old->mutex);
    old->stopping = true;
    pthread_cond_signal(&old->changed);
    pthread_mutex_unlock(&old->mutex);
    pthread_join(old->thread, NULL);
    pthread_cond_destroy(&old->changed);
    pthread_cond_destroy(&old->drained);
    pthread_mutex_destroy(&old->mutex);
    free(old->heap);
    free(old);
    *pacer = NULL;
}

static void hand_over(struct pacer *pacer, struct waiter waiter)
{
    pthread_mutex_lock(&pacer->mutex);
    if (!pacer->released) {
        MHD_suspend_connection(waiter.connection);
        push(pacer, waiter);
        pthread_cond_signal(&pacer->changed);
    }
    pthread_mutex_unlock(&pacer->mutex);
}

void pacer_wait(struct pacer *pacer, struct MHD_Connection *connection, int64_t until_ns)
{
    hand_over(pacer, (struct waiter){ .until_ns = until_ns, .connection = connection });
}

void pacer_freeze(struct pacer *pacer, struct MHD_Connection *connection)
{
    hand_over(pacer, (struct waiter){ .until_ns = pacer_now_ns() + FROZEN_LOOK_NS,
                                      .connection = connection,
                                      .frozen = true });
}
