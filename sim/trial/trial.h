/* sim/trial/trial.h: one seed: a cluster, mounts with readers, a source, a plan of faults, and what
 * must hold. All of it follows from the seed alone. */
#pragma once
#include "sim/host_mount.h"
#include "sim/host_node.h"
#include "sim/net.h"
#include "sim/source.h"
#include "sim/world.h"

#define TRIAL_NODES_MAX 8
#define TRIAL_MOUNTS_MAX 4
#define TRIAL_READERS_MAX 12
#define TRIAL_DATASET "train"
#define TRIAL_PREFIX "data/"    /* of the dataset in its source */
#define TRIAL_HELD_BACK "late/" /* read for the first time when all faults are over */

struct reader;
struct checks;
struct faults;

struct trial_options {
    uint64_t seed;
    bool verbose;
    bool messages;    /* tell of each one, when verbose */
    bool calm;        /* no faults */
    const char *only; /* this kind of fault, several times; NULL: any */
};

struct trial {
    struct trial_options options;
    struct world *world;
    struct marks marks;
    struct rng rng;
    struct host_node *nodes[TRIAL_NODES_MAX];
    uint32_t node_count;
    struct host_mount *mounts[TRIAL_MOUNTS_MAX];
    uint32_t mount_count;
    struct reader *readers[TRIAL_READERS_MAX];
    uint32_t reader_count;
    struct checks *checks;
    struct faults *faults;
    uint32_t block_size;
    usec_t ttl_us; /* of metadata; 0: once */
};

struct trial_result {
    uint64_t hash;
    bool failed;
    char failure[512];
    struct marks marks;
    uint64_t steps;
    uint64_t ops;      /* of readers */
    uint64_t bytes;    /* that they read */
    uint64_t given;    /* by the source */
    uint64_t unique;   /* of them */
    uint64_t repeated; /* bytes asked for although a live node had them */
    usec_t longest_us; /* of an op */
    char faults[512];  /* their kinds */
};

void trial_run(const struct trial_options *options, struct trial_result *out);

/* ---- for its parts ---- */

struct host_node *trial_any_node(struct trial *trial); /* that is up and not frozen; or NULL */
