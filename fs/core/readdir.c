/* fs/core/readdir.c: OPENDIR, READDIR, READDIRPLUS.
 *
 * A handle keeps the listing it began with, so an offset means the same entry for as long as it is
 * open: "." and ".." are 0 and 1, then the directories that rows below make, then the listing. */
#include "fs/core/internal.h"

#define HANDLES_SPARE 1024u
#define DIRENTS (4 * MOUNT_DIRENTS_MAX) /* of all replies of one step */
#define DOTS 2u
#define SLOT_BITS 32u
#define DIRENT_HEAD 24u /* struct fuse_dirent (linux/fuse.h) without the name */
#define PLUS_HEAD 152u  /* struct fuse_direntplus: an entry of 128 bytes before it */
#define PAGES_AHEAD 2u

static uint32_t limit_of(const struct mount_options *options)
{
    return options->requests_max + HANDLES_SPARE;
}

size_t readdir_memory(const struct mount_options *options)
{
    return limit_of(options) * sizeof(struct handle) + DIRENTS * sizeof(struct mount_dirent) + 64;
}

enum err readdir_init(struct mount *m, struct arena *mem)
{
    m->handle_limit = limit_of(&m->options);
    m->handle_next = 1;
    m->handles = arena_array(mem, m->handle_limit, sizeof *m->handles);
    m->dirents = arena_array(mem, DIRENTS, sizeof *m->dirents);
    return m->handles == NULL || m->dirents == NULL ? ERR_NOMEM : ERR_OK;
}

bool readdir_has_room(const struct mount *m)
{
    return DIRENTS - m->dirents_used >= MOUNT_DIRENTS_MAX;
}

/* ---- handles ----------------------------------------------------------------------------------- */

static struct handle *handle_at(const struct mount *m, uint64_t id)
{
    uint64_t slot = id & UINT32_MAX;
    if (slot == 0 || slot >= m->handle_limit) {
        return NULL;
    }
    struct handle *handle = &m->handles[slot];
    return handle->used && handle->generation == id >> SLOT_BITS ? handle : NULL;
}

static struct handle *handle_take(struct mount *m, uint64_t *id)
{
    for (uint32_t i = 0; i < m->handle_limit; i++) {
        uint32_t slot = (m->handle_next + i) % m->handle_limit;
        struct handle *handle = &m->handles[slot];
        if (slot == 0 || handle->used) {
            continue;
        }
        m->handle_next = slot + 1;
        *handle = (struct handle){ .used = true, .generation = handle->generation + 1 };
        *id = ((uint64_t)handle->generation << SLOT_BITS) | slot;
        return handle;
    }
    return NULL;
}

static void keep(struct mount *m, struct handle *handle, struct listing *listing)
{
    if (handle->listing != NULL) {
        folder_unref(m, handle->listing);
    }
    handle->listing = listing;
    handle->shard = 0;
    handle->shard_first = 0;
    if (listing != NULL) {
        folder_ref(listing);
    }
}

void readdir_release(struct mount *m, uint64_t id)
{
    struct handle *handle = handle_at(m, id);
    if (handle != NULL) {
        keep(m, handle, NULL);
        handle->used = false;
    }
}

/* A listing this request may use; NULL: it waits for one, or has been answered. */
static struct listing *listing_for(struct mount *m, struct op *op, struct inode *dir)
{
    struct folder *folder = folder_get(m, dir);
    if (folder == NULL) {
        op_reply_err(m, op, ERR_NOMEM);
        return NULL;
    }
    struct listing *listing = folder_listing(m, folder, op->started_us);
    if (listing == NULL && folder_fetch(m, folder)) {
        op_wait(op, &folder->waiters);
    } else if (listing == NULL) {
        op_wait_room(m, op);
    }
    return listing;
}

void readdir_open(struct mount *m, struct op *op)
{
    struct inode *dir = inode_at(m, op->in.ino);
    if (dir == NULL || !dir->dir) {
        op_reply_err(m, op, dir == NULL ? ERR_CHANGED : ERR_NOT_DIRECTORY);
        return;
    }
    inode_touch(m, dir);
    struct listing *listing = dir->row == ROW_NONE ? NULL : listing_for(m, op, dir);
    if (listing == NULL && dir->row != ROW_NONE) {
        return;
    }
    uint64_t id = 0;
    struct handle *handle = handle_take(m, &id);
    if (handle == NULL) {
        MARK(m, "mount.handle.full");
        op_reply_err(m, op, ERR_NOMEM);
        return;
    }
    handle->ino = op->in.ino;
    keep(m, handle, listing);
    struct mount_effect *effect = op_reply(m, op, MOUNT_REPLY_OPEN);
    effect->reply_open.handle = id;
    effect->reply_open.keep_cache = listing == NULL;
    effect->reply_open.cache_dir = true;
    if (listing != NULL) {
        struct folder *folder = listing->folder;
        effect->reply_open.keep_cache = folder->opened == listing->root.head.generation;
        effect->reply_open.cache_dir = listing->fresh_us > m->now.mono_us;
        folder->opened = listing->root.head.generation;
        if (listing->root.shards > 0) {
            (void)sheet_get(m, listing, 0); /* it will be wanted at once */
        }
    }
    op_end(m, op);
}

