/* sim/trial/trial.h: one run of a scenario: a cluster, mounts with readers, a source, faults, and what
 * must hold. All of it follows from the scenario alone. */
#pragma once
#include "sim/host_mount.h"
#include "sim/host_node.h"
#include "sim/net.h"
#include "sim/source.h"
#include "sim/trial/scenario.h"
#include "sim/world.h"

#define TRIAL_DATASET "train"
#define TRIAL_PREFIX "data/"    /* of the dataset in its source */
#define TRIAL_HELD_BACK "late/" /* read for the first time when all faults are over */

struct reader;
struct stranger;
struct checks;
struct expects;
struct inodes;
struct faults;

struct trial_options {
    bool verbose;  /* tell on stderr what happens */
    bool messages; /* and of each message, when verbose */
};

struct trial {
    const struct scenario *scenario;
    struct trial_options options;
    struct world *world;
    struct marks marks;
    struct rng rng;
    struct host_node *nodes[SCENARIO_NODES_MAX];
    uint32_t node_count;
    struct host_mount *mounts[SCENARIO_MOUNTS_MAX];
    struct inodes *inodes[SCENARIO_MOUNTS_MAX]; /* what each has told */
    uint32_t mount_count;
    struct reader *readers[SCENARIO_READERS_MAX];
    uint32_t reader_count;
    struct stranger *strangers[SCENARIO_STRANGERS_MAX];
    struct checks *checks;
    struct expects *expects;
    struct faults *faults;
    struct cluster_key key; /* of everybody's cluster file, where there are keys */
    usec_t began_us;        /* world time: the readers began */
    bool is_late;           /* all is over: the files held back are read */
};

struct trial_result {
    uint64_t hash;
    bool failed;
    char failure[512];
    struct marks marks;
    uint64_t steps;
    uint64_t ops;      /* of readers */
    uint64_t bytes;    /* that they read */
    uint64_t stale;    /* ESTALE that they got of files that had changed */
    uint64_t given;    /* by the source */
    uint64_t unique;   /* of them */
    uint64_t repeated; /* bytes asked for although a live node had them */
    usec_t longest_us; /* of an op */
    char faults[512];  /* their kinds */
};

void trial_run(const struct scenario *scenario, const struct trial_options *options,
               struct trial_result *out);

/* ---- for its parts ---- */

/* The file of that path in the dataset. The trial has failed when there is none: it is another one. */
struct source_object *trial_file(struct trial *trial, const char *path);
/* The index of the node that owns the first block of that file, a large one. */
uint32_t trial_owner_of(struct trial *trial, const char *path);
/* The node of that id, whether it runs or not; NULL: there is none. */
struct host_node *trial_node(const struct trial *trial, struct node_id id);
bool trial_is_mount(const struct trial *trial, const struct process *process);
