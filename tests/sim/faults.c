/* tests/sim/faults.c: a table of misfortunes, and a plan of some of them. */
#include "tests/sim/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/reader.h"

#define FAULTS_MAX 8
#define ALIVE_MIN 3        /* nodes that are always up and running */
#define BACKOFF_US SEC(22) /* a node tries a source again after at most 20 s */

struct fault;

struct fault_kind {
    const char *name;
    usec_t least_us; /* it lasts that long */
    usec_t most_us;
    usec_t excuse_us; /* readers may have to wait until it is over and that long; 0: not */
    bool repeats;     /* views may differ, or nodes act for others */
    bool (*begin)(struct trial *trial, struct fault *fault); /* false: not now */
    void (*end)(struct trial *trial, struct fault *fault);
};

struct fault {
    struct happening at;
    struct faults *faults;
    const struct fault_kind *kind;
    usec_t lasts_us;
    bool active;
    bool planned;
    bool began;
    struct host_node *node;
    struct host_mount *mount;
    uint64_t sides; /* of a partition: processes on one side */
    uint32_t before;
};

struct faults {
    struct trial *trial;
    struct rng rng;
    struct fault list[FAULTS_MAX];
    uint32_t count;
    usec_t stalled_us; /* world time until which waiting is excused */
    usec_t repeat_us;  /* world time until which chunks may come twice */
};

/* ---- choosing ------------------------------------------------------------------------------------ */

static struct rng *rng_of(struct fault *fault)
{
    return &fault->faults->rng;
}

static bool is_taken(const struct faults *faults, const struct host_node *node)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && faults->list[i].node == node) {
            return true;
        }
    }
    return false;
}

/* A node that may go away now; NULL: too many are away. */
static struct host_node *take_node(struct trial *trial, struct fault *fault)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        running += !is_taken(fault->faults, trial->nodes[i]);
    }
    if (running <= ALIVE_MIN) {
        return NULL;
    }
    const uint32_t first = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node *node = trial->nodes[(first + i) % trial->node_count];
        if (!is_taken(fault->faults, node)) {
            return node;
        }
    }
    return NULL;
}

/* ---- processes ------------------------------------------------------------------------------------ */

static bool crash(struct trial *trial, struct fault *fault)
{
    fault->node = take_node(trial, fault);
    if (fault->node != NULL) {
        host_node_crash(fault->node, false);
    }
    return fault->node != NULL;
}

static bool power_off(struct trial *trial, struct fault *fault)
{
    fault->node = take_node(trial, fault);
    if (fault->node != NULL) {
        host_node_crash(fault->node, true);
    }
    return fault->node != NULL;
}

static void restart(struct trial *trial, struct fault *fault)
{
    (void)trial;
    host_node_start(fault->node);
}

static void restart_empty(struct trial *trial, struct fault *fault)
{
    (void)trial;
    disk_wipe(fault->node->disk);
    host_node_start(fault->node);
}

static void restart_elsewhere(struct trial *trial, struct fault *fault)
{
    (void)trial;
    fault->node->process.address++;
    host_node_start(fault->node);
}

static void restart_flipped(struct trial *trial, struct fault *fault)
{
    (void)trial;
    for (uint32_t i = 0; i < 8; i++) {
        disk_flip(fault->node->disk);
    }
    host_node_start(fault->node);
}

static bool freeze(struct trial *trial, struct fault *fault)
{
    fault->node = take_node(trial, fault);
    if (fault->node != NULL) {
        world_say(trial->world, "%s freezes", fault->node->process.name);
        process_freeze(&fault->node->process);
    }
    return fault->node != NULL;
}

static void thaw(struct trial *trial, struct fault *fault)
{
    world_say(trial->world, "%s thaws", fault->node->process.name);
    process_thaw(&fault->node->process);
}

static bool leave(struct trial *trial, struct fault *fault)
{
    fault->node = take_node(trial, fault);
    if (fault->node != NULL) {
        host_node_leave(fault->node);
    }
    return fault->node != NULL;
}

static void come_back(struct trial *trial, struct fault *fault)
{
    if (fault->node->process.up) {
        world_fail(trial->world, "%s has not left in time", fault->node->process.name);
        return;
    }
    host_node_start(fault->node);
}

