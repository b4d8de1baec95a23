/* fs/command.c: from the command line to a mount that works, and back to nothing left behind.
 * Thread: "main": waits for signals and for the end of the session; everything else is done by the
 * threads of fs/brain.c, fs/kernel.c and fs/notify.c. */
#include "fs/command.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/brain.h"
#include "fs/kernel.h"
#include "fs/notify.h"
#include "fs/point.h"
#include "fs/settings.h"
#include "node/io/log.h"
#include "node/io/machine.h"
#include "node/io/process.h"
#include "node/io/system_log.h"
#include "node/io/systemd.h"

#define FUSE_THREADS 4
#define READ_AHEAD_KIB 1024 /* x1.4 to 1.7 of the kernel's 128 (docs/performance.md) */
#define READ_MAX (1u << 20)

struct running {
    struct process *node; /* a private one, or NULL */
    struct brain *brain;
    struct kernel *kernel;
    struct notify *notify;
    int ended;   /* eventfd: the session ended by itself */
    int signals; /* signalfd */
};

static int complain(enum err err, const struct text *why)
{
    const char *said = why->used > 0 ? why->data : err_text(err);
    fprintf(stderr, "atoll mount: %s\n", said);
    return err_exit_code(err);
}

static enum err start_private(struct running *r, struct settings *settings,
                              struct brain_reach *reach, struct text *why)
{
    struct process_private_options options = { 0 };
    struct process_private made;
    enum err err;
    options.uri = settings->uri;
    options.endpoint = settings->endpoint;
    options.region = settings->region;
    options.credential = settings->credential;
    options.credentials_dir = settings->credentials_dir;
    options.tier = settings->tier;
    options.memory = settings->memory / 2;
    options.block_size = settings->block_size;
    options.path_style = settings->path_style;
    options.ttl_us = settings->ttl_us;
    settings->memory -= options.memory;
    err = node_start_private(&options, &r->node, &made, why);
    if (err != ERR_OK) {
        return err;
    }
    if (made.warning[0] != '\0') {
        fprintf(stderr, "atoll mount: %s\n", made.warning);
    }
    reach->zmq = made.zmq;
    reach->control = made.control;
    reach->cluster = made.cluster;
    reach->slots_log2 = made.slots_log2;
    reach->dataset = made.dataset;
    return ERR_OK;
}

static enum err start_kernel(struct running *r, const struct settings *settings, struct text *why)
{
    struct kernel_options options = { 0 };
    enum err err;
    options.dir = settings->dir;
    options.name = settings->source;
    options.allow_other = settings->allow_other;
    options.noexec = settings->noexec;
    options.uid = settings->uid;
    options.gid = settings->gid;
    options.file_mode = settings->file_mode;
    options.dir_mode = settings->dir_mode;
    options.threads = FUSE_THREADS;
    options.read_max = READ_MAX;
    options.out = brain_queue(r->brain);
    options.ended_fd = r->ended;
    err = kernel_mount(&options, &r->kernel, why);
    if (err == ERR_OK) {
        err = notify_start(r->kernel, &r->notify);
    }
    if (err == ERR_OK) {
        brain_serve(r->brain, r->kernel, r->notify);
        err = kernel_run(r->kernel);
    }
    if (err == ERR_OK && !settings->inherited) {
        point_read_ahead(settings->dir, READ_AHEAD_KIB);
    }
    return err;
}

static enum err start(struct running *r, struct settings *settings, struct text *why)
{
    struct brain_reach reach = { 0 };
    bool recovered = false;
    enum err err = machine_check_memory(settings->memory, why);
    if (err != ERR_OK) {
        return err;
    }
    err = settings->inherited ? point_check_descriptor(settings->dir, why)
                              : point_check(settings->dir, settings->nonempty, &recovered, why);
    if (recovered) {
        LOG(LOG_WARN, "mount.recovered", LOG_TEXT("dir", settings->dir));
    }
    if (err != ERR_OK) {
        return err;
    }
    reach.cluster = settings->keys.cluster;
    reach.slots_log2 = settings->keys.slots_log2;
    reach.dataset = settings->dataset;
    if (settings->uri[0] != '\0') {
        err = start_private(r, settings, &reach, why);
    }
    if (err == ERR_OK) {
        err = brain_start(settings, &reach, &r->brain, why);
    }
    if (err == ERR_OK) {
        err = brain_wait_ready(r->brain, why);
    }
    if (err == ERR_OK && why->used > 0) {
        fprintf(stderr, "atoll mount: %s\n", why->data);
        text_init(why, why->data, why->size);
    }
    return err == ERR_OK ? start_kernel(r, settings, why) : err;
}

