#include "gossip/keyring.h"

#include <sodium.h>

#define FORMAT_VERSION 1u
#define POOL_MAX (KEYRING_KEYS_MAX + 2u)             /* ours, and two of theirs */
#define OLD_MAX (2 * KEYRING_RETIRED_MAX + POOL_MAX) /* all that may be retired at once */
#define NUMBER_MAX (UINT32_MAX / 2)                  /* nobody rotates that often */
#define ROTATION_REVOKES 1u
#define ROTATION_IS_FORCED 2u

/* Keys being sorted; `present` is kept in whatever happens. */
struct pool {
    struct cluster_key keys[OLD_MAX];
    uint32_t count;
};

static bool is_same(const struct cluster_key *a, const struct cluster_key *b)
{
    return cluster_key_id(a).v == cluster_key_id(b).v;
}

/* By what both halves of a partition count alike. */
static int compare_number(const struct cluster_key *a, const struct cluster_key *b)
{
    if (a->era != b->era) {
        return a->era < b->era ? -1 : 1;
    }
    return a->number == b->number ? 0 : a->number < b->number ? -1 : 1;
}

static bool is_newer(const struct cluster_key *a, const struct cluster_key *b)
{
    const int order = compare_number(a, b);
    return order != 0 ? order > 0 : cluster_key_id(a).v < cluster_key_id(b).v;
}

static const struct cluster_key *find(const struct cluster_key *keys, uint32_t count,
                                      struct key_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (cluster_key_id(&keys[i]).v == id.v) {
            return &keys[i];
        }
    }
    return NULL;
}

void keyring_init(struct keyring *ring, const struct cluster_key *key)
{
    memset(ring, 0, sizeof *ring);
    ring->keys[0] = *key;
    ring->count = 1;
    ring->ttl_s = key->ttl_s;
}

const struct cluster_key *keyring_present(const struct keyring *ring)
{
    CHECK(ring->present < ring->count);
    return &ring->keys[ring->present];
}

const struct cluster_key *keyring_find(const struct keyring *ring, struct key_id id)
{
    return find(ring->keys, ring->count, id);
}

bool keyring_is_retired(const struct keyring *ring, struct key_id id)
{
    return find(ring->retired, ring->retired_count, id) != NULL;
}

/* ---- sorting --------------------------------------------------------------------------------- */

/* In its place, newest first, unless it is there already. */
static void pool_add(struct pool *pool, const struct cluster_key *key)
{
    uint32_t at = pool->count;
    CHECK(pool->count < OLD_MAX);
    for (uint32_t i = 0; i < pool->count; i++) {
        if (is_same(&pool->keys[i], key)) {
            return;
        }
    }
    for (; at > 0 && is_newer(key, &pool->keys[at - 1]); at--) {
        pool->keys[at] = pool->keys[at - 1];
    }
    pool->keys[at] = *key;
    pool->count++;
}

static void pool_add_all(struct pool *pool, const struct cluster_key *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pool_add(pool, &keys[i]);
    }
}

/* The ring opens by the newest of `open`, `present` among them; what is left over and `old` is
 * retired. */
static void settle(struct keyring *ring, const struct pool *open, struct key_id present,
                   struct pool *old)
{
    struct keyring next;
    memset(&next, 0, sizeof next);
    next.ttl_s = is_same(&open->keys[0], keyring_newest(ring)) ? ring->ttl_s : open->keys[0].ttl_s;
    CHECK(open->count > 0 && find(open->keys, open->count, present) != NULL);
    for (uint32_t i = 0; i < open->count; i++) {
        const bool is_present = cluster_key_id(&open->keys[i]).v == present.v;
        const bool has_present = next.count > 0 && keyring_find(&next, present) != NULL;
        const uint32_t room = KEYRING_KEYS_MAX - (has_present ? 0 : 1);
        if (!is_present && next.count >= room) {
            pool_add(old, &open->keys[i]);
            continue;
        }
        next.present = is_present ? next.count : next.present;
        next.keys[next.count++] = open->keys[i];
    }
    next.ttl_s = keyring_is_settled(&next) ? next.keys[0].ttl_s : next.ttl_s;
    for (uint32_t i = 0; i < old->count && next.retired_count < KEYRING_RETIRED_MAX; i++) {
        const struct cluster_key *key = &old->keys[i];
        if (key->era == next.keys[0].era && keyring_find(&next, cluster_key_id(key)) == NULL) {
            next.retired[next.retired_count++] = *key;
        }
    }
    *ring = next;
    sodium_memzero(&next, sizeof next);
}

/* ---- a rotation ------------------------------------------------------------------------------- */

/* Whoever has that key would have the new one, too. */
static bool has_secret(const struct cluster_key *keys, uint32_t count,
                       const struct cluster_key *key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (sodium_memcmp(keys[i].gossip, key->gossip, sizeof key->gossip) == 0) {
            return true;
        }
    }
    return false;
}

