/* node/core/pages.c: pages in memory, and SHARD_GET. */
#include "node/core/pages.h"

#include "base/hash.h"
#include "node/core/budget.h"
#include "node/core/meta.h"
#include "node/core/pages_fetch.h"

#define PAGES_PER_REGION 8192u /* one page for so many bytes of the region */
#define PAGES_LEAST 64u
#define PAGES_MOST 32768u
#define ROOT_FLAG 0x80000000u /* in a cached buffer's number: a root's, not a page's */

static uint32_t pages_max(const struct node_options *options)
{
    uint64_t count = options->region_size / PAGES_PER_REGION;
    count = count < PAGES_LEAST ? PAGES_LEAST : count;
    return (uint32_t)(count > PAGES_MOST ? PAGES_MOST : count);
}

size_t pages_memory(const struct node_options *options)
{
    uint64_t count = pages_max(options);
    return count * (sizeof(struct cached_page) + 2 * sizeof(void *)) +
           PAGE_FETCHES_MAX * (sizeof(struct page_fetch) + 2 * sizeof(void *)) + 256;
}

enum err pages_init(struct pages *pages, struct arena *mem, const struct node_options *options)
{
    enum err err = map_init(&pages->by_key, mem, pages_max(options));
    if (err == ERR_OK) {
        err = map_init(&pages->fetches, mem, PAGE_FETCHES_MAX);
    }
    if (err == ERR_OK) {
        err = pool_init(&pages->pool, mem, sizeof(struct cached_page), pages_max(options));
    }
    if (err == ERR_OK) {
        err = pool_init(&pages->fetch_pool, mem, sizeof(struct page_fetch), PAGE_FETCHES_MAX);
    }
    list_init(&pages->recent);
    list_init(&pages->done);
    pages->timer.kind = TIMER_META_PAGES;
    return err;
}

/* ---- names ------------------------------------------------------------------------------- */

void page_key_make(struct page_key *key, struct dir_id dir, uint64_t generation, struct span fence)
{
    CHECK(fence.size <= ENTRY_NAME_MAX);
    *key = (struct page_key){ .dir = dir,
                              .generation = generation,
                              .fence_size = (uint32_t)fence.size };
    if (fence.size > 0) {
        memcpy(key->fence, fence.data, fence.size);
    }
}

struct span page_key_stored(const struct page_key *key, uint8_t *out)
{
    memcpy(out, key->dir.b, ID_SIZE);
    out[ID_SIZE] = (uint8_t)(key->generation & 1);
    memcpy(out + ID_SIZE + 1, key->fence, key->fence_size);
    return span_of(out, ID_SIZE + 1 + key->fence_size);
}

uint64_t page_key_hash(const struct page_key *key)
{
    uint64_t hash = hash64(key->fence, key->fence_size, key->generation);
    return hash64_mix(hash, get_u64(key->dir.b));
}

bool page_key_equal(const struct page_key *a, const struct page_key *b)
{
    return a->generation == b->generation && dir_id_equal(a->dir, b->dir) &&
           span_equal(span_of(a->fence, a->fence_size), span_of(b->fence, b->fence_size));
}

/* ---- the cache --------------------------------------------------------------------------- */

static struct cached_page *find(const struct pages *pages, const struct page_key *key)
{
    struct map_node *at = map_first(&pages->by_key, page_key_hash(key));
    for (; at != NULL; at = map_next(at)) {
        struct cached_page *page = CONTAINER_OF(at, struct cached_page, by_key);
        if (page_key_equal(&page->key, key)) {
            return page;
        }
    }
    return NULL;
}

const struct page_bytes *pages_find(struct node *node, const struct page_key *key)
{
    struct pages *pages = &node->meta->pages;
    struct cached_page *page = find(pages, key);
    if (page == NULL) {
        return NULL;
    }
    list_remove(&page->recent);
    list_push_back(&pages->recent, &page->recent);
    buffer_touch(page->bytes.buffer);
    return &page->bytes;
}

static void forget(struct node *node, struct cached_page *page)
{
    struct pages *pages = &node->meta->pages;
    map_remove(&pages->by_key, &page->by_key);
    list_remove(&page->recent);
    pool_give(&pages->pool, page);
}

static void drop(struct node *node, struct cached_page *page)
{
    struct buffer *buffer = page->bytes.buffer;
    forget(node, page);
    buffer_uncache(node, buffer);
}

void pages_drop(struct node *node, const struct page_key *key)
{
    struct cached_page *page = find(&node->meta->pages, key);
    if (page != NULL) {
        drop(node, page);
    }
}

struct page_bytes page_bytes_of(struct buffer *buffer, uint32_t size)
{
    CHECK(size >= 8 && size <= buffer->size);
    return (struct page_bytes){
        .buffer = buffer,
        .size = size,
        .crc = get_u64(buffer->data + size - 8), /* a page ends in its checksum */
    };
}

