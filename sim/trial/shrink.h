/* sim/trial/shrink.h: a failing scenario made small: fewer faults, shorter ones, fewer nodes, readers
 * and files, as long as it fails in the same way. What comes out follows from what goes in. */
#pragma once
#include "base/err.h"
#include "sim/trial/trial.h"

struct shrink_options {
    uint32_t jobs;     /* runs at a time */
    uint32_t runs_max; /* in all */
    void *self;
    /* Told after each step that made it smaller; may be NULL. */
    void (*told)(void *self, uint32_t runs, const struct scenario *smaller);
};

struct shrink_result {
    uint32_t runs;
    bool failed; /* false: it did not fail in the first place */
    struct trial_result last;
};

/* ERR_SYSTEM: a process could not be started; `scenario` is as small as it has become. */
enum err shrink_go(struct scenario *scenario, const struct shrink_options *options,
                   struct shrink_result *out) MUST_USE;
/* Do two failures tell of the same thing? Numbers and names of files do not count. */
bool shrink_is_same(const char *failure, const char *other);
