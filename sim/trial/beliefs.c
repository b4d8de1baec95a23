/* sim/trial/beliefs.c: the views of all nodes beside what is true. */
#include "sim/trial/beliefs.h"

#include <stdlib.h>
#include <string.h>

#include "gossip/gossip.h"
#include "sim/trial/faults.h"

#define UNTOUCHED_US SEC(15) /* after that nothing of what was may matter */
#define WELL_US SEC(6)       /* by then what it missed before counts against nobody */
#define GONE_US SEC(10)      /* by then a node that is gone is out of all views */
#define HEARSAY_US \
    SEC(3) /* by then who was told something old by one that stood still knows better */
#define YOUNG_US SEC(10) /* after the readers began the young cluster has settled */

/* What one life of a node has published of one member. */
struct known {
    bool seen;
    bool living;
    usec_t living_us; /* since when */
    uint64_t incarnation;
    uint64_t buried; /* highest incarnation that was dead or left */
};

struct observer {
    uint64_t life;
    struct known known[SCENARIO_NODES_MAX];
};

struct beliefs {
    struct trial *trial;
    struct observer observers[SCENARIO_NODES_MAX];
};

struct beliefs *beliefs_new(struct trial *trial)
{
    struct beliefs *beliefs = calloc(1, sizeof *beliefs);
    CHECK(beliefs != NULL);
    beliefs->trial = trial;
    return beliefs;
}

void beliefs_free(struct beliefs **beliefs)
{
    free(*beliefs);
    *beliefs = NULL;
}

static bool runs(const struct host_node *host)
{
    return host->process.up && !host->process.frozen && !host->over && !host->leaving;
}

/* Has it run without a break for so long? */
static bool has_run(const struct host_node *host, usec_t us)
{
    const struct process *process = &host->process;
    const usec_t since_us = usec_max(process->started_us, process->thawed_us);
    return runs(host) && process->world->now_us - since_us >= us;
}

/* Nothing has happened that could make anybody doubt this one. */
static bool is_beyond_doubt(const struct trial *trial, const struct host_node *host)
{
    return has_run(host, WELL_US) &&
           trial->world->now_us - faults_touched_us(trial->faults, host->process.index) >= WELL_US;
}

/* ... nor this one, who was not removed itself lately: it would begin with what others believe. */
static bool is_judge(const struct trial *trial, const struct host_node *host)
{
    return is_beyond_doubt(trial, host) && has_run(host, UNTOUCHED_US) &&
           gossip_self(host->gossip).state == MEMBER_OWNING;
}

/* ---- one view ---------------------------------------------------------------------------------- */

static void check_member(struct trial *trial, const struct host_node *observer,
                         const struct member *member, struct known *known)
{
    const struct host_node *subject = trial_node(trial, member->id);
    const bool living = member_is_living(member);
    const char *who = observer->process.name;
    if (subject == NULL || member->incarnation > subject->incarnation) {
        world_fail(trial->world, "%s believes in an incarnation of %s that there never was", who,
                   member->name);
        return;
    }
    if (known->seen && member->incarnation < known->incarnation) {
        world_fail(trial->world, "%s goes back to an earlier incarnation of %s", who, member->name);
    }
    if (living && member->incarnation <= known->buried) {
        world_fail(trial->world, "%s brings %s back from the dead: incarnation %llx, dead was %llx",
                   who, member->name, (unsigned long long)member->incarnation,
                   (unsigned long long)known->buried);
    }
    if (known->living && member->state == MEMBER_DEAD && is_beyond_doubt(trial, subject) &&
        is_judge(trial, observer)) {
        world_fail(trial->world, "%s removes %s, which is well", who, member->name);
    }
    if (living && !known->living) {
        known->living_us = trial->world->now_us;
    }
    known->seen = true;
    known->living = living;
    known->incarnation = member->incarnation;
    if (!living && member->incarnation > known->buried) {
        known->buried = member->incarnation;
    }
}

void beliefs_viewed(struct beliefs *beliefs, struct host_node *host)
{
    struct trial *trial = beliefs->trial;
    struct observer *observer = &beliefs->observers[host->process.index];
    struct member member;
    uint32_t seen = 0;
    if (observer->life != host->process.life) {
        *observer = (struct observer){ .life = host->process.life };
    }
    for (uint32_t i = 0; i < gossip_places(host->gossip) && !trial->world->failed; i++) {
        if (!gossip_at(host->gossip, i, &member)) {
            continue;
        }
        const struct host_node *subject = trial_node(trial, member.id);
        CHECK(subject != NULL);
        seen |= 1u << subject->process.index;
        check_member(trial, host, &member, &observer->known[subject->process.index]);
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if (observer->known[i].seen && (seen >> i & 1) == 0) {
            world_fail(trial->world, "%s forgets %s before its tombstone's time is over",
                       host->process.name, trial->nodes[i]->process.name);
        }
    }
    if (trial->began_us != 0 && trial->world->now_us - trial->began_us > YOUNG_US &&
        !faults_may_move(trial->faults)) {
        world_fail(trial->world, "%s changes its view although nothing has happened",
                   host->process.name);
    }
}

