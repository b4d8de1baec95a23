/* gossip/stages.c: how far each living member is with the newest key. Who speaks to us tells of
 * itself; what we know of all goes to random members while somebody lacks something, two bits for
 * each member, and is merged there: a stage only rises.
 *
 * The bits of a bucket have no names. They are taken in only where both sides count the same living
 * members in it; where they do not, news of those members are still on their way. */
#include "gossip/internal.h"

#include "base/hash.h"

#define STAGES_US MSEC(200)
#define STAGES_FANOUT 3u
#define STAGES_SLOW_US SEC(5) /* when nothing has changed for */
#define STAGES_QUIET_US SEC(10)
#define BUCKET_SEED 0x61746f6c6c2d6b31u

static uint32_t bucket_of(struct node_id id)
{
    return id.b[1] % KEYS_BUCKETS; /* not the byte that the repair's buckets are made by */
}

/* ---- what is known ----------------------------------------------------------------------------- */

enum key_stage stages_of(const struct gossip *g, uint32_t index)
{
    const struct keys *keys = &g->keys;
    const struct peer *peer = &g->peers[index];
    const struct key_seen *seen = &keys->seen[index];
    if (index == g->self) {
        return keys->ring.present == 0 ? KEY_STAGE_USES
               : keys_has_newest(g)    ? KEY_STAGE_HAS
                                       : KEY_STAGE_NONE;
    }
    const bool holds =
        node_id_equal(seen->id, roster_id(g, peer)) && seen->incarnation == peer->incarnation;
    return holds ? seen->stage : KEY_STAGE_NONE;
}

static void raise(struct gossip *g, uint32_t index, enum key_stage stage)
{
    struct keys *keys = &g->keys;
    if (index == g->self || keyring_is_settled(&keys->ring) || stage <= stages_of(g, index)) {
        return;
    }
    keys->seen[index] = (struct key_seen){ .id = roster_id(g, &g->peers[index]),
                                           .incarnation = g->peers[index].incarnation,
                                           .stage = stage };
    keys->progress_us = g->now.mono_us;
    keys->stages_changed = true;
    keys->look_at_us = usec_min(keys->look_at_us, g->now.mono_us + MSEC(50));
}

void stages_heard(struct gossip *g, struct peer *peer, enum key_stage stage)
{
    raise(g, roster_index(g, peer), stage);
}

void stages_forget(struct gossip *g)
{
    memset(g->keys.seen, 0, g->peers_max * sizeof *g->keys.seen);
    g->keys.progress_us = g->now.mono_us;
    g->keys.stages_changed = true;
}

enum key_stage stages_lowest(struct gossip *g, bool *any_uses)
{
    enum key_stage lowest = KEY_STAGE_USES;
    *any_uses = false;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_living(&g->peers[i])) {
            const enum key_stage stage = stages_of(g, i);
            lowest = stage < lowest ? stage : lowest;
            *any_uses = *any_uses || (stage == KEY_STAGE_USES && i != g->self);
        }
    }
    return lowest;
}

bool stages_elsewhere(const struct gossip *g)
{
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (i != g->self && roster_is_living(&g->peers[i]) && stages_of(g, i) >= KEY_STAGE_HAS) {
            return true;
        }
    }
    return false;
}

/* ---- in an order that both sides know ------------------------------------------------------------ */

static void count_buckets(struct gossip *g)
{
    struct keys *keys = &g->keys;
    memset(keys->starts, 0, sizeof keys->starts);
    memset(keys->sums, 0, sizeof keys->sums);
    for (uint32_t i = 0; i < g->peers_high; i++) {
        const struct peer *peer = &g->peers[i];
        if (roster_is_living(peer)) {
            const struct node_id id = roster_id(g, peer);
            const uint32_t bucket = bucket_of(id);
            keys->starts[bucket + 1]++;
            keys->sums[bucket] += (uint32_t)hash64(id.b, ID_SIZE, BUCKET_SEED ^ peer->incarnation);
        }
    }
    for (uint32_t i = 0; i < KEYS_BUCKETS; i++) {
        keys->starts[i + 1] += keys->starts[i];
    }
}

/* Among the `count` that are in their places already. */
static void insert(const struct gossip *g, uint32_t *order, uint32_t count, uint32_t index)
{
    const struct node_id id = roster_id(g, &g->peers[index]);
    uint32_t at = count;
    for (; at > 0 && node_id_compare(roster_id(g, &g->peers[order[at - 1]]), id) > 0; at--) {
        order[at] = order[at - 1];
    }
    order[at] = index;
}

static void refresh_order(struct gossip *g)
{
    struct keys *keys = &g->keys;
    uint32_t filled[KEYS_BUCKETS] = { 0 };
    const uint64_t digest = roster_digest(g);
    if (digest == keys->order_digest) {
        return;
    }
    keys->order_digest = digest;
    count_buckets(g);
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_living(&g->peers[i])) {
            const uint32_t bucket = bucket_of(roster_id(g, &g->peers[i]));
            insert(g, keys->order + keys->starts[bucket], filled[bucket]++, i);
        }
    }
}

/* ---- telling ------------------------------------------------------------------------------------- */

/* With one key all that is open, whoever is heard uses it. */
static enum key_stage stage_told(const struct gossip *g, uint32_t index)
{
    return keyring_is_settled(&g->keys.ring) ? KEY_STAGE_USES : stages_of(g, index);
}

