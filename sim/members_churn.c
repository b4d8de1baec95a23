/* sim/members_churn.c: members that come and go all the time. */
#include "sim/members_parts.h"

#include <stdlib.h>
#include <string.h>

#define KB 1000.0

/* The last time that a node ended or began, and by which incarnation. */
struct change {
    uint64_t incarnation;
    usec_t at_us;
};

static uint64_t incarnation_of(const struct members_node *node)
{
    return gossip_self(node->gossip).incarnation;
}

static uint32_t index_of(struct node_id id)
{
    return (uint32_t)get_u64(id.b + 8);
}

static void end_process(struct members *m, struct change *gone, uint32_t node)
{
    gone[node] = (struct change){ incarnation_of(&m->nodes[node]), m->world->now_us };
    m->nodes[node].is_expected = false;
}

static void start_process(struct members *m, struct change *come, uint32_t node)
{
    members_start(m, node);
    come[node] = (struct change){ incarnation_of(&m->nodes[node]), m->world->now_us };
    m->nodes[node].is_expected = true;
}

static void start_all(struct members *m, struct change *come)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->nodes[i].gossip == NULL) {
            start_process(m, come, i);
        }
    }
}

/* ---- G10: a tenth each minute -------------------------------------------------------------------- */

#define OBSERVER_EACH 10u /* so many see what is written down of all that is seen */
#define DRAIN_US SEC(1)

struct churn {
    struct members_trial *trial;
    struct change *gone;
    struct change *come;
    usec_t *next_us; /* of each node that is on its way out, or in again; USEC_NEVER */
    bool *is_leaving;
};

static void churn_noticed(struct members *m, const struct members_node *observer,
                          const struct gossip_effect *effect)
{
    const struct churn *churn = m->watcher;
    const bool joined = effect->kind == GOSSIP_MEMBER_JOINED;
    const struct change *change =
        joined ? &churn->come[index_of(effect->node)] : &churn->gone[index_of(effect->node)];
    const usec_t here_us = churn->come[observer->index].at_us;
    if (observer->index % OBSERVER_EACH != 0 || change->incarnation != effect->incarnation ||
        change->at_us < here_us + MEMBERS_QUIET_US) {
        return; /* who has just come hears of many at once */
    }
    members_note(churn->trial, joined ? CHURN_JOINED : CHURN_GONE,
                 members_seconds(m->world->now_us - change->at_us));
}

/* One goes: half of them in order. */
static void churn_one(struct churn *churn, struct members *m)
{
    const uint32_t node = members_pick(m);
    const usec_t away_us = rng_between(&m->rng, SEC(10), SEC(60));
    if (churn->is_leaving[node]) {
        return;
    }
    if (rng_chance(&m->rng, 500000)) {
        members_leave(m, node, false);
        churn->is_leaving[node] = true;
        churn->next_us[node] = m->world->now_us + DRAIN_US;
    } else {
        end_process(m, churn->gone, node);
        members_crash(m, node);
        churn->next_us[node] = m->world->now_us + away_us;
    }
}

static void churn_go_on(struct churn *churn, struct members *m, uint32_t node)
{
    if (m->nodes[node].gossip == NULL) {
        start_process(m, churn->come, node);
        churn->is_leaving[node] = false;
        churn->next_us[node] = USEC_NEVER;
        return;
    }
    end_process(m, churn->gone, node);
    members_leave(m, node, true);
    churn->next_us[node] = m->world->now_us + rng_between(&m->rng, SEC(10), SEC(60));
}

static void note_backlog(struct churn *churn, struct members *m)
{
    for (uint32_t i = 0; i < m->count; i += OBSERVER_EACH) {
        if (m->nodes[i].gossip != NULL) {
            members_note(churn->trial, CHURN_BACKLOG,
                         (double)gossip_backlog(m->nodes[i].gossip) / KB);
        }
    }
}

static void churn_run(struct churn *churn, struct members *m, usec_t run_us)
{
    const usec_t end_us = m->world->now_us + run_us;
    const usec_t gap_us = SEC(60) * 10 / m->count;
    usec_t backlog_us = m->world->now_us;
    while (m->world->now_us < end_us && !m->world->failed) {
        churn_one(churn, m);
        members_run(m, rng_between(&m->rng, 0, 2 * gap_us));
        for (uint32_t i = 0; i < m->count; i++) {
            if (m->world->now_us >= churn->next_us[i]) {
                churn_go_on(churn, m, i);
            }
        }
        if (m->world->now_us >= backlog_us) {
            note_backlog(churn, m);
            backlog_us += SEC(10);
        }
    }
}

/* Whoever is on its way out goes, and all come back. */
static void churn_end(struct churn *churn, struct members *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (churn->is_leaving[i] && m->nodes[i].gossip != NULL && m->nodes[i].is_expected) {
            churn_go_on(churn, m, i);
        }
    }
    members_run(m, SEC(5));
    start_all(m, churn->come);
    members_note(churn->trial, CHURN_SETTLED, members_seconds(members_settle(m, SEC(60))));
}

