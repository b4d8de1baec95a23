/* fs/brain.c
 * Thread: "peer", one. Owns: fs/core, the links, the items of its queue.
 * Takes:  kernel_items of the fuse threads, rings of the ring worker, addresses of the resolver.
 * Gives:  replies to the kernel, notifications to the notify thread. Shares: the ready gate, under
 * its lock. */
#include "fs/brain.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/line.h"
#include "fs/probe.h"
#include "node/io/clock.h"
#include "node/io/links.h"
#include "node/io/log.h"
#include "node/io/queue.h"
#include "node/io/resolver.h"
#include "node/io/ring_worker.h"
#include "node/io/threads.h"

#define LINKS_MAX 2048          /* two for each of a thousand nodes */
#define FIXED_BYTES (40u << 20) /* code, stacks, ZeroMQ, libfuse's buffers */
#define INODE_SHARE 8           /* an eighth of the memory may describe files */
#define INODE_BYTES 384         /* about what one takes with its name */
#define PAYLOAD_MIN (16u << 20) /* less cannot hold what one reader has under way */
#define PAGE_BYTES (256u << 10) /* a directory page of ordinary names */
#define READ_MAX (1u << 20)
#define REQUESTS 1024 /* the core works on that many at a time; others stand in line */

/* What arrives in the queue beside requests of the kernel. */
enum brain_item_kind { BRAIN_RING, BRAIN_SEEDS, BRAIN_SERVE, BRAIN_STOP };

struct brain_item {
    struct kernel_item kernel; /* KERNEL_OTHER */
    enum brain_item_kind kind;
    uint64_t ring_id;
    const struct ring *ring;
    struct kernel *session;
    struct notify *notify;
    uint32_t count;
    struct address addresses[MOUNT_SEEDS_MAX];
};

struct brain {
    struct mount *mount;
    void *memory;
    size_t memory_size;
    struct queue *queue;
    struct links *links;
    struct ring_worker *rings; /* NULL until the cluster's constants are known */
    struct resolver *resolver; /* NULL with a private node */
    struct address private_seed;
    struct kernel *kernel; /* NULL until served */
    struct notify *notify;
    struct mount_effects effects;
    struct mount_entry lost[MOUNT_DIRENTS_MAX]; /* named by replies the kernel did not take */
    uint32_t lost_count;
    struct line line; /* requests the core has no place for */
    struct settings settings;
    pthread_t thread;
    bool started;
    bool stopping;
    struct probe probe;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool known;
        enum err err;
        char text[2048]; /* holds what was mounted, and more */
    } ready;
};

/* ---- what other threads hand in -------------------------------------------------------------- */

static struct brain_item *item_make(enum brain_item_kind kind)
{
    struct brain_item *item = calloc(1, sizeof *item);
    CHECK(item != NULL); /* a few of them in the life of a mount */
    item->kernel.kind = KERNEL_OTHER;
    item->kind = kind;
    return item;
}

static void on_ring(void *self, uint64_t id, const struct ring *ring)
{
    struct brain *brain = self;
    struct brain_item *item = item_make(BRAIN_RING);
    item->ring_id = id;
    item->ring = ring;
    queue_push(brain->queue, &item->kernel.queue);
}

static void on_addresses(void *self, const struct address *addresses, uint32_t count)
{
    struct brain *brain = self;
    struct brain_item *item = item_make(BRAIN_SEEDS);
    item->count = count < MOUNT_SEEDS_MAX ? count : MOUNT_SEEDS_MAX;
    memcpy(item->addresses, addresses, item->count * sizeof *addresses);
    queue_push(brain->queue, &item->kernel.queue);
}

/* ---- effects --------------------------------------------------------------------------------- */

/* The kernel did not take an answer that named inodes: their lookups are taken back later. What
 * does not fit stays in the table of inodes until the unmount. */
static void lose(struct brain *brain, const struct mount_entry *entry)
{
    if (entry->ino != 0 && brain->lost_count < MOUNT_DIRENTS_MAX) {
        brain->lost[brain->lost_count++] = *entry;
    }
}

