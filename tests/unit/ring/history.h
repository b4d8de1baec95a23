/* tests/unit/ring/history.h: members that come, go and change, at random. */
#pragma once
#include "base/rng.h"
#include "ring/view.h"

#define HISTORY_MEMBERS_MAX 200

/* A cluster's life: fill it once, then change it again and again. */
struct history {
    struct rng rng;
    struct member members[HISTORY_MEMBERS_MAX];
    uint32_t count;
    uint32_t zones;    /* at most */
    uint32_t heaviest; /* weight */
    uint64_t next;     /* number of the next member */
};

/* With 1 to `most` members. */
void history_begin(struct history *history, uint64_t seed, uint32_t most);
/* One to three members come, go, or change weight, zone or state; then all are shuffled. */
void history_change(struct history *history);
