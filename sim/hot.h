/* sim/hot.h: what hand-on makes of a hotspot, with the machine that decides (node/core/shares.h) and
 * tables of ring/: a thousand nodes, a million blocks, reads by Zipf's law.
 *
 * Bytes and kernels are left out: a read costs its node so many bytes at the moment it comes. What
 * nodes say to each other takes the time it takes on a network; loads are heard as gossip tells them,
 * by whoever observes and is observed, every two seconds. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define HOT_BLOCKS 1000000u
#define HOT_NODES_MAX 10000u

struct hot_options {
    uint32_t nodes;
    uint32_t reads;        /* a second, for each node on average */
    uint32_t calm_seconds; /* all blocks are read alike first, */
    uint32_t seconds;      /* then by Zipf's law for so long */
    uint64_t seed;
    bool hands_on; /* false: owners serve all */
};

/* One second of it. */
struct hot_second {
    uint32_t second; /* since the hotspot began; while it is calm, 0 */
    double peak;     /* bytes served by the busiest node / mean */
    double handed;   /* share of the reads */
    uint64_t copies; /* more than one of each block */
    double asks;     /* questions, for each node */
};
typedef void hot_tell(void *self, const struct hot_second *second);

/* `tell` is called for each second. */
void hot_run(const struct hot_options *options, hot_tell *tell, void *self);
