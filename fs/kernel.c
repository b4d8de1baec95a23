#define FUSE_USE_VERSION 314
#include "fs/kernel.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/reply.h"
#include "fs/requests.h"
#include "node/io/threads.h"

#define THREADS_MAX 16
#define NAME_LONGEST 255
#define LATE_INTERRUPTS_MOST 16u
#define WAKE_SIGNAL SIGUSR1 /* ends a read of /dev/fuse that waits */

struct kernel {
    struct kernel_options options;
    struct fuse_session *session;
    struct requests *requests;
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
    bool opens_are_free; /* the kernel can be told never to ask for them */
};

/* ---- requests ------------------------------------------------------------------------------ */

static void push_interrupt(struct kernel *kernel, uint64_t number)
{
    struct kernel_item *item = calloc(1, sizeof *item);
    if (item == NULL) {
        return; /* the request then ends by its own deadline */
    }
    item->kind = KERNEL_INTERRUPT;
    item->interrupted = number;
    queue_push(kernel->options.out, &item->queue);
}

/* `data` is the number itself: memory of the request could belong to another one by now. */
static void on_interrupt(fuse_req_t request, void *data)
{
    struct kernel *kernel = fuse_req_userdata(request);
    uint64_t number = (uint64_t)(uintptr_t)data;
    if (requests_interrupt(kernel->requests, number)) {
        push_interrupt(kernel, number);
    }
}

/* Hand a request to the peer thread. `name` may be NULL. */
static void push(fuse_req_t request, const struct mount_op *op, const char *name)
{
    struct kernel *kernel = fuse_req_userdata(request);
    size_t size = name == NULL ? 0 : strlen(name);
    struct kernel_item *item = calloc(1, sizeof *item + size);
    uint64_t number = item == NULL ? 0 : requests_open(kernel->requests, request);
    if (number == 0) {
        fuse_reply_err(request, item == NULL ? ENOMEM : ENOTCONN);
        free(item);
        return;
    }
    item->kind = KERNEL_OP;
    item->op = *op;
    item->op.id = number;
    if (size > 0) {
        memcpy(item + 1, name, size);
        item->op.name = span_of(item + 1, size);
    }
    fuse_req_interrupt_func(request, on_interrupt, (void *)(uintptr_t)number);
    queue_push(kernel->options.out, &item->queue); /* from here on `request` may be answered */
    if (requests_pushed(kernel->requests, number)) {
        push_interrupt(kernel, number);
    }
}

static void push_forget(struct kernel *kernel, uint64_t ino, uint64_t count)
{
    struct kernel_item *item = calloc(1, sizeof *item);
    if (item == NULL) {
        return; /* the inode stays: it costs memory, nothing else */
    }
    item->kind = KERNEL_OP;
    item->op = (struct mount_op){ .kind = OP_FORGET, .ino = ino, .count = count };
    queue_push(kernel->options.out, &item->queue);
}

static void on_init(void *self, struct fuse_conn_info *connection)
{
    struct kernel *kernel = self;
    /* No ASYNC_DIO: a process that waits for a direct read could not be killed. */
    unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_EXPLICIT_INVAL_DATA |
                    FUSE_CAP_NO_OPEN_SUPPORT;
    connection->want = connection->capable & want;
    kernel->opens_are_free = (connection->want & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
    connection->max_read = kernel->options.read_max;
    connection->max_readahead = 1u << 20;
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    connection->time_gran = 1000; /* sources say microseconds at best */
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    if (strlen(name) > NAME_LONGEST) {
        fuse_reply_err(request, ENAMETOOLONG); /* the kernel's own limit is 1,024 */
        return;
    }
    push(request, &(struct mount_op){ .kind = OP_LOOKUP, .ino = parent }, name);
}

static void on_forget(fuse_req_t request, fuse_ino_t ino, uint64_t count)
{
    push_forget(fuse_req_userdata(request), ino, count);
    fuse_reply_none(request);
}

static void on_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        push_forget(fuse_req_userdata(request), forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(request);
}

static void on_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file)
{
    (void)file;
    push(request, &(struct mount_op){ .kind = OP_GETATTR, .ino = ino }, NULL);
}

/* A node id is one version of a file, so an open has nothing to settle: ENOSYS says so once, and
 * the kernel opens by itself from then on and keeps the pages (docs/mount.md, "Names"). */
