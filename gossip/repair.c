/* gossip/repair.c: what rumours did not bring. Every packet carries a digest of the sender's living
 * members. Who differs from others for a while pulls, from one at a time, as long as that brings
 * something: it tells fingerprints of what it has (in the buckets that differ, where it has much),
 * and is told what it lacks. Who sees in them something it does not know itself pulls in turn.
 * That is how newcomers get to know everybody, and how a storm of them is shared by all. */
#include "gossip/internal.h"

#include "base/hash.h"

#define HAVE_AT_ONCE 400u /* prints that fit a packet: then no buckets are compared before */
#define ALL_BUCKETS UINT64_MAX
#define PRINT_STATE 0x000fu /* the other bits are the facts */
#define PRINT_TOLD 0x80000000u
#define PRINT_SLOTS 2048u /* several times what a packet has room for */
_Static_assert(SEAL_BODY_MAX / sizeof(uint16_t) < PRINT_SLOTS / 2, "too few slots");

static size_t wanted_words(uint32_t members_max)
{
    return (members_max + 63) / 64;
}

size_t repair_memory(uint32_t members_max)
{
    return members_max * sizeof(uint16_t) + 16 +
           2 * SYNCS_MAX * (wanted_words(members_max) * sizeof(uint64_t) + 16);
}

enum err repair_init(struct gossip *g, struct arena *mem)
{
    g->prints = arena_array(mem, g->peers_max, sizeof *g->prints);
    bool whole = g->prints != NULL;
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        g->syncs[i].wanted = arena_array(mem, wanted_words(g->peers_max), sizeof(uint64_t));
        g->syncs[i].states = arena_array(mem, wanted_words(g->peers_max), sizeof(uint64_t));
        whole = whole && g->syncs[i].wanted != NULL && g->syncs[i].states != NULL;
    }
    g->pull.idle_us = PULL_IDLE_US;
    g->differs_since_us = USEC_NEVER;
    g->differed_us = LONG_AGO;
    g->compare_at_us = USEC_NEVER;
    return whole ? ERR_OK : ERR_NOMEM;
}

static void begin_packet(struct gossip *g, struct parcel *parcel, const struct address *to)
{
    parcel_begin(g, parcel, to, (struct datagram_head){ .kind = DATAGRAM_SPREAD });
}

/* ---- when to begin ----------------------------------------------------------------------------- */

static void look_at(struct gossip *g, usec_t at_us)
{
    g->compare_at_us = usec_min(g->compare_at_us, usec_max(at_us, g->pull.next_us));
}

uint32_t repair_agreements(const struct gossip *g)
{
    return g->agreed == roster_digest(g) ? g->agreements : 0;
}

void repair_agree(struct gossip *g)
{
    g->agreements = repair_agreements(g) + 1;
    g->agreed = roster_digest(g);
}

void repair_compare(struct gossip *g, const struct address *from, uint64_t digest)
{
    const usec_t now_us = g->now.mono_us;
    if (g->pull.is_active && address_equal(from, &g->pull.from)) {
        g->pull.until_us = now_us + PULL_LIFE_US;
    }
    if (digest == roster_digest(g)) {
        repair_agree(g);
        g->differs_since_us = USEC_NEVER;
        g->contact_count = 0;
        g->has_agreed = g->living > 1;
        return;
    }
    g->differed_us = now_us;
    g->agreements = 0;
    g->differing = g->knows_more ? g->differing : *from;
    g->differs_since_us = usec_min(g->differs_since_us, now_us);
    if (g->compare_at_us == USEC_NEVER && !g->pull.is_active) {
        g->compared_changes = g->changes;
        /* Who comes, or comes again, has everything to learn, and acts by what it knows. Where it
         * knows many already, it is one of many. */
        const bool is_new = !g->has_agreed && g->living <= NEWCOMERS_MAX;
        look_at(g, is_new ? now_us : now_us + PULL_QUIET_US);
    }
}

void repair_contacts(struct gossip *g, const struct datagram_section *section)
{
    for (uint32_t i = 0; i < section->contacts.count && g->living <= DATAGRAM_CONTACTS_MAX; i++) {
        g->contacts[i] = section->contacts.list[i];
        g->contact_count = i + 1;
    }
}

/* ---- pulling ----------------------------------------------------------------------------------- */

static uint16_t print_of(const struct gossip *g, const struct peer *peer, uint32_t salt)
{
    const uint64_t facts = records_hash(g->records, peer->record) + peer->version;
    const uint64_t mixed = hash64_mix(facts ^ peer->incarnation, salt);
    return (uint16_t)((mixed & ~(uint64_t)PRINT_STATE) | (uint64_t)peer->state << 1 | peer->ready);
}

