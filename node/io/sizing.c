/* node/io/sizing.c: tables first, in proportion to what they describe; the rest is the region. */
#include "node/io/sizing.h"

#include "gossip/gossip.h"
#include "ring/ring.h"

#define MEMBERS_MAX 1024
#define RINGS_KEPT 9         /* eight earlier ones and the present one; one is being built */
#define RINGS_AHEAD_MAX 15   /* of selectors nobody asks for: a present and an earlier table each */
#define AHEAD_PART 64        /* ... in such a part of the memory: all from 4 GiB on */
#define RING_MEMBERS 64      /* tables of larger rings are hardly larger */
#define OVERHEAD (40u << 20) /* libraries, stacks, sockets' buffers, curl, the log */
#define REGION_MIN (48u << 20) /* three blocks of the largest size */
#define BLOCK_MEAN 65536u      /* datasets of small files: what a known block is worth on average */

static uint32_t at_most(uint64_t value, uint32_t least, uint32_t most)
{
    return (uint32_t)(value < least ? least : value > most ? most : value);
}

static uint64_t tier_bytes(const struct node_options *options)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < options->tier_count; i++) {
        bytes += options->tier[i].quota;
    }
    return bytes;
}

uint32_t sizing_segment(uint64_t quota)
{
    return at_most(quota / 64 / 4096 * 4096, 32u << 20, 1u << 30);
}

/* false: tables and the smallest region do not fit. */
static bool share_out(uint64_t memory, struct node_options *options)
{
    const uint64_t mib = memory >> 20;
    const uint32_t slots_log2 = options->slots_log2;
    const uint64_t table = ring_size(RING_MEMBERS, slots_log2);
    options->rings_ahead = at_most(memory / AHEAD_PART / (2 * table), 1, RINGS_AHEAD_MAX);
    const uint64_t rings =
        (RINGS_KEPT + 2 * options->rings_ahead) * table + ring_memory(RING_MEMBERS, slots_log2);
    const uint64_t fixed = OVERHEAD + gossip_memory(MEMBERS_MAX, NULL) + rings;
    options->links_max = at_most(mib, 256, 8192);
    options->requests_max = at_most(mib * 4, 1024, 16384);
    options->directories_max = at_most(mib * 8, 1024, 65536);
    options->datasets_max = at_most(mib / 2, 64, 1024);
    options->region_size = memory / 2 / 4096 * 4096; /* tables depend on it: a first guess */
    options->blocks_max = at_most((memory + tier_bytes(options)) / BLOCK_MEAN, 8192, 16u << 20);
    while (node_memory(options) > memory / 3 && options->blocks_max > 4096) {
        options->blocks_max /= 2; /* a long disk and little memory: fewer blocks are known */
    }
    for (uint32_t round = 0; round < 3; round++) { /* a larger region has larger tables */
        const uint64_t taken = fixed + node_memory(options);
        if (memory < taken + REGION_MIN) {
            return false;
        }
        options->region_size = (memory - taken) / 4096 * 4096;
    }
    return true;
}

enum err sizing_make(uint64_t memory, struct node_options *options, struct sizing *out)
{
    out->least = memory;
    if (!share_out(memory, options)) {
        while (!share_out(out->least, options)) {
            out->least += 1u << 20;
        }
        return ERR_INVALID;
    }
    out->region = options->region_size;
    out->arena = node_memory(options);
    out->members_max = MEMBERS_MAX;
    return ERR_OK;
}
