/* node/core/shares.c: loads, questions for shares, and handing on. */
#include "node/core/shares.h"

#include "base/bytes.h"
#include "base/hash.h"

#define TRACKED 512u /* a block that is a 512th of what is wanted here is known for sure */
#define SHARED_MAX 128u
#define SHARES_MAX 1024u /* a block that a thousand nodes read at once needs some 400 */
#define ASKS_MAX 64u
#define ASKS_AT_ONCE 16u   /* the others when those are answered: then more is known */
#define ASKS_EACH_STEP 96u /* 400 a second, of 150 bytes each */
#define TRIES_MAX 8u       /* of a list that is looked through: no step costs more */
#define RENEW_US SEC(1)    /* also how long a node waits that has granted too much */
#define BURST_US MSEC(100) /* of a share: what a holder may be behind with, or before; */
#define BURST_BLOCKS 2u /* or so many blocks, for readers in step ask for one at the same moment */
#define REST_MOST 16u   /* steps: 4 s */

/* The least that is worth a copy, and what one answer is expected to bring. */
#define LEAST(mean) ((mean) / 64 + 1)
#define HOPED(mean) ((mean) / 4 + 1)

size_t shares_memory(void)
{
    return sketch_memory(TRACKED) + TRACKED * sizeof(struct shares_track) +
           SHARED_MAX * (sizeof(struct shared) + 8) + SHARES_MAX * (sizeof(struct share) + 8) +
           ASKS_MAX * (sizeof(struct shares_ask) + 8) + 256;
}

enum err shares_init(struct shares *s, struct arena *mem, struct node_id self, uint64_t floor)
{
    *s = (struct shares){ .self = self };
    meter_init(&s->meter, floor);
    list_init(&s->all);
    s->tracks = arena_array(mem, TRACKED, sizeof *s->tracks);
    bool fits = s->tracks != NULL && sketch_init(&s->sketch, mem, TRACKED) == ERR_OK &&
                pool_init(&s->shared, mem, sizeof(struct shared), SHARED_MAX) == ERR_OK &&
                pool_init(&s->pool, mem, sizeof(struct share), SHARES_MAX) == ERR_OK &&
                pool_init(&s->asks, mem, sizeof(struct shares_ask), ASKS_MAX) == ERR_OK;
    return fits ? ERR_OK : ERR_NOMEM;
}

/* ---- blocks that are handed on ------------------------------------------------------------- */

static struct shared *shared_of(const struct shares *s, const struct sketch_item *item)
{
    return item == NULL || item->tag == 0 ? NULL : pool_at(&s->shared, item->tag - 1);
}

const struct shared *shares_find(const struct shares *s, struct block_id id)
{
    return shared_of(s, sketch_find(&s->sketch, id));
}

static void shared_settle(struct shares *s, struct shared *shared)
{
    if (shared->count == 0) {
        s->sketch.items[shared->item].tag = 0;
        pool_give(&s->shared, shared);
    }
}

/* What it took comes back to us. */
static void share_end(struct shares *s, struct share *share)
{
    struct shared *shared = share->shared;
    shared->granted -= share->rate;
    shared->count--;
    meter_expect(&s->meter, (int64_t)share->rate);
    list_remove(&share->of_block);
    list_remove(&share->all);
    pool_give(&s->pool, share);
}

static void shared_end(struct shares *s, struct shared *shared)
{
    struct list *first;
    while ((first = list_first(&shared->holders)) != NULL) {
        share_end(s, CONTAINER_OF(first, struct share, of_block));
    }
    shared_settle(s, shared);
}

static struct share *share_find(struct shared *shared, struct node_id node)
{
    for (struct list *at = shared->holders.next; at != &shared->holders; at = at->next) {
        struct share *share = CONTAINER_OF(at, struct share, of_block);
        if (node_id_equal(share->node, node)) {
            return share;
        }
    }
    return NULL;
}

void shares_lost(struct shares *s, struct node_id node)
{
    for (struct list *at = s->all.next; at != &s->all;) {
        struct share *share = CONTAINER_OF(at, struct share, all);
        struct shared *shared = share->shared;
        at = at->next;
        if (node_id_equal(share->node, node)) {
            share_end(s, share);
            shared_settle(s, shared);
        }
    }
}

