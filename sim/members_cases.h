/* sim/members_cases.h: what is asked of a membership, one entry a question: `atoll sim membership`. */
#pragma once
#include "sim/members.h"

#define MEMBERS_SERIES_MAX 12u
#define MEMBERS_COLUMNS_MAX 12u

/* Samples of one thing over all seeds. */
struct members_series {
    double *values;
    uint32_t count;
    uint32_t room;
};

enum members_how { HOW_P50, HOW_P99, HOW_MOST, HOW_MEAN, HOW_SUM };

struct members_column {
    const char *title; /* NULL: the end of the table */
    const char *unit;
    uint32_t series;
    enum members_how how;
    double goal; /* at most; negative: none */
};

struct members_trial {
    uint32_t nodes;
    uint64_t seed;
    double scale; /* of how long it goes on: 1 is the goal's own length */
    bool verbose;
    struct marks *marks;
    struct members_series series[MEMBERS_SERIES_MAX];
    usec_t simulated_us;
    uint64_t steps;
    char failure[512]; /* empty: it ran to its end */
};

struct members_case {
    const char *name;
    const char *goal;
    const char *about;
    uint32_t nodes;
    uint32_t seeds;
    void (*run)(struct members_trial *trial); /* one seed */
    struct members_column columns[MEMBERS_COLUMNS_MAX];
};

/* For the cases: a cluster that does not run yet; all of it started within a second, which returns how
 * long it took until all had all in their ring; and its end. */
struct members *members_trial_begin(const struct members_trial *trial, bool sealed);
usec_t members_trial_boot(struct members_trial *trial, struct members *m);
void members_trial_end(struct members_trial *trial, struct members *m);

/* members_keys.c: two rotations, and who was away meanwhile. */
enum {
    MEMBERS_KEYS_USED,
    MEMBERS_KEYS_OVER,
    MEMBERS_KEYS_SUSPECTED,
    MEMBERS_KEYS_UNOPENED,
    MEMBERS_KEYS_WRONGED,
    MEMBERS_KEYS_REJOINED,
};
void members_case_keys(struct members_trial *trial);

/* NULL: no such case. */
const struct members_case *members_case_find(const char *name);
const struct members_case *members_case_at(uint32_t index);

/* The samples go. */
void members_trial_fini(struct members_trial *trial);
void members_note(struct members_trial *trial, uint32_t series, double value);
double members_figure(const struct members_trial *trial, const struct members_column *column);
