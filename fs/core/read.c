/* fs/core/read.c: READ: a range of one version of a file, answered out of pieces as they lie. */
#include "fs/core/internal.h"

#define CHANGED_US MSEC(5) /* the kernel drops the name before the program can open it again */

/* What of block `i` of the request it needs, in bytes of that block. */
struct part {
    uint32_t from;
    uint32_t to;
};

struct read {
    struct inode *inode;
    uint64_t offset;
    uint64_t end;
    struct hint hint;
};

static struct part part_of(const struct mount *m, const struct read *r, const struct block *block)
{
    uint64_t start = (uint64_t)block->index * m->dataset.block_size;
    uint64_t end = start + block->size;
    uint64_t from = r->offset > start ? r->offset : start;
    uint64_t to = r->end < end ? r->end : end;
    return (struct part){ (uint32_t)(from - start), (uint32_t)(to - start) };
}

static struct chunks chunks_of(struct part part)
{
    return (struct chunks){ part.from / CHUNK_SIZE, chunk_count(part.to) };
}

/* As chunks_of, widened to what is worth asking for in one go. */
static struct chunks wanted_of(const struct mount *m, const struct read *r,
                               const struct block *block)
{
    struct chunks need = chunks_of(part_of(m, r, block));
    uint64_t start = (uint64_t)block->index * m->dataset.block_size;
    uint64_t to = r->hint.target > start ? r->hint.target - start : 0;
    uint32_t end = chunk_count(to < block->size ? to : block->size);
    if (r->inode->size <= SMALL_FILE_MAX) {
        need.first = 0; /* a small file comes whole */
    }
    need.end = end > need.end ? end : need.end;
    return need;
}

bool read_object_id(struct mount *m, struct inode *inode, struct block_source *out,
                    uint8_t key[KEY_MAX])
{
    struct inode *parent = inode_parent(m, inode);
    struct span prefix;
    if (parent->row == ROW_NONE || !name_prefix(m, parent, key, &prefix) ||
        prefix.size + inode->name.size > KEY_MAX) {
        return false;
    }
    cell_copy(&m->cells, inode->name, key + prefix.size);
    out->key = span_of(key, prefix.size + inode->name.size);
    out->row = parent->row;
    out->size = inode->size;
    out->place = inode->place;
    out->listed = inode->listed;
    if (parent->has_id) {
        memcpy(out->dir.b, parent->id, ID_SIZE);
    }
    if (!inode->has_id) {
        out->id = object_id_make(m->dataset.rows[parent->row].source, out->key, out->pin,
                                 m->dataset.block_size);
        memcpy(inode->id, out->id.b, ID_SIZE);
        inode->has_id = true;
    }
    memcpy(out->id.b, inode->id, ID_SIZE);
    return true;
}

/* Held for the caller. ERR_FULL: later. ERR_NOT_FOUND: no key can be that long. */
static enum err object_of(struct mount *m, struct inode *inode, struct object **out)
{
    struct object_id id;
    memcpy(id.b, inode->id, ID_SIZE);
    struct object *object = inode->has_id ? block_object_find(m, id) : NULL;
    if (object != NULL) {
        object->holders++;
        *out = object;
        return ERR_OK;
    }
    uint8_t key[KEY_MAX];
    uint8_t pin[PIN_MAX];
    cell_copy(&m->cells, inode->pin, pin);
    struct block_source source = { .pin = span_of(pin, inode->pin.size) };
    if (!read_object_id(m, inode, &source, key)) {
        return ERR_NOT_FOUND;
    }
    *out = block_object(m, &source);
    return *out == NULL ? ERR_FULL : ERR_OK;
}

void read_detach(struct mount *m, struct op *op)
{
    for (uint32_t i = 0; i < op->block_count; i++) {
        list_remove(&op->waits[i].link);
        struct block *block = op->blocks[i];
        CHECK(block->pins > 0);
        block->pins--;
        block_finish(m, block);
    }
    op->block_count = 0;
}

/* Pin the blocks of the range, so that what has come stays until all has. */
static enum err attach(struct mount *m, struct op *op, const struct read *r)
{
    struct object *object = NULL;
    enum err err = object_of(m, r->inode, &object);
    if (err != ERR_OK) {
        return err;
    }
    uint32_t first = (uint32_t)(r->offset / m->dataset.block_size);
    uint32_t last = (uint32_t)((r->end - 1) / m->dataset.block_size);
    CHECK(last - first < OP_BLOCKS);
    for (uint32_t index = first; index <= last && err == ERR_OK; index++) {
        struct block *block = block_get(m, object, index);
        if (block == NULL) {
            err = ERR_FULL;
            continue;
        }
        block->pins++;
        list_remove(&block->lru);
        list_init(&op->waits[op->block_count].link);
        op->waits[op->block_count].op = op;
        op->blocks[op->block_count++] = block;
    }
    if (err != ERR_OK) {
        read_detach(m, op);
    }
    block_object_drop(m, object);
    return err;
}

/* Bytes that nobody has asked for, `wide` with what lies ahead. */
static uint64_t missing_bytes(const struct mount *m, const struct op *op, const struct read *r,
                              bool wide)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < op->block_count; i++) {
        const struct block *block = op->blocks[i];
        struct chunks range = wide ? wanted_of(m, r, block) : chunks_of(part_of(m, r, block));
        struct chunks run;
        while (block_missing(block, range, &run)) {
            sum += block_chunk_bytes(block, run);
            range.first = run.end;
        }
    }
    return sum;
}

