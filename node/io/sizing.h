/* node/io/sizing.h: how the bytes of --memory are shared out at start. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "node/core/node.h"

struct sizing {
    size_t region; /* blocks and pages */
    size_t arena;  /* the core's tables */
    uint32_t members_max;
    uint64_t least; /* memory that would be enough */
};

/* Sets region_size and the limits of `options` (its tiers are set). ERR_INVALID: that little memory
 * holds no node; only out->least is set then. */
enum err sizing_make(uint64_t memory, struct node_options *options, struct sizing *out) MUST_USE;
/* How large segment files of a tier are: a fraction of the quota, so that eviction goes in steps. */
uint32_t sizing_segment(uint64_t quota);
