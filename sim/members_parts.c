#include "sim/members_parts.h"

#include <stdio.h>

#define BOOT_MOST_US SEC(120)

double members_seconds(usec_t us)
{
    return us == USEC_NEVER ? 1e9 : (double)us / 1e6;
}

usec_t members_scaled(const struct members_trial *trial, usec_t us)
{
    return (usec_t)(trial->scale * (double)us);
}

struct members *members_trial_begin(const struct members_trial *trial, bool sealed)
{
    const struct members_options options = { .nodes = trial->nodes,
                                             .seed = trial->seed,
                                             .sealed = sealed };
    struct members *m = members_new(&options, trial->marks);
    m->world->verbose = trial->verbose;
    return m;
}

void members_trial_end(struct members_trial *trial, struct members *m)
{
    if (m->world->failed) {
        members_fail(trial, m->world->failure);
    }
    trial->simulated_us += m->world->now_us;
    trial->steps += m->steps;
    members_free(&m);
}

void members_fail(struct members_trial *trial, const char *what)
{
    if (!members_failed(trial)) {
        snprintf(trial->failure, sizeof trial->failure, "%s", what);
    }
}

bool members_failed(const struct members_trial *trial)
{
    return trial->failure[0] != '\0';
}

usec_t members_trial_boot(struct members_trial *trial, struct members *m)
{
    const uint32_t slices = 20;
    for (uint32_t i = 0; i < m->count; i++) {
        m->nodes[i].is_expected = true;
    }
    for (uint32_t slice = 0; slice < slices; slice++) {
        for (uint32_t i = slice; i < m->count; i += slices) {
            members_start(m, i);
        }
        members_run(m, SEC(1) / slices);
    }
    const usec_t took_us = members_settle(m, BOOT_MOST_US);
    if (took_us == USEC_NEVER) {
        members_fail(trial, "the members did not find each other");
    }
    return took_us == USEC_NEVER ? took_us : took_us + SEC(1);
}

struct members *members_begin_settled(struct members_trial *trial)
{
    struct members *m = members_trial_begin(trial, false);
    if (members_trial_boot(trial, m) != USEC_NEVER) {
        members_run(m, MEMBERS_QUIET_US);
    }
    members_forget_epochs(m);
    return m;
}

uint32_t members_pick(struct members *m)
{
    for (;;) {
        const uint32_t i = MEMBERS_SEEDS + (uint32_t)rng_below(&m->rng, m->count - MEMBERS_SEEDS);
        if (m->nodes[i].gossip != NULL && !m->nodes[i].is_faulty) {
            return i;
        }
    }
}

void members_lose(struct members *m, uint32_t node)
{
    m->nodes[node].is_expected = false;
    m->nodes[node].is_faulty = true;
}

void members_pick_faulty(struct members *m, uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = members_pick(m);
        members_lose(m, out[i]);
    }
}
