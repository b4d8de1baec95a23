/* node/core/pages.h: directory pages in memory, and how one is got that is not there.
 *
 * A page is named by its directory, generation and lower fence. It is in memory, in this node's
 * metadata store, or with another rank of its place; one search serves all who wait for it. In the
 * store a page has one of two slots, by the parity of its generation (a directory's generations
 * alternate): the page before the last is overwritten, the last one stays readable. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/timers.h"
#include "node/core/calls.h"
#include "node/core/memory.h"
#include "node/core/rings.h"
#include "wire/dir.h"

#define PAGE_KEY_SIZE (ID_SIZE + 1 + ENTRY_NAME_MAX)
#define PAGE_RANKS (RING_RANKS + RINGS_KEPT)

struct link;
struct meta_ask;

/* `dir` is the storage key of the directory (dirs.h). */
struct page_key {
    struct dir_id dir;
    uint64_t generation;
    uint32_t fence_size;
    uint8_t fence[ENTRY_NAME_MAX];
};

/* A page where it lies. */
struct page_bytes {
    struct buffer *buffer;
    uint32_t size;
    uint64_t crc;
};

struct cached_page {
    struct map_node by_key;
    struct list recent;
    struct page_key key;
    struct page_bytes bytes;
};

/* Somebody of this node who waits for a page: told by `done` with the page, or NULL and why. Its
 * buffer holds during the call. */
struct page_waiter {
    struct list waiting; /* linked while it waits: list_init before its first use */
    void (*done)(struct node *node, struct page_waiter *waiter, const struct page_bytes *page,
                 enum err err);
};

struct page_fetch {
    struct map_node by_key;
    struct list done; /* in pages.done, when it only has waiters to tell */
    struct list asks;
    struct list waiters;
    struct page_key key;
    struct source_id source;
    bool has_place; /* the next two are set: other ranks can be asked */
    char selector[SELECTOR_MAX + 1];
    struct place place;
    struct node_id ranks[PAGE_RANKS];
    uint32_t rank_count;
    uint32_t next_rank;
    uint64_t io;
    uint64_t call;
    bool mute; /* a rank whose link is there said nothing: perhaps it has the page */
    bool found;
    struct page_bytes page; /* held until all are told */
    enum err err;
};

struct pages {
    struct map by_key;
    struct map fetches;
    struct pool pool;
    struct pool fetch_pool;
    struct list recent; /* the longest unused first */
    struct list done;
    struct timer timer;
};

size_t pages_memory(const struct node_options *options);
enum err pages_init(struct pages *pages, struct arena *mem, const struct node_options *options)
    MUST_USE;

void page_key_make(struct page_key *key, struct dir_id dir, uint64_t generation, struct span fence);
/* Name of the page in the metadata store; `out` holds PAGE_KEY_SIZE. */
struct span page_key_stored(const struct page_key *key, uint8_t *out);

/* NULL: not in memory. Valid until something is kept or taken. */
const struct page_bytes *pages_find(struct node *node, const struct page_key *key);
/* Keep `size` bytes of `buffer`, a page, in the cache: the caller's reference becomes the
 * cache's. */
void pages_keep(struct node *node, const struct page_key *key, struct buffer *buffer,
                uint32_t size);
/* Forget a page, if it is there. */
void pages_drop(struct node *node, const struct page_key *key);

/* Where a page that is not here may be. */
struct page_search {
    struct page_key key;
    struct source_id source;
    bool has_place; /* the next two are set */
    struct dir_id dir;
    struct span selector;
};
/* Search for a page that pages_find does not know. ERR_BUSY: too many searches; the waiter is not
 * told then. Otherwise it is told later, never inside. */
enum err pages_wait(struct node *node, const struct page_search *search, struct page_waiter *waiter)
    MUST_USE;
/* Stop waiting. Harmless when it does not. */
void pages_unwait(struct page_waiter *waiter);

/* The number under which a directory's root is cached as CACHE_PAGE: `index` is the directory's. */
uint32_t pages_root_number(uint32_t index);

/* SHARD_GET. */
void pages_on_get(struct node *node, struct link *link, const struct message_shard_get *get);
/* The ask is gone: off its list. */
void pages_on_gone(struct node *node, struct meta_ask *ask);
void pages_on_load(struct node *node, struct page_fetch *fetch, enum err err, struct span value);
/* A PUT beside the way has ended; its buffer is given back. */
void pages_on_kept(struct node *node, struct buffer *buffer, enum err err);
enum call_more pages_on_answer(struct node *node, const struct call *call,
                               const struct message *message, struct payload payload);
void pages_on_failure(struct node *node, const struct call *call, enum err err);
void pages_on_timer(struct node *node);
