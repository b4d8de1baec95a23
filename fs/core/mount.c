/* fs/core/mount.c: the machine as a whole: an event in, lists worked off, effects out. */
#include "fs/core/mount.h"

#include "fs/core/internal.h"

#define NODES_DEFAULT 256u
#define START_DEFAULT_US SEC(10)
#define READ_LIMIT (1u << 20)
#define MEMORY_PER_READ 4u /* the budget holds at least that many of the largest reads */
#define TIMER_ROOM 10u     /* effects that one timer may push */
#define ROUNDS_MAX 8u

/* ---- making it ------------------------------------------------------------------------------- */

static struct mount_options settled(const struct mount_options *options)
{
    struct mount_options out = *options;
    out.nodes_max = out.nodes_max == 0 ? NODES_DEFAULT : out.nodes_max;
    out.start_us = out.start_us == 0 ? START_DEFAULT_US : out.start_us;
    out.read_max = out.read_max == 0 || out.read_max > READ_LIMIT ? READ_LIMIT : out.read_max;
    return out;
}

static uint32_t timer_limit(const struct mount_options *options)
{
    return options->requests_max + call_limit(options) + options->nodes_max + 8;
}

size_t mount_memory(const struct mount_options *options)
{
    struct mount_options o = settled(options);
    return sizeof(struct mount) + SCRATCH_SIZE + timers_memory(timer_limit(&o)) + peer_memory(&o) +
           cluster_memory(&o) + call_memory(&o) + ghost_memory(&o) + inode_memory(&o) +
           folder_memory(&o) + sheet_memory(&o) + block_memory(&o) + ahead_memory(&o) +
           op_memory(&o) + again_memory(&o) + readdir_memory(&o) + 4096;
}

static bool is_possible(const struct mount_options *options)
{
    size_t prefix = strlen(options->prefix);
    return options->dataset[0] != '\0' && options->requests_max > 0 && options->inodes_max > 0 &&
           options->pages_max > 0 &&
           options->memory >= (uint64_t)MEMORY_PER_READ * options->read_max &&
           (prefix == 0 || options->prefix[prefix - 1] == '/');
}

enum err mount_new(struct arena *mem, const struct mount_options *options, struct mount **out)
{
    struct mount_options o = settled(options);
    if (!is_possible(&o)) {
        return ERR_INVALID;
    }
    struct mount *m = arena_take(mem, sizeof *m);
    if (m == NULL) {
        return ERR_NOMEM;
    }
    m->options = o;
    m->marks = o.marks;
    m->due_us = USEC_NEVER;
    rng_init(&m->rng, o.seed, 0);
    m->scratch = arena_take(mem, SCRATCH_SIZE);
    enum err (*const parts[])(struct mount *, struct arena *) = {
        peer_init,  cluster_init, call_init,  ghost_init, inode_init, folder_init,
        sheet_init, block_init,   ahead_init, op_init,    again_init, readdir_init,
    };
    enum err err = timers_init(&m->timers, mem, timer_limit(&o));
    for (size_t i = 0; i < ARRAY_COUNT(parts) && err == ERR_OK; i++) {
        err = parts[i](m, mem);
    }
    if (err == ERR_OK && m->scratch == NULL) {
        err = ERR_NOMEM;
    }
    if (err == ERR_OK) {
        *out = m;
    }
    return err;
}

/* ---- events ------------------------------------------------------------------------------------ */

/* true: the payload is kept. */
static bool on_message(struct mount *m, const struct mount_event *event)
{
    struct message message;
    enum err err = message_decode(event->message.frame, &message);
    if (err != ERR_OK) {
        MARK(m, "mount.message.malformed");
        return false;
    }
    struct peer *peer = NULL;
    if (peer_on_message(m, event->message.link, &message, &peer)) {
        return false;
    }
    if (message.kind == MESSAGE_VIEW) {
        cluster_on_view(m, &message.view);
    } else if (message.kind == MESSAGE_DATASET) {
        cluster_on_dataset(m, &message.dataset);
    } else if (message.kind == MESSAGE_FAIL && message.fail.request == m->dataset_number) {
        struct message_dataset failed = { .err = message.fail.err, .text = message.fail.text };
        cluster_on_dataset(m, &failed);
    } else if (message.kind == MESSAGE_DATA || message.kind == MESSAGE_FAIL ||
               message.kind == MESSAGE_DIR_ROOT || message.kind == MESSAGE_SHARD) {
        return call_on_message(m, peer, &message, event->message.payload);
    }
    return false; /* PENDING has done its work by being heard */
}

