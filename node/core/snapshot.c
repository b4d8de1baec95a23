/* node/core/snapshot.c: a snapshot's life, and its listing. */
#include "node/core/snapshot.h"

#include "node/core/meta.h"

#define LIST_LIMIT 1000u   /* the most that S3 and OSS give in one page */
#define LISTED_AHEAD 2000u /* entries held while pages are on their way to their ranks */
#define RETRY_FIRST_US MSEC(200)
#define RETRY_MOST_US SEC(20)
#define MEMORY_WAIT_US MSEC(20)
#define GROW_FIRST 4096u

/* ---- bytes that grow --------------------------------------------------------------------- */

void *grow_more(struct node *node, struct grow *grow, uint32_t bytes)
{
    uint32_t room = grow->buffer == NULL ? 0 : grow->buffer->size;
    if (room - grow->used < bytes) {
        uint32_t size = room == 0 ? GROW_FIRST : room;
        while (size - grow->used < bytes) {
            size *= 2;
        }
        struct buffer *larger = size > BLOCK_SIZE_MAX ? NULL : memory_take(node, size, MEMORY_META);
        if (larger == NULL) {
            return NULL;
        }
        if (grow->used > 0) {
            memcpy(larger->data, grow->buffer->data, grow->used);
        }
        if (grow->buffer != NULL) {
            buffer_unref(node, grow->buffer);
        }
        grow->buffer = larger;
    }
    grow->used += bytes;
    return grow->buffer->data + grow->used - bytes;
}

void grow_end(struct node *node, struct grow *grow)
{
    if (grow->buffer != NULL) {
        buffer_unref(node, grow->buffer);
    }
    *grow = (struct grow){ .buffer = NULL };
}

/* ---- shards ------------------------------------------------------------------------------ */

struct shard_record *snapshot_shard(const struct snapshot *snapshot, uint32_t index)
{
    CHECK(index < snapshot->shard_count);
    return (struct shard_record *)(void *)snapshot->shards.buffer->data + index;
}

struct span snapshot_fence(const struct snapshot *snapshot, uint32_t index)
{
    const struct shard_record *shard = snapshot_shard(snapshot, index);
    return shard->fence_size == 0
               ? span_of(NULL, 0)
               : span_of(snapshot->fences.buffer->data + shard->fence_at, shard->fence_size);
}

bool snapshot_add_shard(struct node *node, struct snapshot *snapshot, uint32_t index,
                        struct span fence)
{
    uint8_t copy[ENTRY_NAME_MAX]; /* the fence may lie in memory that moves now */
    CHECK(index <= snapshot->shard_count && fence.size <= sizeof copy);
    memcpy(copy, fence.size > 0 ? fence.data : copy, fence.size);
    if (grow_more(node, &snapshot->shards, sizeof(struct shard_record)) == NULL) {
        MARK(snapshot, "snapshot.memory.shards");
        return false;
    }
    uint32_t at = snapshot->fences.used;
    void *to = fence.size == 0 ? copy : grow_more(node, &snapshot->fences, (uint32_t)fence.size);
    if (to == NULL) {
        MARK(snapshot, "snapshot.memory.fences");
        snapshot->shards.used -= (uint32_t)sizeof(struct shard_record);
        return false;
    }
    memmove(to, copy, fence.size);
    snapshot->shard_count++;
    struct shard_record *shard = snapshot_shard(snapshot, index);
    memmove(shard + 1, shard, (snapshot->shard_count - 1 - index) * sizeof *shard);
    *shard = (struct shard_record){ .fence_at = at,
                                    .fence_size = (uint16_t)fence.size,
                                    .state = SHARD_OPEN };
    return true;
}

/* ---- life -------------------------------------------------------------------------------- */

/* A time in microseconds, past every generation seen; the lowest bit alternates, because it names
 * the slot of a page in the stores. */
static uint64_t next_generation(const struct node *node, const struct dir *dir,
                                const struct snapshot_need *need)
{
    uint64_t generation = (uint64_t)node->now.wall_us;
    if (generation <= need->newer_than) {
        generation = need->newer_than + 1;
    }
    if (dir->known && (generation & 1) == (dir->generation & 1)) {
        generation++;
    }
    CHECK(generation > dir->generation || !dir->known);
    return generation;
}