/* ---- entries ------------------------------------------------------------------------------------- */

/* One reply while it is filled. */
struct fill {
    struct op *op;
    struct handle *handle;
    struct inode *dir;
    struct mount_dirent *entries;
    uint32_t count;
    uint32_t left;   /* bytes of the kernel's buffer */
    uint64_t passed; /* indexes behind the request's offset that are done with */
    bool plus;
    bool inodes; /* entries may become inodes */
    bool given;  /* it cannot be begun again: inodes count a lookup, or a page was read */
};

static bool fits(struct fill *f, struct span name)
{
    uint32_t size = (f->plus ? PLUS_HEAD : DIRENT_HEAD) + (uint32_t)name.size;
    size = (size + 7) & ~7u;
    if (size > f->left || f->count == MOUNT_DIRENTS_MAX) {
        return false;
    }
    f->left -= size;
    return true;
}

static struct mount_dirent *add(struct fill *f, struct span name, uint64_t next)
{
    struct mount_dirent *dirent = &f->entries[f->count++];
    *dirent = (struct mount_dirent){ .name = name, .next = next };
    return dirent;
}

static bool add_dot(const struct mount *m, struct fill *f, uint64_t index)
{
    struct span name = span_text(index == 0 ? "." : "..");
    if (!fits(f, name)) {
        return false;
    }
    const struct inode *inode = f->dir;
    if (index == 1 && inode->slot != MOUNT_ROOT_INO) {
        inode = inode_parent(m, inode);
    }
    inode_attr(m, inode, &add(f, name, index + 1)->entry.attr);
    return true;
}

static bool add_entry(struct mount *m, struct fill *f, const struct inode_facts *facts,
                      uint64_t next)
{
    const struct entry *entry = &facts->entry;
    if (!fits(f, entry->name)) {
        return false;
    }
    struct mount_dirent *dirent = add(f, entry->name, next);
    struct inode *inode = NULL;
    if (f->inodes && !inode_is_crowded(m)) {
        inode = inode_make(m, f->dir, facts);
    } else if (f->inodes) {
        MARK(m, "mount.readdir.crowded");
        f->inodes = false;
        inode_shrink(m);
    }
    if (inode != NULL) {
        inode_entry(m, inode, &dirent->entry);
        f->given = true;
        return true;
    }
    dirent->entry.attr.st_ino = inode_st_ino(f->dir->st_ino, entry->name);
    dirent->entry.attr.is_dir = entry->type == ENTRY_DIR;
    dirent->entry.attr.size = entry->size;
    dirent->entry.attr.mtime_us = entry->mtime_us;
    return true;
}

/* Entries before those of the listing. Returns the index after the last one added. */
static uint64_t add_first(struct mount *m, struct fill *f, uint64_t index, uint32_t below)
{
    while (index < DOTS && add_dot(m, f, index)) {
        index++;
    }
    while (index >= DOTS && index < DOTS + below) {
        struct inode_facts facts = { .entry = { .type = ENTRY_DIR },
                                     .fresh_us = m->now.mono_us + FRESH_MAX_US };
        bool is = name_below(m, f->dir, (uint32_t)index - DOTS, &facts.entry.name);
        CHECK(is);
        if (!add_entry(m, f, &facts, index + 1)) {
            break;
        }
        index++;
    }
    return index;
}

/* The shard that holds the listing's entry `index`; false: it is behind the last one. */
static bool seek(struct handle *handle, uint64_t index)
{
    const struct root *root = &handle->listing->root;
    if (index < handle->shard_first) {
        handle->shard = 0;
        handle->shard_first = 0;
    }
    for (; handle->shard < root->shards; handle->shard++) {
        struct root_shard shard;
        root_shard(root, handle->shard, &shard);
        if (index < handle->shard_first + shard.entries) {
            return true;
        }
        handle->shard_first += shard.entries;
    }
    return false;
}

