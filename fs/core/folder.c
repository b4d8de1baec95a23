/* fs/core/folder.c: directories and the newest listing of each.
 *
 * A listing is a root record: which pages there are. It is believed for as long as the node that
 * gave it said; after that the next request asks again. Open handles keep the one they began
 * with, and a page of it may be asked for long after a newer one is known. */
#include "fs/core/internal.h"

#define FOLDERS_MIN 64u
#define FOLDERS_MAX 8192u
#define SPARE_LISTINGS 256u /* older ones that handles hold */
#define PAUSE_US MSEC(50)
#define ROOTS_MIN (4u << 20) /* a root has up to 1 MiB */
#define ROOTS_MAX (16u << 20)

static uint32_t folder_limit(const struct mount_options *options)
{
    uint32_t count = options->pages_max;
    count = count < FOLDERS_MIN ? FOLDERS_MIN : count;
    return count > FOLDERS_MAX ? FOLDERS_MAX : count;
}

static size_t roots_size(const struct mount_options *options)
{
    uint64_t size = options->memory / 32;
    size = size < ROOTS_MIN ? ROOTS_MIN : size;
    size = size > ROOTS_MAX ? ROOTS_MAX : size;
    return (size_t)(size / BUDDY_PAGE * BUDDY_PAGE);
}

size_t folder_memory(const struct mount_options *options)
{
    size_t count = folder_limit(options);
    size_t roots = roots_size(options);
    return count * (sizeof(struct folder) + 16 + sizeof(struct listing)) +
           SPARE_LISTINGS * sizeof(struct listing) + roots + buddy_overhead(roots) +
           3 * (size_t)BUDDY_PAGE + 4096;
}

enum err folder_init(struct mount *m, struct arena *mem)
{
    uint32_t count = folder_limit(&m->options);
    size_t roots = roots_size(&m->options);
    list_init(&m->folder_lru);
    enum err err = pool_init(&m->folders, mem, sizeof(struct folder), count);
    if (err == ERR_OK) {
        err = pool_init(&m->listings, mem, sizeof(struct listing), count + SPARE_LISTINGS);
    }
    if (err == ERR_OK) {
        err = map_init(&m->folder_by_id, mem, count);
    }
    uint8_t *region = arena_take(mem, roots + BUDDY_PAGE);
    if (err != ERR_OK || region == NULL) {
        return ERR_NOMEM;
    }
    region += -(uintptr_t)region & (BUDDY_PAGE - 1);
    return buddy_new(mem, region, roots, &m->roots);
}

/* ---- listings -------------------------------------------------------------------------------- */

void folder_ref(struct listing *listing)
{
    listing->refs++;
}

void folder_unref(struct mount *m, struct listing *listing)
{
    CHECK(listing->refs > 0 && listing->folder->listings > 0);
    if (--listing->refs > 0) {
        return;
    }
    listing->folder->listings--;
    buddy_give(m->roots, listing->bytes, listing->size);
    pool_give(&m->listings, listing);
}

struct folder *folder_find(const struct mount *m, struct dir_id id)
{
    struct map_node *node = map_first(&m->folder_by_id, get_u64(id.b));
    for (; node != NULL; node = map_next(node)) {
        struct folder *folder = CONTAINER_OF(node, struct folder, by_id);
        if (dir_id_equal(folder->id, id)) {
            return folder;
        }
    }
    return NULL;
}

static bool is_idle(const struct folder *folder)
{
    uint32_t own = folder->listing != NULL;
    bool held = folder->listing != NULL && folder->listing->refs > 1;
    return folder->call == NULL && folder->users == 0 && list_is_empty(&folder->waiters) &&
           folder->listings == own && !held;
}

static void folder_free(struct mount *m, struct folder *folder)
{
    if (folder->listing != NULL) {
        folder_unref(m, folder->listing);
    }
    CHECK(folder->listings == 0);
    map_remove(&m->folder_by_id, &folder->by_id);
    list_remove(&folder->lru);
    cell_drop(&m->cells, &folder->prefix);
    pool_give(&m->folders, folder);
}

/* Let go of the directory used least lately. false: all are in use. */
static bool evict(struct mount *m, const struct folder *but)
{
    for (struct list *at = m->folder_lru.next; at != &m->folder_lru; at = at->next) {
        struct folder *folder = CONTAINER_OF(at, struct folder, lru);
        if (folder != but && is_idle(folder)) {
            folder_free(m, folder);
            return true;
        }
    }
    return false;
}

