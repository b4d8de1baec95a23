/* node/core/weight.h: how much of the data this node wants to own (docs/node.md, "Weight").
 *
 * That is what its operator says, less what its disks cannot do: a tier that failed counts nothing,
 * one that stays slow counts less step by step, and comes back step by step. Only this node writes
 * its weight; others hear of it by gossip. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/timers.h"
#include "node/core/node.h"

#define WEIGHT_LEVELS 4u /* of a tier: 4 is all of its quota, 0 nothing */
#define WEIGHT_WINDOW_US SEC(10)
#define WEIGHT_SLOW_WINDOWS 3u   /* in a row, then a tier counts one level less */
#define WEIGHT_WELL_WINDOWS 6u   /* in a row, then one more */
#define WEIGHT_WINDOW_OPS 16u    /* fewer in a window say nothing */
#define WEIGHT_FAIR_US MSEC(100) /* an operation may take that long, and a second for each */
#define WEIGHT_FAIR_RATE \
    10u /* 10 bytes/us = 10 MB/s: three at a time on one hard disk are faster */

struct weight_tier {
    uint32_t level;
    uint32_t under_way; /* operations, now */
    uint32_t waited;    /* ... when this window began */
    uint32_t ops;       /* done in this window */
    usec_t took_us;
    usec_t fair_us;
    uint32_t slow; /* windows in a row */
    uint32_t well;
};

struct weight {
    uint32_t wanted; /* by the operator */
    uint32_t told;   /* to the others */
    uint64_t admin;  /* who waits until `asked` is kept; 0: nobody */
    bool asked_auto;
    uint32_t asked;
    struct weight_tier tier[NODE_TIERS_MAX];
    struct timer timer;
};

void weight_init(struct node *node);
/* The tier has been given an operation. */
void weight_on_begin(struct node *node, uint32_t tier);
/* ... and has done it, on `size` bytes. */
void weight_on_disk(struct node *node, uint32_t tier, uint32_t size, usec_t took_us);
/* A tier has failed. */
void weight_on_tier(struct node *node);
void weight_on_timer(struct node *node);
/* ADMIN_NODE_WEIGHT; answered when the weight is kept. */
void weight_on_admin(struct node *node, uint64_t admin, struct span argument);
void weight_on_kept(struct node *node, enum err err);
/* Tiers that count less than they should, but have not failed. */
uint32_t weight_slow_tiers(const struct node *node);
