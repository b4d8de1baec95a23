/* sim/members_keys.c: a rotation of the cluster's key, and who was away meanwhile. */
#include "sim/members_parts.h"

#define TTL_S 10u
#define FIRST_KEY 1 /* of the cluster file */
#define LOOK_US MSEC(100)

/* Until all use it and open by so many; in seconds. */
static double wait_for_key(struct members *m, uint8_t byte, uint32_t open)
{
    const usec_t began_us = m->world->now_us;
    while (!members_use_key(m, byte, open)) {
        if (m->world->now_us - began_us >= SEC(60)) {
            return members_seconds(USEC_NEVER);
        }
        members_run(m, LOOK_US);
    }
    return members_seconds(m->world->now_us - began_us);
}

static uint64_t unopened(const struct members *m)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->nodes[i].gossip != NULL) {
            const struct gossip_stats *stats = gossip_stats(m->nodes[i].gossip);
            count += stats->dropped_key + stats->dropped_unsealed;
        }
    }
    return count;
}

/* One rotation, from the operator's word to the end of the old key, and what it did to the others. */
static void rotate(struct members_trial *trial, struct members *m, uint8_t byte)
{
    const uint32_t at = (uint32_t)rng_below(&m->rng, m->count - 1);
    const uint64_t before = unopened(m);
    m->faults.suspected = 0;
    members_rotate(m, at, byte, TTL_S);
    const usec_t began_us = m->world->now_us;
    members_note(trial, MEMBERS_KEYS_USED, wait_for_key(m, byte, 2));
    (void)wait_for_key(m, byte, 1);
    members_note(trial, MEMBERS_KEYS_OVER, members_seconds(m->world->now_us - began_us));
    members_run(m, SEC(30));
    members_note(trial, MEMBERS_KEYS_SUSPECTED, m->faults.suspected);
    members_note(trial, MEMBERS_KEYS_UNOPENED, (double)(unopened(m) - before));
}

void members_case_keys(struct members_trial *trial)
{
    struct members *m = members_trial_begin(trial, true);
    if (members_trial_boot(trial, m) == USEC_NEVER) {
        members_trial_end(trial, m);
        return;
    }
    members_run(m, SEC(20));
    m->weather.loss = 50000;
    const uint32_t away = m->count - 1;
    members_lose(m, away);
    members_crash(m, away);
    members_run(m, SEC(20));
    rotate(trial, m, FIRST_KEY + 1);
    rotate(trial, m, FIRST_KEY + 2);
    m->nodes[away].is_expected = true;
    m->nodes[away].is_faulty = false;
    members_start(m, away);
    members_note(trial, MEMBERS_KEYS_REJOINED, members_seconds(members_settle(m, SEC(60))));
    members_note(trial, MEMBERS_KEYS_WRONGED, m->faults.removed);
    members_trial_end(trial, m);
}