static struct folder *make(struct mount *m, struct dir_id id, struct span prefix)
{
    if (m->folders.used == m->folders.count && !evict(m, NULL)) {
        MARK(m, "mount.folder.full");
        return NULL;
    }
    struct folder *folder = pool_take(&m->folders);
    CHECK(folder != NULL);
    if (!cell_store(&m->cells, prefix, &folder->prefix)) {
        MARK(m, "mount.folder.cells");
        pool_give(&m->folders, folder);
        return NULL;
    }
    folder->id = id;
    list_init(&folder->waiters);
    list_init(&folder->lru);
    list_push_back(&m->folder_lru, &folder->lru);
    map_insert(&m->folder_by_id, &folder->by_id, get_u64(id.b));
    return folder;
}

struct folder *folder_get(struct mount *m, struct inode *dir)
{
    CHECK(dir->dir && dir->row != ROW_NONE);
    uint8_t bytes[KEY_MAX];
    struct span prefix;
    struct dir_id id;
    memcpy(id.b, dir->id, ID_SIZE);
    struct folder *folder = dir->has_id ? folder_find(m, id) : NULL;
    if (folder == NULL) {
        if (!name_prefix(m, dir, bytes, &prefix)) {
            MARK(m, "mount.folder.deep");
            return NULL;
        }
        id = dir_id_make(m->dataset.rows[dir->row].source, prefix);
        memcpy(dir->id, id.b, ID_SIZE);
        dir->has_id = true;
        folder = folder_find(m, id);
    }
    if (folder == NULL) {
        folder = make(m, id, prefix);
    }
    if (folder != NULL) {
        folder->row = dir->row;
        list_remove(&folder->lru);
        list_push_back(&m->folder_lru, &folder->lru);
    }
    return folder;
}

struct listing *folder_listing(struct mount *m, struct folder *folder, usec_t since_us)
{
    struct listing *listing = folder->listing;
    if (listing == NULL || listing->broken) {
        return NULL;
    }
    bool fresh = listing->fresh_us > m->now.mono_us || listing->received_us >= since_us;
    return fresh ? listing : NULL;
}

/* ---- asking for a root ----------------------------------------------------------------------------- */

usec_t folder_pause(const struct folder *folder)
{
    uint32_t doubled = folder->losses < 5 ? folder->losses : 5;
    return folder->losses < 2 ? 0 : usec_min(PAUSE_US << doubled, ROUND_MAX_US);
}

bool folder_fetch(struct mount *m, struct folder *folder)
{
    if (folder->call != NULL) {
        return true;
    }
    struct call *call = call_new(m, CALL_DIR, place_of_root(folder->id));
    if (call == NULL) {
        return false;
    }
    call->folder = folder;
    folder->call = call;
    call_start_later(m, call, folder_pause(folder));
    return true;
}

void folder_encode(struct mount *m, struct call *call, struct message_dir_get *out)
{
    const struct folder *folder = call->kind == CALL_DIR ? call->folder : call->op->folder;
    uint8_t *prefix = effect_scratch(m, folder->prefix.size);
    cell_copy(&m->cells, folder->prefix, prefix);
    memcpy(out->source, m->dataset.rows[folder->row].source.b, ID_SIZE);
    out->prefix = span_of(prefix, folder->prefix.size);
    memcpy(out->dataset, m->dataset_id.b, ID_SIZE);
    out->newer_than = folder->newer_than;
    out->capability = span_of(m->capability, m->capability_size);
    out->trace = rng_next(&m->rng);
}

usec_t folder_fresh(usec_t sent_us, uint64_t fresh_us)
{
    return sent_us + (fresh_us < (uint64_t)FRESH_MAX_US ? (usec_t)fresh_us : FRESH_MAX_US);
}

