/* sim/trial/fault_kinds.c: a table of misfortunes. */
#include "sim/trial/fault_kinds.h"

#include <string.h>

#define ALIVE_MIN 3        /* nodes that are always up and running */
#define BACKOFF_US SEC(22) /* a node tries a source again after at most 20 s */

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
    weather->loss = (uint32_t)rng_between(rng_of(fault), 20000, 300000);
    return true;
}

static void lose_no_more(struct trial *trial, struct fault *fault)
{
    (void)fault;
    net_weather(trial->world->net)->loss = 0;
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
    fault->index = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    net_block(trial->world->net, fault->index, NET_SOURCE, true);
    net_block(trial->world->net, NET_SOURCE, fault->index, true);
    return true;
}

static void find_source(struct trial *trial, struct fault *fault)
{
    net_block(trial->world->net, fault->index, NET_SOURCE, false);
    net_block(trial->world->net, NET_SOURCE, fault->index, false);
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
    fault->index = (uint32_t)rng_below(rng_of(fault), trial->node_count);
    disk_weather(trial->nodes[fault->index]->disk)->latency_us = MSEC(200);
    return true;
}

static void quick_disk(struct trial *trial, struct fault *fault)
{
    disk_weather(trial->nodes[fault->index]->disk)->latency_us = 100;
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

uint32_t fault_kinds_count(void)
{
    return ARRAY_COUNT(kinds);
}

const struct fault_kind *fault_kinds_at(uint32_t index)
{
    CHECK(index < ARRAY_COUNT(kinds));
    return &kinds[index];
}
