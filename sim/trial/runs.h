/* sim/trial/runs.h: many runs, each in a process of its own: a broken invariant of the product is one
 * failed run, and runs go side by side. */
#pragma once
#include "base/err.h"
#include "sim/trial/trial.h"

#define RUNS_JOBS_MAX 64

struct runs {
    struct trial_options trial; /* of each; what a verbose one tells goes to stderr */
    uint64_t count;
    uint32_t jobs;   /* at a time; at most RUNS_JOBS_MAX */
    const int *stop; /* a descriptor; when it can be read, those under way are killed and none
                      * begin. NULL: none */
    uint64_t *over;  /* may be NULL; out: so many from the first on have ended, without a gap */
    void *self;
    /* The scenario of the n-th. Called in its process, so it must not remember anything. */
    void (*make)(void *self, uint64_t index, struct scenario *out);
    /* One has ended; they end in any order, and begin in that of their numbers. false: begin no more. */
    bool (*done)(void *self, uint64_t index, const struct trial_result *result);
};

/* ERR_SYSTEM: a process could not be started, errno says why; the runs under way were waited for.
 * ERR_CANCELLED: stopped. A process whose parent dies is killed. */
enum err runs_go(const struct runs *runs) MUST_USE;
