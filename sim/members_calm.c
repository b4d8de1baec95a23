/* sim/members_calm.c: starting, doing nothing, and single crashes. */
#include "sim/members_parts.h"

#include <time.h>

#define KB 1000.0
#define MIB (1024.0 * 1024.0)

/* ---- G6: all start together ---------------------------------------------------------------------- */

void members_run_boot(struct members_trial *trial)
{
    struct members *m = members_trial_begin(trial, false);
    const usec_t took_us = members_trial_boot(trial, m);
    members_note(trial, BOOT_TOOK, members_seconds(took_us));
    members_run(m, MEMBERS_QUIET_US);
    members_note(trial, BOOT_EPOCHS, members_epochs(m));
    members_note(trial, BOOT_WRONGED, m->faults.removed);
    members_trial_end(trial, m);
}

/* ---- G2: nothing happens ------------------------------------------------------------------------- */

static void measure_traffic(struct members *m, usec_t us)
{
    ledger_open(&m->ledger, m->world->now_us);
    members_run(m, us);
    for (uint32_t i = 0; i < m->count; i++) {
        ledger_flush(&m->ledger, &m->nodes[i].meter);
    }
    ledger_close(&m->ledger, m->world->now_us, m->count);
}

void members_run_idle(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    measure_traffic(m, members_scaled(trial, SEC(120)));
    for (enum members_way way = MEMBERS_IN; way <= MEMBERS_OUT; way++) {
        const struct ledger_figures figures = ledger_figures(&m->ledger, way);
        members_note(trial, IDLE_MEAN, figures.mean / KB);
        members_note(trial, IDLE_P99, figures.p99 / KB);
        members_note(trial, IDLE_MOST, figures.most / KB);
        members_note(trial, IDLE_PACKETS, figures.packets);
    }
    members_trial_end(trial, m);
}

/* ---- G9: ten thousand ---------------------------------------------------------------------------- */

static double processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

void members_run_large(struct members_trial *trial)
{
    struct members *m = members_trial_begin(trial, false);
    const usec_t run_us = members_scaled(trial, SEC(60));
    members_note(trial, LARGE_BOOT, members_seconds(members_trial_boot(trial, m)));
    members_run(m, MEMBERS_QUIET_US);
    const double began = processor_seconds();
    measure_traffic(m, run_us);
    const double of_each = (processor_seconds() - began) / m->count / ((double)run_us / 1e6);
    for (enum members_way way = MEMBERS_IN; way <= MEMBERS_OUT; way++) {
        const struct ledger_figures figures = ledger_figures(&m->ledger, way);
        members_note(trial, LARGE_MEAN, figures.mean / KB);
        members_note(trial, LARGE_P99, figures.p99 / KB);
    }
    members_note(trial, LARGE_MEMORY, (double)gossip_memory(m->count, NULL) / MIB);
    members_note(trial, LARGE_CPU, of_each * 100);
    members_trial_end(trial, m);
}

/* ---- G1: a crash ------------------------------------------------------------------------------- */

void members_run_crash(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    const uint32_t crashes = (uint32_t)(20 * trial->scale);
    for (uint32_t i = 0; i < crashes && !members_failed(trial); i++) {
        const uint32_t gone = members_pick(m);
        members_run(m, rng_between(&m->rng, 0, SEC(2)));
        members_forget_epochs(m);
        members_lose(m, gone);
        members_crash(m, gone);
        const usec_t took_us = members_settle(m, SEC(60));
        members_note(trial, CRASH_OUT, members_seconds(took_us));
        members_note(trial, CRASH_EPOCHS, members_epochs(m));
        members_run(m, SEC(8));
    }
    members_note(trial, CRASH_WRONGED, m->faults.removed);
    members_trial_end(trial, m);
}
