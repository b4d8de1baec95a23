/* gossip/exchange.c: how a node comes by keys that it lacks.
 *
 * It asks a member that shows a newer one, or whose packets it cannot open, with a packet under a key
 * that both have: one that opens, or a retired one that proves no more than that the asker was of the
 * cluster. Question and answer each carry half of a key exchange (X25519, new for each process), and
 * the ring travels under what follows from both: who only listens learns nothing, even when he knows
 * the key that sealed the packets (docs/gossip.md, "Keys"). */
#include "gossip/internal.h"

#include <sodium.h>

#include "base/hash.h"

#define QUESTION_US MSEC(100) /* between two questions */
#define STRANGER_US SEC(1)    /* between two to strangers */
#define ANSWER_US SEC(5)      /* an answer later than that is none */
#define ANSWERS_MAX 32u       /* nor one to a question before the last so many */
#define OLD_US MSEC(100)      /* between two answers of a kind to those with a retired key */
#define BOX_TAG 16u

/* ---- asking ------------------------------------------------------------------------------------- */

static void ask(struct gossip *g, const struct address *to, uint32_t under)
{
    struct keys *keys = &g->keys;
    struct parcel parcel;
    if (g->now.mono_us - keys->asked_us < QUESTION_US || !parcel_has_room(g)) {
        return;
    }
    MARK(g, "gossip.keys.asked");
    keys->asked_us = g->now.mono_us;
    keys->ask_number++;
    parcel_begin(g, &parcel, to,
                 (struct datagram_head){ .kind = DATAGRAM_KEYS_ASK, .number = keys->ask_number });
    parcel.key = under;
    const bool fits = datagram_add_public(&parcel.body, keys->public_key);
    CHECK(fits);
    parcel_end(g, &parcel);
}

void exchange_fill(struct gossip *g, struct datagram *d)
{
    const struct keyring *ring = &g->keys.ring;
    if (ring->count == 0 || keyring_is_settled(ring) || !keys_has_newest(g)) {
        return;
    }
    const struct cluster_key *newest = keyring_newest(ring);
    const struct datagram_newest section = {
        .era = newest->era, .number = newest->number, .id = g->seal.keys[0].id, .ttl_s = ring->ttl_s
    };
    const bool fits = datagram_add_newest(d, &section);
    CHECK(fits);
}

static bool is_newer(const struct datagram_newest *a, const struct cluster_key *b)
{
    if (a->era != b->era) {
        return a->era > b->era;
    }
    return a->number != b->number ? a->number > b->number : a->id.v < cluster_key_id(b).v;
}

void exchange_newest(struct gossip *g, const struct arrival *a,
                     const struct datagram_newest *newest)
{
    const struct keyring *ring = &g->keys.ring;
    if (ring->count == 0) {
        return;
    }
    if (newest->id.v == g->seal.keys[0].id.v) {
        if (a->peer != NULL && a->head.incarnation == a->peer->incarnation) {
            stages_heard(g, a->peer, KEY_STAGE_HAS);
        }
        if (keyring_promise(&g->keys.ring, newest->ttl_s)) {
            MARK(g, "gossip.keys.promised");
            keys_changed(g, cluster_key_id(keyring_newest(ring)));
        }
    } else if (is_newer(newest, keyring_newest(ring))) {
        ask(g, &a->from, g->seal.present);
    }
}