/* What is known of the generation before. */
static void take_old(struct node *node, struct snapshot *snapshot)
{
    struct dir *dir = snapshot->work->dir;
    struct root old;
    bool has_root = dir->known && dir->exists && dir->root != NULL &&
                    root_open(span_of(dir->root->data, dir->root_size), &old) == ERR_OK;
    snapshot->has_old = dir->known;
    snapshot->old_exists = dir->known && dir->exists;
    if (has_root) {
        snapshot->old_root = dir->root;
        buffer_ref(node, dir->root);
    }
    dirbuild_init(&snapshot->set, snapshot->work->id, snapshot->generation, has_root ? &old : NULL);
}

struct snapshot *snapshot_start(struct node *node, struct work *work,
                                const struct snapshot_need *need)
{
    struct snapshot *snapshot = pool_take(&node->meta->dirs.snapshots);
    if (snapshot == NULL) {
        return NULL;
    }
    uint64_t wall = (uint64_t)node->now.wall_us;
    snapshot->marks = node->marks;
    snapshot->work = work;
    snapshot->timer.kind = TIMER_DIR_SNAPSHOT;
    snapshot->generation = next_generation(node, work->dir, need);
    snapshot->checked_us = wall > need->checked ? wall : need->checked;
    snapshot->force = need->force;
    take_old(node, snapshot);
    for (uint32_t i = 0; i < SNAPSHOT_OPS; i++) {
        snapshot->ops[i].snapshot = snapshot;
        list_init(&snapshot->ops[i].waiter.waiting);
    }
    snapshot->root_op.snapshot = snapshot;
    list_init(&snapshot->root_op.waiter.waiting);
    snapshot_wake(node, snapshot, node->now.mono_us); /* the first page is asked for from there */
    return snapshot;
}

void snapshot_fail(struct snapshot *snapshot, enum err err, struct span text)
{
    CHECK(err != ERR_OK);
    if (snapshot->err != ERR_OK) {
        return;
    }
    snapshot->err = err;
    snapshot->text_size =
        (uint32_t)(text.size < sizeof snapshot->text ? text.size : sizeof snapshot->text);
    if (snapshot->text_size > 0) {
        memcpy(snapshot->text, text.data, snapshot->text_size);
    }
}

void snapshot_wake(struct node *node, struct snapshot *snapshot, usec_t at_us)
{
    if (!timer_is_set(&snapshot->timer) || snapshot->timer.at_us > at_us) {
        timers_set(&node->timers, &snapshot->timer, at_us);
    }
}

static void log_failure(struct node *node, const struct snapshot *snapshot)
{
    char line[768];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, "directory.failed prefix=");
    text_json(&text,
              span_of(snapshot->work->prefix,
                      snapshot->work->prefix_size < 256 ? snapshot->work->prefix_size : 256));
    text_str(&text, " err=");
    text_str(&text, err_name(snapshot->err));
    text_str(&text, " text=");
    text_json(&text, span_of(snapshot->text, snapshot->text_size));
    node_log(node, LOG_WARN, &text);
}

static void tell_hidden(struct node *node, const struct snapshot *snapshot)
{
    char line[512];
    struct text text;
    if (snapshot->set.hidden == 0 || !snapshot->changed) {
        return;
    }
    node->metrics.keys_hidden += snapshot->set.hidden;
    text_init(&text, line, sizeof line);
    text_str(&text, "directory.hidden prefix=");
    text_json(&text,
              span_of(snapshot->work->prefix,
                      snapshot->work->prefix_size < 256 ? snapshot->work->prefix_size : 256));
    text_str(&text, " keys=");
    text_u64(&text, snapshot->set.hidden);
    node_log(node, LOG_INFO, &text);
}