static bool freeze_mount(struct trial *trial, struct fault *fault)
{
    fault->mount = trial->mounts[rng_below(rng_of(fault), trial->mount_count)];
    if (fault->mount->process.frozen) {
        return false;
    }
    process_freeze(&fault->mount->process);
    return true;
}

static void thaw_mount(struct trial *trial, struct fault *fault)
{
    (void)trial;
    process_thaw(&fault->mount->process);
}

static bool jump_clock(struct trial *trial, struct fault *fault)
{
    struct process *process =
        trial->world->processes[rng_below(rng_of(fault), trial->world->process_count)];
    process->wall_us += rng_between(rng_of(fault), -SEC(3600), SEC(3600));
    return true;
}

static void nothing(struct trial *trial, struct fault *fault)
{
    (void)trial;
    (void)fault;
}

/* ---- network ----------------------------------------------------------------------------------------- */

static bool lose(struct trial *trial, struct fault *fault)
{
    struct net_weather *weather = net_weather(trial->world->net);
    fault->before = weather->loss;
    weather->loss = (uint32_t)rng_between(rng_of(fault), 20000, 300000);
    return true;
}

static void lose_no_more(struct trial *trial, struct fault *fault)
{
    net_weather(trial->world->net)->loss = fault->before;
}

static bool disorder(struct trial *trial, struct fault *fault)
{
    struct net_weather *weather = net_weather(trial->world->net);
    (void)fault;
    weather->twice = 200000;
    weather->late = 200000;
    return true;
}

static void order_again(struct trial *trial, struct fault *fault)
{
    struct net_weather *weather = net_weather(trial->world->net);
    (void)fault;
    weather->twice = 0;
    weather->late = 0;
}

static void set_ways(struct trial *trial, const struct fault *fault, bool both, bool blocked)
{
    for (uint32_t a = 0; a < trial->world->process_count; a++) {
        for (uint32_t b = 0; b < trial->world->process_count; b++) {
            const bool here = (fault->sides >> a & 1) != 0;
            const bool there = (fault->sides >> b & 1) != 0;
            if (here != there && (here || both)) {
                net_block(trial->world->net, a, b, blocked);
            }
        }
    }
}

/* One to half of the nodes, and perhaps some mounts, on one side. */
static void pick_sides(struct trial *trial, struct fault *fault)
{
    const uint64_t nodes = 1 + rng_below(rng_of(fault), trial->node_count / 2);
    fault->sides = 0;
    for (uint64_t i = 0; i < nodes; i++) {
        fault->sides |= 1ull << rng_below(rng_of(fault), trial->node_count);
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        if (rng_chance(rng_of(fault), 300000)) {
            fault->sides |= 1ull << (trial->node_count + i);
        }
    }
    world_say(trial->world, "sides: %llx", (unsigned long long)fault->sides);
}

static bool cut_one_way(struct trial *trial, struct fault *fault)
{
    pick_sides(trial, fault);
    set_ways(trial, fault, false, true);
    return true;
}

static void join_one_way(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, false, false);
}

static bool cut_both_ways(struct trial *trial, struct fault *fault)
{
    pick_sides(trial, fault);
    set_ways(trial, fault, true, true);
    return true;
}

static void join_both_ways(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, true, false);
}

/* One node, and a mount, cannot hear each other: all else is well. */
static bool cut_pair(struct trial *trial, struct fault *fault)
{
    const uint32_t mount =
        trial->node_count + (uint32_t)rng_below(rng_of(fault), trial->mount_count);
    const uint32_t node = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    fault->sides = (uint64_t)node << 8 | mount;
    net_block(trial->world->net, node, mount, true);
    net_block(trial->world->net, mount, node, true);
    return true;
}

static void join_pair(struct trial *trial, struct fault *fault)
{
    const uint32_t node = (uint32_t)(fault->sides >> 8);
    const uint32_t mount = (uint32_t)(fault->sides & 0xff);
    net_block(trial->world->net, node, mount, false);
    net_block(trial->world->net, mount, node, false);
}

/* ---- the source and disks ------------------------------------------------------------------------------- */

static bool slow_source(struct trial *trial, struct fault *fault)
{
    struct source_weather *weather = source_weather(trial->world->source);
    (void)fault;
    weather->slow = 100000;
    weather->slow_us = SEC(5);
    return true;
}

static void quick_source(struct trial *trial, struct fault *fault)
{
    (void)fault;
    source_weather(trial->world->source)->slow = 0;
}