void pages_keep(struct node *node, const struct page_key *key, struct buffer *buffer, uint32_t size)
{
    struct pages *pages = &node->meta->pages;
    pages_drop(node, key);
    struct cached_page *page = pool_take(&pages->pool);
    if (page == NULL) {
        MARK(node, "pages.full");
        drop(node, CONTAINER_OF(list_first(&pages->recent), struct cached_page, recent));
        page = pool_take(&pages->pool);
    }
    CHECK(page != NULL);
    page->key = *key;
    page->bytes = page_bytes_of(buffer, size);
    map_insert(&pages->by_key, &page->by_key, page_key_hash(key));
    list_init(&page->recent);
    list_push_back(&pages->recent, &page->recent);
    buffer_cache(node, buffer, CACHE_PAGE, pool_index(&pages->pool, page));
}

void pages_on_evict(struct node *node, uint32_t index)
{
    if ((index & ROOT_FLAG) != 0) {
        dirs_on_evict(node, index & ~ROOT_FLAG);
        return;
    }
    forget(node, pool_at(&node->meta->pages.pool, index));
}

uint32_t pages_root_number(uint32_t index)
{
    CHECK((index & ROOT_FLAG) == 0);
    return index | ROOT_FLAG;
}

/* ---- SHARD_GET --------------------------------------------------------------------------- */

void pages_answer(struct node *node, struct meta_ask *ask, const struct page_bytes *page)
{
    struct session *session = ask->ask.session;
    if (!sends_room(node) || !budget_admits(node, session, page->size)) {
        MARK(node, "pages.sends.full");
        meta_ask_fail(node, ask, ERR_BUSY, span_of(NULL, 0));
        return;
    }
    struct message message = { .kind = MESSAGE_SHARD,
                               .shard = { .request = ask->ask.request, .checksum = page->crc } };
    struct send_what what = { .session = session, .buffer = page->buffer, .size = page->size };
    budget_take(session, page->size);
    send_buffer(node, ask->ask.link, &message, &what);
    meta_ask_end(node, ask);
}

/* May it have the page? The holder knows the directory by its id alone, so a mount must be admitted
 * to the dataset's own prefix in that source. */
static enum err admit(struct node *node, const struct link *link,
                      const struct message_shard_get *get, struct page_search *search)
{
    struct access access = { .capability = get->capability };
    struct dir_id dir;
    memcpy(dir.b, get->dir, ID_SIZE);
    memcpy(access.dataset.b, get->dataset, ID_SIZE);
    memcpy(access.source.b, get->source, ID_SIZE);
    if (link->session->role == WIRE_NODE && dataset_id_is_zero(access.dataset)) {
        page_key_make(&search->key, dir, get->generation, get->fence); /* by storage key */
        search->source = access.source;
        return ERR_OK;
    }
    const struct dataset *dataset = catalog_find(node, access.dataset);
    const struct dataset_row *row = dataset == NULL ? NULL : catalog_row(dataset, access.source);
    if (dataset == NULL) {
        return catalog_item(node, access.dataset) == NULL ? ERR_NO_DATASET : ERR_DATASET_DELETED;
    }
    if (row == NULL) {
        return ERR_NOT_FOUND;
    }
    access.key = span_text(row->prefix);
    search->has_place = true;
    search->dir = dir;
    search->selector = span_text(dataset->selector);
    search->source = access.source;
    page_key_make(&search->key, dirs_key(dir, search->selector), get->generation, get->fence);
    return session_admits(node, link->session, &access);
}

void pages_on_get(struct node *node, struct link *link, const struct message_shard_get *get)
{
    struct page_search search = { .selector = span_of(NULL, 0) };
    node->metrics.page_gets++;
    if (get->fence.size > ENTRY_NAME_MAX || get->generation == 0) {
        MARK(node, "pages.get.invalid");
        ask_refuse(node, link, get->request, ERR_INVALID, 0);
        return;
    }
    enum err err = admit(node, link, get, &search);
    if (err != ERR_OK) {
        MARK(node, "pages.get.refused");
        ask_refuse(node, link, get->request, err, 0);
        return;
    }
    struct meta_ask *ask =
        meta_ask_open(node, link, META_ASK_PAGE, get->request, get->remaining_us);
    if (ask == NULL) {
        return; /* told already */
    }
    ask->trace = get->trace;
    const struct page_bytes *page = pages_find(node, &search.key);
    if (page != NULL) {
        pages_answer(node, ask, page);
        return;
    }
    /* A node asks for what this one holds; a mount wants the page, wherever it is. */
    ask->may_search = link->session->role == WIRE_MOUNT;
    err = pages_wait_ask(node, &search, ask);
    if (err != ERR_OK) {
        meta_ask_fail(node, ask, err, span_of(NULL, 0));
    }
}

void pages_on_gone(struct node *node, struct meta_ask *ask)
{
    MARK(node, "pages.ask.gone");
    list_remove(&ask->waiting);
    meta_ask_end(node, ask);
}
