/* fs/core/evict.c: what goes when there is no room.
 *
 * Blocks nobody uses at the moment wait on one of four lists, and go in this order: those the kernel
 * has had whole; of others, pieces it has had whole; those it knows in part; those that nobody has
 * read yet, or that a reader is in the middle of who will want the rest. */
#include "fs/core/internal.h"

/* The kernel has it by now. Memory that is used again while it is in the processor's cache takes
 * half the time of memory that is fetched, or found by a page fault. */
#define CONSUMED_US MSEC(50)
#define UNREAD_US SEC(10) /* what was asked for ahead so long ago was a wrong guess */

static bool is_spent(const struct piece *piece)
{
    return piece->given >= piece->size;
}

struct list *evict_list(struct mount *m, const struct block *block)
{
    bool spent = false;
    for (const struct list *at = block->pieces.next; at != &block->pieces; at = at->next) {
        const struct piece *piece = CONTAINER_OF(at, struct piece, link);
        spent = spent || is_spent(piece);
    }
    if (block->calls > 0) {
        return spent ? &m->spent : NULL;
    }
    if (block->given >= block->size) {
        return &m->consumed;
    }
    bool small = block->object->size <= SMALL_FILE_MAX;
    bool fresh = block->given == 0 || (block->ahead && !small);
    return spent ? &m->spent : fresh ? &m->fresh : &m->cold;
}

/* What the kernel has had goes, the rest stays. */
static void drop_spent(struct mount *m, struct block *block)
{
    struct list *next;
    for (struct list *at = block->pieces.next; at != &block->pieces; at = next) {
        struct piece *piece = CONTAINER_OF(at, struct piece, link);
        next = at->next;
        if (is_spent(piece)) {
            uint32_t first = piece->offset / CHUNK_SIZE;
            struct chunks range = { first, first + chunk_count(piece->size) };
            block_lose(block, range);
            block_piece_free(m, piece);
        }
    }
    list_remove(&block->lru);
    struct list *list = evict_list(m, block);
    if (list_is_empty(&block->pieces) && block->calls == 0) {
        block_free(m, block);
    } else if (list != NULL) {
        list_push_back(list, &block->lru);
    }
}

bool evict_one(struct mount *m, bool ahead)
{
    struct list *first = list_first(&m->consumed);
    if (first == NULL && !list_is_empty(&m->spent)) {
        drop_spent(m, CONTAINER_OF(list_first(&m->spent), struct block, lru));
        return true;
    }
    first = first == NULL ? list_first(&m->cold) : first;
    if (first == NULL && !list_is_empty(&m->fresh)) {
        first = list_first(&m->fresh);
        usec_t used = CONTAINER_OF(first, struct block, lru)->used_us;
        first = ahead && m->now.mono_us - used < UNREAD_US ? NULL : first;
    }
    if (first != NULL) {
        block_free(m, CONTAINER_OF(first, struct block, lru));
        return true;
    }
    return !ahead && sheet_evict(m);
}

/* Two for each that comes: the list gets no longer than what 50 ms bring. */
void evict_consumed(struct mount *m)
{
    for (uint32_t i = 0; i < 2 && !list_is_empty(&m->consumed); i++) {
        struct block *block = CONTAINER_OF(list_first(&m->consumed), struct block, lru);
        if (m->now.mono_us - block->used_us < CONSUMED_US) {
            return;
        }
        MARK(m, "mount.block.consumed");
        block_free(m, block);
    }
}