static bool is_same(const struct address *a, const struct address *b)
{
    return a != NULL && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static bool is_somebody(const struct gossip *g, const struct address *from)
{
    for (uint32_t i = 0; i < g->seed_count; i++) {
        if (is_same(&g->seeds[i].address, from)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < g->peers_high; i++) {
        if (roster_is_used(&g->peers[i]) && is_same(roster_address(g, &g->peers[i]), from)) {
            return true;
        }
    }
    return false;
}

/* Somebody we do not know may be a member of whom we have lost all memory: strangers, all together,
 * are asked once a second. */
void exchange_unknown(struct gossip *g, const struct address *from)
{
    struct keys *keys = &g->keys;
    const usec_t since_us = g->now.mono_us - keys->asked_us;
    if (since_us < QUESTION_US || (since_us < STRANGER_US && !is_somebody(g, from))) {
        return;
    }
    MARK(g, "gossip.keys.unknown");
    /* Which of our keys it has, we cannot know: each in its turn, the present one first. */
    ask(g, from, (g->seal.present + keys->ask_turn++) % g->seal.key_count);
}

/* ---- the box ------------------------------------------------------------------------------------- */

/* false: what the other side sent is no half of a key. */
static bool agree(const struct gossip *g, const uint8_t *theirs, bool we_ask,
                  uint8_t out[TRUST_KEY_SIZE])
{
    static const char domain[] = "atoll keyring";
    const uint8_t *ours = g->keys.public_key;
    crypto_generichash_state hash;
    uint8_t shared[TRUST_KEY_SIZE];
    if (crypto_scalarmult(shared, g->keys.secret, theirs) != 0) {
        return false;
    }
    int failed = crypto_generichash_init(&hash, shared, sizeof shared, TRUST_KEY_SIZE);
    failed |= crypto_generichash_update(&hash, (const uint8_t *)domain, sizeof domain);
    failed |= crypto_generichash_update(&hash, we_ask ? ours : theirs, TRUST_KEY_SIZE);
    failed |= crypto_generichash_update(&hash, we_ask ? theirs : ours, TRUST_KEY_SIZE);
    failed |= crypto_generichash_final(&hash, out, TRUST_KEY_SIZE);
    CHECK(failed == 0);
    sodium_memzero(shared, sizeof shared);
    return true;
}

static void nonce_of(uint64_t number, uint8_t nonce[12])
{
    memset(nonce, 0, 4);
    put_u64(nonce + 4, number);
}

/* Our ring for who asked, under the key that he asked with. */
static void give(struct gossip *g, const struct arrival *a, const uint8_t *theirs)
{
    uint8_t key[TRUST_KEY_SIZE];
    uint8_t plain[KEYRING_SIZE_MAX];
    uint8_t sealed[KEYRING_SIZE_MAX + BOX_TAG];
    uint8_t nonce[12];
    unsigned long long sealed_size = 0;
    struct parcel parcel;
    if (!keys_has_newest(g) || !parcel_has_room(g) || !agree(g, theirs, false, key)) {
        return;
    }
    MARK(g, "gossip.keys.given");
    struct datagram_box box = { .nonce = ++g->keys.gives };
    nonce_of(box.nonce, nonce);
    const size_t size = keyring_encode(&g->keys.ring, plain);
    int failed = crypto_aead_chacha20poly1305_ietf_encrypt(sealed, &sealed_size, plain, size, NULL,
                                                           0, NULL, nonce, key);
    CHECK(failed == 0);
    memcpy(box.public_key, g->keys.public_key, sizeof box.public_key);
    box.sealed = span_of(sealed, (size_t)sealed_size);
    parcel_begin(g, &parcel, &a->from,
                 (struct datagram_head){
                     .kind = DATAGRAM_KEYS_GIVE, .number = a->head.number, .target = a->sender });
    parcel.key = a->key;
    const bool fits = datagram_add_box(&parcel.body, &box);
    CHECK(fits);
    parcel_end(g, &parcel);
    sodium_memzero(plain, sizeof plain);
    sodium_memzero(key, sizeof key);
}

static void take(struct gossip *g, const struct arrival *a, const struct datagram_box *box)
{
    struct keys *keys = &g->keys;
    struct keyring theirs;
    uint8_t key[TRUST_KEY_SIZE];
    uint8_t plain[KEYRING_SIZE_MAX];
    uint8_t nonce[12];
    unsigned long long size = 0;
    if (box->sealed.size < BOX_TAG || box->sealed.size > sizeof plain + BOX_TAG ||
        !agree(g, box->public_key, true, key)) {
        return;
    }
    nonce_of(box->nonce, nonce);
    const struct key_id before = cluster_key_id(keyring_newest(&keys->ring));
    if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, &size, NULL, box->sealed.data,
                                                  box->sealed.size, NULL, 0, nonce, key) == 0 &&
        keyring_decode(span_of(plain, (size_t)size), &theirs) == ERR_OK &&
        keyring_merge(&keys->ring, &theirs)) {
        MARK(g, "gossip.keys.taken");
        keys_changed(g, before);
        if ((a->peer == NULL || !roster_is_living(a->peer)) && parcel_has_room(g)) {
            pings_introduce(g, &a->from, a->peer); /* now we can hear each other */
        }
    }
    sodium_memzero(plain, sizeof plain);
    sodium_memzero(&theirs, sizeof theirs);
    sodium_memzero(key, sizeof key);
}

/* ---- answering ----------------------------------------------------------------------------------- */

void exchange_act(struct gossip *g, const struct arrival *a, struct span sections)
{
    struct keys *keys = &g->keys;
    struct datagram_section section;
    const bool is_asked = a->head.number != 0 && keys->ask_number - a->head.number < ANSWERS_MAX &&
                          g->now.mono_us - keys->asked_us <= ANSWER_US;
    if (keys->ring.count == 0) {
        return;
    }
    while (datagram_next(&sections, &section)) {
        if (a->head.kind == DATAGRAM_KEYS_ASK && section.tag == DATAGRAM_KEYS_PUBLIC) {
            give(g, a, section.public_key);
            return;
        }
        if (a->head.kind == DATAGRAM_KEYS_GIVE && section.tag == DATAGRAM_KEYS_BOX && is_asked) {
            take(g, a, &section.box);
            return;
        }
    }
}

void exchange_retired(struct gossip *g, const struct arrival *a, struct span sections)
{
    struct keys *keys = &g->keys;
    if (a->head.kind == DATAGRAM_KEYS_GIVE) {
        exchange_act(g, a, sections);
        return;
    }
    usec_t *last_us = a->head.kind == DATAGRAM_KEYS_ASK ? &keys->old_given_us : &keys->old_shown_us;
    if (g->now.mono_us - *last_us < OLD_US || !parcel_has_room(g)) {
        return;
    }
    *last_us = g->now.mono_us;
    if (a->head.kind == DATAGRAM_KEYS_ASK) {
        MARK(g, "gossip.keys.retired_asks");
        exchange_act(g, a, sections);
        return;
    }
    MARK(g, "gossip.keys.retired_seen");
    /* Something that it cannot open: then it asks. */
    struct parcel parcel;
    parcel_begin(g, &parcel, &a->from, (struct datagram_head){ .kind = DATAGRAM_SPREAD });
    parcel_end(g, &parcel);
}
