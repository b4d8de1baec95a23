#define FUSE_USE_VERSION 314
#include "fs/reply.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>

#define BLOCK 512u /* what st_blocks counts */
#define STATFS_BLOCK 4096u

uint64_t reply_number(const struct mount_effect *effect)
{
    switch (effect->kind) {
    case MOUNT_REPLY_ERR:
        return effect->reply_err.id;
    case MOUNT_REPLY_ENTRY:
        return effect->reply_entry.id;
    case MOUNT_REPLY_ATTR:
        return effect->reply_attr.id;
    case MOUNT_REPLY_OPEN:
        return effect->reply_open.id;
    case MOUNT_REPLY_DATA:
        return effect->reply_data.id;
    case MOUNT_REPLY_DIR:
        return effect->reply_dir.id;
    case MOUNT_REPLY_STATFS:
        return effect->reply_statfs.id;
    case MOUNT_SEND:
    case MOUNT_RELEASE:
    case MOUNT_CONNECT:
    case MOUNT_CLOSE:
    case MOUNT_RING_BUILD:
    case MOUNT_RING_DROP:
    case MOUNT_RESOLVE:
    case MOUNT_DROP_ENTRY:
    case MOUNT_DROP_INODE:
    case MOUNT_LOG:
    case MOUNT_ABANDON:
    case MOUNT_READY:
        break;
    }
    BUG("an effect that answers no request");
}

static double seconds(usec_t us)
{
    return (double)us / 1e6;
}

static void fill_stat(const struct kernel_options *options, const struct mount_attr *attr,
                      struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = attr->st_ino;
    st->st_mode = attr->is_dir ? S_IFDIR | options->dir_mode : S_IFREG | options->file_mode;
    st->st_nlink = 1;
    st->st_uid = options->uid;
    st->st_gid = options->gid;
    st->st_size = (off_t)attr->size;
    st->st_blocks = (blkcnt_t)((attr->size + BLOCK - 1) / BLOCK);
    st->st_blksize = (blksize_t)options->read_max;
    st->st_mtim.tv_sec = attr->mtime_us / 1000000;
    st->st_mtim.tv_nsec = attr->mtime_us % 1000000 * 1000;
    if (st->st_mtim.tv_nsec < 0) { /* before 1970 */
        st->st_mtim.tv_sec--;
        st->st_mtim.tv_nsec += 1000000000;
    }
    st->st_atim = st->st_mtim;
    st->st_ctim = st->st_mtim;
}

static void fill_entry(const struct kernel_options *options, const struct mount_entry *entry,
                       struct fuse_entry_param *param)
{
    memset(param, 0, sizeof *param);
    param->ino = entry->ino;
    param->entry_timeout = seconds(entry->entry_us);
    param->attr_timeout = seconds(entry->attr_us);
    fill_stat(options, &entry->attr, &param->attr);
}

static bool send_entry(const struct kernel_options *options, fuse_req_t request,
                       const struct mount_entry *entry)
{
    struct fuse_entry_param param;
    fill_entry(options, entry, &param);
    return fuse_reply_entry(request, &param) != 0 && entry->ino != 0;
}

static void send_open(fuse_req_t request, const struct mount_effect *effect)
{
    struct fuse_file_info file = { .fh = effect->reply_open.handle };
    file.keep_cache = effect->reply_open.keep_cache ? 1 : 0;
    file.cache_readdir = effect->reply_open.cache_dir ? 1 : 0;
    /* An open that the kernel did not take has no release: its handle stays until the end. That
     * needs a signal in the very moment of the answer, and costs one slot of a table. */
    (void)fuse_reply_open(request, &file);
}

static void send_data(fuse_req_t request, const struct mount_effect *effect)
{
    struct iovec iov[MOUNT_REPLY_PIECES];
    for (uint32_t i = 0; i < effect->reply_data.count; i++) {
        iov[i].iov_base = (void *)(uintptr_t)effect->reply_data.pieces[i].data;
        iov[i].iov_len = effect->reply_data.pieces[i].size;
    }
    (void)fuse_reply_iov(request, iov, (int)effect->reply_data.count);
}

