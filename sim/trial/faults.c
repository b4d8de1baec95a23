/* sim/trial/faults.c: a plan of misfortunes as it comes true. */
#include "sim/trial/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trial/fault_kinds.h"

#define HALF 500000           /* per million */
#define NEVER_US (-SEC(3600)) /* in world time */

struct faults {
    struct trial *trial;
    struct fault list[SCENARIO_FAULTS_MAX];
    uint32_t count;
    usec_t stalled_us; /* world time until which waiting is excused */
    usec_t repeat_us;  /* world time until which chunks may come twice */
    usec_t source_us;  /* world time of the end of the last trouble of the source */
    usec_t network_us; /* world time of the end of the last trouble of the network */
    usec_t touched_us[SCENARIO_NODES_MAX]; /* the same for each node */
    int64_t lost_most;                     /* of datagrams, per million, at any time so far */
    bool was_cut;                          /* between two sides */
};

/* Do nodes of two sides not hear each other? */
static bool is_cut(const struct fault *fault)
{
    return fault_kind_is_network(fault->plan->kind) && fault->plan->kind->about == ABOUT_SIDES;
}

static bool is_cut_beside(const struct fault *fault)
{
    const struct faults *faults = fault->faults;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault *other = &faults->list[i];
        if (other != fault && other->active && is_cut(other)) {
            return true;
        }
    }
    return false;
}

/* Nodes that other faults may take away at some time, or start late. */
static uint32_t named_beside(const struct fault *fault)
{
    const struct faults *faults = fault->faults;
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct planned *plan = faults->list[i].plan;
        nodes |= plan->kind->about == ABOUT_NODES ? plan->nodes | faults->list[i].nodes : 0;
    }
    return nodes;
}

/* Nodes whose network it troubles. Where a few are cut off, most go on as they are. */
static uint32_t touched_by(const struct fault *fault)
{
    const uint32_t all = (1u << fault->faults->trial->node_count) - 1;
    if (!fault_kind_is_network(fault->plan->kind)) {
        return 0;
    }
    const uint32_t others = all & ~fault->nodes & ~named_beside(fault);
    const bool few = __builtin_popcount(fault->nodes) < __builtin_popcount(others);
    return is_cut(fault) && few && !is_cut_beside(fault) ? fault->nodes : all;
}

/* What the network suffers now that one more trouble has begun. */
static void note_network(struct faults *faults)
{
    int64_t lost = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        faults->was_cut = faults->was_cut || (fault->active && is_cut(fault));
        lost += fault->active && fault_kind_loses(fault->plan->kind) ? fault->plan->amount : 0;
    }
    faults->lost_most = lost > faults->lost_most ? lost : faults->lost_most;
}

/* It is over, or what it brought about will have settled from now on. */
static void settle(struct faults *faults, const struct fault *fault)
{
    const struct fault_kind *kind = fault->plan->kind;
    const usec_t now_us = faults->trial->world->now_us;
    const uint32_t touched = touched_by(fault);
    faults->source_us = fault_kind_is_source(kind) ? now_us : faults->source_us;
    faults->network_us = fault_kind_is_network(kind) ? now_us : faults->network_us;
    for (uint32_t i = 0; i < faults->trial->node_count; i++) {
        faults->touched_us[i] = (touched >> i & 1) != 0 ? now_us : faults->touched_us[i];
    }
    if (kind->excuse_us > 0) {
        faults->stalled_us = usec_max(faults->stalled_us, now_us + kind->excuse_us);
    }
    if (kind->repeats) {
        faults->repeat_us = usec_max(faults->repeat_us, now_us + FAULTS_SETTLE_US);
    }
}

static bool nobody_runs(const struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if (trial->nodes[i]->process.up && !trial->nodes[i]->process.frozen) {
            return false;
        }
    }
    return true;
}

static void fault_stop(struct fault *fault)
{
    struct faults *faults = fault->faults;
    const bool nobody = nobody_runs(faults->trial);
    fault->active = false;
    fault->plan->kind->end(faults->trial, fault);
    world_say(faults->trial->world, "fault %s ends", fault->plan->kind->name);
    settle(faults, fault);
    if (nobody) {
        faults->stalled_us = faults->trial->world->now_us + FAULTS_SETTLE_US;
    }
}

