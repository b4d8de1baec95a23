/* sim/trial/scenario.c: what a scenario is when nothing is said, and what it may not be. */
#include "sim/trial/scenario.h"

#include <stddef.h>
#include <string.h>

#include "sim/trial/faults.h"
#include "sim/trial/scenario_words.h"

#define MEMORY_MIN (4u << 20)
#define MEMORY_MAX (256u << 20) /* each byte of a region is written: 24 of them take 6 GiB */
#define DISK_MAX (16ULL << 30)  /* address space of this process, as much as is used of it */

/* ---- words ------------------------------------------------------------------------------------- */

uint32_t scenario_fields(const struct field **out)
{
    static const struct field fields[] = {
#define FIELD(line_, key_, unit_, member_, text_) \
    { line_, key_, FIELD_##unit_, offsetof(struct scenario, member_) },
#include "sim/trial/scenario.def"
#undef FIELD
    };
    *out = fields;
    return ARRAY_COUNT(fields);
}

uint32_t scenario_expect_words(const struct expect_words **out)
{
    static const struct expect_words words[] = {
#define EXPECT(kind_, words_, unit_, text_) { words_, EXPECT_UNIT_##unit_ },
#include "sim/trial/expects.def"
#undef EXPECT
    };
    *out = words;
    return ARRAY_COUNT(words);
}

const char *scenario_pattern_name(enum reader_pattern pattern)
{
    static const char *const names[] = { [READER_IN_ORDER] = "in-order",
                                         [READER_SHUFFLED] = "shuffled",
                                         [READER_RANDOM] = "random",
                                         [READER_LISTER] = "listing",
                                         [READER_TOGETHER] = "together" };
    CHECK(pattern < ARRAY_COUNT(names));
    return names[pattern];
}

/* ---- defaults ---------------------------------------------------------------------------------- */

void scenario_defaults(struct scenario *out)
{
    *out = (struct scenario){
        .seed = 1,
        .node_count = 5,
        .node_memory = 16u << 20,
        .mount_count = 2,
        .mount_memory = 16u << 20,
        .reader_count = 4,
        .block_size = 1u << 20,
        .metadata = METADATA_ONCE,
        .files = { .small = 60, .large = 4, .deep = 1, .late_small = 20, .late_large = 1 },
        .network_rate = 100000000,
        .network_delay_us = 100,
        .disk_rate = 500000000,
        .disk_latency_us = 100,
        .source_rate = 100000000,
        .source_latency_us = MSEC(20),
        .settle_us = SEC(5),
        .run_us = SEC(62)
    };
    for (uint32_t i = 0; i < SCENARIO_NODES_MAX; i++) {
        out->nodes[i].weight = SCENARIO_WEIGHT_USUAL;
    }
    for (uint32_t i = 0; i < SCENARIO_READERS_MAX; i++) {
        out->readers[i] = READER_SHUFFLED;
    }
}

/* ---- faults ------------------------------------------------------------------------------------ */

static usec_t end_of(const struct planned *plan)
{
    return plan->lasts_us == USEC_NEVER ? USEC_NEVER : plan->at_us + plan->lasts_us;
}

static bool takes(const struct planned *plan)
{
    return fault_kind_takes_nodes(plan->kind) || plan->kind->about == ABOUT_MOUNTS;
}

/* Do two faults take one process away at one time? The owner of a file may be any node. */
static bool collide(const struct planned *a, const struct planned *b)
{
    const bool same_nodes = (a->nodes & b->nodes) != 0;
    const bool same_mounts = (a->mounts & b->mounts) != 0;
    return takes(a) && takes(b) && (same_nodes || same_mounts) && a->at_us <= end_of(b) &&
           b->at_us <= end_of(a);
}

static const char *fault_of_targets(const struct scenario *scenario, const struct planned *plan)
{
    const uint32_t nodes = (uint32_t)__builtin_popcount(plan->nodes) +
                           (plan->kind->about == ABOUT_NODES && plan->file[0] != '\0');
    const uint32_t mounts = (uint32_t)__builtin_popcount(plan->mounts);
    if (plan->nodes >> scenario->node_count != 0 || plan->mounts >> scenario->mount_count != 0) {
        return "a fault is about a node or mount that there is not";
    }
    switch (plan->kind->about) {
    case ABOUT_NODES:
        return nodes > 0 && mounts == 0 ? NULL : "it wants nodes: node0,node1";
    case ABOUT_MOUNTS:
        return mounts > 0 && nodes == 0 ? NULL : "it wants mounts: mount0";
    case ABOUT_PROCESS:
        return nodes + mounts == 1 ? NULL : "it wants one node or mount";
    case ABOUT_SIDES:
        return nodes + mounts > 0 ? NULL : "it wants the nodes and mounts of one side";
    case ABOUT_PAIR:
        return nodes == 1 && mounts == 1 ? NULL : "it wants a node and a mount: node0,mount0";
    case ABOUT_NOTHING:
        return nodes + mounts == 0 ? NULL : "it is about no node or mount";
    case ABOUT_FILES:
        return nodes + mounts == 0 && (plan->amount > 0) != (plan->file[0] != '\0')
                   ? NULL
                   : "it wants a number of files, or a file";
    }
    BUG("a fault about no known thing");
}

static const char *fault_of_plan(const struct scenario *scenario, const struct planned *plan)
{
    const struct fault_kind *kind = plan->kind;
    const char *fault = fault_of_targets(scenario, plan);
    if (fault != NULL) {
        return fault;
    }
    if (kind->unit == UNIT_SHARE && (plan->amount <= 0 || plan->amount > 1000000)) {
        return "it wants a share: 0.1% to 100%";
    }
    if (kind->unit == UNIT_TIME && plan->amount == 0) {
        return kind->least < 0 ? "it wants a time: 200ms, -1h" : "it wants a time: 200ms";
    }
    if (kind->most_us == 0 && plan->lasts_us != 0) {
        return "it has no end: leave out \"for\"";
    }
    if (kind->most_us > 0 && plan->lasts_us == 0) {
        return "it must last: \"for\" is more than 0s";
    }
    /* One that goes on after the end would be over before the others are. */
    if (kind->most_us > 0 && plan->lasts_us == USEC_NEVER && !fault_kind_takes_nodes(kind)) {
        return "it must end: say \"for\" how long";
    }
    if (kind->about == ABOUT_NODES && kind->least_us >= SEC(15) &&
        plan->lasts_us < kind->least_us) {
        return "a node that leaves is away for 15 s at least";
    }
    if (plan->at_us < 0 || (plan->lasts_us != USEC_NEVER && end_of(plan) > SCENARIO_RUN_MAX_US)) {
        return "it must be over within an hour";
    }
    return NULL;
}

static const char *fault_of_faults(const struct scenario *scenario)
{
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        const struct planned *plan = &scenario->faults[i];
        const char *fault = fault_of_plan(scenario, plan);
        const usec_t last_us = plan->lasts_us == USEC_NEVER ? plan->at_us : end_of(plan);
        if (fault != NULL) {
            return fault;
        }
        if (last_us + FAULTS_SETTLE_US > scenario->run_us) {
            return "the run must go on for 10 s when the last fault is over";
        }
        for (uint32_t k = 0; k < i; k++) {
            if (collide(plan, &scenario->faults[k])) {
                return "two faults take one node or mount away at the same time";
            }
        }
    }
    return NULL;
}