/* A reply to READDIR that grows. */
struct dir_buffer {
    fuse_req_t request;
    bool plus;
    char *at;
    size_t room;
};

/* One entry into the reply; bytes it took, more than `room` when it does not fit. */
static size_t add_entry(const struct kernel_options *options, const struct mount_dirent *entry,
                        const struct dir_buffer *to)
{
    struct fuse_entry_param param;
    char name[257];
    CHECK(entry->name.size < sizeof name);
    memcpy(name, entry->name.data, entry->name.size);
    name[entry->name.size] = '\0';
    fill_entry(options, &entry->entry, &param);
    if (to->plus) {
        return fuse_add_direntry_plus(to->request, to->at, to->room, name, &param,
                                      (off_t)entry->next);
    }
    return fuse_add_direntry(to->request, to->at, to->room, name, &param.attr, (off_t)entry->next);
}

static bool send_dir(const struct kernel_options *options, fuse_req_t request,
                     const struct mount_effect *effect)
{
    size_t used = 0, size = effect->reply_dir.size;
    char *buffer = malloc(size == 0 ? 1 : size);
    bool lost;
    if (buffer == NULL) {
        fuse_reply_err(request, ENOMEM);
        return true;
    }
    for (uint32_t i = 0; i < effect->reply_dir.count; i++) {
        struct dir_buffer to = { request, effect->reply_dir.plus, buffer + used, size - used };
        size_t took = add_entry(options, &effect->reply_dir.entries[i], &to);
        CHECK(took <= size - used); /* the core gives what fits: lookups are counted by it */
        used += took;
    }
    lost = fuse_reply_buf(request, buffer, used) != 0;
    free(buffer);
    return lost && effect->reply_dir.plus;
}

static void send_statfs(fuse_req_t request, const struct mount_effect *effect)
{
    struct statvfs st = { 0 };
    st.f_bsize = STATFS_BLOCK;
    st.f_frsize = STATFS_BLOCK;
    st.f_blocks = (effect->reply_statfs.bytes + STATFS_BLOCK - 1) / STATFS_BLOCK;
    st.f_files = effect->reply_statfs.files;
    st.f_namemax = 255;
    st.f_flag = ST_RDONLY;
    (void)fuse_reply_statfs(request, &st);
}

bool reply_send(const struct kernel_options *options, struct fuse_req *request,
                const struct mount_effect *effect)
{
    struct stat st;
    switch (effect->kind) {
    case MOUNT_REPLY_ERR:
        (void)fuse_reply_err(request, effect->reply_err.err);
        return false;
    case MOUNT_REPLY_ENTRY:
        return send_entry(options, request, &effect->reply_entry.entry);
    case MOUNT_REPLY_ATTR:
        fill_stat(options, &effect->reply_attr.attr, &st);
        (void)fuse_reply_attr(request, &st, seconds(effect->reply_attr.attr_us));
        return false;
    case MOUNT_REPLY_OPEN:
        send_open(request, effect);
        return false;
    case MOUNT_REPLY_DATA:
        send_data(request, effect);
        return false;
    case MOUNT_REPLY_DIR:
        return send_dir(options, request, effect);
    case MOUNT_REPLY_STATFS:
        send_statfs(request, effect);
        return false;
    case MOUNT_SEND:
    case MOUNT_RELEASE:
    case MOUNT_CONNECT:
    case MOUNT_CLOSE:
    case MOUNT_RING_BUILD:
    case MOUNT_RING_DROP:
    case MOUNT_RESOLVE:
    case MOUNT_DROP_ENTRY:
    case MOUNT_DROP_INODE:
    case MOUNT_LOG:
    case MOUNT_ABANDON:
    case MOUNT_READY:
        break;
    }
    BUG("an effect that answers no request");
}