/* The prints of each bucket in g->prints, those of one after those of another. */
static void gather(struct gossip *g, uint64_t mask, uint32_t salt,
                   uint32_t ends[DATAGRAM_BUCKETS + 1])
{
    uint32_t next[DATAGRAM_BUCKETS];
    memset(ends, 0, (DATAGRAM_BUCKETS + 1) * sizeof ends[0]);
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_living(&g->peers[i])) {
            ends[g->peers[i].bucket + 1]++;
        }
    }
    for (uint32_t b = 0; b < DATAGRAM_BUCKETS; b++) {
        next[b] = ends[b];
        ends[b + 1] += ends[b];
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        if (roster_is_living(peer) && (mask >> peer->bucket & 1) != 0) {
            g->prints[next[peer->bucket]++] = print_of(g, peer, salt);
        }
    }
}

static void send_have(struct gossip *g, const struct address *to, uint64_t mask)
{
    uint32_t ends[DATAGRAM_BUCKETS + 1];
    const uint32_t salt = (uint32_t)rng_next(&g->rng);
    uint32_t bucket = 0;
    gather(g, mask, salt, ends);
    while (bucket < DATAGRAM_BUCKETS && parcel_has_room(g)) {
        struct parcel parcel;
        struct datagram_writer writer;
        uint32_t written = 0;
        begin_packet(g, &parcel, to);
        bool fits = datagram_begin_have(&parcel.body, salt, &writer);
        CHECK(fits);
        for (; bucket < DATAGRAM_BUCKETS && fits; bucket += fits ? 1 : 0) {
            const uint16_t *prints = &g->prints[ends[bucket]];
            const uint32_t count = ends[bucket + 1] - ends[bucket];
            fits = (mask >> bucket & 1) == 0 ||
                   datagram_add_prints(&writer, (uint8_t)bucket, prints, (uint16_t)count);
            written += fits ? 1 : 0;
        }
        bucket += written == 0 ? 1 : 0; /* larger than a packet: left out */
        parcel_end(g, &parcel);
    }
}

static void send_sums(struct gossip *g, const struct address *to)
{
    struct parcel parcel;
    begin_packet(g, &parcel, to);
    bool fits = datagram_add_sums(&parcel.body, g->sums);
    CHECK(fits);
    parcel_end(g, &parcel);
}

static void begin_pull(struct gossip *g)
{
    struct pull *pull = &g->pull;
    CHECK(!pull->is_active);
    pull->from = g->differing;
    if (g->contact_count > 0 && !g->knows_more) {
        pull->from = g->contacts[--g->contact_count]; /* so that seeds do not have to tell all */
    }
    g->knows_more = false;
    pull->is_active = true;
    pull->until_us = g->now.mono_us + PULL_LIFE_US;
    pull->changes = g->changes;
    MARK(g, "gossip.repair.begun");
    if (g->living <= HAVE_AT_ONCE) {
        send_have(g, &pull->from, ALL_BUCKETS);
    } else {
        send_sums(g, &pull->from);
    }
}

static void end_pull(struct gossip *g)
{
    struct pull *pull = &g->pull;
    const bool has_gained = g->changes != pull->changes;
    pull->is_active = false;
    pull->next_us = g->now.mono_us + (has_gained ? PULL_NEXT_US : pull->idle_us);
    pull->idle_us = has_gained ? PULL_IDLE_US : usec_min(2 * pull->idle_us, PULL_IDLE_MAX_US);
    if (g->differs_since_us != USEC_NEVER) {
        g->compared_changes = g->changes;
        look_at(g, pull->next_us);
    }
}

void repair_mask(struct gossip *g, const struct address *from, uint64_t mask)
{
    if (!g->pull.is_active || !address_equal(from, &g->pull.from)) {
        return;
    }
    if (mask == 0) {
        end_pull(g);
    } else {
        send_have(g, from, mask);
    }
}

static void compare(struct gossip *g)
{
    const usec_t now_us = g->now.mono_us;
    const bool nothing_came = g->changes == g->compared_changes;
    const bool agrees_with_nobody =
        g->differs_since_us != USEC_NEVER && now_us - g->differs_since_us >= PULL_QUIET_US;
    g->compare_at_us = USEC_NEVER;
    if (g->pull.is_active || g->leaving >= LEAVING_SAYING_GOODBYE || !parcel_has_room(g)) {
        return;
    }
    if (!parcel_has_budget(g, TRAFFIC_BULK)) {
        look_at(g, now_us + PULL_IDLE_US);
        return;
    }
    if (nothing_came || agrees_with_nobody || (!g->has_agreed && g->living <= NEWCOMERS_MAX)) {
        begin_pull(g);
    }
}

/* ---- answering --------------------------------------------------------------------------------- */