/* Ask for all that is missing, or for nothing: two requests that each hold half of the budget and
 * wait for the other half would wait for ever. */
static bool ask(struct mount *m, struct op *op, const struct read *r)
{
    uint64_t need = missing_bytes(m, op, r, false);
    if (need == 0) {
        return true; /* what lies ahead is asked for in steps, by ahead_stream */
    }
    bool wide = block_room(m, missing_bytes(m, op, r, true), true);
    if (!wide && !block_room(m, need, false)) {
        MARK(m, "mount.read.room");
        return false;
    }
    for (uint32_t i = 0; i < op->block_count; i++) {
        struct block *block = op->blocks[i];
        struct chunks range = wide ? wanted_of(m, r, block) : chunks_of(part_of(m, r, block));
        struct chunks run;
        block->ahead = block->ahead || r->hint.target > r->end;
        while (block_missing(block, range, &run)) {
            if (!block_ask(m, block, run, r->hint.extent, false)) {
                return false;
            }
        }
    }
    return true;
}

/* Wait for the blocks that are not complete. false: all are. */
static bool wait_blocks(const struct mount *m, struct op *op, const struct read *r)
{
    bool waits = false;
    for (uint32_t i = 0; i < op->block_count; i++) {
        struct block *block = op->blocks[i];
        list_remove(&op->waits[i].link);
        if (!block_has(block, chunks_of(part_of(m, r, block)))) {
            list_push_back(&block->waiters, &op->waits[i].link);
            waits = true;
        }
    }
    return waits;
}

static void reply(struct mount *m, struct op *op, const struct read *r)
{
    struct mount_effect *effect = op_reply(m, op, MOUNT_REPLY_DATA);
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->block_count; i++) {
        struct block *block = op->blocks[i];
        struct part part = part_of(m, r, block);
        for (uint32_t at = part.from; at < part.to;) {
            CHECK(count < MOUNT_REPLY_PIECES);
            struct span span = block_bytes(block, at, part.to - at);
            effect->reply_data.pieces[count++] = span;
            at += (uint32_t)span.size;
        }
        block_given(m, block, part.from, part.to);
    }
    effect->reply_data.count = count;
    op_end(m, op);
}

/* What lies ahead: a request asks about it once. */
static void note(struct mount *m, struct op *op, struct read *r)
{
    r->hint = (struct hint){ .target = r->end };
    if (r->inode->size <= SMALL_FILE_MAX) {
        r->hint.target = r->inode->size;
    } else if (!op->noted) {
        ahead_note(m, op->blocks[0]->object, &r->hint, r->offset, r->end);
    }
}

static void go_ahead(struct mount *m, struct op *op, struct read *r)
{
    if (op->noted) {
        return;
    }
    op->noted = true;
    if (r->hint.stream != NULL) {
        ahead_stream(m, op->blocks[0]->object, &r->hint);
    } else if (r->offset == 0) {
        (void)ahead_neighbours(m, r->inode);
    }
}

/* Fill in what is read. false: the request is answered already. */
static bool begin(struct mount *m, struct op *op, struct read *r)
{
    r->inode = inode_at(m, op->in.ino);
    if (r->inode == NULL || r->inode->dir) {
        op_reply_err(m, op, r->inode == NULL ? ERR_CHANGED : ERR_IS_DIRECTORY);
        return false;
    }
    uint64_t size = op->in.size < m->options.read_max ? op->in.size : m->options.read_max;
    r->offset = op->in.offset;
    if (r->offset >= r->inode->size || size == 0) {
        op_reply(m, op, MOUNT_REPLY_DATA)->reply_data.count = 0;
        op_end(m, op);
        return false;
    }
    uint64_t left = r->inode->size - r->offset;
    r->end = r->offset + (left < size ? left : size);
    return true;
}

void read_run(struct mount *m, struct op *op)
{
    struct read r;
    if (!begin(m, op, &r)) {
        return;
    }
    enum err err = op->block_count == 0 ? attach(m, op, &r) : ERR_OK;
    if (err == ERR_NOT_FOUND) {
        op_reply_err(m, op, err);
        return;
    }
    bool asked = false;
    if (err == ERR_OK) {
        note(m, op, &r);
        asked = ask(m, op, &r);
    }
    if (!asked) {
        read_detach(m, op);
        op_wait_room(m, op);
        return;
    }
    go_ahead(m, op, &r);
    if (!wait_blocks(m, op, &r)) {
        reply(m, op, &r);
    }
    block_room_changed(m); /* whoever waits behind us may fit, too */
}

void read_failed(struct mount *m, struct block *block, struct chunks range, enum err err)
{
    struct list *next;
    for (struct list *at = block->waiters.next; at != &block->waiters; at = next) {
        struct op *op = CONTAINER_OF(at, struct op_wait, link)->op;
        next = at->next;
        struct read r;
        r.inode = inode_at(m, op->in.ino);
        if (r.inode == NULL) {
            continue;
        }
        r.offset = op->in.offset;
        r.end = r.offset + op->in.size;
        struct chunks need = chunks_of(part_of(m, &r, block));
        if (need.first >= range.end || need.end <= range.first) {
            continue;
        }
        if (err == ERR_CHANGED) {
            inode_changed(m, r.inode);
            op_fail_later(m, op, err, CHANGED_US);
        } else {
            op_fail(m, op, err);
        }
    }
}
