/* sim/trial/scenario.h: all that a trial is made from: a cluster, its files and readers, what goes
 * wrong and when, and what is expected beyond what must always hold.
 *
 * A scenario is drawn from a seed (draw.c), or read from a text (scenario_parse.c), and can be written
 * as one: equal texts are equal trials, in every step. Times count from when the readers begin. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/time.h"
#include "wire/dataset.h"

#define SCENARIO_NODES_MAX 16
#define SCENARIO_MOUNTS_MAX 8
#define SCENARIO_READERS_MAX 24
#define SCENARIO_STRANGERS_MAX 4
#define SCENARIO_FAULTS_MAX 32
#define SCENARIO_EXPECTED_MAX 16
#define SCENARIO_NAME_MAX 64
#define SCENARIO_RUN_MAX_US SEC(3600)
#define SCENARIO_WEIGHT_USUAL 100u

enum reader_pattern {
    READER_IN_ORDER, /* all files in order of their names, whole */
    READER_SHUFFLED, /* all files in random order, whole */
    READER_RANDOM,   /* pieces anywhere */
    READER_LISTER,   /* directories, again and again, and names that do not exist */
    READER_TOGETHER, /* large files, each at the same time as all others of this kind */
    READER_PATTERNS,
};

struct fault_kind;

/* One misfortune. */
struct planned {
    const struct fault_kind *kind;
    usec_t at_us;
    usec_t lasts_us; /* USEC_NEVER: for ever */
    uint32_t nodes;  /* that it is about, a bit each */
    uint32_t mounts;
    int64_t amount; /* what it means is the kind's */
    char
        file[SCENARIO_NAME_MAX]; /* "": none; of a kind about nodes: the owner of that large file */
};

struct scenario_node {
    uint32_t weight;
    char zone[16]; /* "": none */
};

/* Files of the dataset, by folder. */
struct scenario_files {
    uint32_t small;      /* up to 64 KiB, most of them */
    uint32_t many;       /* small ones in one more directory */
    uint32_t large;      /* 0.3 to 2.8 MB */
    uint32_t deep;       /* large ones, four directories down */
    uint32_t late_small; /* nobody reads these before all faults are over */
    uint32_t late_large;
};

enum expected_kind {
#define EXPECT(kind, words, unit, text) EXPECT_##kind,
#include "sim/trial/expects.def"
#undef EXPECT
};

struct expected {
    enum expected_kind kind;
    int64_t value; /* a ratio: in thousandths */
};

struct scenario {
    uint64_t seed; /* of everything that is not said here: sizes, ids, delays */
    uint32_t node_count;
    struct scenario_node nodes[SCENARIO_NODES_MAX];
    uint64_t node_memory;
    uint64_t node_disk; /* 0: none */
    uint64_t
        hot_floor; /* bytes a second that a node serves before it hands readers on; 0: as shipped */
    bool sealed;   /* the cluster has keys */
    uint32_t mount_count;
    uint64_t mount_memory;
    uint32_t reader_count; /* the n-th is on mount n modulo mount_count */
    enum reader_pattern readers[SCENARIO_READERS_MAX];
    uint32_t stranger_count;
    uint32_t block_size;
    enum metadata_policy metadata;
    usec_t ttl_us;
    struct scenario_files files;
    uint64_t network_rate; /* bytes a second, each way of each link */
    usec_t network_delay_us;
    uint64_t disk_rate;
    usec_t disk_latency_us;
    uint64_t source_rate; /* of one GET */
    usec_t source_latency_us;
    usec_t settle_us; /* from the last node's start until the dataset is created */
    usec_t run_us;    /* readers read that long; then the late files */
    uint32_t fault_count;
    struct planned faults[SCENARIO_FAULTS_MAX];
    uint32_t expected_count;
    struct expected expected[SCENARIO_EXPECTED_MAX];
};

/* How a scenario is drawn. */
struct draw {
    bool calm;        /* no faults */
    const char *only; /* faults of this kind alone, several of them; NULL: any */
};

void scenario_draw(uint64_t seed, const struct draw *draw, struct scenario *out);

/* What texts leave out. */
void scenario_defaults(struct scenario *out);
/* How long a run must be at least for its faults and for what is expected at a moment. */
usec_t scenario_run_least(const struct scenario *scenario) MUST_USE;
/* NULL, or the first thing about it that cannot be. */
const char *scenario_fault(const struct scenario *scenario);
/* As a text is read: ERR_INVALID with a line number and what is wrong in `why`. */
enum err scenario_parse(struct span text, struct scenario *out, struct text *why) MUST_USE;
/* A text that scenario_parse makes the same scenario of. */
void scenario_write(const struct scenario *scenario, struct text *out);