enum err keyring_install(struct keyring *ring, const struct key_rotation *rotation)
{
    struct pool open = { .count = 0 };
    struct pool old = { .count = 0 };
    const struct cluster_key *newest = keyring_newest(ring);
    struct cluster_key key = rotation->key;
    if (newest->number >= NUMBER_MAX) {
        return ERR_FULL;
    }
    if (!keyring_is_settled(ring) && !rotation->is_forced) {
        return ERR_ROTATING;
    }
    if (has_secret(ring->keys, ring->count, &key) ||
        has_secret(ring->retired, ring->retired_count, &key)) {
        sodium_memzero(&key, sizeof key);
        return ERR_INVALID;
    }
    key.era = newest->era + (rotation->revokes ? 1 : 0);
    key.number = newest->number + 1;
    if (!rotation->revokes) {
        memcpy(key.sign_secret, newest->sign_secret, sizeof key.sign_secret);
    }
    pool_add_all(&open, ring->keys, ring->count);
    pool_add(&open, &key);
    pool_add_all(&old, ring->retired, ring->retired_count);
    settle(ring, &open, cluster_key_id(keyring_present(ring)), &old);
    sodium_memzero(&key, sizeof key);
    sodium_memzero(&open, sizeof open);
    sodium_memzero(&old, sizeof old);
    return ERR_OK;
}

void keyring_use(struct keyring *ring)
{
    CHECK(ring->count > 0);
    ring->present = 0;
}

void keyring_retire(struct keyring *ring)
{
    struct pool open = { .count = 0 };
    struct pool old = { .count = 0 };
    CHECK(ring->present == 0);
    pool_add(&open, keyring_newest(ring));
    pool_add_all(&old, ring->keys + 1, ring->count - 1);
    pool_add_all(&old, ring->retired, ring->retired_count);
    settle(ring, &open, cluster_key_id(keyring_newest(ring)), &old);
    sodium_memzero(&open, sizeof open);
    sodium_memzero(&old, sizeof old);
}

/* ---- two rings -------------------------------------------------------------------------------- */

/* Nothing sealed with it is read there any more. */
static bool is_gone_at(const struct keyring *theirs, const struct cluster_key *key)
{
    const struct key_id id = cluster_key_id(key);
    return keyring_find(theirs, id) == NULL &&
           (keyring_is_retired(theirs, id) || key->era < keyring_present(theirs)->era);
}

/* A key that is neither retired here nor from before our time. */
static void adopt(const struct keyring *ring, struct pool *open, const struct cluster_key *key)
{
    if (!keyring_is_retired(ring, cluster_key_id(key)) &&
        compare_number(key, keyring_present(ring)) >= 0) {
        pool_add(open, key);
    }
}

/* What to seal with: the newest as soon as somebody does, because he knows that all have it; else
 * what we did, unless nobody there can read that any more. */
static struct key_id choose(const struct keyring *ring, const struct keyring *theirs,
                            const struct pool *open)
{
    const struct cluster_key *ours = keyring_present(ring);
    const struct cluster_key *used = keyring_present(theirs);
    if (is_same(used, &open->keys[0]) ||
        (is_gone_at(theirs, ours) && find(open->keys, open->count, cluster_key_id(used)) != NULL)) {
        return cluster_key_id(used);
    }
    return cluster_key_id(ours);
}

/* The longest time that this ring, or a key in it that was begun together with `newest`, promises. Of
 * another era it promises nothing: one that revokes cuts what a rotation elsewhere has promised. */
static uint32_t promised(const struct keyring *ring, const struct cluster_key *newest)
{
    uint32_t ttl_s = 0;
    if (keyring_is_settled(ring)) {
        return 0;
    }
    for (uint32_t i = 0; i < ring->count; i++) {
        const uint32_t given_s = i == 0 ? ring->ttl_s : ring->keys[i].ttl_s;
        const struct cluster_key *key = &ring->keys[i];
        if (key->number == newest->number && key->era == newest->era && given_s > ttl_s) {
            ttl_s = given_s;
        }
    }
    return ttl_s;
}

bool keyring_promise(struct keyring *ring, uint32_t ttl_s)
{
    if (keyring_is_settled(ring) || ttl_s <= ring->ttl_s) {
        return false;
    }
    ring->ttl_s = ttl_s;
    return true;
}

