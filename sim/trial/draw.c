/* sim/trial/draw.c: a scenario from a seed: any cluster that is not too large, and faults of any kind
 * that leave three nodes running. */
#include "sim/trial/scenario.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "sim/trial/fault_kinds.h"
#include "sim/trial/faults.h"

#define NODES_LEAST 5
#define NODES_MOST 8
#define MOUNTS_LEAST 2
#define MOUNTS_MOST 4
#define ALIVE_MIN 3         /* nodes that are always up and running */
#define BEFORE_US SEC(12)   /* all is well, readers read */
#define FAULTS_US SEC(40)   /* then faults come and go */
#define FEW 8               /* faults at most, in most trials */
#define MANY 24             /* in some */
#define STORM_CHANCE 200000 /* to have many, and short ones */
#define STORM_US SEC(4)     /* so short */
#define HOTSPOT_CHANCE 600000
#define STRANGER_CHANCE 400000
#define KEYED_CLOCKS 60    /* with keys, clocks must agree within minutes: jumps are so much less */
#define JOIN_CHANCE 200000 /* that a node joins late */
#define FOR_EVER_CHANCE 100000 /* that a node that goes does not come back */

static uint64_t pick(struct rng *rng, const uint64_t *of, uint32_t count)
{
    return of[rng_below(rng, count)];
}

/* ---- the cluster ------------------------------------------------------------------------------- */

static void draw_nodes(struct rng *rng, struct scenario *out)
{
    static const uint64_t memories[] = { 4u << 20, 8u << 20, 16u << 20 };
    static const uint64_t disks[] = { 0, 8u << 20, 64u << 20 };
    static const char *const zones[] = { "east", "west" };
    const bool zoned = rng_chance(rng, 300000);
    out->sealed = rng_chance(rng, 400000);
    out->node_memory = pick(rng, memories, ARRAY_COUNT(memories));
    out->node_disk = pick(rng, disks, ARRAY_COUNT(disks));
    out->node_count = NODES_LEAST + (uint32_t)rng_below(rng, NODES_MOST - NODES_LEAST + 1);
    for (uint32_t i = 0; i < out->node_count; i++) {
        struct scenario_node *node = &out->nodes[i];
        node->weight = rng_chance(rng, 200000) ? 200 : 100;
        snprintf(node->zone, sizeof node->zone, "%s", zoned ? zones[i % 2] : "");
    }
    for (uint32_t i = out->node_count; i < SCENARIO_NODES_MAX; i++) {
        out->nodes[i].weight = SCENARIO_WEIGHT_USUAL;
    }
    out->settle_us = rng_chance(rng, 700000) ? SEC(5) : 0;
}

static void draw_mounts(struct rng *rng, struct scenario *out)
{
    static const uint64_t memories[] = { 6u << 20, 8u << 20, 16u << 20 };
    out->mount_memory = pick(rng, memories, ARRAY_COUNT(memories));
    out->mount_count = MOUNTS_LEAST + (uint32_t)rng_below(rng, MOUNTS_MOST - MOUNTS_LEAST + 1);
    out->reader_count = out->mount_count + (uint32_t)rng_below(rng, 5);
    for (uint32_t i = 0; i < out->reader_count; i++) {
        out->readers[i] = (enum reader_pattern)rng_below(rng, READER_TOGETHER);
    }
}

static void draw_dataset(struct rng *rng, struct scenario *out)
{
    static const uint64_t block_sizes[] = { 65536, 131072, 262144, 1048576 };
    out->block_size = (uint32_t)pick(rng, block_sizes, ARRAY_COUNT(block_sizes));
    out->metadata = rng_chance(rng, 400000) ? METADATA_TTL : METADATA_ONCE;
    out->ttl_us = out->metadata == METADATA_TTL ? SEC(10) : 0;
    out->files = (struct scenario_files){ .small = 20 + (uint32_t)rng_below(rng, 80),
                                          .large = 2 + (uint32_t)rng_below(rng, 3),
                                          .deep = 1 + (uint32_t)rng_below(rng, 2),
                                          .late_small = 10 + (uint32_t)rng_below(rng, 30),
                                          .late_large = 1 + (uint32_t)rng_below(rng, 2) };
    if (rng_chance(rng, 150000)) { /* more than a page of a listing, and of a directory */
        out->files.many = 1000 + (uint32_t)rng_below(rng, 600);
    }
}