static void fault_fire(struct world *world, struct happening *what)
{
    struct fault *fault = CONTAINER_OF(what, struct fault, at);
    const struct planned *plan = fault->plan;
    struct faults *faults = fault->faults;
    if (fault->active) {
        fault_stop(fault);
        return;
    }
    world_say(world, "fault %s begins", plan->kind->name);
    world_log(world, 30, plan->nodes, plan->mounts, (uint64_t)plan->amount);
    fault->nodes = plan->nodes;
    if (plan->file[0] != '\0' && plan->kind->about == ABOUT_NODES) {
        fault->nodes |= 1u << trial_owner_of(faults->trial, plan->file);
    }
    fault->began = true;
    plan->kind->begin(faults->trial, fault);
    if (plan->lasts_us == 0 || plan->lasts_us == USEC_NEVER) {
        settle(faults, fault);
        return;
    }
    fault->active = true;
    note_network(faults);
    world_set(world, what, plan->lasts_us);
}

struct faults *faults_new(struct trial *trial)
{
    struct faults *faults = calloc(1, sizeof *faults);
    CHECK(faults != NULL);
    faults->trial = trial;
    faults->source_us = NEVER_US;
    faults->network_us = NEVER_US;
    for (uint32_t i = 0; i < SCENARIO_NODES_MAX; i++) {
        faults->touched_us[i] = NEVER_US;
    }
    faults->count = trial->scenario->fault_count;
    for (uint32_t i = 0; i < faults->count; i++) {
        faults->list[i] = (struct fault){ .at.fire = fault_fire,
                                          .faults = faults,
                                          .plan = &trial->scenario->faults[i] };
    }
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

void faults_begin(struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        struct fault *fault = &faults->list[i];
        world_set(faults->trial->world, &fault->at, fault->plan->at_us);
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

bool faults_holds_back(const struct faults *faults, uint32_t node)
{
    const struct fault_kind *join = fault_kinds_find(span_text("join"));
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct planned *plan = faults->list[i].plan;
        if (plan->kind == join && (plan->nodes >> node & 1) != 0) {
            return true;
        }
    }
    return false;
}

usec_t faults_excused_us(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        if (fault->active && (fault->plan->kind->excuse_us > 0 || nobody_runs(faults->trial))) {
            return faults->trial->world->now_us;
        }
    }
    return faults->stalled_us;
}

usec_t faults_source_us(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && fault_kind_is_source(faults->list[i].plan->kind)) {
            return faults->trial->world->now_us;
        }
    }
    return faults->source_us;
}

usec_t faults_network_us(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && fault_kind_is_network(faults->list[i].plan->kind)) {
            return faults->trial->world->now_us;
        }
    }
    return faults->network_us;
}

usec_t faults_touched_us(const struct faults *faults, uint32_t node)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && (touched_by(&faults->list[i]) >> node & 1) != 0) {
            return faults->trial->world->now_us;
        }
    }
    return faults->touched_us[node];
}

bool faults_spread_evenly(const struct faults *faults)
{
    return !faults->was_cut && faults->lost_most <= HALF;
}

bool faults_may_silence(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && faults->list[i].plan->kind->repeats) {
            return true;
        }
    }
    return false;
}

bool faults_may_move(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && fault_kind_is_disk(faults->list[i].plan->kind)) {
            return true;
        }
    }
    return faults_may_silence(faults);
}

bool faults_settled(const struct faults *faults)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].active && faults->list[i].plan->kind->repeats) {
            return false;
        }
    }
    return faults->trial->world->now_us >= faults->repeat_us;
}

bool faults_may_repeat(const struct faults *faults, struct span key)
{
    const struct span late = span_text(TRIAL_PREFIX TRIAL_HELD_BACK);
    /* Copies that were made while views differed may lie where nobody looks for them, so only what
     * nobody has read before is asked for once again. */
    return faults_may_silence(faults) && (!faults_settled(faults) || !span_starts_with(key, late));
}

bool faults_troubled_disk(const struct faults *faults, uint32_t node)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->list[i];
        if (fault->began && (fault->nodes >> node & 1) != 0 &&
            fault_kind_is_disk(fault->plan->kind)) {
            return true;
        }
    }
    return false;
}

void faults_names(const struct faults *faults, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && used < room) {
            used += (size_t)snprintf(out + used, room - used, "%s%s", used == 0 ? "" : " ",
                                     faults->list[i].plan->kind->name);
        }
    }
}

uint32_t faults_began(const struct faults *faults)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < faults->count; i++) {
        count += faults->list[i].began;
    }
    return count;
}

bool faults_has_begun(const struct faults *faults, const char *kind)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        if (faults->list[i].began && strcmp(faults->list[i].plan->kind->name, kind) == 0) {
            return true;
        }
    }
    return false;
}
