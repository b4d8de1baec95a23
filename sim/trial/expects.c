/* sim/trial/expects.c: expectations, looked at when they are due. */
#include "sim/trial/expects.h"

#include <stdlib.h>

#include "node/core/internal.h"
#include "sim/trial/checks.h"
#include "sim/trial/reader.h"

/* An expectation about one moment. */
struct moment {
    struct happening at;
    struct expects *expects;
};

struct expects {
    struct trial *trial;
    struct moment moments[SCENARIO_EXPECTED_MAX];
};

static void moment_fire(struct world *world, struct happening *what)
{
    (void)world;
    checks_settled(CONTAINER_OF(what, struct moment, at)->expects->trial->checks);
}

struct expects *expects_new(struct trial *trial)
{
    struct expects *expects = calloc(1, sizeof *expects);
    CHECK(expects != NULL);
    expects->trial = trial;
    for (uint32_t i = 0; i < SCENARIO_EXPECTED_MAX; i++) {
        expects->moments[i] = (struct moment){ .at.fire = moment_fire, .expects = expects };
    }
    return expects;
}

void expects_free(struct expects **expects)
{
    for (uint32_t i = 0; i < SCENARIO_EXPECTED_MAX; i++) {
        world_cancel((*expects)->trial->world, &(*expects)->moments[i].at);
    }
    free(*expects);
    *expects = NULL;
}

void expects_begin(struct expects *expects)
{
    const struct scenario *scenario = expects->trial->scenario;
    for (uint32_t i = 0; i < scenario->expected_count; i++) {
        if (scenario->expected[i].kind == EXPECT_ONE_RING) {
            world_set(expects->trial->world, &expects->moments[i].at, scenario->expected[i].value);
        }
    }
}

/* ---- at the end -------------------------------------------------------------------------------- */

/* In thousandths. */
static void expect_ratio(struct trial *trial, const char *what, uint64_t part, uint64_t whole,
                         int64_t most)
{
    if (part * 1000 > whole * (uint64_t)most) {
        world_fail(trial->world, "%s is %.4f, %.3f at most is expected", what,
                   (double)part / (double)whole, (double)most / 1000);
    }
}

static void expect_stall(struct trial *trial, usec_t most_us)
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        const usec_t longest_us = reader_totals(trial->readers[i])->longest_us;
        if (longest_us >= most_us) {
            world_fail(trial->world, "reader %u has waited %.3f s for one request", i,
                       (double)longest_us / 1e6);
        }
    }
}

static void expect_no_errors(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        if (reader_totals(trial->readers[i])->stale > 0) {
            world_fail(trial->world, "reader %u got ESTALE", i);
        }
    }
}

static void expect_no_silence(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        struct mount_totals totals;
        mount_totals(trial->mounts[i]->mount, &totals);
        if (totals.silences > 0) {
            world_fail(trial->world, "%s took a node for silent", trial->mounts[i]->process.name);
        }
    }
}

static void expect_read(struct trial *trial, uint64_t least)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        bytes += reader_totals(trial->readers[i])->bytes;
    }
    if (bytes < least) {
        world_fail(trial->world, "only %llu bytes were read", (unsigned long long)bytes);
    }
}

static void expect_handed_on(struct trial *trial, uint64_t least)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        bytes += host->node == NULL ? 0 : host->node->metrics.handed_on_bytes;
    }
    if (bytes < least) {
        world_fail(trial->world, "readers were handed on for %llu bytes only",
                   (unsigned long long)bytes);
    }
}

static void look_at(struct trial *trial, const struct expected *expected)
{
    uint64_t given;
    uint64_t unique;
    source_amplification(trial->world->source, &given, &unique);
    switch (expected->kind) {
    case EXPECT_AMPLIFICATION:
        expect_ratio(trial, "amplification", given, unique, expected->value);
        return;
    case EXPECT_REPEATED:
        expect_ratio(trial, "the repeated share", checks_repeated(trial->checks), unique,
                     expected->value);
        return;
    case EXPECT_STALL:
        expect_stall(trial, expected->value);
        return;
    case EXPECT_HANDED_ON:
        expect_handed_on(trial, (uint64_t)expected->value);
        return;
    case EXPECT_NO_ERRORS:
        expect_no_errors(trial);
        return;
    case EXPECT_NO_SILENCE:
        expect_no_silence(trial);
        return;
    case EXPECT_READ:
        expect_read(trial, (uint64_t)expected->value);
        return;
    case EXPECT_ONE_RING: /* at its moment */
        return;
    }
    BUG("an expectation of no kind");
}

void expects_end(struct expects *expects)
{
    const struct scenario *scenario = expects->trial->scenario;
    for (uint32_t i = 0; i < scenario->expected_count && !expects->trial->world->failed; i++) {
        look_at(expects->trial, &scenario->expected[i]);
    }
}
