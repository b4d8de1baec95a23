/* node/core/pages_fetch.c: the search for a page that is not in memory: this node's store, then the
 * other ranks of its place, then the owners of the tables before. */
#include "node/core/pages_fetch.h"

#include "node/core/meta.h"

#define SEARCH_US SEC(5) /* for one rank; it says PENDING while its disk is slow */

static struct page_fetch *find(const struct pages *pages, const struct page_key *key)
{
    uint64_t hash = page_key_hash(key);
    for (struct map_node *at = map_first(&pages->fetches, hash); at != NULL; at = map_next(at)) {
        struct page_fetch *fetch = CONTAINER_OF(at, struct page_fetch, by_key);
        if (page_key_equal(&fetch->key, key)) {
            return fetch;
        }
    }
    return NULL;
}

static bool is_done(const struct page_fetch *fetch)
{
    return list_is_linked(&fetch->done);
}

/* ---- telling ----------------------------------------------------------------------------- */

static void fetch_free(struct node *node, struct page_fetch *fetch)
{
    struct pages *pages = &node->meta->pages;
    CHECK(list_is_empty(&fetch->asks) && list_is_empty(&fetch->waiters));
    if (fetch->found) {
        buffer_unref(node, fetch->page.buffer);
    }
    list_remove(&fetch->done);
    map_remove(&pages->fetches, &fetch->by_key);
    pool_give(&pages->fetch_pool, fetch);
}

static void tell_ask(struct node *node, struct page_fetch *fetch, struct meta_ask *ask)
{
    list_remove(&ask->waiting);
    if (fetch->found) {
        pages_answer(node, ask, &fetch->page);
    } else {
        meta_ask_fail(node, ask, fetch->err, span_of(NULL, 0));
    }
}

/* false: no more fits this step. */
static bool tell(struct node *node, struct page_fetch *fetch)
{
    struct list *first;
    while ((first = list_first(&fetch->waiters)) != NULL) {
        struct page_waiter *waiter = CONTAINER_OF(first, struct page_waiter, waiting);
        list_remove(first);
        waiter->done(node, waiter, fetch->found ? &fetch->page : NULL, fetch->err);
    }
    while ((first = list_first(&fetch->asks)) != NULL) {
        if (!effects_roomy(node, 0)) {
            MARK(node, "pages.tell.later");
            return false;
        }
        tell_ask(node, fetch, CONTAINER_OF(first, struct meta_ask, waiting));
    }
    fetch_free(node, fetch);
    return true;
}

void pages_on_timer(struct node *node)
{
    struct pages *pages = &node->meta->pages;
    struct list *first;
    while ((first = list_first(&pages->done)) != NULL) {
        if (!tell(node, CONTAINER_OF(first, struct page_fetch, done))) {
            timers_set(&node->timers, &pages->timer, node->now.mono_us);
            return;
        }
    }
}

/* The search is over: who waits is told from the timer, because a waiter may be in the middle of
 * something now. */
static void finish(struct node *node, struct page_fetch *fetch, enum err err)
{
    struct pages *pages = &node->meta->pages;
    CHECK(!is_done(fetch) && fetch->io == 0 && fetch->call == 0);
    CHECK((err == ERR_OK) == fetch->found);
    fetch->err = err;
    list_push_back(&pages->done, &fetch->done);
    timers_set(&node->timers, &pages->timer, node->now.mono_us);
}

/* ---- other ranks ------------------------------------------------------------------------- */

static void add_rank(const struct node *node, struct page_fetch *fetch, struct node_id id)
{
    bool known = node_id_equal(id, node->options.id);
    for (uint32_t i = 0; i < fetch->rank_count; i++) {
        known = known || node_id_equal(fetch->ranks[i], id);
    }
    if (!known && fetch->rank_count < PAGE_RANKS) {
        fetch->ranks[fetch->rank_count++] = id;
    }
}

static void find_ranks(struct node *node, struct page_fetch *fetch)
{
    struct span selector = span_text(fetch->selector);
    struct node_id ids[PAGE_RANKS];
    uint32_t count = rings_owners(node, selector, fetch->place, RING_RANKS, ids);
    for (uint32_t i = 0; i < count; i++) {
        add_rank(node, fetch, ids[i]);
    }
    count = rings_previous(node, selector, fetch->place, ids);
    for (uint32_t i = 0; i < count; i++) {
        add_rank(node, fetch, ids[i]);
    }
}

