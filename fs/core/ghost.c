/* fs/core/ghost.c: questions that were given up. The node may still answer with bytes: they stay
 * reserved until it does, until its link is gone, or until nothing can come any more. */
#include "fs/core/internal.h"

#define GHOST_US SEC(1) /* so long after CANCEL no bytes come any more from a node that lives */

size_t ghost_memory(const struct mount_options *options)
{
    return (size_t)call_limit(options) * (sizeof(struct ghost) + 32) + 4096;
}

enum err ghost_init(struct mount *m, struct arena *mem)
{
    uint32_t count = call_limit(&m->options);
    list_init(&m->cancels);
    list_init(&m->ghosts);
    m->ghost_timer.kind = TIMER_GHOST;
    enum err err = pool_init(&m->ghosts_pool, mem, sizeof(struct ghost), count);
    return err == ERR_OK ? map_init(&m->ghost_by_number, mem, count) : err;
}

static void ghost_free(struct mount *m, struct ghost *ghost)
{
    CHECK(m->reserved >= ghost->reserved);
    m->reserved -= ghost->reserved;
    map_remove(&m->ghost_by_number, &ghost->by_number);
    list_remove(&ghost->link);
    pool_give(&m->ghosts_pool, ghost);
    block_room_changed(m);
}

static struct ghost *ghost_find(const struct mount *m, uint64_t number)
{
    struct map_node *node = map_first(&m->ghost_by_number, number);
    return node == NULL ? NULL : CONTAINER_OF(node, struct ghost, by_number);
}

void ghost_make(struct mount *m, struct call *call, struct node_id node)
{
    struct ghost *ghost = pool_take(&m->ghosts_pool);
    if (ghost == NULL) {
        MARK(m, "mount.ghost.full");
        return;
    }
    ghost->number = call->number;
    ghost->over = call->over;
    ghost->node = node;
    ghost->purpose = call->kind == CALL_BLOCK ? LINK_DATA : LINK_CONTROL;
    ghost->reserved = call->kind == CALL_BLOCK ? block_unreserve(m, call) : 0;
    ghost->since_us = m->now.mono_us;
    map_insert(&m->ghost_by_number, &ghost->by_number, ghost->number);
    list_push_back(&m->cancels, &ghost->link);
}

void ghost_link_gone(struct mount *m, struct link_id link)
{
    struct list *lists[2] = { &m->cancels, &m->ghosts };
    for (uint32_t i = 0; i < 2; i++) {
        struct list *next;
        for (struct list *at = lists[i]->next; at != lists[i]; at = next) {
            struct ghost *ghost = CONTAINER_OF(at, struct ghost, link);
            next = at->next;
            if (ghost->over.v == link.v) {
                ghost_free(m, ghost);
            }
        }
    }
}

/* Bytes that a node owes us and does not send are not waited for: the link goes, and they with it. */
void ghost_timer(struct mount *m)
{
    struct list *first = list_first(&m->ghosts);
    if (first == NULL) {
        return;
    }
    struct ghost *ghost = CONTAINER_OF(first, struct ghost, link);
    if (m->now.mono_us - ghost->since_us >= GHOST_US) {
        struct peer *peer = peer_known(m, ghost->node);
        bool silent = peer != NULL && peer->silent && ghost->reserved > 0;
        if (silent && peer->links[ghost->purpose].id.v == ghost->over.v) {
            MARK(m, "mount.ghost.closed");
            link_again(m, peer, ghost->purpose); /* frees all of that link */
        }
        if (list_first(&m->ghosts) == first) {
            ghost_free(m, ghost);
        }
    }
    first = list_first(&m->ghosts);
    if (first != NULL) {
        ghost = CONTAINER_OF(first, struct ghost, link);
        timers_set(&m->timers, &m->ghost_timer, ghost->since_us + GHOST_US);
    }
}

/* Room is short: what a silent node still owes us is given up now. */
void ghost_purge(struct mount *m)
{
    for (struct list *at = m->ghosts.next; at != &m->ghosts; at = at->next) {
        struct ghost *ghost = CONTAINER_OF(at, struct ghost, link);
        struct peer *peer = peer_known(m, ghost->node);
        bool silent = peer != NULL && peer->silent && ghost->reserved > 0;
        if (silent && peer->links[ghost->purpose].id.v == ghost->over.v) {
            MARK(m, "mount.ghost.purged");
            link_again(m, peer, ghost->purpose);
            return;
        }
    }
}

void ghost_pump(struct mount *m)
{
    while (!list_is_empty(&m->cancels) && effect_room(m) > 0) {
        struct ghost *ghost = CONTAINER_OF(list_first(&m->cancels), struct ghost, link);
        list_remove(&ghost->link);
        list_push_back(&m->ghosts, &ghost->link);
        struct message message = { .kind = MESSAGE_CANCEL };
        message.cancel.request = ghost->number;
        effect_send(m, ghost->over, &message);
        if (!timer_is_set(&m->ghost_timer)) {
            timers_set(&m->timers, &m->ghost_timer, ghost->since_us + GHOST_US);
        }
    }
}

bool ghost_on_message(struct mount *m, const struct message *message)
{
    bool data = message->kind == MESSAGE_DATA;
    uint64_t number = data ? message->data.request : message->fail.request;
    struct ghost *ghost = ghost_find(m, number);
    if (ghost == NULL) {
        return false;
    }
    MARK(m, "mount.ghost.answered");
    if (data && message->data.more == 1) {
        uint32_t part = (uint32_t)message->data.length;
        part = part < ghost->reserved ? part : ghost->reserved;
        ghost->reserved -= part;
        m->reserved -= part;
        return true;
    }
    ghost_free(m, ghost);
    return true;
}
