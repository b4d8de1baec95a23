/* base/buddy.c: free pieces are on one list per order. All bookkeeping lies outside the region, so
 * that a free page is never touched. */
#include "base/buddy.h"

#include <string.h>

#define NONE UINT32_MAX
#define PIECE_PAGES_MAX (1u << (BUDDY_ORDERS - 1))

/* What a page is: the first of a free piece (FREE_FIRST + order), inside one, or handed out. */
enum { FREE_INSIDE = 0, FREE_FIRST = 1, TAKEN = 255 };

struct links { /* of the first page of a free piece */
    uint32_t next;
    uint32_t prev;
};

struct buddy {
    uint8_t *region;
    uint8_t *state; /* one for each page */
    struct links *links;
    uint32_t pages;
    uint32_t used;
    uint32_t head[BUDDY_ORDERS];
};

static void piece_link(struct buddy *buddy, uint32_t page, uint32_t order)
{
    uint32_t next = buddy->head[order];
    buddy->links[page] = (struct links){ .next = next, .prev = NONE };
    if (next != NONE) {
        buddy->links[next].prev = page;
    }
    buddy->head[order] = page;
    buddy->state[page] = (uint8_t)(FREE_FIRST + order);
}

static void piece_unlink(struct buddy *buddy, uint32_t page, uint32_t order)
{
    struct links links = buddy->links[page];
    CHECK(buddy->state[page] == FREE_FIRST + order);
    if (links.next != NONE) {
        buddy->links[links.next].prev = links.prev;
    }
    if (links.prev != NONE) {
        buddy->links[links.prev].next = links.next;
    } else {
        buddy->head[order] = links.next;
    }
    buddy->state[page] = FREE_INSIDE;
}

/* Free one aligned piece, joined to its buddy as long as that one is free as a whole. */
static void piece_free(struct buddy *buddy, uint32_t page, uint32_t order)
{
    while (order < BUDDY_ORDERS - 1) {
        uint32_t other = page ^ (1u << order);
        if (other >= buddy->pages || buddy->state[other] != FREE_FIRST + order) {
            break;
        }
        piece_unlink(buddy, other, order);
        page = page < other ? page : other;
        order++;
    }
    piece_link(buddy, page, order);
}

/* Free `count` pages as the largest aligned pieces they hold. */
static void range_free(struct buddy *buddy, uint32_t page, uint32_t count)
{
    memset(buddy->state + page, FREE_INSIDE, count);
    while (count > 0) {
        uint32_t order = 31 - (uint32_t)__builtin_clz(count);
        if (page != 0 && (uint32_t)__builtin_ctz(page) < order) {
            order = (uint32_t)__builtin_ctz(page);
        }
        if (order > BUDDY_ORDERS - 1) {
            order = BUDDY_ORDERS - 1;
        }
        piece_free(buddy, page, order);
        page += 1u << order;
        count -= 1u << order;
    }
}

size_t buddy_overhead(size_t region_size)
{
    size_t pages = region_size / BUDDY_PAGE;
    /* 16 for the alignment of each of the three parts. */
    return sizeof(struct buddy) + pages * (sizeof(struct links) + 1) + (size_t)3 * 16;
}

enum err buddy_new(struct arena *mem, uint8_t *region, size_t size, struct buddy **out)
{
    CHECK((uintptr_t)region % BUDDY_PAGE == 0 && size % BUDDY_PAGE == 0);
    if (size / BUDDY_PAGE >= NONE) {
        return ERR_TOO_LARGE;
    }
    struct arena rest = *mem;
    uint32_t pages = (uint32_t)(size / BUDDY_PAGE);
    struct buddy *buddy = arena_take(&rest, sizeof *buddy);
    struct links *links = arena_array(&rest, pages, sizeof *links);
    uint8_t *state = arena_array(&rest, pages, 1);
    if (buddy == NULL || links == NULL || state == NULL) {
        return ERR_NOMEM;
    }
    *mem = rest;
    *buddy = (struct buddy){ .region = region, .state = state, .links = links, .pages = pages };
    for (uint32_t order = 0; order < BUDDY_ORDERS; order++) {
        buddy->head[order] = NONE;
    }
    range_free(buddy, 0, pages);
    *out = buddy;
    return ERR_OK;
}

static uint32_t pages_of(size_t size)
{
    CHECK(size > 0 && size <= (size_t)PIECE_PAGES_MAX * BUDDY_PAGE);
    return (uint32_t)((size + BUDDY_PAGE - 1) / BUDDY_PAGE);
}

void *buddy_take(struct buddy *buddy, size_t size)
{
    uint32_t pages = pages_of(size);
    uint32_t order = 0;
    while ((1u << order) < pages || buddy->head[order] == NONE) {
        order++;
        if (order == BUDDY_ORDERS) {
            return NULL;
        }
    }
    uint32_t page = buddy->head[order];
    piece_unlink(buddy, page, order);
    memset(buddy->state + page, TAKEN, pages);
    buddy->used += pages;
    if ((1u << order) > pages) {
        range_free(buddy, page + pages, (1u << order) - pages);
    }
    return buddy->region + (size_t)page * BUDDY_PAGE;
}

void buddy_give(struct buddy *buddy, void *piece, size_t size)
{
    uint32_t count = pages_of(size);
    CHECK((uint8_t *)piece >= buddy->region);
    size_t offset = (size_t)((uint8_t *)piece - buddy->region);
    CHECK(offset % BUDDY_PAGE == 0 && offset / BUDDY_PAGE < buddy->pages);
    uint32_t page = (uint32_t)(offset / BUDDY_PAGE);
    CHECK(count <= buddy->pages - page && count <= buddy->used);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(buddy->state[page + i] == TAKEN);
    }
    buddy->used -= count;
    range_free(buddy, page, count);
}

size_t buddy_used(const struct buddy *buddy)
{
    return (size_t)buddy->used * BUDDY_PAGE;
}

size_t buddy_size(const struct buddy *buddy)
{
    return (size_t)buddy->pages * BUDDY_PAGE;
}