static void end(struct node *node, struct snapshot *snapshot)
{
    struct work *work = snapshot->work;
    enum err err = snapshot->err;
    uint8_t text[sizeof snapshot->text];
    uint32_t text_size = snapshot->text_size;
    memcpy(text, snapshot->text, text_size);
    if (err != ERR_OK) {
        node->metrics.listings_failed++;
        log_failure(node, snapshot);
    } else {
        uint64_t *count = snapshot->unchanged ? &node->metrics.listings_unchanged
                                              : &node->metrics.listings_published;
        (*count)++;
        tell_hidden(node, snapshot);
    }
    snapshot_ops_cancel(node, snapshot);
    lookup_cancel(node, snapshot);
    io_forget(node, snapshot->list_io);
    timers_cancel(&node->timers, &snapshot->timer);
    if (snapshot->set_memory != NULL) {
        buffer_unref(node, snapshot->set_memory);
    }
    if (snapshot->old_root != NULL) {
        buffer_unref(node, snapshot->old_root);
    }
    grow_end(node, &snapshot->shards);
    grow_end(node, &snapshot->fences);
    grow_end(node, &snapshot->late);
    pool_give(&node->meta->dirs.snapshots, snapshot);
    dirs_on_snapshot(node, work, err, span_of(text, text_size));
}

/* ---- listing ----------------------------------------------------------------------------- */

static void list_page(struct node *node, struct snapshot *snapshot)
{
    struct work *work = snapshot->work;
    struct io_for of = { .kind = IO_BUILD_LIST, .owner = snapshot };
    struct io_list list = { .source = work->source,
                            .prefix = span_of(work->prefix, work->prefix_size),
                            .continuation = span_of(snapshot->token, snapshot->token_size),
                            .limit = LIST_LIMIT,
                            .delimited = true };
    if (node->now.mono_us < snapshot->list_us) {
        snapshot_wake(node, snapshot, snapshot->list_us);
        return;
    }
    snapshot->list_io = io_list(node, &of, &list);
    if (snapshot->list_io == 0) {
        snapshot_wake(node, snapshot, node->now.mono_us + MEMORY_WAIT_US);
    }
}

/* Is there hope that the same request works later? */
static bool may_retry(enum err err)
{
    return err == ERR_SOURCE_UNREACHABLE || err == ERR_SOURCE_THROTTLED ||
           err == ERR_SOURCE_PROTOCOL || err == ERR_TIMEOUT || err == ERR_SYSTEM ||
           err == ERR_BUSY || err == ERR_NOMEM || err == ERR_FULL;
}

static void list_failed(struct node *node, struct snapshot *snapshot,
                        const struct node_event *event)
{
    enum err err = event->listed.err;
    meta_count_error(node, err);
    snapshot->list_tries++;
    if (!may_retry(err) || snapshot->list_tries >= SNAPSHOT_TRIES) {
        MARK(snapshot, "snapshot.list.gave_up");
        snapshot_fail(snapshot, err, event->listed.text);
        return;
    }
    MARK(snapshot, "snapshot.list.retry");
    node->metrics.source_retries++;
    usec_t wait_us = node_backoff(node, RETRY_FIRST_US, snapshot->list_tries, RETRY_MOST_US);
    wait_us = usec_max(wait_us, event->listed.retry_us);
    snapshot->list_us = node->now.mono_us + wait_us;
}

static bool make_room(struct node *node, struct snapshot *snapshot, const struct node_event *event)
{
    struct dirbuild *set = &snapshot->set;
    const struct listed *entries = event->listed.entries;
    uint32_t count = event->listed.count;
    if (count == 0 || (set->memory != NULL && dirbuild_fits(set, entries, count))) {
        return true;
    }
    size_t size = dirbuild_need(set, entries, count);
    if (event->listed.next.size > 0) {
        size += size / 2; /* more will come */
    }
    size = (size + BUDDY_PAGE - 1) & ~(size_t)(BUDDY_PAGE - 1);
    struct buffer *memory = size > BLOCK_SIZE_MAX ? NULL : memory_take(node, size, MEMORY_META);
    if (memory == NULL) {
        return false;
    }
    dirbuild_give(set, memory->data, memory->size);
    if (snapshot->set_memory != NULL) {
        buffer_unref(node, snapshot->set_memory);
    }
    snapshot->set_memory = memory;
    return true;
}

