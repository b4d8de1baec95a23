/* fs/core/op.c: requests of the kernel: they run, wait for something, and run again from the start,
 * until what they need is there. What they have learned is in the caches, not in them. */
#include "fs/core/internal.h"

#define ROOM_MIN 4u /* effects that one run may push */

size_t op_memory(const struct mount_options *options)
{
    return (size_t)options->requests_max * (sizeof(struct op) + 32) + 4096;
}

enum err op_init(struct mount *m, struct arena *mem)
{
    list_init(&m->op_list);
    list_init(&m->runnable);
    list_init(&m->start_waiters);
    enum err err = pool_init(&m->ops, mem, sizeof(struct op), m->options.requests_max);
    return err == ERR_OK ? map_init(&m->op_by_id, mem, m->options.requests_max) : err;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void unwait(struct op *op)
{
    list_remove(&op->link);
    for (uint32_t i = 0; i < op->block_count; i++) {
        list_remove(&op->waits[i].link);
    }
}

void op_wake(struct mount *m, struct op *op)
{
    if (!op->ready) {
        unwait(op);
        op->ready = true;
        list_push_back(&m->runnable, &op->link);
    }
}

void op_wake_all(struct mount *m, struct list *waiters)
{
    while (!list_is_empty(waiters)) {
        op_wake(m, CONTAINER_OF(list_first(waiters), struct op, link));
    }
}

void op_wake_block(struct mount *m, struct block *block)
{
    while (!list_is_empty(&block->waiters)) {
        op_wake(m, CONTAINER_OF(list_first(&block->waiters), struct op_wait, link)->op);
    }
}

void op_wait(struct op *op, struct list *waiters)
{
    CHECK(!op->ready);
    list_remove(&op->link);
    list_push_back(waiters, &op->link);
}

void op_wait_room(struct mount *m, struct op *op)
{
    op_wait(op, &m->room_waiters);
    if (op->queued) {
        list_remove(&op->link);
        list_push_front(&m->room_waiters, &op->link);
    }
    op->queued = true;
}

void op_fail(struct mount *m, struct op *op, enum err err)
{
    CHECK(err != ERR_OK);
    op->err = err;
    op_wake(m, op);
}

void op_fail_later(struct mount *m, struct op *op, enum err err, usec_t wait_us)
{
    CHECK(err != ERR_OK && !op->ready);
    unwait(op);
    op->err = err;
    timers_set(&m->timers, &op->timer, m->now.mono_us + wait_us);
}

void op_fail_all(struct mount *m, struct list *waiters, enum err err)
{
    while (!list_is_empty(waiters)) {
        op_fail(m, CONTAINER_OF(list_first(waiters), struct op, link), err);
    }
}

/* ---- ending ------------------------------------------------------------------------------------ */

struct mount_effect *op_reply(struct mount *m, struct op *op, enum mount_effect_kind kind)
{
    struct mount_effect *effect = effect_push(m, kind);
    effect->reply_err.id = op->in.id; /* all replies begin with it */
    return effect;
}

void op_end(struct mount *m, struct op *op)
{
    usec_t took = m->now.mono_us - op->started_us;
    m->totals.longest_stall_us = usec_max(m->totals.longest_stall_us, took);
    unwait(op);
    read_detach(m, op);
    if (op->call != NULL) {
        call_free(m, op->call);
    }
    if (op->folder != NULL) {
        op->folder->users--;
    }
    timers_cancel(&m->timers, &op->timer);
    map_remove(&m->op_by_id, &op->by_id);
    list_remove(&op->all);
    pool_give(&m->ops, op);
    block_room_changed(m);
}

void op_reply_err(struct mount *m, struct op *op, enum err err)
{
    op_reply(m, op, MOUNT_REPLY_ERR)->reply_err.err = err_errno(err);
    op_end(m, op);
}

/* ---- beginning ----------------------------------------------------------------------------------- */

static void start(struct mount *m, const struct mount_op *in)
{
    struct op *op = in->name.size < NAME_ROOM ? pool_take(&m->ops) : NULL;
    if (op == NULL) {
        MARK(m, "mount.op.full");
        enum err err = in->name.size < NAME_ROOM ? ERR_NOMEM : ERR_NOT_FOUND;
        effect_err(m, in->id, err_errno(err));
        return;
    }
    op->in = *in;
    if (in->name.size > 0) {
        memcpy(op->name, in->name.data, in->name.size);
    }
    op->in.name = span_of(op->name, in->name.size);
    if (in->kind == OP_READ && in->handle != 0) {
        op->in.ino = in->handle; /* a file's handle is its inode */
    }
    op->started_us = m->now.mono_us;
    op->timer.kind = TIMER_OP;
    list_init(&op->link);
    list_push_back(&m->op_list, &op->all);
    map_insert(&m->op_by_id, &op->by_id, in->id);
    op->again = again_is(m, op);
    if (!m->options.hard) {
        usec_t time_us =
            op->again ? usec_min(AGAIN_TIME_US, m->options.timeo_us) : m->options.timeo_us;
        timers_set(&m->timers, &op->timer, m->now.mono_us + time_us);
    }
    op_wake(m, op);
}

static void getattr(struct mount *m, const struct mount_op *in)
{
    struct inode *inode = inode_at(m, in->ino);
    if (inode == NULL) {
        effect_err(m, in->id, err_errno(ERR_CHANGED));
        return;
    }
    inode_touch(m, inode);
    struct mount_effect *effect = effect_push(m, MOUNT_REPLY_ATTR);
    effect->reply_attr.id = in->id;
    inode_attr(m, inode, &effect->reply_attr.attr);
    effect->reply_attr.attr_us = ATTR_MAX_US;
}

static void open_file(struct mount *m, const struct mount_op *in)
{
    struct inode *inode = inode_at(m, in->ino);
    enum err err = inode == NULL || inode->stale ? ERR_CHANGED : ERR_OK;
    err = err == ERR_OK && inode->dir ? ERR_IS_DIRECTORY : err;
    if (err != ERR_OK) {
        effect_err(m, in->id, err_errno(err)); /* ESTALE makes the kernel look the name up again */
        return;
    }
    struct mount_effect *effect = effect_push(m, MOUNT_REPLY_OPEN);
    effect->reply_open.id = in->id;
    effect->reply_open.handle = in->ino;
    effect->reply_open.keep_cache = true; /* an inode is one version */
    effect->reply_open.cache_dir = false;
}

static void statfs(struct mount *m, const struct mount_op *in)
{
    struct mount_effect *effect = effect_push(m, MOUNT_REPLY_STATFS);
    effect->reply_statfs.id = in->id;
    effect->reply_statfs.bytes = m->bytes;
    effect->reply_statfs.files = m->files;
    cluster_wants_totals(m); /* for whoever asks next */
}

void op_on_event(struct mount *m, const struct mount_op *in)
{
    switch (in->kind) {
    case OP_FORGET:
        inode_forget(m, in->ino, in->count);
        return;
    case OP_GETATTR:
        getattr(m, in);
        return;
    case OP_OPEN:
        open_file(m, in);
        return;
    case OP_RELEASE:
        effect_err(m, in->id, 0);
        return;
    case OP_RELEASEDIR:
        readdir_release(m, in->handle);
        effect_err(m, in->id, 0);
        return;
    case OP_STATFS:
        statfs(m, in);
        return;
    case OP_LOOKUP:
    case OP_READ:
    case OP_OPENDIR:
    case OP_READDIR:
    case OP_READDIRPLUS:
        start(m, in);
        return;
    }
    BUG("no such kind of request");
}

/* ---- running ---------------------------------------------------------------------------------------- */

static void run(struct mount *m, struct op *op)
{
    if (op->err != ERR_OK) {
        tell_failed(m, op, op->err);
        op_reply_err(m, op, op->err);
        return;
    }
    if (m->start == START_WAITING) {
        op_wait(op, &m->start_waiters);
        return;
    }
    if (m->start == START_FAILED) {
        op_reply_err(m, op, ERR_UNREACHABLE);
        return;
    }
    switch (op->in.kind) {
    case OP_LOOKUP:
        lookup_run(m, op);
        return;
    case OP_READ:
        read_run(m, op);
        return;
    case OP_OPENDIR:
        readdir_open(m, op);
        return;
    case OP_READDIR:
    case OP_READDIRPLUS:
        readdir_run(m, op);
        return;
    case OP_FORGET:
    case OP_GETATTR:
    case OP_OPEN:
    case OP_RELEASE:
    case OP_RELEASEDIR:
    case OP_STATFS:
        break;
    }
    BUG("a request that ends at once waits");
}

void op_pump(struct mount *m)
{
    while (!list_is_empty(&m->runnable) && effect_room(m) >= ROOM_MIN && readdir_has_room(m)) {
        struct op *op = CONTAINER_OF(list_first(&m->runnable), struct op, link);
        list_remove(&op->link);
        op->ready = false;
        run(m, op);
    }
}

void op_start_done(struct mount *m)
{
    op_wake_all(m, &m->start_waiters);
}

/* ---- giving up ---------------------------------------------------------------------------------------- */

void op_on_interrupt(struct mount *m, uint64_t id)
{
    struct map_node *node = map_first(&m->op_by_id, id);
    if (node == NULL) {
        return; /* it is answered */
    }
    struct op *op = CONTAINER_OF(node, struct op, by_id);
    op->interrupted = true;
    if (op->err != ERR_OK) {
        return; /* it ends in a moment */
    }
    usec_t at = op->started_us + INTERRUPT_US;
    if (m->now.mono_us >= at) {
        op_timer(m, op);
    } else if (!timer_is_set(&op->timer) || op->timer.at_us > at) {
        timers_set(&m->timers, &op->timer, at);
    }
}

void op_timer(struct mount *m, struct op *op)
{
    if (op->err != ERR_OK) {
        op_wake(m, op);
    } else if (op->interrupted) {
        MARK(m, "mount.op.interrupted");
        op_fail(m, op, ERR_CANCELLED);
    } else {
        MARK(m, "mount.op.timeout");
        again_note(m, op);
        op_fail(m, op, ERR_TIMEOUT);
    }
}