/* Those who only asked for what this node has know enough. */
static void fail_local(struct node *node, struct page_fetch *fetch)
{
    for (struct list *item = fetch->asks.next; item != &fetch->asks;) {
        struct meta_ask *ask = CONTAINER_OF(item, struct meta_ask, waiting);
        item = item->next;
        if (!ask->may_search && effects_roomy(node, 0)) {
            list_remove(&ask->waiting);
            meta_ask_fail(node, ask, ERR_NOT_FOUND, span_of(NULL, 0));
        }
    }
}

static bool anybody_searches(const struct page_fetch *fetch)
{
    for (const struct list *item = fetch->asks.next; item != &fetch->asks; item = item->next) {
        if (CONTAINER_OF(item, struct meta_ask, waiting)->may_search) {
            return true;
        }
    }
    return fetch->waiters.next != &fetch->waiters;
}

/* Is a rank there, and just says nothing? One whose link is down has died, or will be heard of. */
static bool is_mute(const struct node *node, struct node_id rank)
{
    const struct peer *peer = peer_find(node, rank);
    return peer != NULL && peer->control_open;
}

static void ask_next(struct node *node, struct page_fetch *fetch)
{
    while (fetch->next_rank < fetch->rank_count) {
        struct node_id rank = fetch->ranks[fetch->next_rank++];
        struct message message = {
            .kind = MESSAGE_SHARD_GET,
            .shard_get = { .generation = fetch->key.generation,
                           .fence = span_of(fetch->key.fence, fetch->key.fence_size),
                           .remaining_us = (uint64_t)SEARCH_US },
        };
        struct call_options options = { .kind = CALL_SHARD_GET,
                                        .own_signs = true,
                                        .purpose = LINK_CONTROL,
                                        .deadline_us = node->now.mono_us + SEARCH_US,
                                        .owner = fetch };
        memcpy(message.shard_get.dir, fetch->key.dir.b, ID_SIZE);
        memcpy(message.shard_get.source, fetch->source.b, ID_SIZE);
        fetch->call = call_start(node, rank, &message, &options);
        if (fetch->call != 0) {
            return;
        }
        fetch->mute = fetch->mute || is_mute(node, rank);
    }
    MARK(node, "pages.search.nowhere");
    finish(node, fetch, fetch->mute ? ERR_UNREACHABLE : ERR_NOT_FOUND);
}

static void search_ranks(struct node *node, struct page_fetch *fetch)
{
    fail_local(node, fetch);
    if (!fetch->has_place || !anybody_searches(fetch)) {
        finish(node, fetch, ERR_NOT_FOUND);
        return;
    }
    find_ranks(node, fetch);
    ask_next(node, fetch);
}

/* ---- what was found ---------------------------------------------------------------------- */

/* Is this the page that was searched for? */
static bool is_page(const struct page_key *key, struct span bytes)
{
    struct page page;
    return page_open(bytes, &page) == ERR_OK && page.generation == key->generation &&
           span_equal(page.lower, span_of(key->fence, key->fence_size));
}

/* Into memory and, where this node is to keep it, into its store. */
static enum err take(struct node *node, struct page_fetch *fetch, struct span bytes)
{
    struct buffer *buffer = memory_take(node, bytes.size, MEMORY_META);
    if (buffer == NULL) {
        MARK(node, "pages.take.memory");
        return ERR_BUSY;
    }
    memcpy(buffer->data, bytes.data, bytes.size);
    fetch->found = true;
    fetch->page = page_bytes_of(buffer, (uint32_t)bytes.size);
    buffer_ref(node, buffer); /* the fetch holds one until all are told */
    pages_keep(node, &fetch->key, buffer, (uint32_t)bytes.size);
    return ERR_OK;
}

static bool keeps_it(struct node *node, const struct page_fetch *fetch)
{
    struct node_id ids[META_COPIES];
    uint32_t count = rings_owners(node, span_text(fetch->selector), fetch->place, META_COPIES, ids);
    for (uint32_t i = 0; i < count; i++) {
        if (node_id_equal(ids[i], node->options.id)) {
            return true;
        }
    }
    return false;
}

static void keep_here(struct node *node, struct page_fetch *fetch)
{
    uint8_t name[PAGE_KEY_SIZE];
    struct buffer *buffer = fetch->page.buffer;
    struct io_for of = { .kind = IO_PAGE_KEEP, .owner = buffer };
    buffer_ref(node, buffer);
    uint64_t io = io_put(node, &of, META_PAGE, page_key_stored(&fetch->key, name),
                         span_of(buffer->data, fetch->page.size));
    if (io == 0) {
        buffer_unref(node, buffer);
        return;
    }
    MARK(node, "pages.kept");
}

