/* sim/members_rough.c: loss, bad links, starved processes, partitions. */
#include "sim/members_parts.h"

#include <stdlib.h>

/* ---- G3: every packet may be lost --------------------------------------------------------------- */

static void run_loss(struct members_trial *trial, uint32_t loss)
{
    struct members *m = members_begin_settled(trial);
    const usec_t run_us = members_scaled(trial, SEC(86400));
    m->weather.loss = loss;
    members_run(m, run_us);
    members_note(trial, LOSS_WRONGED, m->faults.removed);
    members_note(trial, LOSS_HOURS, (double)run_us / 3.6e9);
    members_note(trial, LOSS_EPOCHS, members_epochs(m));
    members_trial_end(trial, m);
}

void members_run_loss_10(struct members_trial *trial)
{
    run_loss(trial, 100000);
}

void members_run_loss_30(struct members_trial *trial)
{
    run_loss(trial, 300000);
}

/* ---- G4: one in a hundred has a bad link --------------------------------------------------------- */

#define WATCH_US SEC(300)

/* How long it takes until they are out, and what comes after. */
static void watch_faulty(struct members_trial *trial, struct members *m)
{
    const usec_t out_us = members_settle(m, SEC(120));
    members_note(trial, FAULTY_OUT, members_seconds(out_us));
    members_note(trial, FAULTY_EPOCHS, members_epochs(m));
}

static void note_the_rest(struct members_trial *trial, struct members *m)
{
    members_note(trial, FAULTY_LATER, members_epochs(m));
    members_note(trial, FAULTY_WRONGED, m->faults.removed);
}

static uint32_t hundredth(const struct members *m)
{
    return m->count >= 200 ? m->count / 100 : 1;
}

void members_run_bad_links(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    uint32_t *bad = calloc(hundredth(m), sizeof *bad);
    CHECK(bad != NULL);
    members_pick_faulty(m, hundredth(m), bad);
    for (uint32_t i = 0; i < hundredth(m); i++) {
        m->nodes[bad[i]].loss_out = 800000;
    }
    watch_faulty(trial, m);
    members_run(m, members_scaled(trial, WATCH_US));
    note_the_rest(trial, m);
    free(bad);
    members_trial_end(trial, m);
}

void members_run_flip_flop(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    uint32_t *bad = calloc(hundredth(m), sizeof *bad);
    const usec_t end_us = m->world->now_us + members_scaled(trial, WATCH_US);
    bool is_deaf = true;
    bool is_watched = false;
    CHECK(bad != NULL);
    members_pick_faulty(m, hundredth(m), bad);
    while (m->world->now_us < end_us && !m->world->failed) {
        const usec_t turn_us = m->world->now_us + SEC(20);
        for (uint32_t i = 0; i < hundredth(m); i++) {
            m->nodes[bad[i]].loss_in = is_deaf ? 1000000 : 0;
        }
        if (!is_watched) {
            watch_faulty(trial, m);
            is_watched = true;
        }
        members_run(m, usec_max(turn_us - m->world->now_us, 0));
        is_deaf = !is_deaf;
    }
    note_the_rest(trial, m);
    free(bad);
    members_trial_end(trial, m);
}

/* ---- G5: a third stands still again and again ---------------------------------------------------- */

struct starved {
    uint32_t node;
    usec_t next_us;
};

static usec_t starve(struct members *m, struct starved *starved, uint32_t count)
{
    usec_t next_us = USEC_NEVER;
    for (uint32_t i = 0; i < count; i++) {
        if (m->world->now_us >= starved[i].next_us) {
            const usec_t pause_us = rng_between(&m->rng, MSEC(100), SEC(32));
            members_pause(m, starved[i].node, pause_us);
            starved[i].next_us =
                m->world->now_us + pause_us + rng_between(&m->rng, MSEC(100), SEC(32));
        }
        next_us = usec_min(next_us, starved[i].next_us);
    }
    return next_us;
}

void members_run_starved(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    const uint32_t count = m->count * 32 / 100;
    const usec_t end_us = m->world->now_us + members_scaled(trial, SEC(600));
    struct starved *starved = calloc(count, sizeof *starved);
    CHECK(starved != NULL);
    for (uint32_t i = 0; i < count; i++) {
        starved[i].node = members_pick(m);
        starved[i].next_us = m->world->now_us + rng_between(&m->rng, 0, SEC(32));
        m->nodes[starved[i].node].is_faulty = true;
    }
    while (m->world->now_us < end_us && !m->world->failed) {
        const usec_t next_us = usec_min(starve(m, starved, count), end_us);
        members_run(m, usec_max(next_us - m->world->now_us, 1));
    }
    members_note(trial, STARVED_WRONGED, m->faults.removed);
    members_note(trial, STARVED_EPOCHS, members_epochs(m));
    members_run(m, SEC(33));
    members_note(trial, STARVED_SETTLED, members_seconds(members_settle(m, SEC(60))));
    free(starved);
    members_trial_end(trial, m);
}

/* ---- G7: two halves ------------------------------------------------------------------------------ */

void members_run_halves(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    for (uint32_t i = 0; i < m->count; i++) {
        m->nodes[i].side = i % 2;
        m->nodes[i].is_faulty = true; /* the halves are to remove each other */
    }
    members_run(m, members_scaled(trial, SEC(3600)));
    members_note(trial, HALVES_APART, m->nodes[0].ring_size);
    members_forget_epochs(m);
    for (uint32_t i = 0; i < m->count; i++) {
        m->nodes[i].side = 0;
    }
    members_note(trial, HALVES_SETTLED, members_seconds(members_settle(m, SEC(120))));
    members_run(m, MEMBERS_QUIET_US);
    members_note(trial, HALVES_EPOCHS, members_epochs(m));
    members_trial_end(trial, m);
}