void repair_sums(struct gossip *g, const struct address *from, const uint64_t *sums)
{
    struct parcel parcel;
    uint64_t mask = 0;
    if (!parcel_has_room(g)) {
        return;
    }
    for (uint32_t i = 0; i < DATAGRAM_BUCKETS; i++) {
        mask |= sums[i] != g->sums[i] ? 1ull << i : 0;
    }
    begin_packet(g, &parcel, from);
    datagram_add_mask(&parcel.body, mask);
    parcel_end(g, &parcel);
}

static struct sync *sync_with(struct gossip *g, const struct address *to)
{
    struct sync *free = NULL;
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        struct sync *sync = &g->syncs[i];
        if (sync->used && address_equal(&sync->to, to)) {
            return sync;
        }
        free = sync->used ? free : sync;
    }
    if (free == NULL) {
        MARK(g, "gossip.repair.shed");
        return NULL;
    }
    memset(free->wanted, 0, wanted_words(g->peers_max) * sizeof(uint64_t));
    memset(free->states, 0, wanted_words(g->peers_max) * sizeof(uint64_t));
    *free =
        (struct sync){ .used = true, .wanted = free->wanted, .states = free->states, .to = *to };
    free->at_us = g->now.mono_us;
    g->sync_count++;
    return free;
}

static void want(struct sync *sync, uint32_t peer, bool state_only)
{
    sync->wanted[peer / 64] |= 1ull << (peer % 64);
    sync->states[peer / 64] |= state_only ? 1ull << (peer % 64) : 0;
    sync->next = peer < sync->next ? peer : sync->next;
}

/* What the other side has of one bucket, and how much of it we have found among our own. */
struct theirs {
    uint32_t count;
    uint32_t found;
    bool is_told;
};

/* All prints of a packet, to be found by bucket and facts: open addressing, first come first. */
struct told {
    struct theirs buckets[DATAGRAM_BUCKETS];
    uint32_t slots[PRINT_SLOTS]; /* bucket and print; 0: free */
};

static uint32_t first_slot(uint32_t bucket, uint16_t print)
{
    return (print / (PRINT_STATE + 1) ^ bucket * (PRINT_SLOTS / DATAGRAM_BUCKETS)) % PRINT_SLOTS;
}

static void note_prints(struct told *told, const struct datagram_have *have)
{
    for (uint32_t i = 0; i < have->count; i++) {
        const uint16_t print = get_u16(have->prints + i * sizeof print);
        uint32_t slot = first_slot(have->bucket, print);
        while (told->slots[slot] != 0) {
            slot = (slot + 1) % PRINT_SLOTS;
        }
        told->slots[slot] = PRINT_TOLD | (uint32_t)have->bucket << 16 | print;
    }
    told->buckets[have->bucket].count += have->count;
    told->buckets[have->bucket].is_told = true;
}

enum finding { FOUND, FOUND_LATER, FOUND_EARLIER, FOUND_NOT };

/* Theirs is the same; is later than ours; is earlier; is not there. */
static enum finding find_print(const struct told *told, uint32_t bucket, uint16_t print)
{
    const uint32_t wanted = PRINT_TOLD | bucket << 16 | print;
    enum finding finding = FOUND_NOT;
    for (uint32_t slot = first_slot(bucket, print); told->slots[slot] != 0;
         slot = (slot + 1) % PRINT_SLOTS) {
        const uint32_t other = told->slots[slot];
        if (other == wanted) {
            return FOUND;
        }
        if (((other ^ wanted) & ~PRINT_STATE) == 0) {
            finding = other > wanted ? FOUND_LATER : FOUND_EARLIER;
        }
    }
    return finding;
}

/* Mark what they lack; true: they have what we lack. */
static bool compare_living(struct gossip *g, struct sync *sync, struct told *told, uint32_t salt)
{
    bool is_behind = false;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        struct theirs *bucket = &told->buckets[peer->bucket];
        if (!bucket->is_told || !roster_is_living(peer)) {
            continue;
        }
        const enum finding finding = find_print(told, peer->bucket, print_of(g, peer, salt));
        bucket->found += finding != FOUND_NOT ? 1 : 0;
        is_behind = is_behind || finding == FOUND_LATER;
        if (finding == FOUND_NOT || finding == FOUND_EARLIER) {
            want(sync, i, finding == FOUND_EARLIER);
        }
    }
    return is_behind;
}

/* They have members that we have not, or have as they were before; or that are dead to us. */
static bool compare_rest(struct gossip *g, struct sync *sync, const struct told *told)
{
    uint64_t unknown = 0;
    for (uint32_t b = 0; b < DATAGRAM_BUCKETS; b++) {
        const struct theirs *bucket = &told->buckets[b];
        unknown |= bucket->found < bucket->count ? 1ull << b : 0;
    }
    for (uint32_t i = 0; i < g->peers_high && unknown != 0; i++) {
        const struct peer *peer = &g->peers[i];
        if (roster_is_used(peer) && !roster_is_living(peer) && (unknown >> peer->bucket & 1) != 0 &&
            roster_age_us(g, peer) <= TOMBSTONE_SHARE_US) {
            want(sync, i, true);
        }
    }
    return unknown != 0;
}

