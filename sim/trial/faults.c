/* sim/trial/faults.c: a plan of some misfortunes: when each begins, and how long it lasts. */
#include "sim/trial/faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trial/fault_kinds.h"

#define FAULTS_FEW 8   /* at most, in most trials */
#define STORM_OF_TEN 2 /* trials out of ten in which they are many and short */
#define STORM_US SEC(4)

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
    world_log(world, 30, (uint64_t)(fault->kind - fault_kinds_at(0)), 0, 0);
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

static const struct fault_kind *pick_kind(struct faults *faults, bool storm)
{
    const char *only = faults->trial->options.only;
    for (;;) {
        const struct fault_kind *kind =
            fault_kinds_at((uint32_t)rng_below(&faults->rng, fault_kinds_count()));
        if (only != NULL && strcmp(kind->name, only) != 0) {
            continue;
        }
        if (only != NULL ||
            (storm ? kind->repeats && kind->least_us < STORM_US : !is_planned(faults, kind))) {
            return kind;
        }
    }
}

void faults_begin(struct faults *faults, usec_t within_us)
{
    const bool storm = rng_below(&faults->rng, 10) < STORM_OF_TEN;
    const uint32_t few = 3 + (uint32_t)rng_below(&faults->rng, FAULTS_FEW - 3);
    const uint32_t count = storm ? FAULTS_MAX : few;
    if (faults->trial->options.calm) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fault *fault = &faults->list[i];
        fault->faults = faults;
        fault->kind = pick_kind(faults, storm);
        fault->at.fire = fault_fire;
        fault->lasts_us = rng_between(&faults->rng, fault->kind->least_us,
                                      storm ? STORM_US : fault->kind->most_us);
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
    for (uint32_t i = 0; i < fault_kinds_count(); i++) {
        if (strcmp(fault_kinds_at(i)->name, name) == 0) {
            return true;
        }
    }
    return false;
}
