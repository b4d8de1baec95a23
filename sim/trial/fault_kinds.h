/* sim/trial/fault_kinds.h: each kind of misfortune: what it is about, how it begins and how it ends. */
#pragma once
#include "sim/trial/scenario.h"
#include "sim/trial/trial.h"

enum fault_about {
    ABOUT_NOTHING,
    ABOUT_NODES,
    ABOUT_MOUNTS,
    ABOUT_PROCESS, /* one node or one mount */
    ABOUT_SIDES,   /* nodes, and perhaps mounts, on one side; all others are on the other */
    ABOUT_PAIR,    /* one node and one mount */
    ABOUT_FILES,   /* a file, or so many of them */
};

enum fault_unit { /* of an amount */
                  UNIT_NONE,
                  UNIT_SHARE, /* per million; a text has percent */
                  UNIT_TIME,
                  UNIT_COUNT,
};

struct fault;

struct fault_kind {
    const char *name;
    const char *text; /* what it is */
    enum fault_about about;
    enum fault_unit unit;
    int64_t least; /* the amount, when drawn */
    int64_t most;
    usec_t least_us; /* how long it lasts; both 0: it has no end of its own */
    usec_t most_us;
    usec_t excuse_us; /* readers may have to wait until it is over and that long; 0: not */
    bool repeats;     /* views may differ, or nodes act for others */
    void (*begin)(struct trial *trial, struct fault *fault);
    void (*end)(struct trial *trial, struct fault *fault);
};

/* A misfortune in a trial. */
struct fault {
    struct happening at;
    struct faults *faults;
    const struct planned *plan;
    uint32_t nodes; /* those of the plan, owners of files looked up */
    bool active;
    bool began;
};

uint32_t fault_kinds_count(void);
const struct fault_kind *fault_kinds_at(uint32_t index);
/* NULL: there is none of that name. */
const struct fault_kind *fault_kinds_find(struct span name);
/* Does it trouble the network between nodes? */
bool fault_kind_is_network(const struct fault_kind *kind);
/* Does it trouble the source, or the way there? */
bool fault_kind_is_source(const struct fault_kind *kind);
/* Does it trouble the disks of nodes that run? */
bool fault_kind_is_disk(const struct fault_kind *kind);
/* Do datagrams get lost, of all alike? */
bool fault_kind_loses(const struct fault_kind *kind);
/* Does it take nodes away, so that they do not run? */
bool fault_kind_takes_nodes(const struct fault_kind *kind);