static void on_event(struct mount *m, const struct mount_event *event)
{
    switch (event->kind) {
    case MOUNT_TICK:
    case MOUNT_MORE_NODES:
        return;
    case MOUNT_SEEDS:
        link_on_seeds(m, event->seeds.addresses, event->seeds.count);
        return;
    case MOUNT_LINK_UP:
        link_on_up(m, event);
        return;
    case MOUNT_LINK_DOWN:
        link_on_down(m, event->link_down.link);
        return;
    case MOUNT_MESSAGE:
        if (!on_message(m, event) && event->message.payload.token != 0) {
            effect_push(m, MOUNT_RELEASE)->release.token = event->message.payload.token;
        }
        return;
    case MOUNT_RING:
        cluster_on_ring(m, event->ring.id, event->ring.ring);
        return;
    case MOUNT_OP:
        op_on_event(m, &event->op);
        return;
    case MOUNT_INTERRUPT:
        op_on_interrupt(m, event->interrupt.id);
        return;
    }
    BUG("no such kind of event");
}

static void on_timer(struct mount *m, struct timer *timer)
{
    switch ((enum timer_kind)timer->kind) {
    case TIMER_OP:
        op_timer(m, CONTAINER_OF(timer, struct op, timer));
        return;
    case TIMER_CALL:
        call_timer(m, CONTAINER_OF(timer, struct call, timer));
        return;
    case TIMER_PEER:
        peer_timer(m, CONTAINER_OF(timer, struct peer, timer));
        return;
    case TIMER_HAIL:
        link_hail_timer(m);
        return;
    case TIMER_START:
        cluster_start_timer(m);
        return;
    case TIMER_RENEW:
        cluster_renew_timer(m);
        return;
    case TIMER_VIEW:
        cluster_view_timer(m);
        return;
    case TIMER_GHOST:
        ghost_timer(m);
        return;
    }
    BUG("no such kind of timer");
}

/* ---- a step --------------------------------------------------------------------------------------- */

/* Time in which we were not running is nobody's silence. */
static void note_lag(struct mount *m)
{
    usec_t late = m->due_us == USEC_NEVER ? 0 : m->now.mono_us - m->due_us;
    if (late > LAG_US) {
        MARK(m, "mount.lag");
        m->lag_us += late;
        m->grace_us = m->now.mono_us - m->lag_us - (SILENCE_US - LAG_GRACE_US);
    }
    m->awake_us = m->now.mono_us - m->lag_us;
}

static void begin(struct mount *m, struct now now, struct mount_effects *effects)
{
    bool first = m->out == NULL;
    m->now = now;
    m->out = effects;
    m->out->count = 0;
    m->scratch_used = 0;
    m->dirents_used = 0;
    if (first) {
        m->awake_us = now.mono_us;
        timers_set(&m->timers, &m->hail_timer, now.mono_us);
        timers_set(&m->timers, &m->start_timer, now.mono_us + m->options.start_us);
        timers_set(&m->timers, &m->view_timer, now.mono_us + SEC(1));
    }
    note_lag(m);
}

static bool has_more(const struct mount *m)
{
    return !list_is_empty(&m->runnable) || !list_is_empty(&m->sends) || !list_is_empty(&m->dead) ||
           !list_is_empty(&m->drops) || !list_is_empty(&m->cancels) || m->expire_cursor != 0;
}

static void pump(struct mount *m)
{
    for (uint32_t i = 0; i < ROUNDS_MAX && has_more(m); i++) {
        op_pump(m);
        block_release_pump(m);
        call_pump(m);
        inode_drop_pump(m);
    }
}

void mount_step(struct mount *m, struct now now, const struct mount_event *event,
                struct mount_effects *effects)
{
    begin(m, now, effects);
    on_event(m, event);
    while (effect_room(m) >= TIMER_ROOM) {
        struct timer *timer = timers_expire(&m->timers, now.mono_us);
        if (timer == NULL) {
            break;
        }
        on_timer(m, timer);
    }
    pump(m);
    m->due_us = has_more(m) ? now.mono_us : timers_next(&m->timers);
}

usec_t mount_deadline(const struct mount *m)
{
    return m->due_us;
}

void mount_totals(const struct mount *m, struct mount_totals *out)
{
    *out = m->totals;
    out->memory_used = m->held + m->reserved;
    out->memory_size = m->options.memory;
    out->ops_open = m->ops.used;
    out->requests_open = m->calls.used;
    out->inodes = m->inode_count;
    out->ready = m->start == START_DONE;
}