static void put(struct node *node, struct snapshot *snapshot, const struct listed *listed)
{
    struct entry entry;
    struct span prefix = span_of(snapshot->work->prefix, snapshot->work->prefix_size);
    snapshot->any_key = true;
    switch (dirbuild_classify(prefix, listed, &entry)) {
    case DIRBUILD_MARKER:
        snapshot->set.marker = true;
        return;
    case DIRBUILD_HIDDEN:
        MARK(snapshot, "snapshot.hidden");
        snapshot->set.hidden++;
        return;
    case DIRBUILD_SHOWN:
        break;
    }
    switch (dirbuild_put(&snapshot->set, &entry)) {
    case DIRBUILD_PUT:
        return;
    case DIRBUILD_LATE:
        MARK(snapshot, "snapshot.late");
        if (!snapshot_put_late(node, snapshot, entry.name)) {
            snapshot_fail(snapshot, ERR_BUSY, span_text("no memory for a listing"));
        }
        return;
    case DIRBUILD_DISORDER:
        MARK(snapshot, "snapshot.disorder");
        snapshot_fail(snapshot, ERR_SOURCE_PROTOCOL,
                      span_text("the source does not list its keys in order"));
        return;
    }
}

static void take_token(struct snapshot *snapshot, struct span next)
{
    bool is_same =
        next.size > 0 && span_equal(next, span_of(snapshot->token, snapshot->token_size));
    if (next.size > sizeof snapshot->token || is_same) {
        MARK(snapshot, "snapshot.token");
        snapshot_fail(snapshot, ERR_SOURCE_PROTOCOL,
                      span_text("the source's continuation token cannot be used"));
        return;
    }
    if (next.size > 0) {
        memcpy(snapshot->token, next.data, next.size);
    }
    snapshot->token_size = (uint32_t)next.size;
    snapshot->listed_all = next.size == 0;
}

void snapshot_on_listed(struct node *node, struct snapshot *snapshot,
                        const struct node_event *event)
{
    snapshot->list_io = 0;
    if (event->listed.err != ERR_OK) {
        list_failed(node, snapshot, event);
    } else if (!make_room(node, snapshot, event)) {
        MARK(snapshot, "snapshot.memory.set"); /* the same page again, a little later */
        snapshot->list_tries++;
        snapshot->list_us = node->now.mono_us + MEMORY_WAIT_US * (usec_t)snapshot->list_tries;
        if (snapshot->list_tries >= SNAPSHOT_TRIES) {
            snapshot_fail(snapshot, ERR_BUSY, span_text("no memory for a listing"));
        }
    } else {
        snapshot->list_tries = 0;
        for (uint32_t i = 0; i < event->listed.count; i++) {
            put(node, snapshot, &event->listed.entries[i]);
        }
        take_token(snapshot, event->listed.next);
    }
    snapshot_drive(node, snapshot);
}

/* ---- the whole --------------------------------------------------------------------------- */

static void step_listing(struct node *node, struct snapshot *snapshot)
{
    struct dirbuild_cut cut;
    snapshot_cut(node, snapshot);
    bool behind = dirbuild_next(&snapshot->set, snapshot->listed_all, &cut);
    bool may_list = !behind || snapshot->set.count <= LISTED_AHEAD;
    if (!snapshot->listed_all && snapshot->list_io == 0 && may_list) {
        list_page(node, snapshot);
    }
    if (snapshot->listed_all && snapshot->set.count == 0 && snapshot_ops_idle(snapshot)) {
        snapshot->phase = SNAPSHOT_LATE;
    }
}

static void step(struct node *node, struct snapshot *snapshot)
{
    snapshot_ops_again(node, snapshot);
    switch (snapshot->phase) {
    case SNAPSHOT_LISTING:
        step_listing(node, snapshot);
        return;
    case SNAPSHOT_LATE:
        snapshot_late(node, snapshot);
        return;
    case SNAPSHOT_REDO:
        snapshot_redo(node, snapshot);
        return;
    case SNAPSHOT_ROOT:
        snapshot_publish(node, snapshot);
        return;
    case SNAPSHOT_DONE:
        return;
    }
}

void snapshot_drive(struct node *node, struct snapshot *snapshot)
{
    enum snapshot_phase before;
    do {
        before = snapshot->phase;
        if (snapshot->err == ERR_OK) {
            step(node, snapshot);
        }
    } while (snapshot->err == ERR_OK && snapshot->phase != before);
    if (snapshot->err != ERR_OK || snapshot->phase == SNAPSHOT_DONE) {
        end(node, snapshot);
    }
}

void snapshot_on_timer(struct node *node, struct snapshot *snapshot)
{
    snapshot_drive(node, snapshot);
}