/* In this order nobody is left who could push to, or answer through, what is gone. */
static void stop(struct running *r)
{
    if (r->kernel != NULL) {
        kernel_quiesce(r->kernel);
    }
    brain_stop(&r->brain);
    notify_stop(&r->notify);
    kernel_stop(&r->kernel);
    node_stop_private(&r->node);
}

static void wait_for_end(const struct running *r)
{
    struct pollfd fds[2] = { { .fd = r->ended, .events = POLLIN },
                             { .fd = r->signals, .events = POLLIN } };
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
}

static bool open_events(struct running *r)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    r->signals = signalfd(-1, &set, SFD_CLOEXEC);
    r->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r->signals >= 0 && r->ended >= 0;
}

/* Tells the waiting parent how it went; 0 is success. */
static void report(int parent, int code)
{
    uint8_t byte = (uint8_t)code;
    if (parent >= 0) {
        if (write(parent, &byte, 1) != 1) {
            LOG(LOG_WARN, "mount.parent_gone");
        }
        close(parent);
    }
}

static void leave_terminal(void)
{
    system_log_open("/dev/log", "atoll");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
}

/* Received blocks are a malloc each, in ZeroMQ's thread, a third of whose time were page faults. So
 * there is one heap for all threads; it keeps what it has, in large pages (docs/performance.md). */
static void tune_malloc(uint64_t memory)
{
    const uintptr_t page = 2u << 20;
    const uint64_t share = memory / 4 * 3; /* the rest is mapped by itself: tables, code, stacks */
    const int most = share < (1u << 30) ? (int)share : 1 << 30;
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, most + (64 << 20)); /* or the pad would be given back at once */
    mallopt(M_TOP_PAD, most);
    uintptr_t from = (uintptr_t)sbrk(0);
    void *volatile piece = malloc(4u << 20); /* the heap grows by the pad, in one piece */
    free(piece);
    uintptr_t to = (uintptr_t)sbrk(0) / page * page;
    from = (from + page - 1) / page * page;
    if (from < to) {
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
    }
    mallopt(M_TOP_PAD, 8 << 20);
}

static int run(struct settings *settings, int parent)
{
    char line[1024];
    struct text why;
    struct running r = { .ended = -1, .signals = -1 };
    enum err err = ERR_SYSTEM;
    text_init(&why, line, sizeof line);
    tune_malloc(settings->memory);
    if (open_events(&r)) {
        err = start(&r, settings, &why);
    }
    if (err != ERR_OK) {
        int code = complain(err, &why);
        stop(&r);
        report(parent, code);
        return code;
    }
    LOG(LOG_INFO, "mount.ready", LOG_TEXT("dir", settings->dir));
    report(parent, 0);
    if (parent >= 0) {
        leave_terminal();
    } else {
        systemd_notify("READY=1");
    }
    wait_for_end(&r);
    systemd_notify("STOPPING=1");
    stop(&r);
    LOG(LOG_INFO, "mount.ended", LOG_TEXT("dir", settings->dir));
    return 0;
}

/* The parent waits until the mount works or has failed, and exits with what it says. */
static int run_in_background(struct settings *settings)
{
    int gate[2];
    uint8_t code = 1;
    pid_t child;
    if (pipe2(gate, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        perror("atoll mount");
        return 1;
    }
    if (child == 0) {
        close(gate[0]);
        setsid();
        /* A private node's tier and credentials may be named from here. */
        if (settings->uri[0] == '\0' && chdir("/") != 0) {
            perror("atoll mount: /");
        }
        exit(run(settings, gate[1]));
    }
    close(gate[1]);
    if (read(gate[0], &code, 1) != 1) {
        fprintf(stderr, "atoll mount: the mount process ended unexpectedly\n");
        code = 1;
    }
    return code;
}

int mount_command(int argc, char **argv)
{
    char line[1024];
    struct text why;
    struct options *options = NULL;
    struct settings *settings = calloc(1, sizeof *settings);
    bool help = false;
    int code;
    enum err err = settings == NULL ? ERR_NOMEM : ERR_OK;
    text_init(&why, line, sizeof line);
    if (err == ERR_OK) {
        err = options_parse(&settings_table, argc, argv, &options, &why);
        help = err == ERR_OK && options_wants_help(options);
    }
    if (err == ERR_OK && help) {
        options_help(&settings_table, stdout);
    } else if (err == ERR_OK) {
        err = settings_make(options, settings, &why);
    }
    if (err != ERR_OK || help) {
        code = help ? 0 : complain(err, &why);
    } else {
        log_level_set((enum log_level)settings->log_level);
        code = settings->foreground ? run(settings, -1) : run_in_background(settings);
    }
    options_free(&options);
    free(settings);
    return code;
}
