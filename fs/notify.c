#include "fs/notify.h"

#include <stdlib.h>

#include "node/io/queue.h"
#include "node/io/threads.h"

struct note {
    struct queue_item queue;
    uint64_t ino; /* or the parent, when there is a name */
    bool expire;
    char name[257]; /* "": the inode itself */
};

struct notify {
    struct kernel *kernel;
    struct queue *queue;
    pthread_t thread;
};

static void *run(void *self)
{
    struct notify *notify = self;
    struct queue_item *item;
    while ((item = queue_pop(notify->queue, USEC_NEVER)) != NULL) {
        struct note *note = CONTAINER_OF(item, struct note, queue);
        if (note->name[0] != '\0') {
            kernel_drop_entry(notify->kernel, note->ino, note->name, note->expire);
        } else {
            kernel_drop_inode(notify->kernel, note->ino);
        }
        free(note);
    }
    return NULL;
}

enum err notify_start(struct kernel *kernel, struct notify **out)
{
    struct notify *notify = calloc(1, sizeof *notify);
    enum err err = ERR_NOMEM;
    if (notify == NULL) {
        return ERR_NOMEM;
    }
    notify->kernel = kernel;
    err = queue_new(&notify->queue);
    if (err != ERR_OK) {
        goto out;
    }
    err = threads_start("notify", run, notify, &notify->thread);
    if (err != ERR_OK) {
        goto out;
    }
    *out = notify;
    return ERR_OK;
out:
    if (notify->queue != NULL) {
        queue_free(&notify->queue);
    }
    free(notify);
    return err;
}

void notify_stop(struct notify **notify)
{
    struct notify *n = *notify;
    struct queue_item *item;
    if (n == NULL) {
        return;
    }
    item = queue_take(n->queue);
    while (item != NULL) {
        struct queue_item *next = item->next;
        free(CONTAINER_OF(item, struct note, queue));
        item = next;
    }
    queue_close(n->queue);
    threads_join(n->thread);
    queue_free(&n->queue);
    free(n);
    *notify = NULL;
}

void notify_push(struct notify *notify, const struct mount_effect *effect)
{
    struct note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        return;
    }
    if (effect->kind == MOUNT_DROP_INODE) {
        note->ino = effect->drop_inode.ino;
    } else {
        CHECK(effect->kind == MOUNT_DROP_ENTRY && effect->drop_entry.name.size < sizeof note->name);
        note->ino = effect->drop_entry.parent;
        note->expire = effect->drop_entry.expire;
        memcpy(note->name, effect->drop_entry.name.data, effect->drop_entry.name.size);
    }
    queue_push(notify->queue, &note->queue);
}
