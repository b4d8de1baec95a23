/* node/core/snapshot_pages.c: the pages of a snapshot on their way: cut from the set, joined with the
 * generation before, written again, stored on their ranks. */
#include "node/core/snapshot.h"

#include "node/core/meta.h"

#define MEMORY_WAIT_US MSEC(20)
#define MEMORY_TRIES 100u /* two seconds: then others that wait for memory can go on */
#define STORE_FIRST_US MSEC(100)
#define STORE_MOST_US SEC(2)
#define LATE_AT_ONCE 256u /* one page takes no more: they are prefixes of one name */

struct snapshot_op *snapshot_op_free(struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < SNAPSHOT_OPS; i++) {
        if (snapshot->ops[i].state == OP_FREE) {
            return &snapshot->ops[i];
        }
    }
    return NULL;
}

bool snapshot_ops_idle(const struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < SNAPSHOT_OPS; i++) {
        if (snapshot->ops[i].state != OP_FREE) {
            return false;
        }
    }
    return true;
}

static void drop_page(struct node *node, struct snapshot_op *op)
{
    if (op->page != NULL) {
        buffer_unref(node, op->page);
        op->page = NULL;
    }
}

static void op_end(struct node *node, struct snapshot_op *op)
{
    drop_page(node, op);
    op->state = OP_FREE;
    op->tries = 0;
    op->memory_tries = 0;
}

static void try_again(struct node *node, struct snapshot_op *op, enum op_state state,
                      usec_t wait_us)
{
    op->state = OP_AGAIN;
    op->again = state;
    op->again_us = node->now.mono_us + wait_us;
    snapshot_wake(node, op->snapshot, op->again_us);
}

/* No memory just now. */
static void wait_memory(struct node *node, struct snapshot_op *op, enum op_state state)
{
    MARK(op->snapshot, "snapshot.memory.page");
    op->memory_tries++;
    if (op->memory_tries > MEMORY_TRIES) {
        snapshot_fail(op->snapshot, ERR_BUSY, span_text("no memory for directory pages"));
    }
    try_again(node, op, state, MEMORY_WAIT_US);
}

/* ---- storing ----------------------------------------------------------------------------- */

static void store_failed(struct node *node, struct snapshot_op *op, enum err err)
{
    MARK(op->snapshot, "snapshot.store.failed");
    op->tries++;
    if (op->tries >= SNAPSHOT_TRIES) {
        snapshot_fail(op->snapshot, err, span_text("no node could keep a page of the directory"));
    }
    try_again(node, op, OP_STORE, node_backoff(node, STORE_FIRST_US, op->tries, STORE_MOST_US));
}

static void stored(struct node *node, struct copies *copies, enum err err)
{
    struct snapshot_op *op = CONTAINER_OF(copies, struct snapshot_op, copies);
    struct snapshot *snapshot = op->snapshot;
    CHECK(op->state == OP_STORE);
    if (err != ERR_OK) {
        store_failed(node, op, err);
    } else {
        snapshot_shard(snapshot, op->shard)->state = SHARD_STORED;
        op_end(node, op);
    }
    snapshot_drive(node, snapshot);
}

/* The page in op->page goes to its ranks; they pull it from the cache. */
static void op_store(struct node *node, struct snapshot_op *op)
{
    struct snapshot *snapshot = op->snapshot;
    struct shard_record *shard = snapshot_shard(snapshot, op->shard);
    struct span fence = snapshot_fence(snapshot, op->shard);
    struct page page;
    enum err err = page_open(span_of(op->page->data, op->size), &page);
    CHECK(err == ERR_OK && page.generation == snapshot->generation);
    CHECK(span_equal(page.lower, fence));
    shard->entries = page.count;
    shard->page_bytes = op->size;
    shard->page_crc = page.crc;
    struct copies *copies = &op->copies;
    page_key_make(&copies->key, snapshot->work->dir->key, snapshot->generation, fence);
    copies->kind = COPIES_PAGE;
    copies->source = snapshot->work->source;
    copies->buffer = op->page;
    copies->size = op->size;
    copies->crc = page.crc;
    copies->done = stored;
    buffer_ref(node, op->page);
    pages_keep(node, &copies->key, op->page, op->size);
    op->state = OP_STORE;
    err = copies_start(node, copies, span_text(snapshot->work->selector),
                       place_of_shard(snapshot->work->id, fence));
    if (err != ERR_OK) {
        store_failed(node, op, err);
    }
}