void members_run_churn(struct members_trial *trial)
{
    struct members *m = members_begin_settled(trial);
    struct churn churn = { .trial = trial,
                           .gone = calloc(m->count, sizeof *churn.gone),
                           .come = calloc(m->count, sizeof *churn.come),
                           .next_us = calloc(m->count, sizeof *churn.next_us),
                           .is_leaving = calloc(m->count, sizeof *churn.is_leaving) };
    CHECK(churn.gone != NULL && churn.come != NULL && churn.next_us != NULL &&
          churn.is_leaving != NULL);
    for (uint32_t i = 0; i < m->count; i++) {
        churn.next_us[i] = USEC_NEVER;
    }
    m->noticed = churn_noticed;
    m->watcher = &churn;
    ledger_open(&m->ledger, m->world->now_us);
    churn_run(&churn, m, members_scaled(trial, SEC(3600)));
    ledger_close(&m->ledger, m->world->now_us, m->count);
    members_note(trial, CHURN_TRAFFIC, ledger_figures(&m->ledger, MEMBERS_OUT).mean / KB);
    churn_end(&churn, m);
    members_note(trial, CHURN_WRONGED, m->faults.removed);
    free(churn.gone);
    free(churn.come);
    free(churn.next_us);
    free(churn.is_leaving);
    members_trial_end(trial, m);
}

/* ---- G8: nobody comes back from the dead ---------------------------------------------------------- */

#define GHOSTS_MEMBERS_MAX 1024u
#define BURIED 4u /* ids of one place that are remembered by an observer */

/* What one observer has seen end. */
struct burial {
    uint64_t id;
    uint64_t incarnation;
};

struct ghosts {
    uint32_t count;
    uint32_t risen;
    uint32_t table;
    struct change *come;
    struct burial *burials; /* BURIED of each place, of each observer */
    uint32_t *lives;        /* of an observer: who starts again has seen nothing */
};

static struct burial *burials_of(struct ghosts *ghosts, const struct members_node *observer,
                                 uint32_t place)
{
    const size_t row = (size_t)observer->index * ghosts->count;
    if (ghosts->lives[observer->index] != observer->lives) {
        ghosts->lives[observer->index] = observer->lives;
        memset(&ghosts->burials[row * BURIED], 0, ghosts->count * BURIED * sizeof(struct burial));
    }
    return &ghosts->burials[(row + place) * BURIED];
}

static void ghosts_noticed(struct members *m, const struct members_node *observer,
                           const struct gossip_effect *effect)
{
    struct ghosts *ghosts = m->watcher;
    struct burial *burials = burials_of(ghosts, observer, index_of(effect->node));
    const uint64_t id = get_u64(effect->node.b);
    uint32_t at = 0;
    while (at < BURIED - 1 && burials[at].id != id) {
        at++;
    }
    if (effect->kind == GOSSIP_MEMBER_JOINED) {
        if (burials[at].id == id && effect->incarnation <= burials[at].incarnation) {
            ghosts->risen++;
            world_say(m->world, "node %u brings node %u back from the dead", observer->index,
                      index_of(effect->node));
        }
        return;
    }
    if (burials[at].id != id) {
        memmove(burials + 1, burials, (BURIED - 1) * sizeof *burials);
        at = 0;
    }
    burials[at] = (struct burial){ .id = id, .incarnation = effect->incarnation };
}

static void ghosts_change(struct ghosts *ghosts, struct members *m)
{
    const uint32_t node = MEMBERS_SEEDS + (uint32_t)rng_below(&m->rng, m->count - MEMBERS_SEEDS);
    struct members_node *at = &m->nodes[node];
    if (at->gossip == NULL) {
        if (rng_chance(&m->rng, 500000)) {
            members_renew(m, node);
        }
        start_process(m, ghosts->come, node);
        return;
    }
    at->is_expected = false;
    if (rng_chance(&m->rng, 500000)) {
        members_leave(m, node, true); /* its process ends by itself */
    } else {
        members_crash(m, node);
    }
}

static void ghosts_look(struct ghosts *ghosts, struct members *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const uint32_t table = m->nodes[i].gossip != NULL ? gossip_count(m->nodes[i].gossip) : 0;
        ghosts->table = table > ghosts->table ? table : ghosts->table;
    }
}

static struct members *ghosts_begin(struct members_trial *trial, struct ghosts *ghosts)
{
    const struct members_options options = { .nodes = trial->nodes,
                                             .members_max = GHOSTS_MEMBERS_MAX,
                                             .seed = trial->seed };
    struct members *m = members_new(&options, trial->marks);
    const size_t pairs = (size_t)m->count * m->count;
    m->world->verbose = trial->verbose;
    (void)members_trial_boot(trial, m);
    *ghosts = (struct ghosts){ .count = m->count,
                               .come = calloc(m->count, sizeof *ghosts->come),
                               .burials = calloc(pairs * BURIED, sizeof *ghosts->burials),
                               .lives = calloc(m->count, sizeof *ghosts->lives) };
    CHECK(ghosts->come != NULL && ghosts->burials != NULL && ghosts->lives != NULL);
    m->noticed = ghosts_noticed;
    m->watcher = ghosts;
    m->weather.loss = 100000;
    return m;
}

void members_run_ghosts(struct members_trial *trial)
{
    struct ghosts ghosts;
    struct members *m = ghosts_begin(trial, &ghosts);
    const uint32_t changes = (uint32_t)(100000 * trial->scale);
    for (uint32_t i = 0; i < changes && !m->world->failed; i++) {
        ghosts_change(&ghosts, m);
        members_run(m, rng_between(&m->rng, 0, MSEC(400)));
        if (i % 100 == 0) {
            ghosts_look(&ghosts, m);
        }
    }
    members_run(m, SEC(5)); /* who said that it leaves has left */
    members_note(trial, GHOSTS_SETTLED, members_seconds(members_settle(m, SEC(60))));
    members_note(trial, GHOSTS_CHANGES, changes);
    members_note(trial, GHOSTS_RISEN, ghosts.risen);
    members_note(trial, GHOSTS_TABLE, ghosts.table);
    members_note(trial, GHOSTS_WRONGED, m->faults.removed);
    free(ghosts.come);
    free(ghosts.burials);
    free(ghosts.lives);
    members_trial_end(trial, m);
}