/* ---- the rest ---------------------------------------------------------------------------------- */

usec_t scenario_run_least(const struct scenario *scenario)
{
    usec_t least_us = FAULTS_SETTLE_US;
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        const struct planned *plan = &scenario->faults[i];
        const usec_t last_us = plan->lasts_us == USEC_NEVER ? plan->at_us : end_of(plan);
        least_us = usec_max(least_us, last_us + FAULTS_SETTLE_US);
    }
    for (uint32_t i = 0; i < scenario->expected_count; i++) {
        const struct expected *expected = &scenario->expected[i];
        least_us = usec_max(least_us, expected->kind == EXPECT_ONE_RING ? expected->value : 0);
    }
    return least_us;
}

/* Nobody looks at a moment that does not come. */
static const char *fault_of_expectations(const struct scenario *scenario)
{
    for (uint32_t i = 0; i < scenario->expected_count; i++) {
        const struct expected *expected = &scenario->expected[i];
        if (expected->kind == EXPECT_ONE_RING && expected->value > scenario->run_us) {
            return "one ring is expected after the end of the run";
        }
    }
    return NULL;
}

static bool is_usual(const struct scenario_node *node)
{
    return node->weight == SCENARIO_WEIGHT_USUAL && node->zone[0] == '\0';
}

static const char *fault_of_hosts(const struct scenario *scenario)
{
    if (scenario->node_count == 0 || scenario->node_count > SCENARIO_NODES_MAX) {
        return "nodes: 1 to 16 of them";
    }
    if (scenario->mount_count == 0 || scenario->mount_count > SCENARIO_MOUNTS_MAX) {
        return "mounts: 1 to 8 of them";
    }
    for (uint32_t i = scenario->node_count; i < SCENARIO_NODES_MAX; i++) {
        if (!is_usual(&scenario->nodes[i])) {
            return "a weight or zone is that of a node that there is not";
        }
    }
    if (scenario->node_memory < MEMORY_MIN || scenario->mount_memory < MEMORY_MIN ||
        scenario->node_memory > MEMORY_MAX || scenario->mount_memory > MEMORY_MAX) {
        return "memory: 4MiB to 256MiB";
    }
    return scenario->node_disk > DISK_MAX ? "disk: 16GiB at most" : NULL;
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

const char *scenario_fault(const struct scenario *scenario)
{
    const char *fault = fault_of_hosts(scenario);
    if (fault != NULL) {
        return fault;
    }
    if (scenario->stranger_count > SCENARIO_STRANGERS_MAX) {
        return "strangers: 4 at most";
    }
    if (scenario->reader_count == 0) {
        return "readers: 1 to 24 of them";
    }
    if (!is_power_of_two(scenario->block_size) || scenario->block_size < 65536 ||
        scenario->block_size > 1u << 24) {
        return "block: a power of two, 64KiB to 16MiB";
    }
    if (scenario->files.late_small + scenario->files.late_large == 0) {
        return "files: one that is late at least";
    }
    if (scenario->network_rate < 1000000 || scenario->source_rate < 1000000 ||
        scenario->network_delay_us <= 0 || scenario->source_latency_us <= 0) {
        return "network and source: a rate of 1MB at least, and some delay";
    }
    if (scenario->disk_rate < 1000000 || scenario->disk_latency_us <= 0) {
        return "disks: a rate of 1MB at least, and some latency";
    }
    if (scenario->run_us < FAULTS_SETTLE_US || scenario->run_us > SCENARIO_RUN_MAX_US) {
        return "run: 10s to 1h";
    }
    if (scenario->settle_us < 0 || scenario->settle_us > SCENARIO_RUN_MAX_US) {
        return "settle: 1h at most";
    }
    fault = fault_of_expectations(scenario);
    return fault != NULL ? fault : fault_of_faults(scenario);
}