static void tell_ready(struct brain *brain, enum err err, struct span text)
{
    size_t size = text.size < sizeof brain->ready.text ? text.size : sizeof brain->ready.text - 1;
    pthread_mutex_lock(&brain->ready.lock);
    brain->ready.known = true;
    brain->ready.err = err;
    memcpy(brain->ready.text, text.data == NULL ? (const uint8_t *)"" : text.data, size);
    brain->ready.text[size] = '\0';
    pthread_cond_signal(&brain->ready.changed);
    pthread_mutex_unlock(&brain->ready.lock);
}

static void tell_probed(struct brain *brain, struct probe_word word)
{
    char line[sizeof brain->ready.text];
    struct text text;
    text_init(&text, line, sizeof line);
    if (word.is && word.said != NULL) {
        text_str(&text, brain->settings.source);
        text_str(&text, word.said);
    }
    if (word.is) {
        tell_ready(brain, word.err, span_of(line, text.used));
    }
}

static void on_ready(struct brain *brain, const struct mount_effect *effect)
{
    if (effect->ready.err != ERR_OK) {
        tell_ready(brain, effect->ready.err, effect->ready.text);
    } else if (brain->settings.prefix[0] == '\0') {
        tell_ready(brain, ERR_OK, span_of(NULL, 0)); /* a dataset may be empty */
    } else {
        probe_begin(&brain->probe, clock_mono_us());
    }
}

static void reply(struct brain *brain, const struct mount_effect *effect)
{
    if (effect->reply_err.id == PROBE_ID) { /* all replies begin with it */
        tell_probed(brain, probe_on_reply(&brain->probe, effect));
        return;
    }
    CHECK(brain->kernel != NULL);
    if (!kernel_reply(brain->kernel, effect)) {
        return;
    }
    if (effect->kind == MOUNT_REPLY_ENTRY) {
        lose(brain, &effect->reply_entry.entry);
        return;
    }
    for (uint32_t i = 0; i < effect->reply_dir.count; i++) {
        lose(brain, &effect->reply_dir.entries[i].entry);
    }
}

static void build_ring(struct brain *brain, const struct mount_effect *effect)
{
    const struct ring_request request = { .id = effect->ring_build.id,
                                          .selector = effect->ring_build.selector,
                                          .members = effect->ring_build.members,
                                          .count = effect->ring_build.count,
                                          .previous = effect->ring_build.previous };
    enum err err = ERR_OK;
    if (brain->rings == NULL) {
        err = ring_worker_start(effect->ring_build.slots_log2, on_ring, brain, &brain->rings);
    }
    if (err == ERR_OK) {
        err = ring_worker_build(brain->rings, &request);
    }
    if (err != ERR_OK) {
        on_ring(brain, effect->ring_build.id, NULL);
    }
}

static void resolve(struct brain *brain)
{
    if (brain->resolver == NULL) {
        on_addresses(brain, &brain->private_seed, 1);
    } else {
        resolver_ask(brain->resolver);
    }
}

static void carry_out(struct brain *brain, const struct mount_effect *effect)
{
    struct node_id nobody = { { 0 } };
    struct payload none = { NULL, 0, 0 };
    switch (effect->kind) {
    case MOUNT_SEND:
        links_send(brain->links, effect->send.link, effect->send.frame, none);
        return;
    case MOUNT_RELEASE:
        links_release(brain->links, effect->release.token);
        return;
    case MOUNT_CONNECT:
        (void)links_connect(brain->links, &effect->connect.address, effect->connect.purpose,
                            nobody);
        return;
    case MOUNT_CLOSE:
        links_close(brain->links, effect->close.link);
        return;
    case MOUNT_RING_BUILD:
        build_ring(brain, effect);
        return;
    case MOUNT_RING_DROP:
        ring_worker_drop(brain->rings, effect->ring_drop.ring);
        return;
    case MOUNT_RESOLVE:
        resolve(brain);
        return;
    case MOUNT_DROP_ENTRY:
    case MOUNT_DROP_INODE:
        if (brain->notify != NULL) {
            notify_push(brain->notify, effect);
        }
        return;
    case MOUNT_LOG:
        log_text((enum log_level)effect->log.level, effect->log.text);
        return;
    case MOUNT_ABANDON: /* a link that is being tried costs nothing */
        return;
    case MOUNT_READY:
        on_ready(brain, effect);
        return;
    case MOUNT_REPLY_ERR:
    case MOUNT_REPLY_ENTRY:
    case MOUNT_REPLY_ATTR:
    case MOUNT_REPLY_OPEN:
    case MOUNT_REPLY_DATA:
    case MOUNT_REPLY_DIR:
    case MOUNT_REPLY_STATFS:
        reply(brain, effect);
        return;
    }
}