void repair_have(struct gossip *g, const struct address *from,
                 const struct datagram_section *section)
{
    struct sync *sync = sync_with(g, from);
    struct told told;
    struct datagram_have have;
    struct span rest = section->have.rest;
    if (sync == NULL || !parcel_has_budget(g, TRAFFIC_BULK)) {
        return;
    }
    memset(&told, 0, sizeof told);
    while (datagram_next_have(&rest, &have)) {
        note_prints(&told, &have);
    }
    bool is_behind = compare_living(g, sync, &told, section->have.salt);
    is_behind = compare_rest(g, sync, &told) || is_behind;
    if (is_behind && !g->pull.is_active && g->leaving < LEAVING_SAYING_GOODBYE) {
        MARK(g, "gossip.repair.in_turn");
        g->differing = *from;
        g->knows_more = true;
        g->compared_changes = g->changes;
        g->compare_at_us = usec_min(g->compare_at_us, g->now.mono_us + PULL_TURN_US);
    }
}

static bool add_member(struct gossip *g, struct datagram *d, const struct peer *peer,
                       bool state_only)
{
    const struct telling how = { .ready = peer->ready, .is_unfit = peer->is_unfit };
    CHECK(peer < g->peers + g->peers_high);
    if (roster_is_living(peer) && !state_only) {
        const struct member member = roster_member(g, peer);
        return datagram_add_record(d, &member, how);
    }
    return datagram_add_state(d, &(struct datagram_state){ .id = roster_id(g, peer),
                                                           .incarnation = peer->incarnation,
                                                           .state = (enum member_state)peer->state,
                                                           .how = how });
}

/* The next member that is wanted, from sync->next on; peers_high: none. */
static uint32_t next_wanted(const struct gossip *g, const struct sync *sync)
{
    for (uint32_t i = sync->next; i < g->peers_high; i++) {
        if (sync->wanted[i / 64] == 0) {
            i |= 63; /* none of these */
        } else if ((sync->wanted[i / 64] >> (i % 64) & 1) != 0) {
            return i;
        }
    }
    return g->peers_high;
}

static void send_some(struct gossip *g, struct sync *sync)
{
    struct parcel parcel;
    begin_packet(g, &parcel, &sync->to);
    for (;;) {
        sync->next = next_wanted(g, sync);
        if (sync->next == g->peers_high) {
            break;
        }
        const struct peer *peer = &g->peers[sync->next];
        const uint64_t bit = 1ull << (sync->next % 64);
        const bool state_only = (sync->states[sync->next / 64] & bit) != 0;
        if (roster_is_used(peer) && !add_member(g, &parcel.body, peer, state_only)) {
            break;
        }
        sync->wanted[sync->next / 64] &= ~bit;
    }
    sync->packets++;
    const bool is_over = sync->next == g->peers_high || sync->packets == SYNC_PACKETS;
    if (is_over && datagram_add_mask(&parcel.body, 0)) {
        sync->used = false;
        g->sync_count--;
    }
    parcel_end(g, &parcel);
}

static void answer_all(struct gossip *g)
{
    for (uint32_t i = 0; i < SYNCS_MAX; i++) {
        struct sync *sync = &g->syncs[i];
        if (!sync->used || g->now.mono_us < sync->at_us) {
            continue;
        }
        for (uint32_t n = 0; n < SYNC_BURST && sync->used && parcel_has_room(g) &&
                             parcel_has_budget(g, TRAFFIC_BULK);
             n++) {
            send_some(g, sync);
        }
        sync->at_us = g->now.mono_us + SYNC_STEP_US;
    }
}

/* ---- time -------------------------------------------------------------------------------------- */

void repair_tick(struct gossip *g)
{
    const usec_t now_us = g->now.mono_us;
    if (g->pull.is_active && now_us >= g->pull.until_us) {
        MARK(g, "gossip.repair.broke_off");
        end_pull(g);
    }
    if (now_us >= g->compare_at_us) {
        compare(g);
    }
    if (g->sync_count > 0) {
        answer_all(g);
    }
}

usec_t repair_deadline(const struct gossip *g)
{
    usec_t next = g->compare_at_us;
    next = g->pull.is_active ? usec_min(next, g->pull.until_us) : next;
    for (uint32_t i = 0; i < SYNCS_MAX && g->sync_count > 0; i++) {
        next = g->syncs[i].used ? usec_min(next, g->syncs[i].at_us) : next;
    }
    return next;
}
