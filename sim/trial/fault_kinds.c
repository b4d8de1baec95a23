/* sim/trial/fault_kinds.c: what happens when a misfortune begins and ends. */
#include "sim/trial/fault_kinds.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim/trial/faults.h"
#include "sim/trial/reader.h"

#define BACKOFF_US FAULTS_BACKOFF_US
#define SETTLE_US FAULTS_SETTLE_US

/* ---- about whom -------------------------------------------------------------------------------- */

typedef void for_node(struct trial *trial, struct host_node *node);

static void each_node(struct trial *trial, const struct fault *fault, for_node *act)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            act(trial, trial->nodes[i]);
        }
    }
}

typedef void for_mount(struct trial *trial, struct host_mount *mount);

static void each_mount(struct trial *trial, const struct fault *fault, for_mount *act)
{
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        if ((fault->plan->mounts >> i & 1) != 0) {
            act(trial, trial->mounts[i]);
        }
    }
}

static int64_t amount_of(const struct fault *fault)
{
    return fault->plan->amount;
}

static uint32_t share_of(const struct fault *fault)
{
    return (uint32_t)fault->plan->amount;
}

/* ---- nodes ------------------------------------------------------------------------------------- */

static void crash_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    host_node_crash(node, false);
}

static void crash(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, crash_one);
}

static void power_off_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    host_node_crash(node, true);
}

static void power_off(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, power_off_one);
}

static void start_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    host_node_start(node);
}

static void start(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, start_one);
}

static void start_empty_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    host_node_wipe(node);
    host_node_start(node);
}

static void start_empty(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, start_empty_one);
}

static void start_elsewhere_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    node->process.address++;
    host_node_start(node);
}

static void start_elsewhere(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, start_elsewhere_one);
}

static void start_flipped_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    for (uint32_t i = 0; i < 8; i++) {
        disk_flip(node->disk);
    }
    host_node_start(node);
}

static void start_flipped(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, start_flipped_one);
}

static void freeze_one(struct trial *trial, struct host_node *node)
{
    world_say(trial->world, "%s freezes", node->process.name);
    process_freeze(&node->process);
}

static void freeze(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, freeze_one);
}

static void thaw_one(struct trial *trial, struct host_node *node)
{
    world_say(trial->world, "%s thaws", node->process.name);
    process_thaw(&node->process);
}

static void thaw(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, thaw_one);
}

static void leave_one(struct trial *trial, struct host_node *node)
{
    (void)trial;
    host_node_leave(node);
}

static void leave(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, leave_one);
}

static void come_back_one(struct trial *trial, struct host_node *node)
{
    if (node->process.up) {
        world_fail(trial->world, "%s has not left in time", node->process.name);
        return;
    }
    host_node_start(node);
}

static void come_back(struct trial *trial, struct fault *fault)
{
    each_node(trial, fault, come_back_one);
}

/* One that does not run just now cannot be asked. */
static void rotate(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node *node = trial->nodes[i];
        if ((fault->nodes >> i & 1) != 0 && node->options.sealed && node->process.up) {
            world_say(trial->world, "%s is asked for another key", node->process.name);
            host_node_rotate(node, (uint32_t)((amount_of(fault) + SEC(1) - 1) / SEC(1)));
        }
    }
}

static void ask_weight(struct trial *trial, const struct fault *fault, const char *weight)
{
    char argument[128];
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node *node = trial->nodes[i];
        if ((fault->nodes >> i & 1) != 0 && node->process.up) {
            snprintf(argument, sizeof argument, "%s %s", node->options.name, weight);
            host_node_admin(node, ADMIN_NODE_WEIGHT, span_text(argument));
        }
    }
}

/* One that does not run just now cannot be asked, and keeps what it was told before. */
static void weigh(struct trial *trial, struct fault *fault)
{
    char weight[32];
    snprintf(weight, sizeof weight, "%lld", (long long)amount_of(fault));
    ask_weight(trial, fault, weight);
}

static void weigh_as_before(struct trial *trial, struct fault *fault)
{
    ask_weight(trial, fault, "auto");
}

static void nothing(struct trial *trial, struct fault *fault)
{
    (void)trial;
    (void)fault;
}

/* ---- mounts, clocks ---------------------------------------------------------------------------- */

static void freeze_mount_one(struct trial *trial, struct host_mount *mount)
{
    (void)trial;
    process_freeze(&mount->process);
}

