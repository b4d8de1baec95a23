/* gossip/keys.c: a rotation, step by step (docs/gossip.md, "Keys"). Nobody leads: whoever sees that
 * all living members have the newest key uses it, and whoever sees it used follows. */
#include "gossip/keys.h"

#include <sodium.h>

#include "gossip/internal.h"

#define KEEP_AGAIN_US SEC(5)
#define ROTATE_US SEC(10) /* an operator waits that long for the new key to be kept by two */
#define LOOK_US MSEC(50)  /* at the soonest: things change together */
#define LOOK_AGAIN_US SEC(1)
#define STAGES_TELL_US MSEC(500)

size_t keys_memory(uint32_t members_max)
{
    return members_max * (sizeof(struct key_seen) + sizeof(uint32_t)) + 32;
}

enum err keys_init(struct gossip *g, struct arena *mem, const struct gossip_options *options)
{
    struct keys *keys = &g->keys;
    keys->keep_at_us = USEC_NEVER;
    keys->used_us = USEC_NEVER;
    keys->look_at_us = USEC_NEVER;
    keys->spread_at_us = USEC_NEVER;
    keys->reply_at_us = LONG_AGO;
    keys->asked_us = LONG_AGO;
    keys->old_given_us = LONG_AGO;
    keys->old_shown_us = LONG_AGO;
    keys->stages_told_us = LONG_AGO;
    keys->seen = arena_array(mem, g->peers_max, sizeof *keys->seen);
    keys->order = arena_array(mem, g->peers_max, sizeof *keys->order);
    if (keys->seen == NULL || keys->order == NULL) {
        return ERR_NOMEM;
    }
    if (options->insecure) {
        return ERR_OK;
    }
    keys->ring = options->ring;
    memcpy(keys->secret, options->secret, sizeof keys->secret);
    int failed = crypto_scalarmult_base(keys->public_key, keys->secret);
    CHECK(failed == 0);
    keys->tell_ring = true;
    return ERR_OK;
}

bool keys_has_newest(const struct gossip *g)
{
    return g->keys.kept >= g->keys.newest_serial;
}

static void look_soon(struct gossip *g)
{
    g->keys.look_at_us = usec_min(g->keys.look_at_us, g->now.mono_us + LOOK_US);
}

void keys_changed(struct gossip *g, struct key_id was_newest)
{
    struct keys *keys = &g->keys;
    keys->serial++;
    seal_keys(&g->seal, &keys->ring);
    keys->tell_ring = true;
    keys->keep_at_us = g->now.mono_us + KEEP_AGAIN_US;
    if (cluster_key_id(keyring_newest(&keys->ring)).v != was_newest.v) {
        MARK(g, "gossip.keys.installed");
        keys->newest_serial = keys->serial;
        keys->used_us = USEC_NEVER;
        stages_forget(g);
    }
    look_soon(g);
}

static bool has_room(const struct gossip *g)
{
    return g->out->count < GOSSIP_EFFECTS_MAX;
}

static void put_rotated(struct gossip *g, uint64_t id, enum err err)
{
    CHECK(has_room(g));
    g->out->items[g->out->count++] = (struct gossip_effect){ .kind = GOSSIP_ROTATED,
                                                             .node = g->id,
                                                             .rotated = { .id = id, .err = err } };
}

void keys_rotate(struct gossip *g, uint64_t id, const struct key_rotation *rotation)
{
    struct keys *keys = &g->keys;
    CHECK(id != 0);
    if (keys->ring.count == 0) {
        put_rotated(g, id, ERR_UNSUPPORTED);
        return;
    }
    const struct key_id before = cluster_key_id(keyring_newest(&keys->ring));
    struct keys_before was = { keys->ring, keys->newest_serial, keys->used_us };
    /* Who must not wait does not wait for the answer to another one, either. */
    const bool is_busy =
        keys->rotate_id != 0 && !(rotation->is_forced && keys->kept >= keys->rotate_serial);
    enum err err = is_busy ? ERR_BUSY : keyring_install(&keys->ring, rotation);
    if (err != ERR_OK) {
        sodium_memzero(&was, sizeof was);
        put_rotated(g, id, err);
        return;
    }
    if (keys->rotate_id != 0) {
        put_rotated(g, keys->rotate_id, ERR_ROTATING);
    }
    keys_changed(g, before);
    keys->before = was;
    sodium_memzero(&was, sizeof was);
    keys->rotate_id = id;
    keys->rotated = ERR_OK;
    keys->tell_rotated = false;
    keys->rotate_serial = keys->serial;
    keys->rotate_until_us = g->now.mono_us + ROTATE_US;
}

/* The key that an operator waits for is not on disk, and so nobody was told of it: as if it had never
 * been. What came from others meanwhile is not on disk either, and comes again. */
static void withdraw(struct gossip *g)
{
    struct keys *keys = &g->keys;
    MARK(g, "gossip.keys.withdrawn");
    keys->ring = keys->before.ring;
    keys_changed(g, cluster_key_id(keyring_newest(&keys->ring)));
    keys->newest_serial = keys->before.newest_serial;
    keys->used_us = keys->before.used_us;
    stages_forget(g);
    keys->tell_rotated = true;
    keys->rotated = ERR_SYSTEM;
}

/* Nobody else lives, as far as a node knows that has looked for others, and stays. */
static bool is_alone(const struct gossip *g)
{
    return g->living == 1 && !g->gathering && g->leaving < LEAVING_SAYING_GOODBYE;
}

/* It goes on now whatever becomes of this node: another one has it on disk, where there is another. */
static bool is_safe(const struct gossip *g)
{
    const struct keys *keys = &g->keys;
    return keys_has_newest(g) &&
           (is_alone(g) || keyring_is_settled(&keys->ring) || stages_elsewhere(g));
}