static void on_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file)
{
    const struct kernel *kernel = fuse_req_userdata(request);
    if ((file->flags & O_ACCMODE) != O_RDONLY || (file->flags & O_TRUNC) != 0) {
        fuse_reply_err(request, EROFS);
        return;
    }
    if (kernel->opens_are_free) {
        fuse_reply_err(request, ENOSYS);
        return;
    }
    push(request, &(struct mount_op){ .kind = OP_OPEN, .ino = ino }, NULL);
}

static void on_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *file)
{
    struct mount_op op = { .kind = OP_READ,
                           .ino = ino,
                           .handle = file->fh,
                           .offset = (uint64_t)offset,
                           .size = (uint32_t)size };
    push(request, &op, NULL);
}

static void on_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file)
{
    push(request, &(struct mount_op){ .kind = OP_RELEASE, .ino = ino, .handle = file->fh }, NULL);
}

static void on_opendir(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file)
{
    (void)file;
    push(request, &(struct mount_op){ .kind = OP_OPENDIR, .ino = ino }, NULL);
}

static void on_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *file)
{
    struct mount_op op = { .kind = OP_READDIR,
                           .ino = ino,
                           .handle = file->fh,
                           .offset = (uint64_t)offset,
                           .size = (uint32_t)size };
    push(request, &op, NULL);
}

static void on_readdirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *file)
{
    struct mount_op op = { .kind = OP_READDIRPLUS,
                           .ino = ino,
                           .handle = file->fh,
                           .offset = (uint64_t)offset,
                           .size = (uint32_t)size };
    push(request, &op, NULL);
}

static void on_releasedir(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file)
{
    push(request, &(struct mount_op){ .kind = OP_RELEASEDIR, .ino = ino, .handle = file->fh },
         NULL);
}

static void on_statfs(fuse_req_t request, fuse_ino_t ino)
{
    push(request, &(struct mount_op){ .kind = OP_STATFS, .ino = ino }, NULL);
}

/* What is not here libfuse answers with ENOSYS, which the kernel remembers: getxattr and flush cost
 * no round trip. The mount is "ro", so that the kernel refuses every change with EROFS itself. */
static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .release = on_release,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .releasedir = on_releasedir,
    .statfs = on_statfs,
};

/* ---- threads ------------------------------------------------------------------------------- */

static void on_wake(int signal)
{
    (void)signal;
}

static void *run(void *self)
{
    struct kernel *kernel = self;
    struct fuse_buf buffer = { .mem = NULL };
    uint64_t one = 1;
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
    while (!fuse_session_exited(kernel->session)) {
        int size = fuse_session_receive_buf(kernel->session, &buffer);
        if (size == -EINTR || size == -EAGAIN) {
            continue;
        }
        if (size <= 0) {
            break;
        }
        fuse_session_process_buf(kernel->session, &buffer);
    }
    fuse_session_exit(kernel->session);
    free(buffer.mem);
    if (write(kernel->options.ended_fd, &one, sizeof one) < 0) {
        return NULL; /* full: somebody has said so already */
    }
    return NULL;
}

enum err kernel_run(struct kernel *kernel)
{
    struct sigaction action = { .sa_handler = on_wake };
    sigaction(WAKE_SIGNAL, &action, NULL);
    while (kernel->thread_count < kernel->options.threads) {
        enum err err = threads_start("fuse", run, kernel, &kernel->threads[kernel->thread_count]);
        if (err != ERR_OK) {
            return err;
        }
        kernel->thread_count++;
    }
    return ERR_OK;
}

/* The list for libfuse, which the caller frees; NULL: no memory. */
static char *make_options(const struct kernel *kernel)
{
    const struct kernel_options *o = &kernel->options;
    char *name = NULL;
    char *list = NULL;
    char rest[128];
    snprintf(rest, sizeof rest, "ro,default_permissions,subtype=atoll,max_read=%u%s%s", o->read_max,
             o->allow_other ? ",allow_other" : "", o->noexec ? ",noexec" : "");
    if (asprintf(&name, "fsname=%s", o->name) < 0) {
        return NULL;
    }
    if (fuse_opt_add_opt(&list, rest) != 0 || fuse_opt_add_opt_escaped(&list, name) != 0) {
        free(list);
        list = NULL;
    }
    free(name);
    return list;
}

