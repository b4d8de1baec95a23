/* node/io/process_command.c: `atoll node`.
 * Thread: "main". Takes: signals, news. Waits for both with one poll. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/clock.h"
#include "node/io/item.h"
#include "node/io/keyring_file.h"
#include "node/io/log.h"
#include "node/io/process_inside.h"
#include "node/io/systemd.h"

#define GOODBYE_US SEC(10) /* a node that cannot say goodbye goes without */

struct running {
    struct process *process;
    int signals;
    bool leaving;
    usec_t leave_by_us;
    usec_t watchdog_us; /* when the next sign of life is due */
    bool over;
    int status;
};

/* ---- news -------------------------------------------------------------------------------------- */

static void leave(struct running *run)
{
    LOG(LOG_INFO, "node.leaving");
    systemd_notify("STOPPING=1");
    run->leaving = true;
    run->leave_by_us = clock_mono_us() + run->process->config.drain_us + GOODBYE_US;
    gossip_actor_leave(run->process->gossip, false);
    queue_push(run->process->in, &item_must(NODE_LEAVE, 0)->queue);
}

/* Credentials or weight: the others hear of it by gossip. */
static void tell_facts(const struct process *process)
{
    struct member facts;
    process_member(process, &facts);
    (void)fetch_credentials(process->fetch, facts.credentials);
    gossip_actor_facts(process->gossip, &facts);
}

/* Files in --data-dir beside LMDB's count towards the disk's state as its records do. The errno of a
 * write that has just ended so; 0: it has succeeded. */
static int tell_written(struct process *process, enum err err)
{
    int failed = err == ERR_NOMEM ? ENOMEM : errno;
    failed = err == ERR_OK ? 0 : failed;
    meta_actor_wrote_file(process->meta, failed);
    return failed;
}

/* ERR_OK, or a failure as it is told to the operator. */
static enum err written(struct process *process, enum err err)
{
    const int failed = tell_written(process, err);
    if (err == ERR_OK) {
        return ERR_OK;
    }
    LOG(LOG_ERROR, "identity.failed", LOG_TEXT("reason", strerror(failed)));
    return failed == ENOSPC || failed == EDQUOT ? ERR_FULL : err;
}

/* To take a file away succeeds on a full disk, too: no sign of room. */
static enum err forget_weight(struct process *process)
{
    const enum err err = identity_forget_weight(process->identity);
    return err == ERR_OK ? ERR_OK : written(process, err);
}

/* For the next starts; the disk is waited for. */
static void keep_weight(struct process *process, const struct process_word *word)
{
    struct item *item = item_must(NODE_WEIGHT_KEPT, 0);
    item->event.weight_kept.err =
        word->forget ? forget_weight(process)
                     : written(process, identity_keep_weight(process->identity, word->weight));
    queue_push(process->in, &item->queue);
}

static void log_key(const char *what, const struct cluster_key *key)
{
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)cluster_key_id(key).v);
    LOG(LOG_INFO, what, LOG_NUM("number", key->number), LOG_TEXT("id", id));
}

static void log_ring(const struct keyring *before, const struct keyring *ring)
{
    const struct cluster_key *newest = keyring_newest(ring);
    const struct cluster_key *used = keyring_present(ring);
    if (keyring_find(before, cluster_key_id(newest)) == NULL) {
        log_key("key.installed", newest);
    }
    if (cluster_key_id(keyring_present(before)).v != cluster_key_id(used).v) {
        log_key("key.used", used);
    }
    for (uint32_t i = 0; i < before->count; i++) {
        if (keyring_find(ring, cluster_key_id(&before->keys[i])) == NULL) {
            log_key("key.retired", &before->keys[i]);
        }
    }
}

/* The operator may have thought that it was lost with this node. */
static void log_unfinished(const struct keyring *ring)
{
    if (ring->count > 0 && ring->present != 0) {
        LOG(LOG_WARN, "key.unfinished", LOG_NUM("number", keyring_newest(ring)->number),
            LOG_TEXT("text", "a rotation that had begun before this node stopped goes on; atoll "
                             "key list shows it"));
    }
}

/* Serial 0 is the ring that the node has started with. */
static void keep_ring(struct running *run, const struct process_word *word)
{
    char room[512];
    struct text why;
    struct process *process = run->process;
    text_init(&why, room, sizeof room);
    if (word->number == 0) {
        log_unfinished(&word->ring);
        return;
    }
    const enum err err =
        keyring_file_save(process->config.data_dir, &process->config.keys, &word->ring, &why);
    (void)tell_written(process, err);
    if (err != ERR_OK) {
        LOG(LOG_ERROR, "keyring.failed", LOG_TEXT("reason", room));
        gossip_actor_kept(process->gossip, word->number, ERR_SYSTEM);
        return;
    }
    log_ring(&process->node.ring, &word->ring);
    process->node.ring = word->ring;
    gossip_actor_kept(process->gossip, word->number, ERR_OK);
}