bool keyring_merge(struct keyring *ring, const struct keyring *theirs)
{
    struct pool open = { .count = 0 };
    struct pool old = { .count = 0 };
    struct keyring before = *ring;
    pool_add_all(&open, ring->keys, ring->count);
    adopt(ring, &open, keyring_newest(theirs));
    adopt(ring, &open, keyring_present(theirs));
    pool_add_all(&old, ring->retired, ring->retired_count);
    pool_add_all(&old, theirs->retired, theirs->retired_count);
    settle(ring, &open, choose(ring, theirs, &open), &old);
    (void)keyring_promise(ring, promised(&before, keyring_newest(ring)));
    (void)keyring_promise(ring, promised(theirs, keyring_newest(ring)));
    const bool changed = memcmp(&before, ring, sizeof before) != 0;
    sodium_memzero(&before, sizeof before);
    sodium_memzero(&open, sizeof open);
    sodium_memzero(&old, sizeof old);
    return changed;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static uint8_t *put_key(uint8_t *to, const struct cluster_key *key)
{
    put_u32(to, key->era);
    put_u32(to + 4, key->number);
    put_u32(to + 8, key->ttl_s);
    memcpy(to + 12, key->gossip, TRUST_KEY_SIZE);
    memcpy(to + 12 + TRUST_KEY_SIZE, key->capability, TRUST_KEY_SIZE);
    memcpy(to + 12 + 2 * TRUST_KEY_SIZE, key->sign_secret, TRUST_SIGN_SECRET_SIZE);
    return to + KEYRING_KEY_SIZE;
}

static const uint8_t *get_key(const uint8_t *from, struct cluster_key *key)
{
    key->era = get_u32(from);
    key->number = get_u32(from + 4);
    key->ttl_s = get_u32(from + 8);
    memcpy(key->gossip, from + 12, TRUST_KEY_SIZE);
    memcpy(key->capability, from + 12 + TRUST_KEY_SIZE, TRUST_KEY_SIZE);
    memcpy(key->sign_secret, from + 12 + 2 * TRUST_KEY_SIZE, TRUST_SIGN_SECRET_SIZE);
    return from + KEYRING_KEY_SIZE;
}

size_t keyring_encode(const struct keyring *ring, uint8_t out[KEYRING_SIZE_MAX])
{
    uint8_t *to = out + 5;
    out[0] = FORMAT_VERSION;
    out[1] = KEYRING_KEY_SIZE;
    out[2] = (uint8_t)ring->count;
    out[3] = (uint8_t)ring->present;
    out[4] = (uint8_t)ring->retired_count;
    for (uint32_t i = 0; i < ring->count; i++) {
        to = put_key(to, &ring->keys[i]);
    }
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        to = put_key(to, &ring->retired[i]);
    }
    return (size_t)(to - out);
}

enum err keyring_decode(struct span bytes, struct keyring *out)
{
    struct keyring ring;
    memset(&ring, 0, sizeof ring);
    if (bytes.size < 5 || bytes.data[0] == 0) {
        return ERR_MALFORMED;
    }
    if (bytes.data[0] > FORMAT_VERSION) {
        return ERR_VERSION;
    }
    ring.count = bytes.data[2];
    ring.present = bytes.data[3];
    ring.retired_count = bytes.data[4];
    if (ring.count > KEYRING_KEYS_MAX || ring.retired_count > KEYRING_RETIRED_MAX ||
        bytes.data[1] != KEYRING_KEY_SIZE ||
        bytes.size != 5 + (size_t)(ring.count + ring.retired_count) * KEYRING_KEY_SIZE) {
        return ERR_MALFORMED;
    }
    const uint8_t *from = bytes.data + 5;
    for (uint32_t i = 0; i < ring.count; i++) {
        from = get_key(from, &ring.keys[i]);
    }
    for (uint32_t i = 0; i < ring.retired_count; i++) {
        from = get_key(from, &ring.retired[i]);
    }
    enum err err = keyring_is_valid(&ring) ? ERR_OK : ERR_MALFORMED;
    if (err == ERR_OK) {
        ring.ttl_s = ring.keys[0].ttl_s; /* of more than that the packets tell */
        *out = ring;
    }
    sodium_memzero(&ring, sizeof ring);
    return err;
}

static bool are_in_order(const struct cluster_key *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].number > NUMBER_MAX || (i > 0 && !is_newer(&keys[i - 1], &keys[i]))) {
            return false;
        }
    }
    return true;
}

bool keyring_is_valid(const struct keyring *ring)
{
    if (ring->count == 0 || ring->count > KEYRING_KEYS_MAX || ring->present >= ring->count ||
        ring->retired_count > KEYRING_RETIRED_MAX || !are_in_order(ring->keys, ring->count) ||
        !are_in_order(ring->retired, ring->retired_count)) {
        return false;
    }
    for (uint32_t i = 0; i < ring->retired_count; i++) {
        if (keyring_find(ring, cluster_key_id(&ring->retired[i])) != NULL ||
            ring->retired[i].era != keyring_newest(ring)->era) {
            return false;
        }
    }
    return true;
}

void key_rotation_encode(const struct key_rotation *rotation, uint8_t out[KEY_ROTATION_SIZE])
{
    out[0] = (uint8_t)((rotation->revokes ? ROTATION_REVOKES : 0) |
                       (rotation->is_forced ? ROTATION_IS_FORCED : 0));
    put_key(out + 1, &rotation->key);
}

bool key_rotation_decode(struct span bytes, struct key_rotation *out)
{
    if (bytes.size != KEY_ROTATION_SIZE ||
        (bytes.data[0] & ~(ROTATION_REVOKES | ROTATION_IS_FORCED)) != 0) {
        return false;
    }
    out->revokes = (bytes.data[0] & ROTATION_REVOKES) != 0;
    out->is_forced = (bytes.data[0] & ROTATION_IS_FORCED) != 0;
    get_key(bytes.data + 1, &out->key);
    return true;
}