/* libfuse tells what goes wrong on stderr in its own words; the line we add says where. */
static enum err mount_session(struct kernel *kernel, struct text *why)
{
    char program[] = "atoll";
    char flag[] = "-o";
    char *options = make_options(kernel);
    char *argv[] = { program, flag, options, NULL };
    struct fuse_args arguments = FUSE_ARGS_INIT(3, argv);
    if (options == NULL) {
        return ERR_NOMEM;
    }
    kernel->session = fuse_session_new(&arguments, &operations, sizeof operations, kernel);
    fuse_opt_free_args(&arguments);
    free(options);
    if (kernel->session == NULL || fuse_session_mount(kernel->session, kernel->options.dir) != 0) {
        text_str(why, kernel->options.dir);
        text_str(why, ": the kernel or fusermount3 refused the mount; is /dev/fuse there, and "
                      "user_allow_other set in /etc/fuse.conf for allow_other?");
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

enum err kernel_mount(const struct kernel_options *options, struct kernel **out, struct text *why)
{
    struct kernel *kernel = calloc(1, sizeof *kernel);
    enum err err = ERR_NOMEM;
    if (kernel == NULL) {
        return ERR_NOMEM;
    }
    CHECK(options->threads >= 1 && options->threads <= THREADS_MAX);
    kernel->options = *options;
    err = requests_new(&kernel->requests);
    if (err == ERR_OK) {
        err = mount_session(kernel, why);
    }
    if (err != ERR_OK) {
        kernel_stop(&kernel);
        return err;
    }
    *out = kernel;
    return ERR_OK;
}

void kernel_quiesce(struct kernel *kernel)
{
    if (kernel->session != NULL) {
        fuse_session_exit(kernel->session);
    }
    if (kernel->requests != NULL) {
        requests_end(kernel->requests);
    }
    for (uint32_t i = 0; i < kernel->thread_count; i++) {
        struct timespec until;
        do { /* the signal may come just before the thread waits: again until it is gone */
            pthread_kill(kernel->threads[i], WAKE_SIGNAL);
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 20000000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
        } while (pthread_timedjoin_np(kernel->threads[i], NULL, &until) == ETIMEDOUT);
    }
    kernel->thread_count = 0;
}

/* libfuse keeps an interrupt that it reads after the request was answered, for the next request to take
 * off; a process that is killed leaves one now and then. There is no call to free it. Nobody handles
 * these questions, and no process waits for the answers. */
static void let_late_interrupts_go(struct fuse_session *session)
{
    struct {
        struct fuse_in_header head;
        struct fuse_bmap_in body;
    } question = { .head = { .len = sizeof question,
                             .opcode = FUSE_BMAP,
                             .unique = UINT64_MAX,
                             .nodeid = FUSE_ROOT_ID } };
    const struct fuse_buf buffer = { .size = sizeof question, .mem = &question };
    for (uint32_t i = 0; i < LATE_INTERRUPTS_MOST; i++) {
        fuse_session_process_buf(session, &buffer);
    }
}

void kernel_stop(struct kernel **kernel)
{
    struct kernel *k = *kernel;
    struct fuse_req *request;
    if (k == NULL) {
        return;
    }
    while (k->requests != NULL && (request = requests_close_any(k->requests)) != NULL) {
        fuse_reply_err(request, ENOTCONN);
    }
    if (k->session != NULL) {
        if (fuse_session_exited(k->session)) { /* it has run */
            let_late_interrupts_go(k->session);
        }
        fuse_session_unmount(k->session);
        fuse_session_destroy(k->session);
    }
    requests_free(&k->requests);
    free(k);
    *kernel = NULL;
}

void kernel_item_free(struct kernel_item *item)
{
    free(item);
}

bool kernel_reply(struct kernel *kernel, const struct mount_effect *effect)
{
    uint64_t number = reply_number(effect);
    fuse_req_t request = requests_close(kernel->requests, number);
    CHECK(request != NULL);
    return reply_send(&kernel->options, request, effect);
}

void kernel_drop_entry(struct kernel *kernel, uint64_t parent, const char *name, bool expire)
{
    size_t size = strlen(name);
    if (expire) {
        (void)fuse_lowlevel_notify_expire_entry(kernel->session, parent, name, size,
                                                FUSE_LL_EXPIRE_ONLY);
    } else {
        (void)fuse_lowlevel_notify_inval_entry(kernel->session, parent, name, size);
    }
}

void kernel_drop_inode(struct kernel *kernel, uint64_t ino)
{
    (void)fuse_lowlevel_notify_inval_inode(kernel->session, ino, 0, 0);
}