static void on_word(struct running *run, const struct process_word *word)
{
    struct process *process = run->process;
    switch (word->news) {
    case NEWS_OWNING:
        LOG(LOG_INFO, "node.ready", LOG_TEXT("name", process->config.name));
        systemd_notify("READY=1");
        return;
    case NEWS_DRAINED:
        if (run->leaving) {
            gossip_actor_leave(process->gossip, true);
        }
        return;
    case NEWS_PERSIST:
        (void)written(process, identity_keep(process->identity, word->number));
        return;
    case NEWS_LEFT:
        run->over = true;
        return;
    case NEWS_KEYRING:
        keep_ring(run, word);
        return;
    case NEWS_CREDENTIALS:
        tell_facts(process);
        return;
    case NEWS_WEIGHT:
        process->weight = word->weight;
        tell_facts(process);
        return;
    case NEWS_KEEP_WEIGHT:
        keep_weight(process, word);
        return;
    case NEWS_IDENTITY_IN_USE:
        fprintf(stderr,
                "atoll node: another process runs with this node's identity; was --data-dir "
                "copied? Remove node.json from the copy\n");
        run->status = err_exit_code(ERR_IDENTITY_IN_USE);
        run->over = true;
        return;
    }
    BUG("a word of no kind");
}

static void take_news(struct running *run)
{
    struct queue_item *next = queue_take(run->process->news);
    while (next != NULL) {
        struct process_word *word = CONTAINER_OF(next, struct process_word, queue);
        next = next->next;
        on_word(run, word);
        sodium_memzero(word, sizeof *word);
        free(word);
    }
}

static void take_signals(struct running *run)
{
    struct signalfd_siginfo info;
    while (read(run->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            continue; /* a closed terminal is no reason to leave a cluster */
        }
        if (run->leaving) {
            LOG(LOG_WARN, "node.ended",
                LOG_TEXT("why", "a second signal: it has not left in order"));
            _exit(err_exit_code(ERR_CANCELLED));
        }
        leave(run);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static usec_t next_turn(const struct running *run)
{
    usec_t at_us = run->watchdog_us;
    if (run->leaving) {
        at_us = usec_min(at_us, run->leave_by_us);
    }
    return at_us;
}

static void wait_for_end(struct running *run)
{
    struct pollfd fds[2] = { { .fd = run->signals, .events = POLLIN },
                             { .fd = queue_fd(run->process->news), .events = POLLIN } };
    const usec_t every_us = systemd_watchdog_us();
    run->watchdog_us = every_us == USEC_NEVER ? USEC_NEVER : 0;
    while (!run->over) {
        const usec_t at_us = next_turn(run);
        const usec_t wait_us = at_us == USEC_NEVER ? SEC(3600) : at_us - clock_mono_us();
        poll(fds, 2, (int)((usec_max(usec_min(wait_us, SEC(3600)), 0) + 999) / 1000));
        take_signals(run);
        take_news(run);
        const usec_t now_us = clock_mono_us();
        if (run->leaving && now_us >= run->leave_by_us) {
            LOG(LOG_WARN, "node.left_late");
            run->over = true;
        }
        if (now_us >= run->watchdog_us && peer_is_alive(run->process->peer)) {
            systemd_notify("WATCHDOG=1");
            run->watchdog_us = now_us + every_us;
        } else if (now_us >= run->watchdog_us) {
            run->watchdog_us = now_us + SEC(1); /* stuck: no sign of life, look again */
        }
    }
}

/* ---- start ------------------------------------------------------------------------------------- */

static void log_start(const struct process *process)
{
    const struct config *config = &process->config;
    char listen[ADDRESS_TEXT_SIZE];
    char id[ID_TEXT_SIZE];
    address_text(&config->listen, listen);
    id_text(process->id.b, id);
    LOG(LOG_INFO, "node.started", LOG_TEXT("name", config->name), LOG_TEXT("id", id),
        LOG_TEXT("cluster", config->keys.name), LOG_TEXT("listen", listen),
        LOG_NUM("admin_port", config->admin_port),
        LOG_TEXT("secure", config->insecure ? "no" : "yes"), LOG_NUM("weight", process->weight),
        LOG_NUM("region_bytes", process->sizing.region),
        LOG_NUM("table_bytes", process->sizing.arena));
}

/* Sockets and segment files: as many as the system allows. */
static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Received payloads are a fresh malloc each: keep that memory mapped (+5-19 %: ceilings, B), but
 * give back what a rare peak took. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 4);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 32 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int fail(enum err err, const struct text *why)
{
    fprintf(stderr, "atoll node: %s\n", why->used > 0 ? why->data : err_text(err));
    return err_exit_code(err);
}

static int run_node(struct process *process, struct text *why)
{
    struct running run = { .process = process, .signals = open_signals() };
    raise_limits();
    tune_malloc();
    enum err err = run.signals < 0 ? ERR_SYSTEM : process_build(process, why);
    if (err == ERR_OK) {
        err = process_run(process, why);
    }
    if (err != ERR_OK) {
        return fail(err, why);
    }
    log_start(process);
    wait_for_end(&run);
    process_end(process);
    close(run.signals);
    LOG(LOG_INFO, "node.ended");
    return run.status;
}

int process_command(int argc, char **argv)
{
    char room[1024];
    struct text why;
    struct options *options = NULL;
    bool help = false;
    struct process *process = calloc(1, sizeof *process);
    text_init(&why, room, sizeof room);
    if (process == NULL) {
        return fail(ERR_NOMEM, &why);
    }
    enum err err = options_parse(&config_table, argc, argv, &options, &why);
    help = err == ERR_OK && options_wants_help(options);
    if (err == ERR_OK && help) {
        options_help(&config_table, stdout);
        options_free(&options);
        free(process);
        return 0;
    }
    if (err == ERR_OK) {
        err = config_make(options, &process->config, &why);
    }
    options_free(&options);
    if (err == ERR_OK) {
        log_level_set((enum log_level)process->config.log_level);
    }
    const int status = err == ERR_OK ? run_node(process, &why) : fail(err, &why);
    free(process);
    return status;
}