static int64_t burst_of(const struct share *share)
{
    int64_t time = (int64_t)(share->rate * (uint64_t)BURST_US / 1000000);
    int64_t blocks = (int64_t)share->shared->block.size * BURST_BLOCKS;
    return time > blocks ? time : blocks;
}

/* Has this holder room for one more? */
static bool share_takes(struct share *share, usec_t now_us, uint32_t bytes, bool is_busy)
{
    int64_t most = burst_of(share);
    usec_t passed = usec_min(now_us - share->credit_us, SEC(10));
    share->credit += (int64_t)(share->rate * (uint64_t)passed / 1000000);
    share->credit = share->credit < most ? share->credit : most;
    share->credit_us = now_us;
    if (share->credit < (is_busy ? -most : 0)) {
        return false;
    }
    share->credit -= bytes;
    share->used += bytes;
    return true;
}

static void track(struct shares *s, uint32_t item, const struct shares_block *block)
{
    struct shares_track *at = &s->tracks[item];
    if (!block_id_equal(at->block.id, block->id)) {
        at->nth = 0;
        at->before = 0;
    }
    at->block = *block;
}

bool shares_read(struct shares *s, usec_t now_us, const struct shares_block *block, uint32_t bytes,
                 struct node_id *out)
{
    uint32_t lost;
    struct sketch_item *item = sketch_add(&s->sketch, block->id, bytes, &lost);
    track(s, (uint32_t)(item - s->sketch.items), block);
    if (lost != 0) {
        shared_end(s, pool_at(&s->shared, lost - 1));
    }
    struct shared *shared = shared_of(s, item);
    bool is_busy = meter_is_busy(&s->meter, now_us);
    uint32_t tries = shared == NULL || out == NULL ? 0 : shared->count;
    for (uint32_t i = 0; i < tries && i < TRIES_MAX; i++) {
        struct list *first = shared->holders.next;
        struct share *share = CONTAINER_OF(first, struct share, of_block);
        if (!share_takes(share, now_us, bytes, is_busy)) {
            list_remove(first);
            list_push_back(&shared->holders, first);
        } else {
            *out = share->node;
            meter_served(&s->meter, 0);
            return true;
        }
    }
    return false;
}

/* ---- each step ------------------------------------------------------------------------------ */

static void end_late(struct shares *s, usec_t now_us)
{
    struct list *first;
    while ((first = list_first(&s->all)) != NULL) {
        struct share *share = CONTAINER_OF(first, struct share, all);
        struct shared *shared = share->shared;
        if (now_us - share->since_us < SHARES_LEASE_US) {
            return;
        }
        share_end(s, share);
        shared_settle(s, shared);
    }
}

/* Less than the mean: the smallest shares are not needed any more. */
static void give_back(struct shares *s, uint64_t bytes)
{
    for (uint32_t i = 0; i < TRIES_MAX; i++) {
        struct share *least = NULL;
        for (struct list *at = s->all.next; at != &s->all; at = at->next) {
            struct share *share = CONTAINER_OF(at, struct share, all);
            least = least == NULL || share->rate < least->rate ? share : least;
        }
        if (least == NULL || least->rate > bytes) {
            return;
        }
        struct shared *shared = least->shared;
        bytes -= least->rate;
        share_end(s, least);
        shared_settle(s, shared);
    }
}

/* Bytes a second that are wanted of it here, at least, and that nobody else has taken. */
static uint64_t unshared(const struct shares *s, uint32_t i, bool is_sudden)
{
    const struct sketch_item *item = &s->sketch.items[i];
    uint64_t sum = meter_gain(item->weight - item->over);
    uint64_t before = s->tracks[i].before + item->over;
    if (is_sudden && item->weight > before && item->weight - before > sum) {
        sum = item->weight - before;
    }
    uint64_t rate = sum * 1000000 / s->meter.passed;
    const struct shared *shared = shared_of(s, item);
    uint64_t granted = shared == NULL ? 0 : shared->granted;
    return rate > granted ? rate - granted : 0;
}

