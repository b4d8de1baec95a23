/* gossip/loads.c: how much members serve, as far as we have heard lately.
 *
 * Every packet tells it of its sender, in one byte. So a member knows it of those that it observes
 * and of its observers, some sixteen whatever the size of the cluster: enough for a mean. */
#include "gossip/internal.h"

#define LOAD_SHIFT 16u /* what is less than 64 KiB a second is nothing */
#define LOAD_STEPS 8u  /* in each octave: the nearest is 6 % away at most */
#define LOAD_CODES 254u

uint8_t loads_code(uint64_t rate)
{
    uint64_t units = rate >> LOAD_SHIFT;
    uint32_t octave = 0;
    if (units == 0) {
        return 1;
    }
    while (units >> octave > 1) {
        octave++;
    }
    const uint64_t base = 1ull << (LOAD_SHIFT + octave);
    const uint64_t step = base / LOAD_STEPS;
    const uint64_t code = 2 + octave * LOAD_STEPS + (rate - base + step / 2) / step;
    return (uint8_t)(code < LOAD_CODES ? code : LOAD_CODES);
}

uint64_t loads_rate(uint8_t code)
{
    if (code < 2) {
        return 0;
    }
    const uint32_t steps = code - 2u;
    const uint64_t base = 1ull << (LOAD_SHIFT + steps / LOAD_STEPS);
    return base + base / LOAD_STEPS * (steps % LOAD_STEPS);
}

/* Where this member's is kept; of one that we have not heard of, the oldest place. */
static struct heard_load *place_of(struct gossip *g, uint32_t peer)
{
    struct heard_load *oldest = &g->loads[0];
    for (uint32_t i = 0; i < LOADS_MAX; i++) {
        struct heard_load *at = &g->loads[i];
        if (at->code != 0 && at->peer == peer) {
            return at;
        }
        const bool is_older = at->code == 0 || at->heard_us < oldest->heard_us;
        oldest = oldest->code != 0 && is_older ? at : oldest;
    }
    return oldest;
}

void loads_hear(struct gossip *g, const struct peer *peer, uint8_t code)
{
    if (code != 0) { /* older members say nothing */
        const uint32_t index = roster_index(g, peer);
        *place_of(g, index) =
            (struct heard_load){ .peer = index, .code = code, .heard_us = g->now.mono_us };
    }
}

uint32_t gossip_loads(const struct gossip *g, uint64_t *out, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < LOADS_MAX && count < most; i++) {
        const struct heard_load *at = &g->loads[i];
        const bool is_young = g->now.mono_us - at->heard_us < LOADS_KEPT_US;
        if (at->code != 0 && is_young && roster_is_living(&g->peers[at->peer])) {
            out[count++] = loads_rate(at->code);
        }
    }
    return count;
}
