/* fs/core/inode.c: the table of what the kernel knows.
 *
 * A node id stands for one version of one path for ever: slot and generation. When a name comes to
 * mean another version it gets another inode; the old one lives on, unnamed, until the kernel
 * forgets it. `st_ino` is a hash of the path, the same on every mount. */
#include "fs/core/internal.h"

#include "base/hash.h"

#define CELLS_PER_INODE 5u /* a name of 28 to 56 bytes, an ETag of 34, and some longer ones */
#define SLOT_BITS 32u
#define CROWDED_PART 8u /* the last eighth is kept for names that are looked up */
#define SHRINK_COUNT 64u
#define SHRINK_EVERY_US MSEC(10)

static uint32_t cell_count(const struct mount_options *options)
{
    return options->inodes_max * CELLS_PER_INODE + options->pages_max * 8 + block_cells(options);
}

size_t inode_memory(const struct mount_options *options)
{
    size_t count = (size_t)options->inodes_max + 2;
    return count * sizeof(struct inode) + 2 * count * 8 + cell_memory(cell_count(options)) + 4096;
}

static uint64_t root_st_ino(const struct mount *m)
{
    struct span name = span_text(m->options.dataset);
    uint64_t st_ino = hash64(name.data, name.size, 0);
    struct span rest = span_text(m->options.prefix);
    while (rest.size > 0) {
        const uint8_t *slash = memchr(rest.data, '/', rest.size);
        size_t size = slash == NULL ? rest.size : (size_t)(slash - rest.data);
        st_ino = inode_st_ino(st_ino, span_of(rest.data, size));
        size += slash != NULL;
        rest = span_of(rest.data + size, rest.size - size);
    }
    return st_ino;
}

enum err inode_init(struct mount *m, struct arena *mem)
{
    m->inode_limit = m->options.inodes_max + 2;
    m->inodes = arena_array(mem, m->inode_limit, sizeof *m->inodes);
    if (m->inodes == NULL) {
        return ERR_NOMEM;
    }
    enum err err = map_init(&m->inode_by_name, mem, m->inode_limit);
    if (err == ERR_OK) {
        err = cell_init(&m->cells, mem, cell_count(&m->options));
    }
    list_init(&m->inode_lru);
    list_init(&m->drops);
    list_init(&m->inode_waiters);
    m->inode_fresh = MOUNT_ROOT_INO + 1;
    struct inode *root = &m->inodes[MOUNT_ROOT_INO];
    *root = (struct inode){ .slot = MOUNT_ROOT_INO, .used = true, .dir = true, .row = ROW_NONE };
    root->lookups = 1;
    root->fresh_us = USEC_NEVER;
    root->st_ino = root_st_ino(m);
    list_init(&root->lru);
    list_init(&root->drop);
    return err;
}

/* The row of a directory follows from its path. */
static void settle_row(struct mount *m, struct inode *inode, const struct inode *parent)
{
    if (m->plain) {
        inode->row = 0;
        return;
    }
    uint8_t bytes[PATH_MAX_SIZE];
    struct span path;
    inode->row = parent->row;
    if (name_path(m, inode, bytes, &path)) {
        inode->row = name_row(m, path);
    }
}

void inode_root(struct mount *m)
{
    struct inode *root = &m->inodes[MOUNT_ROOT_INO];
    root->mtime_us = (int64_t)m->dataset.version; /* the same for every mount of it */
    settle_row(m, root, root);
}

uint64_t inode_ino(const struct inode *inode)
{
    return ((uint64_t)inode->generation << SLOT_BITS) | inode->slot;
}

struct inode *inode_at(const struct mount *m, uint64_t ino)
{
    uint64_t slot = ino & UINT32_MAX;
    if (slot == 0 || slot >= m->inode_fresh) {
        return NULL;
    }
    struct inode *inode = &m->inodes[slot];
    return inode->used && inode_ino(inode) == ino ? inode : NULL;
}

struct inode *inode_parent(const struct mount *m, const struct inode *inode)
{
    CHECK(inode->parent != 0 && m->inodes[inode->parent].used);
    return &m->inodes[inode->parent];
}

uint64_t inode_st_ino(uint64_t parent_st_ino, struct span name)
{
    uint64_t hash = hash64(name.data, name.size, parent_st_ino);
    return hash < 2 ? hash + 2 : hash; /* 0 and 1 mean other things to some programs */
}

static uint64_t name_hash(const struct inode *parent, struct span name)
{
    return hash64(name.data, name.size, hash64_mix(parent->slot, parent->generation));
}