/* Add what fits of one page. Returns how many entries were passed. */
static uint32_t add_page(struct mount *m, struct fill *f, const struct page *page, uint64_t base)
{
    const struct listing *listing = f->handle->listing;
    struct inode_facts facts = { .fresh_us = listing->fresh_us,
                                 .listed = listing->root.head.generation };
    uint32_t first = (uint32_t)(base - f->handle->shard_first);
    uint32_t at = first;
    uint64_t offset = f->op->in.offset + f->passed;
    for (; at < page_count(page); at++) {
        page_entry(page, at, &facts.entry);
        if (!m->plain && name_is_below(m, f->dir, facts.entry.name)) {
            continue; /* shown already: a row lies there */
        }
        if (!add_entry(m, f, &facts, offset + (at - first) + 1)) {
            break;
        }
    }
    return at - first;
}

enum step { STEP_ON, STEP_END, STEP_WAITS };

/* Entries of the listing from `index` on, one page further. */
static enum step fill_page(struct mount *m, struct fill *f, uint64_t index)
{
    struct handle *handle = f->handle;
    struct listing *listing = handle->listing;
    if (listing == NULL || !seek(handle, index)) {
        return STEP_END;
    }
    struct sheet *sheet = sheet_get(m, listing, handle->shard);
    bool here = sheet != NULL && sheet_is_here(sheet);
    if (!here && f->given) {
        return STEP_END; /* what there is goes out now */
    }
    if (!here && sheet == NULL) {
        op_wait_room(m, f->op);
        return STEP_WAITS;
    }
    if (!here) {
        op_wait(f->op, &sheet->waiters);
        return STEP_WAITS;
    }
    uint32_t added = add_page(m, f, &sheet->page, index);
    f->passed += added;
    f->given = f->given || added > 0;
    bool whole = index + added == handle->shard_first + page_count(&sheet->page);
    for (uint32_t i = 1; i <= PAGES_AHEAD && handle->shard + i < listing->root.shards; i++) {
        (void)sheet_get(m, listing, handle->shard + i);
    }
    return whole ? STEP_ON : STEP_END;
}

static void reply(struct mount *m, struct fill *f)
{
    struct mount_effect *effect = op_reply(m, f->op, MOUNT_REPLY_DIR);
    effect->reply_dir.plus = f->plus;
    effect->reply_dir.entries = f->entries;
    effect->reply_dir.count = f->count;
    effect->reply_dir.size = f->op->in.size;
    m->dirents_used += f->count;
    f->handle->started = f->handle->started || f->count > 0;
    op_end(m, f->op);
}

/* A page of the handle's listing is nowhere any more. true: it begins anew with another listing. */
static bool renew(struct mount *m, struct op *op, struct handle *handle, struct inode *dir)
{
    if (handle->started) {
        MARK(m, "mount.readdir.stale");
        op_reply_err(m, op, ERR_CHANGED);
        return false;
    }
    MARK(m, "mount.readdir.renewed");
    struct listing *listing = listing_for(m, op, dir);
    if (listing != NULL) {
        keep(m, handle, listing);
    }
    return listing != NULL;
}

void readdir_run(struct mount *m, struct op *op)
{
    struct handle *handle = handle_at(m, op->in.handle);
    struct inode *dir = handle == NULL ? NULL : inode_at(m, handle->ino);
    if (dir == NULL) {
        op_reply_err(m, op, handle == NULL ? ERR_INVALID : ERR_CHANGED);
        return;
    }
    op->in.ino = handle->ino;
    struct listing *listing = handle->listing;
    if (listing != NULL && listing->broken && !renew(m, op, handle, dir)) {
        return;
    }
    listing = handle->listing;
    uint32_t below = 0;
    struct span name;
    while (name_below(m, dir, below, &name)) {
        below++;
    }
    bool plus = op->in.kind == OP_READDIRPLUS;
    bool current = listing == NULL ||
                   (listing->folder->listing == listing && listing->folder->newer_than == 0);
    struct fill f = { .op = op,
                      .handle = handle,
                      .dir = dir,
                      .entries = m->dirents + m->dirents_used,
                      .left = op->in.size,
                      .plus = plus,
                      .inodes = plus && current };
    uint64_t index = add_first(m, &f, op->in.offset, below);
    f.passed = index - op->in.offset;
    enum step step = index < DOTS + below ? STEP_END : STEP_ON;
    while (step == STEP_ON) {
        step = fill_page(m, &f, op->in.offset + f.passed - DOTS - below);
    }
    if (step == STEP_END) {
        reply(m, &f);
    }
}