static bool throttle(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->throttled =
        (uint32_t)rng_between(rng_of(fault), 100000, 900000);
    return true;
}

static void throttle_no_more(struct trial *trial, struct fault *fault)
{
    (void)fault;
    source_weather(trial->world->source)->throttled = 0;
}

static bool cut_answers(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->cut = (uint32_t)rng_between(rng_of(fault), 50000, 400000);
    return true;
}

static void whole_answers(struct trial *trial, struct fault *fault)
{
    (void)fault;
    source_weather(trial->world->source)->cut = 0;
}

static bool lose_source(struct trial *trial, struct fault *fault)
{
    fault->before = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    net_block(trial->world->net, fault->before, NET_SOURCE, true);
    net_block(trial->world->net, NET_SOURCE, fault->before, true);
    return true;
}

static void find_source(struct trial *trial, struct fault *fault)
{
    net_block(trial->world->net, fault->before, NET_SOURCE, false);
    net_block(trial->world->net, NET_SOURCE, fault->before, false);
}

static bool overwrite(struct trial *trial, struct fault *fault)
{
    struct source *source = trial->world->source;
    const char *late = TRIAL_PREFIX TRIAL_HELD_BACK;
    for (uint32_t i = 0; i < 6; i++) {
        struct source_object *object =
            source_at(source, (uint32_t)rng_below(rng_of(fault), source_count(source)));
        if (strncmp(object->key, late, strlen(late)) != 0 &&
            object->version_count < SOURCE_VERSIONS_MAX) {
            const uint64_t size = object->versions[object->version_count - 1].size;
            source_put(source, object->key,
                       rng_chance(rng_of(fault), 500000) ? size
                                                         : rng_below(rng_of(fault), size + 1000));
            world_say(trial->world, "%s is overwritten", object->key);
        }
    }
    return true;
}

static bool slow_disk(struct trial *trial, struct fault *fault)
{
    fault->before = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    disk_weather(trial->nodes[fault->before]->disk)->latency_us = MSEC(200);
    return true;
}

static void quick_disk(struct trial *trial, struct fault *fault)
{
    disk_weather(trial->nodes[fault->before]->disk)->latency_us = 100;
}

static const struct fault_kind kinds[] = {
    { "crash", MSEC(500), SEC(20), 0, true, crash, restart },
    { "crash-empty", MSEC(500), SEC(20), 0, true, crash, restart_empty },
    { "crash-elsewhere", MSEC(500), SEC(20), 0, true, crash, restart_elsewhere },
    { "crash-flipped", MSEC(500), SEC(20), 0, true, crash, restart_flipped },
    { "power-off", SEC(3), SEC(20), 0, true, power_off, restart },
    { "freeze", MSEC(100), SEC(15), 0, true, freeze, thaw },
    { "leave", SEC(15), SEC(20), 0, true, leave, come_back },
    { "freeze-mount", MSEC(100), SEC(8), SEC(1), false, freeze_mount, thaw_mount },
    { "clock-jump", 0, 0, 0, false, jump_clock, nothing },
    { "loss", SEC(2), SEC(10), FAULTS_SETTLE_US, true, lose, lose_no_more },
    { "disorder", SEC(2), SEC(15), 0, false, disorder, order_again },
    { "one-way", SEC(1), SEC(15), FAULTS_SETTLE_US, true, cut_one_way, join_one_way },
    { "partition", SEC(1), SEC(15), FAULTS_SETTLE_US, true, cut_both_ways, join_both_ways },
    { "cut-pair", SEC(1), SEC(15), 0, true, cut_pair, join_pair },
    { "slow-source", SEC(2), SEC(15), SEC(6), false, slow_source, quick_source },
    { "throttled", SEC(1), SEC(10), BACKOFF_US, false, throttle, throttle_no_more },
    { "cut-answers", SEC(2), SEC(10), BACKOFF_US, false, cut_answers, whole_answers },
    { "no-source", SEC(1), SEC(10), BACKOFF_US, false, lose_source, find_source },
    { "overwrite", 0, 0, 0, false, overwrite, nothing },
    { "slow-disk", SEC(2), SEC(15), 0, false, slow_disk, quick_disk },
};

/* ---- the plan ------------------------------------------------------------------------------------------- */

