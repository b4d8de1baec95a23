#include "fs/requests.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct slot {
    struct fuse_req *request; /* NULL: free */
    uint64_t generation;
    bool pushed;
    bool interrupted;
};

struct requests {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct slot slots[REQUESTS_MAX];
    uint32_t free[REQUESTS_MAX]; /* a stack of free slots */
    uint32_t free_count;
    bool ended;
};

enum err requests_new(struct requests **out)
{
    struct requests *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return ERR_NOMEM;
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->freed, NULL);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        made->free[i] = REQUESTS_MAX - 1 - i;
    }
    made->free_count = REQUESTS_MAX;
    *out = made;
    return ERR_OK;
}

void requests_free(struct requests **requests)
{
    if (*requests == NULL) {
        return;
    }
    pthread_cond_destroy(&(*requests)->freed);
    pthread_mutex_destroy(&(*requests)->lock);
    free(*requests);
    *requests = NULL;
}

uint64_t requests_open(struct requests *requests, struct fuse_req *request)
{
    uint64_t number = 0;
    pthread_mutex_lock(&requests->lock);
    while (requests->free_count == 0 && !requests->ended) {
        pthread_cond_wait(&requests->freed, &requests->lock);
    }
    if (requests->free_count > 0) {
        uint32_t index = requests->free[--requests->free_count];
        struct slot *slot = &requests->slots[index];
        slot->request = request;
        slot->generation++;
        slot->pushed = false;
        slot->interrupted = false;
        number = slot->generation * REQUESTS_MAX + index;
    }
    pthread_mutex_unlock(&requests->lock);
    return number;
}

static struct fuse_req *close_slot(struct requests *requests, uint32_t index)
{
    struct fuse_req *request = requests->slots[index].request;
    requests->slots[index].request = NULL;
    requests->free[requests->free_count++] = index;
    pthread_cond_signal(&requests->freed);
    return request;
}

/* NULL: not open (any more). With the lock held. */
static struct slot *find(struct requests *requests, uint64_t number)
{
    struct slot *slot = &requests->slots[number % REQUESTS_MAX];
    bool open = slot->request != NULL && slot->generation == number / REQUESTS_MAX;
    return open ? slot : NULL;
}

bool requests_interrupt(struct requests *requests, uint64_t number)
{
    bool pushed = false;
    pthread_mutex_lock(&requests->lock);
    struct slot *slot = find(requests, number);
    if (slot != NULL) {
        slot->interrupted = true;
        pushed = slot->pushed;
    }
    pthread_mutex_unlock(&requests->lock);
    return pushed;
}

bool requests_pushed(struct requests *requests, uint64_t number)
{
    bool interrupted = false;
    pthread_mutex_lock(&requests->lock);
    struct slot *slot = find(requests, number);
    if (slot != NULL) {
        slot->pushed = true;
        interrupted = slot->interrupted;
    }
    pthread_mutex_unlock(&requests->lock);
    return interrupted;
}

struct fuse_req *requests_close(struct requests *requests, uint64_t number)
{
    struct fuse_req *request = NULL;
    pthread_mutex_lock(&requests->lock);
    if (find(requests, number) != NULL) {
        request = close_slot(requests, (uint32_t)(number % REQUESTS_MAX));
    }
    pthread_mutex_unlock(&requests->lock);
    return request;
}

struct fuse_req *requests_close_any(struct requests *requests)
{
    struct fuse_req *request = NULL;
    pthread_mutex_lock(&requests->lock);
    for (uint32_t i = 0; i < REQUESTS_MAX && request == NULL; i++) {
        if (requests->slots[i].request != NULL) {
            request = close_slot(requests, i);
        }
    }
    pthread_mutex_unlock(&requests->lock);
    return request;
}

void requests_end(struct requests *requests)
{
    pthread_mutex_lock(&requests->lock);
    requests->ended = true;
    pthread_cond_broadcast(&requests->freed);
    pthread_mutex_unlock(&requests->lock);
}
