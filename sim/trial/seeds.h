/* sim/trial/seeds.h: many seeds, each in a process of its own: a broken invariant of the product is
 * one failed seed, and seeds run side by side. */
#pragma once
#include "base/err.h"
#include "sim/trial/trial.h"

#define SEEDS_JOBS_MAX 64

struct seeds_options {
    struct trial_options trial; /* of each; its seed is not looked at */
    uint64_t first;
    uint64_t count;
    uint32_t jobs; /* at a time; at most SEEDS_JOBS_MAX */
    bool stop;     /* begin no other seed when one has failed */
};

/* Told of each seed when it has ended, in the order in which they end. */
typedef void seeds_done(void *self, uint64_t seed, const struct trial_result *result);

/* What a verbose seed tells goes to stderr. ERR_SYSTEM: no process can be started; the seeds under
 * way were waited for. */
enum err seeds_run(const struct seeds_options *options, seeds_done *done, void *self) MUST_USE;