struct inode *inode_find(const struct mount *m, const struct inode *parent, struct span name)
{
    struct map_node *node = map_first(&m->inode_by_name, name_hash(parent, name));
    for (; node != NULL; node = map_next(node)) {
        struct inode *inode = CONTAINER_OF(node, struct inode, by_name);
        if (inode->parent == parent->slot && cell_equal(&m->cells, inode->name, name)) {
            return inode;
        }
    }
    return NULL;
}

/* ---- coming and going ------------------------------------------------------------------------- */

static void unname(struct mount *m, struct inode *inode)
{
    if (inode->current) {
        inode->current = false;
        map_remove(&m->inode_by_name, &inode->by_name);
    }
}

/* Frees it when nothing holds it, and then perhaps its parent, and so on. */
static void settle(struct mount *m, struct inode *inode)
{
    while (inode->slot != MOUNT_ROOT_INO && inode->lookups == 0 && inode->children == 0) {
        struct inode *parent = inode_parent(m, inode);
        unname(m, inode);
        list_remove(&inode->lru);
        list_remove(&inode->drop);
        cell_drop(&m->cells, &inode->name);
        cell_drop(&m->cells, &inode->pin);
        inode->used = false;
        inode->generation++;
        inode->parent = m->inode_free; /* of a free one: the next free one */
        m->inode_free = inode->slot;
        m->inode_count--;
        op_wake_all(m, &m->inode_waiters);
        CHECK(parent->children > 0);
        parent->children--;
        inode = parent;
    }
}

static struct inode *take(struct mount *m)
{
    uint32_t slot = m->inode_free;
    if (slot != 0) {
        m->inode_free = m->inodes[slot].parent;
    } else if (m->inode_fresh < m->inode_limit) {
        slot = m->inode_fresh++;
    } else {
        return NULL;
    }
    uint32_t generation = m->inodes[slot].generation;
    m->inodes[slot] = (struct inode){ .slot = slot, .generation = generation };
    m->inode_count++;
    return &m->inodes[slot];
}

static void give(struct mount *m, struct inode *inode)
{
    cell_drop(&m->cells, &inode->name);
    cell_drop(&m->cells, &inode->pin);
    inode->parent = m->inode_free;
    m->inode_free = inode->slot;
    m->inode_count--;
}

static bool is_version(const struct mount *m, const struct inode *inode, const struct entry *entry)
{
    bool dir = entry->type == ENTRY_DIR;
    if (inode->dir != dir) {
        return false;
    }
    return dir || (inode->size == entry->size && cell_equal(&m->cells, inode->pin, entry->pin) &&
                   (entry->pin.size > 0 || inode->mtime_us == entry->mtime_us));
}

static struct inode *make(struct mount *m, struct inode *parent, const struct inode_facts *facts)
{
    const struct entry *entry = &facts->entry;
    struct inode *inode = take(m);
    if (inode == NULL) {
        MARK(m, "mount.inode.full");
        return NULL;
    }
    if (!cell_store(&m->cells, entry->name, &inode->name) ||
        !cell_store(&m->cells, entry->pin, &inode->pin)) {
        MARK(m, "mount.inode.cells");
        give(m, inode);
        return NULL;
    }
    inode->used = true;
    inode->dir = entry->type == ENTRY_DIR;
    inode->size = entry->size;
    inode->mtime_us =
        inode->dir && entry->mtime_us == 0 ? (int64_t)m->dataset.version : entry->mtime_us;
    inode->place = entry->place;
    inode->parent = parent->slot;
    inode->st_ino = inode_st_ino(parent->st_ino, entry->name);
    parent->children++;
    list_init(&inode->drop);
    list_init(&inode->lru);
    list_push_back(&m->inode_lru, &inode->lru);
    inode->current = true;
    map_insert(&m->inode_by_name, &inode->by_name, name_hash(parent, entry->name));
    inode->row = parent->row;
    if (inode->dir) {
        settle_row(m, inode, parent);
    }
    return inode;
}

struct inode *inode_make(struct mount *m, struct inode *parent, const struct inode_facts *facts)
{
    struct inode *inode = inode_find(m, parent, facts->entry.name);
    if (inode != NULL && (inode->stale || !is_version(m, inode, &facts->entry))) {
        MARK(m, "mount.inode.version");
        unname(m, inode); /* whoever has it open goes on with it */
        inode = NULL;
    }
    if (inode == NULL) {
        inode = make(m, parent, facts);
    }
    if (inode != NULL) {
        inode->fresh_us = facts->fresh_us;
        inode->listed = facts->listed;
    }
    return inode;
}

