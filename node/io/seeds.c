#include "node/io/seeds.h"

#include <string.h>

#include "node/io/address.h"

void seeds_found(struct seeds *seeds, const struct address *addresses, uint32_t count)
{
    seeds->count = count < RESOLVER_ADDRESSES_MAX ? count : RESOLVER_ADDRESSES_MAX;
    if (seeds->count > 0) {
        memcpy(seeds->found, addresses, seeds->count * sizeof *addresses);
    }
}

bool seeds_name_others(const struct seeds *seeds)
{
    bool others = seeds->given && seeds->count == 0;
    for (uint32_t i = 0; i < seeds->count; i++) {
        const struct address *seed = &seeds->found[i];
        others =
            others || (!address_equal(seed, &seeds->own) && !address_equal(seed, &seeds->alias));
    }
    return others;
}