/* The hottest first. */
static void want_insert(struct shares *s, const struct shares_want *want)
{
    uint32_t at = s->want_count;
    if (at == SHARES_WANTS) {
        at--;
        if (s->wants[at].left >= want->left) {
            return;
        }
    } else {
        s->want_count++;
    }
    for (; at > 0 && s->wants[at - 1].left < want->left; at--) {
        s->wants[at] = s->wants[at - 1];
    }
    s->wants[at] = *want;
}

static void plan(struct shares *s, bool is_sudden)
{
    for (uint32_t i = 0; i < s->sketch.count; i++) {
        const struct shares_block *block = &s->tracks[i].block;
        uint64_t rate = unshared(s, i, is_sudden);
        bool pays = rate * (uint64_t)SHARES_LEASE_US / 2000000 >= block->size;
        if (pays && rate >= LEAST(s->meter.mean)) {
            want_insert(
                s, &(struct shares_want){ .block = *block, .item = i, .rest = rate, .left = rate });
        }
    }
}

/* So much more is served here than should be. */
static uint64_t excess(const struct shares *s)
{
    uint64_t rate = meter_now(&s->meter);
    uint64_t level = meter_level(s->meter.mean);
    return rate > level ? rate - level : 0;
}

/* Of that, so much from each, the hottest first. */
static void divide(struct shares *s)
{
    uint64_t bytes = excess(s);
    for (uint32_t i = 0; i < s->want_count; i++) {
        struct shares_want *want = &s->wants[i];
        want->left = want->rest < bytes ? want->rest : bytes;
        bytes -= want->left;
    }
}

/* After a step in which all were refused, wait longer each time. */
static bool rests(struct shares *s)
{
    bool in_vain = s->asked > 0 && s->refused == s->asked;
    if (in_vain) {
        s->rests = s->rests == 0 ? 1 : s->rests * 2;
        s->rests = s->rests < REST_MOST ? s->rests : REST_MOST;
        s->rest = s->rests;
    } else if (s->asked > 0) {
        s->rests = 0;
    }
    s->asked = 0;
    s->refused = 0;
    if (s->rest > 0) {
        s->rest--;
        return true;
    }
    return false;
}

void shares_step(struct shares *s, usec_t now_us)
{
    bool is_sudden = meter_step(&s->meter, now_us);
    end_late(s, now_us);
    uint64_t rate = meter_now(&s->meter);
    uint64_t mean = s->meter.mean;
    bool rest = rests(s);
    s->want_count = 0;
    s->asks_left = ASKS_EACH_STEP;
    if (rate < mean) {
        give_back(s, mean - rate);
    } else if (rate > meter_trigger(mean) && rate > s->meter.floor && !rest) {
        plan(s, is_sudden);
    }
    sketch_decay(&s->sketch, METER_KEEP);
    for (uint32_t i = 0; i < s->sketch.count; i++) {
        s->tracks[i].before = s->sketch.items[i].weight - s->sketch.items[i].over;
    }
}

struct place shares_place(struct place place, uint32_t nth)
{
    return (struct place){ hash64_mix(place.v, nth) };
}

/* ---- questions ------------------------------------------------------------------------------ */

static struct shares_ask *ask_new(struct shares *s, const struct shares_block *block,
                                  struct node_id node, uint32_t *out)
{
    struct shares_ask *ask = pool_take(&s->asks);
    if (ask == NULL) {
        return NULL;
    }
    ask->block = *block;
    ask->node = node;
    *out = pool_index(&s->asks, ask);
    return ask;
}

const struct shares_ask *shares_ask(const struct shares *s, uint32_t number)
{
    return pool_at(&s->asks, number);
}

static struct shares_want *want_find(struct shares *s, struct block_id id)
{
    for (uint32_t i = 0; i < s->want_count; i++) {
        if (block_id_equal(s->wants[i].block.id, id)) {
            return &s->wants[i];
        }
    }
    return NULL;
}

