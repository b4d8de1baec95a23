/* sim/trial/shrink.c: candidates that are smaller, tried in order; the first that still fails is the
 * next to be made smaller. */
#include "sim/trial/shrink.h"

#include <stdlib.h>
#include <string.h>

#include "sim/trial/fault_kinds.h"
#include "sim/trial/faults.h"
#include "sim/trial/runs.h"

#define CANDIDATES_MAX 128

struct shrink {
    const struct shrink_options *options;
    struct scenario *base;
    struct shrink_result *out;
    char failure[sizeof((struct trial_result *)NULL)->failure];
    struct scenario candidates[CANDIDATES_MAX];
    uint32_t count;
    uint32_t best; /* index of the first that fails in the same way; `count`: none */
    struct trial_result best_result;
};

/* ---- failures that are one --------------------------------------------------------------------- */

/* The next letter that counts; *text moves on. */
static char next_letter(const char **text)
{
    while (**text >= '0' && **text <= '9') {
        (*text)++;
    }
    if (**text == '"') { /* a name */
        const char *end = strchr(*text + 1, '"');
        *text = end == NULL ? *text + strlen(*text) : end + 1;
        return '"';
    }
    const char letter = **text;
    *text += letter != '\0';
    return letter;
}

bool shrink_is_same(const char *failure, const char *other)
{
    char a;
    do {
        a = next_letter(&failure);
        if (a != next_letter(&other)) {
            return false;
        }
    } while (a != '\0');
    return true;
}

/* ---- candidates -------------------------------------------------------------------------------- */

static void add(struct shrink *shrink, const struct scenario *candidate)
{
    if (shrink->count < CANDIDATES_MAX && scenario_fault(candidate) == NULL &&
        memcmp(candidate, shrink->base, sizeof *candidate) != 0) {
        shrink->candidates[shrink->count++] = *candidate;
    }
}

static void drop_faults(struct scenario *scenario, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i + count < SCENARIO_FAULTS_MAX; i++) {
        scenario->faults[i] = scenario->faults[i + count];
    }
    scenario->fault_count -= count;
    for (uint32_t i = scenario->fault_count; i < SCENARIO_FAULTS_MAX; i++) {
        memset(&scenario->faults[i], 0, sizeof scenario->faults[i]);
    }
}

/* All of them, halves, quarters, ..., single ones. */
static void fewer_faults(struct shrink *shrink)
{
    const uint32_t all = shrink->base->fault_count;
    for (uint32_t size = all; size > 0; size = size == 1 ? 0 : (size + 1) / 2) {
        for (uint32_t from = 0; from < all; from += size) {
            struct scenario candidate = *shrink->base;
            drop_faults(&candidate, from, from + size <= all ? size : all - from);
            add(shrink, &candidate);
        }
    }
}

static void fewer_readers(struct shrink *shrink)
{
    const struct scenario *base = shrink->base;
    for (uint32_t i = 0; i < base->reader_count; i++) {
        struct scenario candidate = *base;
        candidate.reader_count--;
        for (uint32_t k = i; k < candidate.reader_count; k++) {
            candidate.readers[k] = base->readers[k + 1];
        }
        candidate.readers[candidate.reader_count] = READER_SHUFFLED;
        add(shrink, &candidate);
    }
}

static void fewer_hosts(struct shrink *shrink)
{
    struct scenario candidate = *shrink->base;
    candidate.node_count--;
    candidate.nodes[candidate.node_count] =
        (struct scenario_node){ .weight = SCENARIO_WEIGHT_USUAL };
    add(shrink, &candidate);
    candidate = *shrink->base;
    candidate.mount_count--;
    add(shrink, &candidate);
}

static void fewer_files(struct shrink *shrink)
{
    static const size_t members[] = {
        offsetof(struct scenario_files, many),       offsetof(struct scenario_files, small),
        offsetof(struct scenario_files, large),      offsetof(struct scenario_files, deep),
        offsetof(struct scenario_files, late_small), offsetof(struct scenario_files, late_large)
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(members); i++) {
        struct scenario candidate = *shrink->base;
        uint32_t *count = (uint32_t *)(void *)((uint8_t *)&candidate.files + members[i]);
        const uint32_t half = *count / 2;
        *count = 0;
        add(shrink, &candidate);
        *count = half;
        add(shrink, &candidate);
    }
}

static void plainer(struct shrink *shrink)
{
    struct scenario candidate = *shrink->base;
    candidate.sealed = false;
    add(shrink, &candidate);
    candidate = *shrink->base;
    candidate.metadata = METADATA_ONCE;
    candidate.ttl_us = 0;
    add(shrink, &candidate);
    candidate = *shrink->base;
    candidate.node_disk = 0;
    add(shrink, &candidate);
    candidate = *shrink->base;
    for (uint32_t i = 0; i < candidate.node_count; i++) {
        memset(&candidate.nodes[i], 0, sizeof candidate.nodes[i]);
        candidate.nodes[i].weight = SCENARIO_WEIGHT_USUAL;
    }
    add(shrink, &candidate);
}

static usec_t whole_seconds(usec_t us)
{
    return us / SEC(1) * SEC(1);
}