static void freeze_mount(struct trial *trial, struct fault *fault)
{
    each_mount(trial, fault, freeze_mount_one);
}

static void thaw_mount_one(struct trial *trial, struct host_mount *mount)
{
    (void)trial;
    process_thaw(&mount->process);
}

static void thaw_mount(struct trial *trial, struct fault *fault)
{
    each_mount(trial, fault, thaw_mount_one);
}

static void jump_clock(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            trial->nodes[i]->process.wall_us += amount_of(fault);
        }
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        if ((fault->plan->mounts >> i & 1) != 0) {
            trial->mounts[i]->process.wall_us += amount_of(fault);
        }
    }
}

/* ---- network ----------------------------------------------------------------------------------- */

static void lose(struct trial *trial, struct fault *fault)
{
    net_weather(trial->world->net)->loss += share_of(fault);
}

static void lose_no_more(struct trial *trial, struct fault *fault)
{
    net_weather(trial->world->net)->loss -= share_of(fault);
}

static void disorder(struct trial *trial, struct fault *fault)
{
    struct net_weather *weather = net_weather(trial->world->net);
    weather->twice += share_of(fault);
    weather->late += share_of(fault);
}

static void order_again(struct trial *trial, struct fault *fault)
{
    struct net_weather *weather = net_weather(trial->world->net);
    weather->twice -= share_of(fault);
    weather->late -= share_of(fault);
}

static void flip(struct trial *trial, struct fault *fault)
{
    net_weather(trial->world->net)->flipped += share_of(fault);
}

static void flip_no_more(struct trial *trial, struct fault *fault)
{
    net_weather(trial->world->net)->flipped -= share_of(fault);
}

static bool is_on_side(const struct trial *trial, const struct fault *fault, uint32_t process)
{
    return process < trial->node_count
               ? (fault->nodes >> process & 1) != 0
               : (fault->plan->mounts >> (process - trial->node_count) & 1) != 0;
}

/* Between those named and all others: what these say, what they would hear, or both. */
static void set_ways(struct trial *trial, const struct fault *fault, bool from, bool to,
                     bool blocked)
{
    for (uint32_t a = 0; a < trial->world->process_count; a++) {
        for (uint32_t b = 0; b < trial->world->process_count; b++) {
            const bool here = is_on_side(trial, fault, a);
            if (here != is_on_side(trial, fault, b) && (here ? from : to)) {
                net_block(trial->world->net, a, b, blocked);
            }
        }
    }
}

static void cut_one_way(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, true, false, true);
}

static void join_one_way(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, true, false, false);
}

static void cut_hearing(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, false, true, true);
}

static void join_hearing(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, false, true, false);
}

static void cut_both_ways(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, true, true, true);
}

static void join_both_ways(struct trial *trial, struct fault *fault)
{
    set_ways(trial, fault, true, true, false);
}

/* A node and a mount cannot hear each other: all else is well. */
static void set_pair(struct trial *trial, const struct fault *fault, bool blocked)
{
    const uint32_t node = (uint32_t)__builtin_ctz(fault->nodes);
    const uint32_t mount = trial->node_count + (uint32_t)__builtin_ctz(fault->plan->mounts);
    net_block(trial->world->net, node, mount, blocked);
    net_block(trial->world->net, mount, node, blocked);
}

static void cut_pair(struct trial *trial, struct fault *fault)
{
    set_pair(trial, fault, true);
}

static void join_pair(struct trial *trial, struct fault *fault)
{
    set_pair(trial, fault, false);
}

/* ---- the source and disks ---------------------------------------------------------------------- */

static void slow_source(struct trial *trial, struct fault *fault)
{
    struct source_weather *weather = source_weather(trial->world->source);
    weather->slow += share_of(fault);
    weather->slow_us = SEC(5);
}

static void quick_source(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->slow -= share_of(fault);
}

static void throttle(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->throttled += share_of(fault);
}

static void throttle_no_more(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->throttled -= share_of(fault);
}

static void cut_answers(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->cut += share_of(fault);
}

static void whole_answers(struct trial *trial, struct fault *fault)
{
    source_weather(trial->world->source)->cut -= share_of(fault);
}

static void block_source(struct trial *trial, const struct fault *fault, bool blocked)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            net_block(trial->world->net, i, NET_SOURCE, blocked);
            net_block(trial->world->net, NET_SOURCE, i, blocked);
        }
    }
}