void inode_forget(struct mount *m, uint64_t ino, uint64_t count)
{
    struct inode *inode = inode_at(m, ino);
    if (inode == NULL || inode->slot == MOUNT_ROOT_INO) {
        return;
    }
    if (count > inode->lookups) {
        MARK(m, "mount.inode.forgotten"); /* the kernel may count a lost reply differently */
        count = inode->lookups;
    }
    inode->lookups -= count;
    settle(m, inode);
}

void inode_touch(struct mount *m, struct inode *inode)
{
    if (inode->slot != MOUNT_ROOT_INO) {
        list_remove(&inode->lru);
        list_push_back(&m->inode_lru, &inode->lru);
    }
}

/* ---- what the kernel is told ---------------------------------------------------------------------- */

void inode_attr(const struct mount *m, const struct inode *inode, struct mount_attr *out)
{
    (void)m;
    out->st_ino = inode->st_ino;
    out->size = inode->size;
    out->mtime_us = inode->mtime_us;
    out->is_dir = inode->dir;
}

void inode_entry(struct mount *m, struct inode *inode, struct mount_entry *out)
{
    out->ino = inode_ino(inode);
    inode_attr(m, inode, &out->attr);
    usec_t left = inode->fresh_us - m->now.mono_us;
    out->entry_us = left < 0 ? 0 : usec_min(left, ENTRY_MAX_US);
    out->attr_us = ATTR_MAX_US;
    inode->lookups++;
    inode_touch(m, inode);
}

void inode_drop(struct mount *m, struct inode *inode, bool expire)
{
    if (inode->slot == MOUNT_ROOT_INO || inode->lookups == 0) {
        return;
    }
    bool queued = list_is_linked(&inode->drop);
    inode->expire = queued ? inode->expire && expire : expire;
    if (!queued) {
        list_push_back(&m->drops, &inode->drop);
    }
}

static void drop_now(struct mount *m, struct inode *inode)
{
    list_remove(&inode->drop);
    if (!inode->current) {
        return; /* the name has another meaning already */
    }
    uint8_t *name = effect_scratch(m, inode->name.size);
    cell_copy(&m->cells, inode->name, name);
    struct mount_effect *effect = effect_push(m, MOUNT_DROP_ENTRY);
    effect->drop_entry.parent = inode_ino(inode_parent(m, inode));
    effect->drop_entry.name = span_of(name, inode->name.size);
    effect->drop_entry.expire = inode->expire;
}

void inode_drop_pump(struct mount *m)
{
    while (effect_room(m) > 0 && (m->expire_cursor != 0 || !list_is_empty(&m->drops))) {
        struct list *first = list_first(&m->drops);
        if (first != NULL) {
            drop_now(m, CONTAINER_OF(first, struct inode, drop));
            continue;
        }
        if (m->expire_cursor >= m->inode_fresh) {
            m->expire_cursor = 0;
            return;
        }
        struct inode *inode = &m->inodes[m->expire_cursor++];
        if (inode->used && inode->current) {
            inode_drop(m, inode, true);
        }
    }
}

void inode_shrink(struct mount *m)
{
    if (m->now.mono_us - m->shrunk_us < SHRINK_EVERY_US || !list_is_empty(&m->drops)) {
        return; /* the kernel has been asked just now */
    }
    m->shrunk_us = m->now.mono_us;
    struct list *at = m->inode_lru.next;
    for (uint32_t i = 0; i < SHRINK_COUNT && at != &m->inode_lru; i++) {
        struct inode *inode = CONTAINER_OF(at, struct inode, lru);
        at = at->next;
        inode_drop(m, inode, false);
        inode_touch(m, inode);
    }
}

bool inode_is_crowded(const struct mount *m)
{
    uint32_t spare = m->inode_limit / CROWDED_PART;
    uint32_t cells = m->cells.count / CROWDED_PART;
    return m->inode_limit - m->inode_count <= spare || m->cells.count - m->cells.used <= cells;
}

void inode_expire_all(struct mount *m)
{
    m->expire_cursor = MOUNT_ROOT_INO + 1;
    for (uint32_t slot = MOUNT_ROOT_INO + 1; slot < m->inode_fresh; slot++) {
        m->inodes[slot].fresh_us = m->now.mono_us;
    }
}

void inode_changed(struct mount *m, struct inode *inode)
{
    if (inode->stale) {
        return;
    }
    MARK(m, "mount.inode.changed");
    inode->stale = true;
    inode_drop(m, inode, false);
    struct inode *parent = inode_parent(m, inode);
    if (parent->has_id) {
        struct dir_id dir;
        memcpy(dir.b, parent->id, ID_SIZE);
        folder_changed(m, dir, inode->listed);
    }
}