static void shorter_faults(struct shrink *shrink)
{
    for (uint32_t i = 0; i < shrink->base->fault_count; i++) {
        const usec_t lasts_us = shrink->base->faults[i].lasts_us;
        struct scenario candidate = *shrink->base;
        if (lasts_us > 0 && lasts_us != USEC_NEVER) {
            candidate.faults[i].lasts_us = lasts_us / 2000 * 1000;
            add(shrink, &candidate);
            candidate.faults[i].lasts_us = lasts_us / 4000 * 3000;
            add(shrink, &candidate);
            candidate.faults[i].lasts_us = usec_max(whole_seconds(lasts_us), MSEC(1));
            add(shrink, &candidate);
        }
    }
}

/* Less time before, between and after faults, in round numbers. */
static void earlier(struct shrink *shrink)
{
    struct scenario candidate = *shrink->base;
    candidate.run_us = scenario_run_least(&candidate);
    if (candidate.run_us < shrink->base->run_us) {
        add(shrink, &candidate);
    }
    candidate = *shrink->base;
    candidate.settle_us = 0;
    add(shrink, &candidate);
    candidate = *shrink->base;
    candidate.stranger_count = 0;
    add(shrink, &candidate);
    for (uint32_t i = 0; i < shrink->base->fault_count; i++) {
        candidate = *shrink->base;
        candidate.faults[i].at_us = whole_seconds(candidate.faults[i].at_us);
        add(shrink, &candidate);
    }
    for (uint32_t i = 0; i < shrink->base->fault_count; i++) {
        candidate = *shrink->base;
        for (uint32_t k = i; k < candidate.fault_count; k++) {
            const usec_t before_us = i == 0 ? 0 : candidate.faults[i - 1].at_us;
            candidate.faults[k].at_us -= (shrink->base->faults[i].at_us - before_us) / 2000 * 1000;
        }
        add(shrink, &candidate);
    }
}

/* ---- trying ------------------------------------------------------------------------------------ */

static void make(void *self, uint64_t index, struct scenario *out)
{
    *out = ((struct shrink *)self)->candidates[index];
}

static bool done(void *self, uint64_t index, const struct trial_result *result)
{
    struct shrink *shrink = self;
    if (result->failed && shrink_is_same(result->failure, shrink->failure) &&
        index < shrink->best) {
        shrink->best = (uint32_t)index;
        shrink->best_result = *result;
    }
    return shrink->best == shrink->count;
}

typedef void reduce(struct shrink *shrink);

/* One step smaller, in that way; false: there is none. */
static enum err step(struct shrink *shrink, reduce *candidates, bool *smaller)
{
    const struct shrink_options *options = shrink->options;
    *smaller = false;
    shrink->count = 0;
    candidates(shrink);
    const uint32_t left = options->runs_max - shrink->out->runs;
    if (options->runs_max <= shrink->out->runs || shrink->count == 0) {
        return ERR_OK;
    }
    shrink->count = shrink->count < left ? shrink->count : left;
    shrink->best = shrink->count;
    const struct runs runs = {
        .count = shrink->count, .jobs = options->jobs, .self = shrink, .make = make, .done = done
    };
    enum err err = runs_go(&runs);
    /* Those behind the best one ran only because there was room: they do not count. */
    shrink->out->runs += shrink->best < shrink->count ? shrink->best + 1 : shrink->count;
    if (shrink->best < shrink->count) {
        *smaller = true;
        *shrink->base = shrink->candidates[shrink->best];
        shrink->out->last = shrink->best_result;
        if (options->told != NULL) {
            options->told(options->self, shrink->out->runs, shrink->base);
        }
    }
    return err;
}

/* Every way once, each as often as it helps. */
static enum err round_of_steps(struct shrink *shrink, bool *any)
{
    static reduce *const ways[] = { fewer_faults, fewer_readers, fewer_hosts,   fewer_files,
                                    plainer,      earlier,       shorter_faults };
    enum err err = ERR_OK;
    *any = false;
    for (uint32_t i = 0; i < ARRAY_COUNT(ways) && err == ERR_OK; i++) {
        bool smaller = true;
        while (err == ERR_OK && smaller) {
            err = step(shrink, ways[i], &smaller);
            *any |= smaller;
        }
    }
    return err;
}

/* As it is: how does it fail? */
static void unchanged(struct shrink *shrink)
{
    shrink->candidates[shrink->count++] = *shrink->base;
}

static bool first_done(void *self, uint64_t index, const struct trial_result *result)
{
    struct shrink *shrink = self;
    (void)index;
    shrink->out->runs++;
    shrink->out->failed = result->failed;
    shrink->out->last = *result;
    memcpy(shrink->failure, result->failure, sizeof shrink->failure);
    return false;
}

enum err shrink_go(struct scenario *scenario, const struct shrink_options *options,
                   struct shrink_result *out)
{
    struct shrink *shrink = calloc(1, sizeof *shrink);
    bool any = true;
    if (shrink == NULL) {
        return ERR_NOMEM;
    }
    *shrink = (struct shrink){ .options = options, .base = scenario, .out = out };
    const struct runs first = {
        .count = 1, .jobs = 1, .self = shrink, .make = make, .done = first_done
    };
    memset(out, 0, sizeof *out);
    unchanged(shrink);
    enum err err = runs_go(&first);
    while (err == ERR_OK && out->failed && any) {
        err = round_of_steps(shrink, &any);
    }
    free(shrink);
    return err;
}
