/* node/core/snapshot_late.c: directories that were listed after their page was cut; and pages that did
 * not change in a generation that did.
 *
 * A late name is u16 size, u8 done, the name. Few: each is a proper prefix of a page's fence. */
#include "node/core/snapshot.h"

#include "node/core/meta.h"

#define LATE_HEAD 3u

bool snapshot_put_late(struct node *node, struct snapshot *snapshot, struct span name)
{
    uint8_t *to = grow_more(node, &snapshot->late, LATE_HEAD + (uint32_t)name.size);
    if (to == NULL) {
        return false;
    }
    put_u16(to, (uint16_t)name.size);
    to[2] = 0;
    memcpy(to + LATE_HEAD, name.data, name.size);
    snapshot->late_count++;
    return true;
}

/* The next one after *at that is not done; false at the end. */
static bool late_next(const struct snapshot *snapshot, uint32_t *at, struct span *name)
{
    while (*at < snapshot->late.used) {
        const uint8_t *from = snapshot->late.buffer->data + *at;
        uint32_t size = get_u16(from);
        *at += LATE_HEAD + size;
        if (from[2] == 0) {
            *name = span_of(from + LATE_HEAD, size);
            return true;
        }
    }
    return false;
}

uint32_t snapshot_shard_of(const struct snapshot *snapshot, struct span name)
{
    uint32_t low = 0;
    uint32_t high = snapshot->shard_count;
    CHECK(high > 0);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (span_compare(snapshot_fence(snapshot, middle), name) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Into its place among `count` sorted names; the same count when it is there already. */
static uint32_t insert_sorted(struct span *names, uint32_t count, struct span name)
{
    uint32_t at = count;
    while (at > 0 && span_compare(names[at - 1], name) > 0) {
        at--;
    }
    if (at > 0 && span_equal(names[at - 1], name)) {
        return count;
    }
    memmove(names + at + 1, names + at, (count - at) * sizeof *names);
    names[at] = name;
    return count + 1;
}

uint32_t snapshot_late_of(const struct snapshot *snapshot, uint32_t shard, struct span *out,
                          uint32_t room)
{
    uint32_t count = 0;
    uint32_t at = 0;
    struct span name;
    while (count < room && late_next(snapshot, &at, &name)) {
        if (snapshot_shard_of(snapshot, name) == shard) {
            count = insert_sorted(out, count, name);
        }
    }
    return count;
}

void snapshot_late_done(struct snapshot *snapshot, const struct span *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = 0;
        struct span name;
        while (late_next(snapshot, &at, &name)) {
            if (span_equal(name, names[i])) {
                snapshot->late.buffer->data[at - name.size - 1] = 1;
                snapshot->late_count--;
            }
        }
    }
}

void snapshot_late(struct node *node, struct snapshot *snapshot)
{
    struct span name;
    uint32_t at = 0;
    if (!snapshot_ops_idle(snapshot)) {
        return; /* one at a time: shards move when a page is split */
    }
    if (!late_next(snapshot, &at, &name)) {
        snapshot->phase = SNAPSHOT_REDO;
        return;
    }
    snapshot->changed = true;
    snapshot_rewrite(node, snapshot, snapshot_shard_of(snapshot, name));
}

/* Nothing differs from the generation before. */
static bool is_unchanged(const struct snapshot *snapshot)
{
    bool exists = snapshot->shard_count > 0 || snapshot->set.marker || snapshot->any_key;
    if (!snapshot->has_old || snapshot->changed || snapshot->force ||
        exists != snapshot->old_exists) {
        return false;
    }
    if (!exists) {
        return true;
    }
    return snapshot->old_root != NULL && snapshot->shard_count == snapshot->set.old.shards;
}

void snapshot_redo(struct node *node, struct snapshot *snapshot)
{
    if (is_unchanged(snapshot)) {
        struct dir *dir = snapshot->work->dir;
        MARK(snapshot, "snapshot.unchanged");
        dirs_set_checked(node, dir, snapshot->checked_us);
        snapshot->unchanged = true;
        snapshot->phase = SNAPSHOT_DONE;
        return;
    }
    while (snapshot->err == ERR_OK && snapshot->redo < snapshot->shard_count &&
           snapshot_op_free(snapshot) != NULL) {
        uint32_t shard = snapshot->redo++;
        if (snapshot_shard(snapshot, shard)->state == SHARD_SAME) {
            MARK(snapshot, "snapshot.redo");
            snapshot_rewrite(node, snapshot, shard);
        }
    }
    if (snapshot->redo == snapshot->shard_count && snapshot_ops_idle(snapshot)) {
        snapshot->phase = SNAPSHOT_ROOT;
    }
}