/* ---- joining ----------------------------------------------------------------------------- */

/* Where a page of the generation before is. */
static void search_old(const struct snapshot *snapshot, struct span fence,
                       struct page_search *search)
{
    struct work *work = snapshot->work;
    *search = (struct page_search){ .source = work->source,
                                    .has_place = true,
                                    .dir = work->id,
                                    .selector = span_text(work->selector) };
    page_key_make(&search->key, work->dir->key, snapshot->set.old.head.generation, fence);
}

static void join(struct node *node, struct snapshot_op *op, const struct page_bytes *bytes)
{
    struct snapshot *snapshot = op->snapshot;
    struct page old;
    struct page page;
    bool same = false;
    enum err err = page_open(span_of(op->page->data, op->size), &page);
    CHECK(err == ERR_OK);
    err = page_open(span_of(bytes->buffer->data, bytes->size), &old);
    CHECK(err == ERR_OK); /* it was checked on arrival */
    struct buffer *joined = memory_take(node, op->size + DIRBUILD_PAGE_SLACK, MEMORY_META);
    if (joined == NULL) {
        wait_memory(node, op, OP_JOIN);
        return;
    }
    size_t size = dirbuild_join(&page, &old, joined->data, joined->size, &same);
    buffer_unref(node, op->page);
    op->page = joined;
    op->size = (uint32_t)size;
    if (same && !snapshot->changed && !snapshot->force) {
        MARK(snapshot, "snapshot.page.same");
        snapshot_shard(snapshot, op->shard)->state = SHARD_SAME;
        op_end(node, op);
        return;
    }
    snapshot->changed = true;
    op_store(node, op);
}

static void on_old(struct node *node, struct snapshot_op *op, const struct page_bytes *bytes,
                   enum err err)
{
    if (bytes != NULL) {
        join(node, op, bytes);
    } else if (err == ERR_BUSY) {
        wait_memory(node, op, OP_JOIN);
    } else {
        MARK(op->snapshot, "snapshot.old.lost"); /* its files get new places */
        op->snapshot->changed = true;
        op_store(node, op);
    }
}

/* ---- writing again ----------------------------------------------------------------------- */

/* One page of the result into op->page. */
static bool write_part(struct node *node, struct snapshot_op *op, const struct dirbuild_edit *edit,
                       struct dirbuild_part part)
{
    struct buffer *buffer = memory_take(node, dirbuild_edit_size(edit), MEMORY_META);
    if (buffer == NULL) {
        return false;
    }
    op->page = buffer;
    op->size = (uint32_t)dirbuild_edit_write(edit, part, buffer->data, buffer->size);
    return true;
}

static void add_sums(struct snapshot *snapshot, const struct dirbuild_sums *sums)
{
    struct dirbuild *set = &snapshot->set;
    set->directories += sums->added;
    set->files -= sums->replaced;
    set->bytes -= sums->replaced_bytes;
    set->hidden += sums->replaced;
    set->digest += sums->digest;
}

