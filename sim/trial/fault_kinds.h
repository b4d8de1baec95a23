/* sim/trial/fault_kinds.h: each kind of misfortune: how it begins and how it ends. */
#pragma once
#include "sim/trial/faults.h"

#define FAULTS_MAX 24

struct fault;

struct fault_kind {
    const char *name;
    usec_t least_us; /* it lasts that long */
    usec_t most_us;
    usec_t excuse_us; /* readers may have to wait until it is over and that long; 0: not */
    bool repeats;     /* views may differ, or nodes act for others */
    bool (*begin)(struct trial *trial, struct fault *fault); /* false: not now */
    void (*end)(struct trial *trial, struct fault *fault);
};

struct fault {
    struct happening at;
    struct faults *faults;
    const struct fault_kind *kind;
    usec_t lasts_us;
    bool active;
    bool began;
    struct host_node *node;
    struct host_mount *mount;
    uint64_t sides; /* of a partition: processes on one side */
    uint32_t index; /* of a node */
};

struct faults {
    struct trial *trial;
    struct rng rng;
    struct fault list[FAULTS_MAX];
    uint32_t count;
    usec_t stalled_us; /* world time until which waiting is excused */
    usec_t repeat_us;  /* world time until which chunks may come twice */
};

uint32_t fault_kinds_count(void);
const struct fault_kind *fault_kinds_at(uint32_t index);