/* What is hardly used is asked for no more; who has a copy may take more readers of it. */
static void fill_renewal(struct shares *s, struct share *share, struct shares_ask *ask,
                         usec_t passed_us)
{
    uint64_t used = share->used * 1000000 / (uint64_t)passed_us;
    struct shares_want *want = want_find(s, ask->block.id);
    share->asked = true;
    ask->mean = s->meter.mean;
    ask->had = share->rate;
    ask->rate = used < share->rate / 2 ? used : share->rate;
    if (want != NULL && want->left > want->hoped && ask->rate == share->rate) {
        ask->rate += want->left - want->hoped;
        want->hoped += HOPED(s->meter.mean);
    }
}

/* What is not used at all ends with its lease. */
static bool next_renewal(struct shares *s, usec_t now_us, uint32_t *out)
{
    for (struct list *at = s->all.next; at != &s->all; at = at->next) {
        struct share *share = CONTAINER_OF(at, struct share, all);
        usec_t passed_us = now_us - share->since_us;
        if (passed_us < RENEW_US) {
            return false;
        }
        if (share->asked || share->used == 0) {
            continue;
        }
        struct shares_ask *ask = ask_new(s, &share->shared->block, share->node, out);
        if (ask == NULL) {
            return false;
        }
        fill_renewal(s, share, ask, passed_us);
        return true;
    }
    return false;
}

static bool is_asked(const struct shares *s, const struct shares_block *block, struct node_id node)
{
    for (uint32_t i = 0; i < pool_top(&s->asks); i++) {
        const struct shares_ask *ask = pool_at(&s->asks, i);
        if (pool_is_taken(&s->asks, i) && node_id_equal(ask->node, node) &&
            block_id_equal(ask->block.id, block->id)) {
            return true;
        }
    }
    return false;
}

/* Somebody new for this block. */
static bool next_place(struct shares *s, const struct shares_want *want,
                       const struct shares_places *places, struct node_id *out)
{
    struct shares_track *track = &s->tracks[want->item];
    struct shared *shared = shared_of(s, &s->sketch.items[want->item]);
    bool is_same = block_id_equal(track->block.id, want->block.id);
    for (uint32_t i = 0; is_same && i < TRIES_MAX; i++) {
        track->nth++;
        if (places->find(places->owner, &want->block, track->nth, out) &&
            !node_id_equal(*out, s->self) && (shared == NULL || share_find(shared, *out) == NULL) &&
            !is_asked(s, &want->block, *out)) {
            return true;
        }
    }
    return false;
}

bool shares_next(struct shares *s, usec_t now_us, const struct shares_places *places, uint32_t *out)
{
    uint64_t mean = s->meter.mean;
    divide(s);
    if (next_renewal(s, now_us, out)) {
        return true;
    }
    for (uint32_t i = 0; i < s->want_count && s->asks_left > 0; i++) {
        struct shares_want *want = &s->wants[i];
        struct node_id node;
        struct shares_ask *ask = NULL;
        if (want->left > want->hoped && s->asks.used < ASKS_AT_ONCE &&
            next_place(s, want, places, &node)) {
            ask = ask_new(s, &want->block, node, out);
        }
        if (ask == NULL) {
            continue;
        }
        ask->rate = want->left - want->hoped;
        ask->mean = mean;
        want->hoped += HOPED(mean);
        s->asks_left--;
        s->asked++;
        return true;
    }
    return false;
}

/* The rate is another one from now on. */
static void share_set(struct shares *s, struct share *share, usec_t now_us, uint64_t rate)
{
    meter_expect(&s->meter, (int64_t)share->rate - (int64_t)rate);
    share->shared->granted += rate - share->rate;
    share->rate = rate;
    share->used = 0;
    share->since_us = now_us;
    share->asked = false;
    list_remove(&share->all);
    list_push_back(&s->all, &share->all);
}