static size_t put_bucket(const struct gossip *g, uint32_t bucket, uint8_t *to, size_t room)
{
    const struct keys *keys = &g->keys;
    const uint32_t first = keys->starts[bucket];
    const uint32_t count = keys->starts[bucket + 1] - first;
    const size_t size = DATAGRAM_STAGES_HEAD + (count + 3u) / 4;
    if (size > room) {
        return 0;
    }
    memset(to, 0, size);
    to[0] = (uint8_t)bucket;
    put_u16(to + 1, (uint16_t)count);
    put_u32(to + 3, keys->sums[bucket]);
    for (uint32_t i = 0; i < count; i++) {
        to[DATAGRAM_STAGES_HEAD + i / 4] |=
            (uint8_t)(stage_told(g, keys->order[first + i]) << (i % 4 * 2));
    }
    return size;
}

/* As many buckets as fit; the next packet goes on behind them. */
static void fill(struct gossip *g, struct datagram *d)
{
    struct keys *keys = &g->keys;
    uint8_t entries[SEAL_BODY_MAX];
    const size_t most = d->room - d->used > 64 ? d->room - d->used - 64 : 0;
    size_t used = 0;
    refresh_order(g);
    for (uint32_t i = 0; i < KEYS_BUCKETS; i++) {
        const uint32_t bucket = (keys->next_bucket + i) % KEYS_BUCKETS;
        if (keys->starts[bucket] == keys->starts[bucket + 1]) {
            continue;
        }
        const size_t size = put_bucket(g, bucket, entries + used, most - used);
        if (size == 0) {
            keys->next_bucket = bucket;
            break;
        }
        used += size;
    }
    const struct datagram_stages stages = { .key = g->seal.keys[0].id,
                                            .entries = span_of(entries, used) };
    (void)datagram_add_stages(d, &stages);
}

static void tell(struct gossip *g, const struct address *to)
{
    struct parcel parcel;
    parcel_begin(g, &parcel, to, (struct datagram_head){ .kind = DATAGRAM_SPREAD });
    fill(g, &parcel.body);
    parcel_end(g, &parcel);
}

/* Somebody lacks something, as far as we know; not while the time runs that the older keys have. */
static bool has_to_tell(struct gossip *g)
{
    const struct keys *keys = &g->keys;
    bool any_uses = false;
    if (keyring_is_settled(&keys->ring) || !keys_has_newest(g)) {
        return false;
    }
    const usec_t end_us = gossip_keys_end(g);
    const bool waits = end_us != USEC_NEVER && g->now.mono_us < end_us;
    return !waits && stages_lowest(g, &any_uses) != KEY_STAGE_USES;
}

void stages_tick(struct gossip *g)
{
    struct keys *keys = &g->keys;
    if (keyring_is_settled(&keys->ring)) {
        keys->spread_at_us = USEC_NEVER;
        return;
    }
    if (keys->spread_at_us != USEC_NEVER && g->now.mono_us < keys->spread_at_us) {
        return;
    }
    const bool is_quiet = g->now.mono_us - keys->progress_us >= STAGES_QUIET_US;
    keys->spread_at_us = g->now.mono_us + (is_quiet ? STAGES_SLOW_US : STAGES_US);
    if (!has_to_tell(g)) {
        return;
    }
    for (uint32_t i = 0; i < STAGES_FANOUT && parcel_has_room(g); i++) {
        struct peer *peer = roster_random(g);
        if (peer != NULL && roster_address(g, peer) != NULL && parcel_has_budget(g, TRAFFIC_BULK)) {
            tell(g, roster_address(g, peer));
        }
    }
}

/* ---- hearing ------------------------------------------------------------------------------------- */

/* true: we know more than that. */
static bool hear_bucket(struct gossip *g, const struct datagram_bucket *bucket)
{
    struct keys *keys = &g->keys;
    bool more = false;
    if (bucket->bucket >= KEYS_BUCKETS || bucket->sum != keys->sums[bucket->bucket]) {
        return false;
    }
    const uint32_t first = keys->starts[bucket->bucket];
    if (bucket->count != keys->starts[bucket->bucket + 1] - first) {
        return false;
    }
    for (uint32_t i = 0; i < bucket->count; i++) {
        const uint32_t bits = (uint32_t)bucket->stages[i / 4] >> (i % 4 * 2) & 3u;
        const enum key_stage stage = bits > KEY_STAGE_USES ? KEY_STAGE_NONE : (enum key_stage)bits;
        const uint32_t index = keys->order[first + i];
        more = more || stage_told(g, index) > stage;
        raise(g, index, stage);
    }
    return more;
}

void stages_hear(struct gossip *g, const struct arrival *a, const struct datagram_stages *stages)
{
    struct keys *keys = &g->keys;
    struct span rest = stages->entries;
    struct datagram_bucket bucket;
    bool more = false;
    if (keys->ring.count == 0 || stages->key.v != g->seal.keys[0].id.v) {
        return;
    }
    refresh_order(g);
    while (datagram_next_bucket(&rest, &bucket)) {
        more = hear_bucket(g, &bucket) || more;
    }
    if (more && !has_to_tell(g) && g->now.mono_us >= keys->reply_at_us && parcel_has_room(g)) {
        MARK(g, "gossip.keys.stages_answered");
        keys->reply_at_us = g->now.mono_us + MSEC(10);
        tell(g, &a->from);
    }
}

uint32_t gossip_stages(const struct gossip *g, struct key_holder *out, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (!roster_is_living(&g->peers[i])) {
            continue;
        }
        if (count < most) {
            out[count] = (struct key_holder){ .node = roster_id(g, &g->peers[i]),
                                              .stage = stage_told(g, i) };
        }
        count++;
    }
    return count;
}