static void draw_weather(struct rng *rng, struct scenario *out)
{
    static const uint64_t rates[] = { 20000000, 100000000, 1000000000 };
    static const uint64_t delays[] = { 30, 100, 1000 };
    static const uint64_t disk_rates[] = { 20000000, 100000000, 500000000 };
    static const uint64_t disk_delays[] = { 100, 1000, 2000 };
    out->network_rate = pick(rng, rates, ARRAY_COUNT(rates));
    out->network_delay_us = (usec_t)pick(rng, delays, ARRAY_COUNT(delays));
    out->source_latency_us = MSEC(rng_between(rng, 2, 60));
    out->source_rate = pick(rng, rates, ARRAY_COUNT(rates));
    out->disk_rate = pick(rng, disk_rates, ARRAY_COUNT(disk_rates));
    out->disk_latency_us = (usec_t)pick(rng, disk_delays, ARRAY_COUNT(disk_delays));
}

/* In many trials little is enough to hand readers on, and some of them read the same at one time. */
static void draw_hotspot(uint64_t seed, struct scenario *out)
{
    struct rng rng;
    rng_init(&rng, seed, 6);
    if (!rng_chance(&rng, HOTSPOT_CHANCE)) {
        return;
    }
    out->hot_floor = 1024ull << rng_below(&rng, 12);
    const uint32_t together = (uint32_t)rng_below(&rng, out->reader_count + 1);
    for (uint32_t i = 0; i < together; i++) {
        out->readers[i] = READER_TOGETHER;
    }
}

static void draw_strangers(uint64_t seed, struct scenario *out)
{
    struct rng rng;
    rng_init(&rng, seed, 7);
    out->stranger_count = rng_chance(&rng, STRANGER_CHANCE) ? 1 : 0;
}

/* ---- faults ------------------------------------------------------------------------------------ */

