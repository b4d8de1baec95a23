/* node/io/seeds.h: whether a node's seeds name anybody but the node itself. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "ring/view.h"
#include "node/io/resolver.h"

struct seeds {
    struct address own;   /* where others reach us */
    struct address alias; /* where we reach ourselves besides; port 0: nowhere */
    bool given;           /* --seeds was */
    uint32_t count;       /* found when they were last looked up; 0: none, or not looked up yet */
    struct address found[RESOLVER_ADDRESSES_MAX];
};

void seeds_found(struct seeds *seeds, const struct address *addresses, uint32_t count);
/* As long as no address is known the names are taken for those of others. */
bool seeds_name_others(const struct seeds *seeds);