static struct listing *listing_make(struct mount *m, struct folder *folder, struct span bytes)
{
    uint8_t *copy = buddy_take(m->roots, bytes.size);
    while (copy == NULL && evict(m, folder)) {
        MARK(m, "mount.folder.roots");
        copy = buddy_take(m->roots, bytes.size);
    }
    if (copy == NULL) {
        return NULL;
    }
    struct listing *listing = pool_take(&m->listings);
    if (listing == NULL) {
        MARK(m, "mount.folder.listings");
        buddy_give(m->roots, copy, bytes.size);
        return NULL;
    }
    memcpy(copy, bytes.data, bytes.size);
    listing->refs = 1;
    listing->folder = folder;
    listing->bytes = copy;
    listing->size = (uint32_t)bytes.size;
    folder->listings++;
    return listing;
}

static void settle_freshness(struct mount *m, struct folder *folder,
                             const struct root_answer *answer)
{
    struct listing *listing = folder->listing;
    listing->received_us = m->now.mono_us;
    listing->fresh_us = folder_fresh(answer->sent_us, answer->fresh_us);
    if (folder->newer_than != 0 && listing->root.head.generation <= folder->newer_than) {
        MARK(m, "mount.folder.old"); /* good for those who wait, and not a moment longer */
        listing->fresh_us = m->now.mono_us;
        return;
    }
    folder->newer_than = 0;
    cluster_wants_totals(m);
}

enum err folder_install(struct mount *m, struct folder *folder, const struct root_answer *answer)
{
    struct root root;
    enum err err = root_open(answer->root, &root);
    if (err != ERR_OK) {
        return err;
    }
    if (!dir_id_equal(root.head.dir, folder->id)) {
        return ERR_MALFORMED;
    }
    struct listing *old = folder->listing;
    bool same = old != NULL && !old->broken && old->root.head.generation == root.head.generation &&
                old->root.crc == root.crc;
    if (!same) {
        struct listing *listing = listing_make(m, folder, answer->root);
        if (listing == NULL) {
            return ERR_NOMEM;
        }
        err = root_open(span_of(listing->bytes, listing->size), &listing->root);
        CHECK(err == ERR_OK); /* it was a moment ago */
        folder->listing = listing;
        if (old != NULL) {
            folder_unref(m, old);
        }
    }
    settle_freshness(m, folder, answer);
    op_wake_all(m, &folder->waiters);
    return ERR_OK;
}

void folder_on_root(struct mount *m, struct call *call, const struct message_dir_root *answer)
{
    struct folder *folder = call->folder;
    struct root_answer root = { .root = answer->root,
                                .sent_us = call->sent_us,
                                .fresh_us = answer->fresh_us };
    enum err err = folder_install(m, folder, &root);
    if (err != ERR_OK && err != ERR_NOMEM) {
        call_reject(m, call, err);
        return;
    }
    folder->call = NULL;
    call_done(m, call);
    if (err != ERR_OK) {
        op_fail_all(m, &folder->waiters, err);
    }
}

void folder_failed(struct mount *m, struct call *call, enum err err)
{
    struct folder *folder = call->folder;
    folder->call = NULL;
    call_done(m, call);
    for (struct list *at = folder->waiters.next; at != &folder->waiters; at = at->next) {
        struct inode *inode = inode_at(m, CONTAINER_OF(at, struct op, link)->in.ino);
        if (inode != NULL && err == ERR_NOT_FOUND) {
            inode_drop(m, inode, false);
        }
    }
    op_fail_all(m, &folder->waiters, err);
}

/* ---- doubt ------------------------------------------------------------------------------------------- */

void folder_expire_all(struct mount *m)
{
    for (struct list *at = m->folder_lru.next; at != &m->folder_lru; at = at->next) {
        struct folder *folder = CONTAINER_OF(at, struct folder, lru);
        if (folder->listing != NULL) {
            folder->listing->fresh_us = m->now.mono_us;
            folder->listing->received_us = m->now.mono_us - 1;
        }
    }
}

void folder_changed(struct mount *m, struct dir_id id, uint64_t generation)
{
    struct folder *folder = folder_find(m, id);
    if (folder == NULL) {
        return; /* its next listing is asked for anyway */
    }
    struct listing *listing = folder->listing;
    if (listing != NULL && listing->root.head.generation > generation && generation != 0) {
        return; /* there is a newer one already */
    }
    uint64_t known = listing != NULL ? listing->root.head.generation : generation;
    folder->newer_than = known > folder->newer_than ? known : folder->newer_than;
    if (listing != NULL) {
        listing->fresh_us = m->now.mono_us;
        listing->received_us = m->now.mono_us - 1;
    }
}