/* Two pages of one that is too full; only one edit with names runs at a time. */
static bool split(struct node *node, struct snapshot_op *op, const struct dirbuild_edit *edit,
                  uint32_t count)
{
    struct snapshot *snapshot = op->snapshot;
    struct snapshot_op *other = snapshot_op_free(snapshot);
    struct dirbuild_part first = { .first = 0, .count = count / 2 };
    struct dirbuild_part second = { .first = count / 2, .count = count - count / 2 };
    struct page page;
    CHECK(other != NULL);
    if (!write_part(node, op, edit, first) || !write_part(node, other, edit, second)) {
        drop_page(node, op);
        return false;
    }
    enum err err = page_open(span_of(other->page->data, other->size), &page);
    CHECK(err == ERR_OK);
    if (!snapshot_add_shard(node, snapshot, op->shard + 1, page.lower)) {
        drop_page(node, op);
        drop_page(node, other);
        return false;
    }
    MARK(snapshot, "snapshot.late.split");
    other->shard = op->shard + 1;
    op_store(node, other);
    return true;
}

static void edit(struct node *node, struct snapshot_op *op, const struct page_bytes *bytes)
{
    struct snapshot *snapshot = op->snapshot;
    struct span names[LATE_AT_ONCE];
    struct dirbuild_sums sums;
    struct page page;
    enum err err = page_open(span_of(bytes->buffer->data, bytes->size), &page);
    CHECK(err == ERR_OK);
    struct dirbuild_edit what = {
        .page = &page,
        .names = names,
        .name_count = snapshot_late_of(snapshot, op->shard, names, LATE_AT_ONCE),
        .generation = snapshot->generation,
    };
    uint32_t count = dirbuild_edit_count(&what, &sums);
    struct dirbuild_part all = { .first = 0, .count = count };
    bool written =
        count > PAGE_ENTRIES_MAX ? split(node, op, &what, count) : write_part(node, op, &what, all);
    if (!written) {
        wait_memory(node, op, OP_EDIT);
        return;
    }
    add_sums(snapshot, &sums);
    snapshot_late_done(snapshot, names, what.name_count);
    op_store(node, op);
}

static void on_again(struct node *node, struct snapshot_op *op, const struct page_bytes *bytes,
                     enum err err)
{
    if (bytes != NULL) {
        edit(node, op, bytes);
    } else if (err == ERR_BUSY) {
        wait_memory(node, op, OP_EDIT);
    } else {
        MARK(op->snapshot, "snapshot.page.lost");
        snapshot_fail(op->snapshot, err, span_text("a page of the directory was lost: try again"));
    }
}

/* ---- getting a page ---------------------------------------------------------------------- */

static void on_page(struct node *node, struct page_waiter *waiter, const struct page_bytes *page,
                    enum err err)
{
    struct snapshot_op *op = CONTAINER_OF(waiter, struct snapshot_op, waiter);
    struct snapshot *snapshot = op->snapshot;
    if (op->state == OP_JOIN) {
        on_old(node, op, page, err);
    } else {
        CHECK(op->state == OP_EDIT);
        on_again(node, op, page, err);
    }
    snapshot_drive(node, snapshot);
}

/* Get the page that the op's state wants: now, or when it is found. */
static void op_get(struct node *node, struct snapshot_op *op, const struct page_search *search)
{
    const struct page_bytes *found = pages_find(node, &search->key);
    op->waiter.done = on_page;
    if (found != NULL) {
        struct page_bytes bytes = *found;
        buffer_ref(node, bytes.buffer); /* memory is taken while it is read */
        if (op->state == OP_JOIN) {
            on_old(node, op, &bytes, ERR_OK);
        } else {
            on_again(node, op, &bytes, ERR_OK);
        }
        buffer_unref(node, bytes.buffer);
        return;
    }
    if (pages_wait(node, search, &op->waiter) != ERR_OK) {
        wait_memory(node, op, op->state);
    }
}

static void op_join(struct node *node, struct snapshot_op *op)
{
    struct snapshot *snapshot = op->snapshot;
    struct page_search search;
    struct root_shard old;
    root_shard(&snapshot->set.old, op->old_shard, &old);
    search_old(snapshot, old.lower, &search);
    op->state = OP_JOIN;
    op_get(node, op, &search);
}