static bool is_planned(const struct scenario *out, const struct fault_kind *kind)
{
    for (uint32_t i = 0; i < out->fault_count; i++) {
        if (out->faults[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static bool is_named(const struct fault_kind *kind, const char *name)
{
    return strcmp(kind->name, name) == 0;
}

static bool is_join(const struct fault_kind *kind)
{
    return is_named(kind, "join");
}

/* Those that are drawn apart. */
static bool is_special(const struct fault_kind *kind)
{
    return is_join(kind) || is_named(kind, "rotate");
}

static const struct fault_kind *pick_kind(struct rng *rng, const struct scenario *out, bool storm)
{
    for (;;) {
        const struct fault_kind *kind =
            fault_kinds_at((uint32_t)rng_below(rng, fault_kinds_count()));
        const bool fits =
            storm ? kind->repeats && kind->least_us < STORM_US : !is_planned(out, kind);
        if (fits && !is_special(kind)) {
            return kind;
        }
    }
}

/* Nodes that another fault takes away at some time while this one lasts. */
static uint32_t taken_beside(const struct scenario *out, const struct planned *plan)
{
    uint32_t taken = 0;
    const usec_t end_us = plan->at_us + plan->lasts_us;
    for (uint32_t i = 0; i < out->fault_count; i++) {
        const struct planned *other = &out->faults[i];
        const bool ends_before =
            other->lasts_us != USEC_NEVER && other->at_us + other->lasts_us < plan->at_us;
        const bool begins_after = other->at_us > end_us && !is_join(other->kind);
        if (fault_kind_takes_nodes(other->kind) && !ends_before && !begins_after) {
            taken |= other->nodes;
        }
    }
    return taken;
}

/* false: too many are away. */
static bool pick_node(struct rng *rng, const struct scenario *out, struct planned *plan)
{
    const uint32_t taken = fault_kind_takes_nodes(plan->kind) ? taken_beside(out, plan) : 0;
    const uint32_t left = out->node_count - (uint32_t)__builtin_popcount(taken);
    if (left <= ALIVE_MIN) {
        return false;
    }
    uint32_t node = (uint32_t)rng_below(rng, out->node_count);
    while ((taken >> node & 1) != 0) {
        node = (node + 1) % out->node_count;
    }
    plan->nodes = 1u << node;
    return true;
}

/* One to half of the nodes, and perhaps some mounts, on one side. */
static void pick_sides(struct rng *rng, const struct scenario *out, struct planned *plan)
{
    const uint64_t nodes = 1 + rng_below(rng, out->node_count / 2);
    for (uint64_t i = 0; i < nodes; i++) {
        plan->nodes |= 1u << rng_below(rng, out->node_count);
    }
    for (uint32_t i = 0; i < out->mount_count; i++) {
        if (rng_chance(rng, 300000)) {
            plan->mounts |= 1u << i;
        }
    }
}

static bool is_frozen_beside(const struct scenario *out, const struct planned *plan)
{
    for (uint32_t i = 0; i < out->fault_count; i++) {
        const struct planned *other = &out->faults[i];
        if (other->kind == plan->kind && other->mounts == plan->mounts &&
            other->at_us <= plan->at_us + plan->lasts_us &&
            plan->at_us <= other->at_us + other->lasts_us) {
            return true;
        }
    }
    return false;
}

/* Whom it is about; false: it cannot be. */
static bool pick_targets(struct rng *rng, const struct scenario *out, struct planned *plan)
{
    const uint32_t mount = (uint32_t)rng_below(rng, out->mount_count);
    switch (plan->kind->about) {
    case ABOUT_NODES:
        return pick_node(rng, out, plan);
    case ABOUT_MOUNTS:
        plan->mounts = 1u << mount;
        return !is_frozen_beside(out, plan);
    case ABOUT_PROCESS:
        if (rng_below(rng, out->node_count + out->mount_count) < out->mount_count) {
            plan->mounts = 1u << mount;
        } else {
            plan->nodes = 1u << rng_below(rng, out->node_count);
        }
        return true;
    case ABOUT_SIDES:
        pick_sides(rng, out, plan);
        return true;
    case ABOUT_PAIR:
        plan->mounts = 1u << mount;
        plan->nodes = 1u << rng_below(rng, out->node_count);
        return true;
    case ABOUT_NOTHING:
    case ABOUT_FILES:
        return true;
    }
    BUG("a fault about no known thing");
}

static usec_t whole_ms(usec_t us)
{
    return us / 1000 * 1000;
}

/* An amount with three digits, as a text has it. */
static int64_t pick_amount(struct rng *rng, const struct fault_kind *kind)
{
    const int64_t amount = rng_between(rng, kind->least, kind->most);
    return kind->unit == UNIT_COUNT ? amount : amount / 1000 * 1000;
}

static void draw_fault(struct rng *rng, const struct draw *draw, bool storm, struct scenario *out)
{
    const struct fault_kind *kind =
        draw->only != NULL ? fault_kinds_find(span_text(draw->only)) : pick_kind(rng, out, storm);
    const usec_t most_us = storm ? usec_min(STORM_US, kind->most_us) : kind->most_us;
    struct planned plan = { .kind = kind };
    plan.lasts_us = whole_ms(rng_between(rng, kind->least_us, usec_max(most_us, kind->least_us)));
    plan.at_us = BEFORE_US + whole_ms(rng_between(rng, 0, FAULTS_US - plan.lasts_us));
    plan.amount = pick_amount(rng, kind);
    if (out->sealed && is_named(kind, "clock-jump")) {
        plan.amount /= KEYED_CLOCKS;
    }
    if (!storm && fault_kind_takes_nodes(kind) && kind->most_us > 0 &&
        rng_chance(rng, FOR_EVER_CHANCE)) {
        plan.lasts_us = USEC_NEVER;
    }
    const bool goes_on = plan.lasts_us == USEC_NEVER;
    plan.lasts_us = goes_on ? BEFORE_US + FAULTS_US : plan.lasts_us;
    if (pick_targets(rng, out, &plan)) {
        plan.lasts_us = goes_on ? USEC_NEVER : plan.lasts_us;
        out->faults[out->fault_count++] = plan;
    }
}

static void draw_join(struct rng *rng, struct scenario *out)
{
    struct planned plan = { .kind = fault_kinds_find(span_text("join")) };
    plan.at_us = BEFORE_US + whole_ms(rng_between(rng, 0, FAULTS_US));
    plan.nodes = 1u << (out->node_count - 1);
    out->faults[out->fault_count++] = plan;
}

/* Besides all else; so many at most, since a node without its disk may miss no more. */
static void draw_rotations(struct rng *rng, struct scenario *out)
{
    for (uint32_t i = 0; i < KEYRING_RETIRED_MAX; i++) {
        struct planned plan = { .kind = fault_kinds_find(span_text("rotate")) };
        plan.at_us = BEFORE_US + whole_ms(rng_between(rng, 0, FAULTS_US));
        plan.amount = SEC(rng_between(rng, 1, 5));
        plan.nodes = 1u << rng_below(rng, out->node_count);
        out->faults[out->fault_count++] = plan;
    }
}

static void draw_faults(struct rng *rng, const struct draw *draw, struct scenario *out)
{
    const bool storm = rng_chance(rng, STORM_CHANCE) && draw->only == NULL;
    const uint32_t few = 3 + (uint32_t)rng_below(rng, FEW - 3);
    const bool join = draw->only == NULL ? rng_chance(rng, JOIN_CHANCE)
                                         : is_join(fault_kinds_find(span_text(draw->only)));
    const bool rotations =
        draw->only != NULL && is_named(fault_kinds_find(span_text(draw->only)), "rotate");
    if (join) {
        draw_join(rng, out);
    }
    out->sealed = out->sealed || rotations;
    if (rotations || (out->sealed && draw->only == NULL)) {
        draw_rotations(rng, out);
    }
    if (draw->only != NULL && (join || rotations)) {
        return;
    }
    for (uint32_t i = 0; i < (storm ? MANY : few); i++) {
        draw_fault(rng, draw, storm, out);
    }
}

/* In order of their times; equal times in the order they were drawn. */
static void sort_faults(struct scenario *out)
{
    for (uint32_t i = 1; i < out->fault_count; i++) {
        const struct planned plan = out->faults[i];
        uint32_t at = i;
        while (at > 0 && out->faults[at - 1].at_us > plan.at_us) {
            out->faults[at] = out->faults[at - 1];
            at--;
        }
        out->faults[at] = plan;
    }
}

void scenario_draw(uint64_t seed, const struct draw *draw, struct scenario *out)
{
    struct rng rng;
    rng_init(&rng, seed, 4);
    memset(out, 0, sizeof *out);
    out->seed = seed;
    draw_nodes(&rng, out);
    draw_mounts(&rng, out);
    draw_dataset(&rng, out);
    draw_weather(&rng, out);
    draw_hotspot(seed, out);
    draw_strangers(seed, out);
    out->run_us = BEFORE_US + FAULTS_US + FAULTS_SETTLE_US;
    if (!draw->calm) {
        rng_init(&rng, seed, 5);
        draw_faults(&rng, draw, out);
        sort_faults(out);
    }
}