static void step_once(struct brain *brain, const struct mount_event *event)
{
    mount_step(brain->mount, clock_now(), event, &brain->effects);
    for (uint32_t i = 0; i < brain->effects.count; i++) {
        carry_out(brain, &brain->effects.items[i]);
    }
}

static void step(struct brain *brain, const struct mount_event *event)
{
    step_once(brain, event);
    while (brain->lost_count > 0) {
        struct mount_event forget = { .kind = MOUNT_OP };
        forget.op.kind = OP_FORGET;
        forget.op.ino = brain->lost[--brain->lost_count].ino;
        forget.op.count = 1;
        step_once(brain, &forget);
    }
    struct mount_event probe;
    while (probe_next(&brain->probe, &probe)) {
        step_once(brain, &probe);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_link(void *self, const struct links_event *from)
{
    struct brain *brain = self;
    struct mount_event event = { .kind = MOUNT_MESSAGE };
    switch (from->kind) {
    case LINKS_UP:
        event.kind = MOUNT_LINK_UP;
        event.link_up.link = from->link;
        event.link_up.purpose = from->purpose;
        event.link_up.address = from->address;
        break;
    case LINKS_DOWN:
        event.kind = MOUNT_LINK_DOWN;
        event.link_down.link = from->link;
        break;
    case LINKS_MESSAGE:
        event.message.link = from->link;
        event.message.frame = from->frame;
        event.message.payload = from->payload;
        break;
    case LINKS_SENT: /* a mount sends no payloads */
        return;
    }
    step(brain, &event);
}

static bool is_full(const struct brain *brain)
{
    struct mount_totals totals;
    mount_totals(brain->mount, &totals);
    return totals.ops_open >= REQUESTS;
}

static void give_op(struct brain *brain, struct kernel_item *item)
{
    struct mount_event event = { .kind = MOUNT_OP };
    event.op = item->op;
    step(brain, &event);
    kernel_item_free(item);
}

static void move_line(struct brain *brain)
{
    while (!line_is_empty(&brain->line) && !is_full(brain)) {
        give_op(brain, line_pop(&brain->line));
    }
}

/* A request that stands in line is not the core's yet: it ends here. */
static void interrupt(struct brain *brain, uint64_t id)
{
    struct kernel_item *item = line_take(&brain->line, id);
    if (item == NULL) {
        struct mount_event event = { .kind = MOUNT_INTERRUPT };
        event.interrupt.id = id;
        step(brain, &event);
        return;
    }
    struct mount_effect effect = { .kind = MOUNT_REPLY_ERR };
    effect.reply_err.id = id;
    effect.reply_err.err = EINTR;
    reply(brain, &effect);
    kernel_item_free(item);
}

static void take_kernel_item(struct brain *brain, struct kernel_item *item)
{
    if (item->kind == KERNEL_INTERRUPT) {
        interrupt(brain, item->interrupted);
        kernel_item_free(item);
        return;
    }
    bool waits = line_is_for(item->op.kind) && (!line_is_empty(&brain->line) || is_full(brain));
    if (waits) {
        line_push(&brain->line, item);
    } else {
        give_op(brain, item);
    }
}

static void take_own_item(struct brain *brain, struct brain_item *item)
{
    struct mount_event event = { .kind = MOUNT_RING };
    switch (item->kind) {
    case BRAIN_RING:
        event.ring.id = item->ring_id;
        event.ring.ring = item->ring;
        step(brain, &event);
        break;
    case BRAIN_SEEDS:
        event.kind = MOUNT_SEEDS;
        event.seeds.addresses = item->addresses;
        event.seeds.count = item->count;
        step(brain, &event);
        break;
    case BRAIN_SERVE:
        brain->kernel = item->session;
        brain->notify = item->notify;
        break;
    case BRAIN_STOP:
        brain->stopping = true;
        break;
    }
    free(item);
}

static void take_items(struct brain *brain)
{
    struct queue_item *at = queue_take(brain->queue);
    while (at != NULL) {
        struct kernel_item *item = CONTAINER_OF(at, struct kernel_item, queue);
        at = at->next;
        if (item->kind == KERNEL_OTHER) {
            take_own_item(brain, CONTAINER_OF(item, struct brain_item, kernel));
        } else {
            take_kernel_item(brain, item);
        }
    }
}

static void *run(void *self)
{
    struct brain *brain = self;
    struct mount_event tick = { .kind = MOUNT_TICK };
    resolve(brain);
    while (!brain->stopping) {
        usec_t now = clock_mono_us(), due, probe_due;
        if (mount_deadline(brain->mount) <= now) {
            step(brain, &tick);
        }
        take_items(brain);
        move_line(brain);
        now = clock_mono_us();
        tell_probed(brain, probe_on_time(&brain->probe, now, &probe_due));
        due = usec_min(mount_deadline(brain->mount), probe_due);
        if (brain->stopping) {
            due = now; /* nobody will wake a poll that waits */
        }
        links_poll(brain->links, due == USEC_NEVER ? USEC_NEVER : usec_max(0, due - now), on_link,
                   brain);
    }
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void fill_options(const struct settings *settings, const struct brain_reach *reach,
                         struct mount_options *out)
{
    struct text text;
    memset(out, 0, sizeof *out);
    text_init(&text, out->dataset, sizeof out->dataset);
    text_str(&text, reach->dataset);
    memcpy(out->prefix, settings->prefix, sizeof out->prefix);
    text_init(&text, out->cluster, sizeof out->cluster);
    text_str(&text, reach->cluster);
    out->slots_log2 = reach->slots_log2;
    randombytes_buf(out->session, sizeof out->session);
    randombytes_buf(&out->seed, sizeof out->seed);
    if (gethostname(out->name, sizeof out->name - 1) != 0) {
        out->name[0] = '\0';
    }
    out->inodes_max = (uint32_t)(settings->memory / INODE_SHARE / INODE_BYTES);
    out->requests_max = REQUESTS;
    out->hard = settings->hard;
    out->timeo_us = settings->timeo_us;
    out->uid = settings->uid;
    out->gid = settings->gid;
    out->file_mode = settings->file_mode;
    out->dir_mode = settings->dir_mode;
    out->read_max = READ_MAX;
    out->pages_max = (uint32_t)(settings->memory / 16 / PAGE_BYTES);
    out->memory = PAYLOAD_MIN; /* for mount_memory; set to what is left afterwards */
}

/* The tables of the core, then the bytes that remain for payloads. */
static enum err make_mount(struct brain *brain, struct mount_options *options, struct text *why)
{
    struct arena arena;
    options->grants = span_of(brain->settings.keys.grants, brain->settings.keys.grants_size);
    options->memory = brain->settings.memory - FIXED_BYTES; /* the most: sizes its tables */
    brain->memory_size = mount_memory(options);
    if (brain->memory_size + FIXED_BYTES + PAYLOAD_MIN > brain->settings.memory) {
        text_str(why, "--memory is too small for the tables of a mount; give more");
        return ERR_INVALID;
    }
    options->memory = brain->settings.memory - FIXED_BYTES - brain->memory_size;
    brain->memory =
        mmap(NULL, brain->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (brain->memory == MAP_FAILED) {
        brain->memory = NULL;
        return ERR_NOMEM;
    }
    arena_init(&arena, brain->memory, brain->memory_size);
    return mount_new(&arena, options, &brain->mount);
}

static enum err make_links(struct brain *brain, const struct brain_reach *reach)
{
    struct links_keys keys;
    struct links_options options = { .links_max = LINKS_MAX, .wake = brain->queue };
    options.transport = reach->zmq == NULL ? LINKS_TCP : LINKS_PRIVATE;
    options.zmq = reach->zmq;
    if (!brain->settings.insecure) {
        memcpy(keys.public_key, brain->settings.keys.public_key, sizeof keys.public_key);
        memcpy(keys.secret_key, brain->settings.keys.secret_key, sizeof keys.secret_key);
        memcpy(keys.server_key, brain->settings.keys.server_key, sizeof keys.server_key);
        options.keys = &keys;
    }
    brain->private_seed = reach->control;
    return links_new(&options, &brain->links);
}

enum err brain_start(const struct settings *settings, const struct brain_reach *reach,
                     struct brain **out, struct text *why)
{
    struct mount_options options;
    struct brain *brain = calloc(1, sizeof *brain);
    enum err err;
    if (brain == NULL) {
        return ERR_NOMEM;
    }
    brain->settings = *settings;
    pthread_mutex_init(&brain->ready.lock, NULL);
    pthread_cond_init(&brain->ready.changed, NULL);
    fill_options(settings, reach, &options);
    err = queue_new(&brain->queue);
    if (err == ERR_OK) {
        err = make_mount(brain, &options, why);
    }
    if (err == ERR_OK) {
        err = make_links(brain, reach);
    }
    if (err == ERR_OK && reach->zmq == NULL) {
        err = resolver_start(settings->seeds, on_addresses, brain, &brain->resolver);
    }
    if (err == ERR_OK) {
        err = threads_start("peer", run, brain, &brain->thread);
        brain->started = err == ERR_OK;
    }
    if (err != ERR_OK) {
        brain_stop(&brain);
        return err;
    }
    *out = brain;
    return ERR_OK;
}

enum err brain_wait_ready(struct brain *brain, struct text *why)
{
    enum err err;
    pthread_mutex_lock(&brain->ready.lock);
    while (!brain->ready.known) {
        pthread_cond_wait(&brain->ready.changed, &brain->ready.lock);
    }
    err = brain->ready.err;
    text_str(why, brain->ready.text);
    pthread_mutex_unlock(&brain->ready.lock);
    return err;
}

struct queue *brain_queue(struct brain *brain)
{
    return brain->queue;
}

void brain_serve(struct brain *brain, struct kernel *kernel, struct notify *notify)
{
    struct brain_item *item = item_make(BRAIN_SERVE);
    item->session = kernel;
    item->notify = notify;
    queue_push(brain->queue, &item->kernel.queue);
}

static void drop_items(struct brain *brain)
{
    struct queue_item *at = queue_take(brain->queue);
    while (at != NULL) {
        struct kernel_item *item = CONTAINER_OF(at, struct kernel_item, queue);
        at = at->next;
        free(item);
    }
}

void brain_stop(struct brain **brain)
{
    struct brain *b = *brain;
    if (b == NULL) {
        return;
    }
    if (b->started) {
        queue_push(b->queue, &item_make(BRAIN_STOP)->kernel.queue);
        threads_join(b->thread);
    }
    if (b->resolver != NULL) {
        resolver_stop(&b->resolver);
    }
    if (b->rings != NULL) {
        ring_worker_stop(&b->rings);
    }
    if (b->links != NULL) {
        links_free(&b->links);
    }
    while (!line_is_empty(&b->line)) {
        kernel_item_free(line_pop(&b->line));
    }
    if (b->queue != NULL) {
        drop_items(b);
        queue_free(&b->queue);
    }
    if (b->memory != NULL) {
        munmap(b->memory, b->memory_size);
    }
    pthread_cond_destroy(&b->ready.changed);
    pthread_mutex_destroy(&b->ready.lock);
    explicit_bzero(&b->settings, sizeof b->settings);
    free(b);
    *brain = NULL;
}