void pages_on_kept(struct node *node, struct buffer *buffer, enum err err)
{
    if (err != ERR_OK) {
        MARK(node, "pages.keep.failed"); /* another rank has it */
    }
    buffer_unref(node, buffer);
}

void pages_on_load(struct node *node, struct page_fetch *fetch, enum err err, struct span value)
{
    fetch->io = 0;
    if (err == ERR_OK && is_page(&fetch->key, value)) {
        err = take(node, fetch, value);
        finish(node, fetch, err);
        return;
    }
    if (err != ERR_NOT_FOUND) {
        MARK(node, "pages.load.other"); /* another generation in the slot, or a bad disk */
    }
    search_ranks(node, fetch);
}

enum call_more pages_on_answer(struct node *node, const struct call *call,
                               const struct message *message, struct payload payload)
{
    struct page_fetch *fetch = call->options.owner;
    struct span bytes = span_of(payload.data, payload.size);
    fetch->call = 0;
    if (message->kind != MESSAGE_SHARD || !is_page(&fetch->key, bytes)) {
        MARK(node, "pages.search.missed");
        node_release(node, payload);
        ask_next(node, fetch);
        return CALL_DONE;
    }
    enum err err = take(node, fetch, bytes);
    node_release(node, payload);
    if (err == ERR_OK && keeps_it(node, fetch)) {
        keep_here(node, fetch);
    }
    finish(node, fetch, err);
    return CALL_DONE;
}

void pages_on_failure(struct node *node, const struct call *call, enum err err)
{
    struct page_fetch *fetch = call->options.owner;
    CHECK(err != ERR_OK);
    fetch->call = 0;
    fetch->mute = fetch->mute || is_mute(node, call->peer);
    ask_next(node, fetch);
}

/* ---- waiting ----------------------------------------------------------------------------- */

static void start(struct node *node, struct page_fetch *fetch)
{
    uint8_t name[PAGE_KEY_SIZE];
    struct io_for of = { .kind = IO_PAGE_LOAD, .owner = fetch };
    fetch->io = io_get(node, &of, META_PAGE, page_key_stored(&fetch->key, name));
    if (fetch->io == 0) {
        finish(node, fetch, ERR_BUSY);
    }
}

static void set_place(struct page_fetch *fetch, const struct page_search *search)
{
    if (fetch->has_place || !search->has_place) {
        return;
    }
    CHECK(search->selector.size <= SELECTOR_MAX);
    fetch->has_place = true;
    if (search->selector.size > 0) {
        memcpy(fetch->selector, search->selector.data, search->selector.size);
    }
    fetch->place = place_of_shard(search->dir, span_of(search->key.fence, search->key.fence_size));
}

/* The search for that page, started when it is new; NULL: too many. */
static struct page_fetch *fetch_for(struct node *node, const struct page_search *search)
{
    struct pages *pages = &node->meta->pages;
    struct page_fetch *fetch = find(pages, &search->key);
    if (fetch != NULL) {
        set_place(fetch, search);
        return fetch;
    }
    fetch = pool_take(&pages->fetch_pool);
    if (fetch == NULL) {
        MARK(node, "pages.fetches.full");
        return NULL;
    }
    fetch->key = search->key;
    fetch->source = search->source;
    set_place(fetch, search);
    list_init(&fetch->done);
    list_init(&fetch->asks);
    list_init(&fetch->waiters);
    map_insert(&pages->fetches, &fetch->by_key, page_key_hash(&fetch->key));
    start(node, fetch);
    return fetch;
}

enum err pages_wait(struct node *node, const struct page_search *search, struct page_waiter *waiter)
{
    struct page_fetch *fetch = fetch_for(node, search);
    if (fetch == NULL) {
        return ERR_BUSY;
    }
    CHECK(!list_is_linked(&waiter->waiting) && waiter->done != NULL);
    list_push_back(&fetch->waiters, &waiter->waiting);
    return ERR_OK;
}

/* It is not in this node's store, and other ranks are asked. */
static bool is_asking(const struct page_fetch *fetch)
{
    return fetch->io == 0 && !is_done(fetch);
}

enum err pages_wait_ask(struct node *node, const struct page_search *search, struct meta_ask *ask)
{
    struct page_fetch *fetch = fetch_for(node, search);
    if (fetch == NULL) {
        return ERR_BUSY;
    }
    if (!ask->may_search && is_asking(fetch)) {
        MARK(node, "pages.search.crossed");
        return ERR_NOT_FOUND; /* two that search would wait for each other */
    }
    list_push_back(&fetch->asks, &ask->waiting);
    return ERR_OK;
}

void pages_unwait(struct page_waiter *waiter)
{
    list_remove(&waiter->waiting);
}