/* A disk that has refused it will not have it later; one that has not answered may. */
static void end_waiting(struct gossip *g)
{
    struct keys *keys = &g->keys;
    if (keys->failed >= keys->rotate_serial && keys->kept < keys->rotate_serial) {
        withdraw(g);
        return;
    }
    MARK(g, "gossip.keys.not_known");
    keys->tell_rotated = true;
    keys->rotated = ERR_TIMEOUT;
}

void keys_kept(struct gossip *g, uint64_t serial, enum err err)
{
    struct keys *keys = &g->keys;
    if (serial <= keys->kept || serial > keys->serial) {
        return;
    }
    if (err != ERR_OK) {
        keys->failed = serial;
        return;
    }
    keys->kept = serial;
    keys->keep_at_us = keys->kept == keys->serial ? USEC_NEVER : keys->keep_at_us;
    keys->stages_changed = true;
    look_soon(g);
}

/* ---- steps ------------------------------------------------------------------------------------- */

usec_t gossip_keys_end(const struct gossip *g)
{
    const struct keys *keys = &g->keys;
    return keyring_is_settled(&keys->ring) || keys->used_us == USEC_NEVER
               ? USEC_NEVER
               : keys->used_us + SEC((usec_t)keys->ring.ttl_s);
}

static void use(struct gossip *g)
{
    MARK(g, "gossip.keys.used");
    keyring_use(&g->keys.ring);
    keys_changed(g, cluster_key_id(keyring_newest(&g->keys.ring)));
}

static void retire(struct gossip *g)
{
    MARK(g, "gossip.keys.retired");
    keyring_retire(&g->keys.ring);
    g->keys.used_us = USEC_NEVER;
    keys_changed(g, cluster_key_id(keyring_newest(&g->keys.ring)));
}

static void look(struct gossip *g)
{
    struct keys *keys = &g->keys;
    bool any_uses = false;
    enum key_stage lowest = stages_lowest(g, &any_uses);
    keys->look_at_us = g->now.mono_us + LOOK_AGAIN_US;
    if (keys->ring.present != 0 && keys_has_newest(g) && (any_uses || lowest >= KEY_STAGE_HAS)) {
        use(g);
        lowest = stages_lowest(g, &any_uses);
    }
    if (keys->ring.present != 0 || lowest != KEY_STAGE_USES) {
        return;
    }
    if (keys->used_us == USEC_NEVER) {
        keys->used_us = g->now.mono_us;
        keys->stages_changed = true;
    }
    if (g->now.mono_us >= gossip_keys_end(g)) {
        retire(g);
    }
}

static void judge_rotation(struct gossip *g)
{
    struct keys *keys = &g->keys;
    if (keys->newest_serial != keys->rotate_serial) {
        MARK(g, "gossip.keys.gave_way");
        keys->tell_rotated = true; /* of rotations that were begun at once another one goes on */
        keys->rotated = ERR_ROTATING;
    } else if (is_safe(g)) {
        keys->tell_rotated = true;
    } else if (g->now.mono_us >= keys->rotate_until_us || g->leaving >= LEAVING_SAYING_GOODBYE) {
        end_waiting(g);
    }
}

void keys_tick(struct gossip *g)
{
    struct keys *keys = &g->keys;
    if (keys->rotate_id != 0 && !keys->tell_rotated) {
        judge_rotation(g);
    }
    if (g->now.mono_us >= keys->keep_at_us) {
        keys->tell_ring = true;
        keys->keep_at_us = g->now.mono_us + KEEP_AGAIN_US;
    }
    if (keys->ring.count == 0) {
        return;
    }
    if (!keyring_is_settled(&keys->ring) && g->now.mono_us >= keys->look_at_us) {
        look(g);
    }
    if (keyring_is_settled(&keys->ring)) {
        keys->look_at_us = USEC_NEVER;
    }
    stages_tick(g);
}

usec_t keys_deadline(const struct gossip *g)
{
    const struct keys *keys = &g->keys;
    usec_t next = usec_min(usec_min(keys->keep_at_us, keys->look_at_us), keys->spread_at_us);
    if (keys->stages_changed) {
        next = usec_min(next, keys->stages_told_us + STAGES_TELL_US);
    }
    return keys->rotate_id != 0 ? usec_min(next, keys->rotate_until_us) : next;
}

/* ---- effects ----------------------------------------------------------------------------------- */

bool keys_wait(const struct gossip *g)
{
    return g->keys.tell_ring || (g->keys.tell_rotated && g->keys.rotate_id != 0);
}

void keys_flush(struct gossip *g)
{
    struct keys *keys = &g->keys;
    if (keys->tell_ring && has_room(g)) {
        keys->tell_ring = false;
        keys->failed = 0; /* what counts is how the last attempt ends */
        g->out->items[g->out->count++] = (struct gossip_effect){
            .kind = GOSSIP_KEYRING, .node = g->id, .keyring = { .serial = keys->serial }
        };
    }
    if (keys->tell_rotated && keys->rotate_id != 0 && has_room(g)) {
        put_rotated(g, keys->rotate_id, keys->rotated);
        keys->rotate_id = 0;
        keys->tell_rotated = false;
        sodium_memzero(&keys->before, sizeof keys->before);
    }
    const bool is_due = g->now.mono_us - keys->stages_told_us >= STAGES_TELL_US;
    if (keys->stages_changed && is_due && has_room(g)) {
        keys->stages_changed = false;
        keys->stages_told_us = g->now.mono_us;
        g->out->items[g->out->count++] =
            (struct gossip_effect){ .kind = GOSSIP_STAGES, .node = g->id };
    }
}

const struct keyring *gossip_ring(const struct gossip *g)
{
    return &g->keys.ring;
}