static void excuse(struct faults *faults, usec_t us)
{
    faults->stalled_us = usec_max(faults->stalled_us, faults->trial->world->now_us + us);
}

static void fault_stop(struct fault *fault)
{
    struct faults *faults = fault->faults;
    fault->active = false;
    fault->kind->end(faults->trial, fault);
    world_say(faults->trial->world, "fault %s ends", fault->kind->name);
    if (fault->kind->excuse_us > 0) {
        excuse(faults, fault->kind->excuse_us);
    }
    if (fault->kind->repeats) {
        faults->repeat_us = faults->trial->world->now_us + FAULTS_SETTLE_US;
    }
}

static void fault_fire(struct world *world, struct happening *what)
{
    struct fault *fault = CONTAINER_OF(what, struct fault, at);
    if (fault->active) {
        fault_stop(fault);
        return;
    }
    world_say(world, "fault %s begins", fault->kind->name);
    world_log(world, 30, (uint64_t)(fault->kind - kinds), 0, 0);
    if (!fault->kind->begin(fault->faults->trial, fault)) {
        return;
    }
    fault->began = true;
    if (fault->kind->most_us == 0) {
        return;
    }
    fault->active = true;
    world_set(world, what, fault->lasts_us);
}

struct faults *faults_new(struct trial *trial)
{
    struct faults *faults = calloc(1, sizeof *faults);
    CHECK(faults != NULL);
    faults->trial = trial;
    rng_init(&faults->rng, trial->options.seed, 5);
    return faults;
}

void faults_free(struct faults **pointer)
{
    struct faults *faults = *pointer;
    for (uint32_t i = 0; i < faults->count; i++) {
        world_cancel(faults->trial->world, &faults->list[i].at);
    }
    free(faults);
    *pointer = NULL;
}

static bool is_planned(const struct faults *faults, const struct fault_kind *kind)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static const struct fault_kind *pick_kind(struct faults *faults)
{
    const char *only = faults->trial->options.only;
    const struct fault_kind *kind = NULL;
    do {
        kind = &kinds[rng_below(&faults->rng, ARRAY_COUNT(kinds))];
    } while (only != NULL ? strcmp(kind->name, only) != 0 : is_planned(faults, kind));
    return kind;
}

void faults_begin(struct faults *faults, usec_t within_us)
{
    const uint32_t count = 3 + (uint32_t)rng_below(&faults->rng, FAULTS_MAX - 3);
    if (faults->trial->options.calm) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fault *fault = &faults->list[i];
        fault->faults = faults;
        fault->kind = pick_kind(faults);
        fault->at.fire = fault_fire;
        fault->lasts_us = rng_between(&faults->rng, fault->kind->least_us, fault->kind->most_us);
        faults->count++;
        world_set(faults->trial->world, &fault->at,
                  rng_between(&faults->rng, 0, within_us - fault->lasts_us));
    }
}

void faults_end(struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        struct fault *fault = &faults->list[i];
        world_cancel(faults->trial->world, &fault->at);
        if (fault->active) {
            fault_stop(fault);
        }
    }
}

usec_t faults_excused_us(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && faults->list[i].kind->excuse_us > 0) {
            return faults->trial->world->now_us;
        }
    }
    return faults->stalled_us;
}

bool faults_may_silence(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && faults->list[i].kind->repeats) {
            return true;
        }
    }
    return false;
}

bool faults_may_repeat(const struct faults *faults, struct span key)
{
    const struct span late = span_text(TRIAL_PREFIX TRIAL_HELD_BACK);
    bool began = false;
    bool active = false;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        began |= fault->began && fault->kind->repeats;
        active |= fault->active && fault->kind->repeats;
    }
    /* Copies that were made while views differed may lie where nobody looks for them, so only what
     * nobody has read before is asked for once again. */
    return began && (active || faults->trial->world->now_us < faults->repeat_us ||
                     !span_starts_with(key, late));
}

void faults_names(const struct faults *faults, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && used < room) {
            used += (size_t)snprintf(out + used, room - used, "%s%s", used == 0 ? "" : " ",
                                     faults->list[i].kind->name);
        }
    }
}

uint32_t faults_active(const struct faults *faults)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        count += faults->list[i].active;
    }
    return count;
}

uint32_t faults_began(const struct faults *faults)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        count += faults->list[i].began;
    }
    return count;
}

bool faults_is_kind(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}