void beliefs_noticed(struct beliefs *beliefs, struct host_node *host,
                     const struct gossip_effect *effect)
{
    struct trial *trial = beliefs->trial;
    const struct host_node *subject = trial_node(trial, effect->node);
    const bool calm = trial->world->now_us - faults_network_us(trial->faults) >= UNTOUCHED_US;
    if (effect->kind == GOSSIP_MEMBER_DEAD && subject != NULL && subject->over && calm &&
        has_run(host, UNTOUCHED_US)) {
        world_fail(trial->world, "%s finds %s dead, which has left in order", host->process.name,
                   subject->process.name);
    }
}

/* ---- all views --------------------------------------------------------------------------------- */

static bool is_same_view(const struct gossip *a, const struct gossip *b)
{
    for (uint32_t i = 0; i < gossip_places(a); i++) {
        struct member member;
        struct member other;
        uint8_t bytes[2][MEMBER_RECORD_MAX];
        size_t sizes[2] = { 0, 0 };
        if (!gossip_at(a, i, &member) || !member_is_living(&member)) {
            continue;
        }
        if (!gossip_find(b, member.id, &other) ||
            member_encode(&member, bytes[0], MEMBER_RECORD_MAX, &sizes[0]) != ERR_OK ||
            member_encode(&other, bytes[1], MEMBER_RECORD_MAX, &sizes[1]) != ERR_OK ||
            !span_equal(span_of(bytes[0], sizes[0]), span_of(bytes[1], sizes[1]))) {
            return false;
        }
    }
    return true;
}

static void compare(struct trial *trial, const struct host_node *a, const struct host_node *b)
{
    if (gossip_digest(a->gossip) == gossip_digest(b->gossip) &&
        !(is_same_view(a->gossip, b->gossip) && is_same_view(b->gossip, a->gossip))) {
        world_fail(trial->world, "%s and %s have different views of one digest", a->process.name,
                   b->process.name);
    }
}

/* A node that is gone for long is gone from this view. */
static void check_gone(const struct beliefs *beliefs, const struct host_node *observer)
{
    struct trial *trial = beliefs->trial;
    const struct known *known = beliefs->observers[observer->process.index].known;
    const usec_t now_us = trial->world->now_us;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *subject = trial->nodes[i];
        struct member member;
        if (!subject->process.up && now_us - subject->process.ended_us >= GONE_US &&
            now_us - known[i].living_us >= HEARSAY_US &&
            gossip_find(observer->gossip, subject->id, &member) && member_is_living(&member)) {
            world_fail(trial->world, "%s still believes in %s, which is gone for %.3f s",
                       observer->process.name, subject->process.name,
                       (double)(now_us - subject->process.ended_us) / 1e6);
        }
    }
}

static void check_held_back(struct trial *trial, const struct host_node *host)
{
    if (gossip_stats(host->gossip)->held_s > 0 &&
        gossip_self(host->gossip).state == MEMBER_OWNING) {
        world_fail(trial->world, "%s owns although it is held back", host->process.name);
    }
}

void beliefs_look(struct beliefs *beliefs)
{
    struct trial *trial = beliefs->trial;
    const struct host_node *first = NULL;
    const bool calm = trial->world->now_us - faults_network_us(trial->faults) >= GONE_US;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        if (!host->process.up || host->over) {
            continue;
        }
        if (first != NULL) {
            compare(trial, first, host);
        }
        first = host;
        check_held_back(trial, host);
        if (calm && has_run(host, GONE_US)) {
            check_gone(beliefs, host);
        }
    }
}

/* ---- when it is over --------------------------------------------------------------------------- */

static void check_subject(struct trial *trial, const struct host_node *observer,
                          const struct host_node *subject, bool owning)
{
    struct member member;
    const bool living =
        gossip_find(observer->gossip, subject->id, &member) && member_is_living(&member);
    const char *who = observer->process.name;
    const char *whom = subject->process.name;
    if (!runs(subject)) {
        if (living) {
            world_fail(trial->world, "%s believes in %s, which does not run", who, whom);
        }
        return;
    }
    if (!living) {
        world_fail(trial->world, "%s does not know that %s runs", who, whom);
    } else if (member.incarnation != subject->incarnation) {
        world_fail(trial->world, "%s believes in an earlier incarnation of %s", who, whom);
    } else if (owning && member.state != MEMBER_OWNING) {
        world_fail(trial->world, "%s does not let %s own", who, whom);
    }
}

void beliefs_settled(struct beliefs *beliefs, bool owning)
{
    struct trial *trial = beliefs->trial;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        for (uint32_t k = 0; k < trial->node_count && runs(trial->nodes[i]); k++) {
            check_subject(trial, trial->nodes[i], trial->nodes[k], owning);
        }
    }
}