static void op_edit(struct node *node, struct snapshot_op *op)
{
    struct snapshot *snapshot = op->snapshot;
    struct page_search search;
    search_old(snapshot, snapshot_fence(snapshot, op->shard), &search);
    if (snapshot_shard(snapshot, op->shard)->state != SHARD_SAME) {
        search.key.generation = snapshot->generation; /* stored a moment ago */
    }
    op->state = OP_EDIT;
    op_get(node, op, &search);
}

/* ---- stations ---------------------------------------------------------------------------- */

/* Take one page off the set; false: no memory. */
static bool cut_one(struct node *node, struct snapshot *snapshot, struct snapshot_op *op,
                    const struct dirbuild_cut *cut)
{
    struct dirbuild *set = &snapshot->set;
    struct buffer *buffer = memory_take(node, cut->size_max, MEMORY_META);
    if (buffer == NULL) {
        return false;
    }
    if (!snapshot_add_shard(node, snapshot, snapshot->shard_count, cut->lower)) {
        buffer_unref(node, buffer);
        return false;
    }
    op->shard = snapshot->shard_count - 1;
    op->old_shard = set->segment;
    op->page = buffer;
    op->size = (uint32_t)dirbuild_write(set, cut, buffer->data, buffer->size);
    if (set->has_old) {
        op_join(node, op);
    } else {
        snapshot->changed = true;
        op_store(node, op);
    }
    return true;
}

void snapshot_cut(struct node *node, struct snapshot *snapshot)
{
    struct dirbuild_cut cut;
    struct snapshot_op *op;
    while (snapshot->err == ERR_OK && (op = snapshot_op_free(snapshot)) != NULL &&
           dirbuild_next(&snapshot->set, snapshot->listed_all, &cut)) {
        if (cut_one(node, snapshot, op, &cut)) {
            snapshot->cut_tries = 0;
            continue;
        }
        MARK(snapshot, "snapshot.memory.cut");
        snapshot->cut_tries++;
        if (snapshot->cut_tries > MEMORY_TRIES) {
            snapshot_fail(snapshot, ERR_BUSY, span_text("no memory for directory pages"));
        }
        snapshot_wake(node, snapshot, node->now.mono_us + MEMORY_WAIT_US);
        return;
    }
}

void snapshot_rewrite(struct node *node, struct snapshot *snapshot, uint32_t shard)
{
    struct snapshot_op *op = snapshot_op_free(snapshot);
    CHECK(op != NULL);
    op->shard = shard;
    op_edit(node, op);
}

static void again(struct node *node, struct snapshot_op *op)
{
    switch (op->again) {
    case OP_JOIN:
        op_join(node, op);
        return;
    case OP_EDIT:
        op_edit(node, op);
        return;
    case OP_STORE:
        op_store(node, op);
        return;
    case OP_FREE:
    case OP_AGAIN:
        BUG("nothing to be tried again");
    }
}

void snapshot_ops_again(struct node *node, struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < SNAPSHOT_OPS; i++) {
        struct snapshot_op *op = &snapshot->ops[i];
        if (op->state != OP_AGAIN) {
            continue;
        }
        if (node->now.mono_us < op->again_us) {
            snapshot_wake(node, snapshot, op->again_us);
        } else {
            again(node, op);
        }
    }
}

static void op_cancel(struct node *node, struct snapshot_op *op)
{
    if (op->state == OP_STORE) {
        copies_cancel(node, &op->copies);
    }
    pages_unwait(&op->waiter);
    op_end(node, op);
}

void snapshot_ops_cancel(struct node *node, struct snapshot *snapshot)
{
    for (uint32_t i = 0; i < SNAPSHOT_OPS; i++) {
        op_cancel(node, &snapshot->ops[i]);
    }
    op_cancel(node, &snapshot->root_op);
}