static void renewed(struct shares *s, const struct shares_ask *ask, usec_t now_us, uint64_t rate)
{
    struct shared *shared = shared_of(s, sketch_find(&s->sketch, ask->block.id));
    struct share *share = shared == NULL ? NULL : share_find(shared, ask->node);
    if (share == NULL) {
        return;
    }
    if (rate == 0) {
        share_end(s, share);
        shared_settle(s, shared);
        return;
    }
    uint64_t most = share->rate + excess(s);
    share_set(s, share, now_us, rate < most ? rate : most);
}

/* The block of this item, as one that is handed on. NULL: there are too many. */
static struct shared *shared_get(struct shares *s, struct sketch_item *item)
{
    struct shared *shared = shared_of(s, item);
    if (shared == NULL) {
        shared = pool_take(&s->shared);
        if (shared == NULL) {
            return NULL;
        }
        shared->item = (uint32_t)(item - s->sketch.items);
        shared->block = s->tracks[shared->item].block;
        list_init(&shared->holders);
        item->tag = pool_index(&s->shared, shared) + 1;
    }
    return shared;
}

static void obtained(struct shares *s, const struct shares_ask *ask, usec_t now_us, uint64_t rate)
{
    struct sketch_item *item = sketch_find(&s->sketch, ask->block.id);
    uint64_t mean = s->meter.mean;
    uint64_t most = excess(s);
    rate = rate < most ? rate : most;
    if (item == NULL || rate < LEAST(mean) || rate == 0) {
        return;
    }
    struct shared *shared = shared_get(s, item);
    if (shared == NULL) {
        return;
    }
    struct share *share = share_find(shared, ask->node) == NULL ? pool_take(&s->pool) : NULL;
    if (share == NULL) {
        shared_settle(s, shared);
        return;
    }
    share->node = ask->node;
    share->shared = shared;
    share->credit_us = now_us;
    list_init(&share->all);
    list_push_front(&shared->holders, &share->of_block);
    shared->count++;
    share_set(s, share, now_us, rate);
}

/* It is not hoped for any more: it is there, or it is not. */
static void unhope(struct shares *s, const struct shares_ask *ask, uint64_t rate)
{
    struct shares_want *want = ask->rate > ask->had ? want_find(s, ask->block.id) : NULL;
    if (want != NULL) {
        uint64_t hoped = HOPED(s->meter.mean);
        uint64_t more = rate > ask->had ? rate - ask->had : 0;
        want->hoped -= want->hoped < hoped ? want->hoped : hoped;
        want->rest -= want->rest < more ? want->rest : more;
    }
}

void shares_granted(struct shares *s, usec_t now_us, uint32_t number, uint64_t rate, uint64_t load)
{
    struct shares_ask *at = pool_at(&s->asks, number);
    const struct shares_ask ask = *at;
    pool_give(&s->asks, at);
    meter_sample(&s->meter, now_us, load);
    unhope(s, &ask, rate);
    if (ask.had > 0) {
        renewed(s, &ask, now_us, rate);
        return;
    }
    s->refused += rate == 0;
    obtained(s, &ask, now_us, rate);
}

void shares_unanswered(struct shares *s, uint32_t number)
{
    struct shares_ask *at = pool_at(&s->asks, number);
    const struct shares_ask ask = *at;
    pool_give(&s->asks, at);
    unhope(s, &ask, 0);
    s->refused += ask.had == 0;
    shares_lost(s, ask.node);
}

uint64_t shares_grant(struct shares *s, uint64_t rate, uint64_t had, uint64_t mean)
{
    CHECK(rate <= METER_RATE_MOST && had <= METER_RATE_MOST && mean <= METER_RATE_MOST);
    mean = s->meter.mean > mean ? s->meter.mean : mean;
    uint64_t level = meter_level(mean);
    uint64_t own = meter_now(&s->meter);
    uint64_t granted = rate;
    if (own > meter_cut(mean)) {
        granted = meter_part(had, (uint32_t)((level << 16) / own));
    } else if (rate > had) {
        uint64_t room = level > own ? level - own : 0;
        granted = had + (rate - had < room ? rate - had : room);
    }
    granted = granted < rate ? granted : rate;
    granted = granted < LEAST(mean) ? 0 : granted;
    meter_expect(&s->meter, (int64_t)granted - (int64_t)had);
    return granted;
}
