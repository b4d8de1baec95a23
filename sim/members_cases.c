#include "sim/members_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOT_MOST_US SEC(120)
#define QUIET_US SEC(20)

/* ---- for all cases ----------------------------------------------------------------------------- */

static double seconds(usec_t us)
{
    return us == USEC_NEVER ? 1e9 : (double)us / 1e6;
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
    if (m->world->failed && trial->failure[0] == '\0') {
        snprintf(trial->failure, sizeof trial->failure, "%s", m->world->failure);
    }
    trial->simulated_us += m->world->now_us;
    trial->steps += m->steps;
    members_free(&m);
}

static void fail(struct members_trial *trial, const char *what)
{
    if (trial->failure[0] == '\0') {
        snprintf(trial->failure, sizeof trial->failure, "%s", what);
    }
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
        fail(trial, "the members did not find each other");
    }
    return took_us == USEC_NEVER ? took_us : took_us + SEC(1);
}

/* A member that is up and not faulty; the seeds are spared. */
static uint32_t pick(struct members *m)
{
    for (;;) {
        const uint32_t i = MEMBERS_SEEDS + (uint32_t)rng_below(&m->rng, m->count - MEMBERS_SEEDS);
        if (m->nodes[i].gossip != NULL && !m->nodes[i].is_faulty) {
            return i;
        }
    }
}

static void lose(struct members *m, uint32_t node)
{
    m->nodes[node].is_expected = false;
    m->nodes[node].is_faulty = true;
}

/* ---- G1: a crash ------------------------------------------------------------------------------- */

enum { CRASH_OUT, CRASH_EPOCHS, CRASH_WRONGED };

static void run_crash(struct members_trial *trial)
{
    struct members *m = members_trial_begin(trial, false);
    const uint32_t crashes = (uint32_t)(20 * trial->scale);
    if (members_trial_boot(trial, m) != USEC_NEVER) {
        members_run(m, QUIET_US);
    }
    for (uint32_t i = 0; i < crashes && trial->failure[0] == '\0'; i++) {
        const uint32_t gone = pick(m);
        members_run(m, rng_between(&m->rng, 0, SEC(2)));
        members_forget_epochs(m);
        lose(m, gone);
        members_crash(m, gone);
        const usec_t took_us = members_settle(m, SEC(60));
        members_note(trial, CRASH_OUT, seconds(took_us));
        members_note(trial, CRASH_EPOCHS, members_epochs(m));
        members_run(m, SEC(8));
    }
    members_note(trial, CRASH_WRONGED, m->faults.removed);
    members_trial_end(trial, m);
}

/* ---- the table --------------------------------------------------------------------------------- */

static const struct members_case cases[] = {
    { .name = "crash",
      .goal = "G1",
      .about = "members crash one after the other: until the last of the others has another ring",
      .nodes = 1000,
      .seeds = 5,
      .run = run_crash,
      .columns = { { "out of all rings, p50", "s", CRASH_OUT, HOW_P50, 3.5 },
                   { "out of all rings, p99", "s", CRASH_OUT, HOW_P99, 5 },
                   { "longest", "s", CRASH_OUT, HOW_MOST, -1 },
                   { "changes of the ring", "", CRASH_EPOCHS, HOW_MOST, 1 },
                   { "healthy members removed", "", CRASH_WRONGED, HOW_SUM, 0 } } },
    { .name = "keys",
      .goal = "G11",
      .about = "two rotations with 5 % loss; a member that was away over both comes back",
      .nodes = 1000,
      .seeds = 3,
      .run = members_case_keys,
      .columns = { { "until all use the new key", "s", MEMBERS_KEYS_USED, HOW_MOST, 30 },
                   { "until the old one has ended", "s", MEMBERS_KEYS_OVER, HOW_MOST, -1 },
                   { "suspicions", "", MEMBERS_KEYS_SUSPECTED, HOW_SUM, 0 },
                   { "packets not opened", "", MEMBERS_KEYS_UNOPENED, HOW_SUM, 0 },
                   { "who was away is back in all rings", "s", MEMBERS_KEYS_REJOINED, HOW_MOST,
                     30 },
                   { "healthy members removed", "", MEMBERS_KEYS_WRONGED, HOW_SUM, 0 } } },
};

const struct members_case *members_case_at(uint32_t index)
{
    return index < ARRAY_COUNT(cases) ? &cases[index] : NULL;
}

const struct members_case *members_case_find(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return &cases[i];
        }
    }
    return NULL;
}
