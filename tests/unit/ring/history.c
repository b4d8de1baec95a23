#include "tests/unit/ring/history.h"

#include "base/hash.h"

static uint32_t random_weight(struct history *h)
{
    return 1 + (uint32_t)rng_below(&h->rng, h->heaviest);
}

static void random_zone(struct history *h, struct member *member)
{
    memset(member->zone, 0, sizeof member->zone);
    member->zone[0] = (char)('a' + rng_below(&h->rng, h->zones));
}

static void come(struct history *h)
{
    struct member member = { .incarnation = 1, .state = MEMBER_OWNING };
    put_u64(member.id.b, hash64_mix(h->next, h->rng.key));
    put_u64(member.id.b + 8, h->next++);
    member.weight = random_weight(h);
    random_zone(h, &member);
    if (h->count < HISTORY_MEMBERS_MAX) {
        h->members[h->count++] = member;
    }
}

void history_begin(struct history *h, uint64_t seed, uint32_t most)
{
    static const uint32_t heaviest[] = { 1, 4, 4, 100, 65535 };
    *h = (struct history){ .count = 0 };
    rng_init(&h->rng, seed, 0);
    h->zones = 1 + (uint32_t)rng_below(&h->rng, 6);
    h->heaviest = heaviest[rng_below(&h->rng, sizeof heaviest / sizeof heaviest[0])];
    for (uint64_t left = 1 + rng_below(&h->rng, most); left > 0; left--) {
        come(h);
    }
}

static void change_one(struct history *h)
{
    static const enum member_state states[] = { MEMBER_OWNING, MEMBER_OWNING, MEMBER_WARMING,
                                                MEMBER_LEAVING, MEMBER_DEAD };
    struct member *member = &h->members[rng_below(&h->rng, h->count)];
    switch (rng_below(&h->rng, 6)) {
    case 0:
        member->weight = random_weight(h);
        return;
    case 1:
        random_zone(h, member);
        return;
    case 2:
        member->state = states[rng_below(&h->rng, sizeof states / sizeof states[0])];
        return;
    case 3:
        if (h->count > 1) {
            *member = h->members[--h->count];
        }
        return;
    default:
        come(h);
        return;
    }
}

void history_change(struct history *h)
{
    for (uint64_t changes = 1 + rng_below(&h->rng, 3); changes > 0; changes--) {
        change_one(h);
    }
    for (uint32_t i = h->count; i > 1; i--) {
        uint32_t j = (uint32_t)rng_below(&h->rng, i);
        struct member swap = h->members[i - 1];
        h->members[i - 1] = h->members[j];
        h->members[j] = swap;
    }
}
