#include "fs/line.h"

static struct kernel_item *next_of(const struct kernel_item *item)
{
    struct queue_item *next = item->queue.next;
    return next == NULL ? NULL : CONTAINER_OF(next, struct kernel_item, queue);
}

bool line_is_for(enum mount_op_kind kind)
{
    switch (kind) {
    case OP_LOOKUP:
    case OP_READ:
    case OP_OPENDIR:
    case OP_READDIR:
    case OP_READDIRPLUS:
        return true;
    case OP_FORGET:
    case OP_GETATTR:
    case OP_OPEN:
    case OP_RELEASE:
    case OP_RELEASEDIR:
    case OP_STATFS:
        return false;
    }
    BUG("no such kind of request");
}

bool line_is_empty(const struct line *line)
{
    return line->first == NULL;
}

void line_push(struct line *line, struct kernel_item *item)
{
    CHECK(item->kind == KERNEL_OP && line_is_for(item->op.kind));
    item->queue.next = NULL;
    if (line->first == NULL) {
        line->first = item;
    } else {
        line->last->queue.next = &item->queue;
    }
    line->last = item;
}

struct kernel_item *line_pop(struct line *line)
{
    struct kernel_item *item = line->first;
    if (item != NULL) {
        line->first = next_of(item);
    }
    return item;
}

struct kernel_item *line_take(struct line *line, uint64_t id)
{
    struct kernel_item *before = NULL;
    struct kernel_item *item = line->first;
    while (item != NULL && item->op.id != id) {
        before = item;
        item = next_of(item);
    }
    if (item == NULL) {
        return NULL;
    }
    if (before == NULL) {
        return line_pop(line);
    }
    before->queue.next = item->queue.next;
    line->last = item == line->last ? before : line->last;
    return item;
}