static void lose_source(struct trial *trial, struct fault *fault)
{
    block_source(trial, fault, true);
}

static void find_source(struct trial *trial, struct fault *fault)
{
    block_source(trial, fault, false);
}

static void overwrite_one(struct trial *trial, struct source_object *object, struct rng *rng)
{
    const char *late = TRIAL_PREFIX TRIAL_HELD_BACK;
    if (strncmp(object->key, late, strlen(late)) == 0 ||
        object->version_count == SOURCE_VERSIONS_MAX) {
        return;
    }
    const uint64_t size = object->versions[object->version_count - 1].size;
    source_put(trial->world->source, object->key,
               rng_chance(rng, 500000) ? size : rng_below(rng, size + 1000));
    world_say(trial->world, "%s is overwritten", object->key);
}

/* Which ones follows from the time, so that it does not change when other faults go. */
static void overwrite(struct trial *trial, struct fault *fault)
{
    struct source *source = trial->world->source;
    struct rng rng;
    rng_init(&rng, trial->scenario->seed, hash64_mix(6, (uint64_t)fault->plan->at_us));
    if (fault->plan->file[0] != '\0') {
        overwrite_one(trial, trial_file(trial, fault->plan->file), &rng);
        return;
    }
    for (int64_t i = 0; i < amount_of(fault); i++) {
        const uint32_t at = (uint32_t)rng_below(&rng, source_count(source));
        overwrite_one(trial, source_at(source, at), &rng);
    }
}

static void slow_disk(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            disk_weather(trial->nodes[i]->disk)->latency_us += amount_of(fault);
        }
    }
}

static void quick_disk(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            disk_weather(trial->nodes[i]->disk)->latency_us -= amount_of(fault);
        }
    }
}

static void fail_disk(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            disk_weather(trial->nodes[i]->disk)->failing += share_of(fault);
        }
    }
}

static void heal_disk(struct trial *trial, struct fault *fault)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if ((fault->nodes >> i & 1) != 0) {
            disk_weather(trial->nodes[i]->disk)->failing -= share_of(fault);
        }
    }
}

/* ---- readers ----------------------------------------------------------------------------------- */

static void rest(struct trial *trial, struct fault *fault)
{
    (void)fault;
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        reader_stop(trial->readers[i]);
    }
}

static void go_on(struct trial *trial, struct fault *fault)
{
    (void)fault;
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        reader_go_on(trial->readers[i]);
    }
}

/* ---- the table --------------------------------------------------------------------------------- */

static const struct fault_kind kinds[] = {
#define FAULT(name_, about_, unit_, least_, most_, least_us_, most_us_, excuse_us_, repeats_, \
              begin_, end_, text_)                                                            \
    {                                                                                         \
        .name = name_,                                                                        \
        .about = ABOUT_##about_,                                                              \
        .unit = UNIT_##unit_,                                                                 \
        .least = least_,                                                                      \
        .most = most_,                                                                        \
        .least_us = least_us_,                                                                \
        .most_us = most_us_,                                                                  \
        .excuse_us = excuse_us_,                                                              \
        .repeats = repeats_,                                                                  \
        .begin = begin_,                                                                      \
        .end = end_,                                                                          \
        .text = text_,                                                                        \
    },
#include "sim/trial/faults.def"
#undef FAULT
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

const struct fault_kind *fault_kinds_find(struct span name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (span_equal(name, span_text(kinds[i].name))) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool fault_kind_takes_nodes(const struct fault_kind *kind)
{
    return kind->begin == crash || kind->begin == power_off || kind->begin == freeze ||
           kind->begin == leave || kind->begin == start;
}

bool fault_kind_is_network(const struct fault_kind *kind)
{
    return kind->begin == lose || kind->begin == disorder || kind->begin == cut_one_way ||
           kind->begin == cut_hearing || kind->begin == cut_both_ways;
}

bool fault_kind_loses(const struct fault_kind *kind)
{
    return kind->begin == lose;
}

bool fault_kind_is_disk(const struct fault_kind *kind)
{
    return kind->begin == slow_disk || kind->begin == fail_disk;
}

bool fault_kind_is_source(const struct fault_kind *kind)
{
    return kind->begin == slow_source || kind->begin == throttle || kind->begin == cut_answers ||
           kind->begin == lose_source;
}
