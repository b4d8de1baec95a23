/* sim/trial/reader_jobs.c: what a reader reads next. */
#include "sim/trial/reader_inside.h"

#include <stdio.h>
#include <string.h>

#include "sim/trial/inodes.h"

static void set_path(struct reader *r, const struct source_object *object)
{
    const size_t skip = strlen(TRIAL_PREFIX);
    snprintf(r->path, sizeof r->path, "%s", object->key + skip);
}

bool reader_knows(const struct reader *r, const struct mount_entry *entry, struct span name)
{
    char path[1600];
    const uint64_t version = entry->attr.is_dir ? 0 : (uint64_t)entry->attr.mtime_us;
    const uint32_t mount = r->mount->process.index - r->trial->node_count;
    int used = snprintf(path, sizeof path, "%.*s", (int)name.size, (const char *)name.data);
    if (r->phase == PHASE_READDIR && r->path[0] != '\0') {
        used = snprintf(path, sizeof path, "%s/%.*s", r->path, (int)name.size,
                        (const char *)name.data);
    }
    return inodes_tell(r->trial->inodes[mount], entry->ino, span_of(path, (size_t)used), version);
}

void reader_pick_file(struct reader *r)
{
    const struct source *source = world_of(r)->source;
    if (r->order_at == r->order_count) {
        r->order_at = 0;
        r->done = r->held_back;
    }
    if (r->pattern == READER_TOGETHER) {
        r->order_at = (uint32_t)(world_of(r)->now_us / TOGETHER_US % r->order_count);
    }
    r->object = source_at(source, r->order[r->order_at++]);
    r->job = r->pattern == READER_RANDOM ? JOB_PIECES : JOB_FILE;
    set_path(r, r->object);
}

void reader_pick_directory(struct reader *r)
{
    reader_pick_file(r);
    char *slash = strrchr(r->path, '/');
    r->object = NULL;
    *(slash == NULL ? r->path : slash) = '\0';
    r->job = JOB_LIST;
    if (rng_chance(&r->rng, 300000)) {
        r->job = JOB_ABSENT;
        const size_t used = strlen(r->path);
        snprintf(r->path + used, sizeof r->path - used, "%snot there %u", used > 0 ? "/" : "",
                 (uint32_t)rng_below(&r->rng, 100));
    }
}

void reader_make_order(struct reader *r)
{
    const struct source *source = world_of(r)->source;
    const char *late = TRIAL_PREFIX TRIAL_HELD_BACK;
    r->order_count = 0;
    r->order_at = 0;
    for (uint32_t i = 0; i < source_count(source); i++) {
        const bool is_late = strncmp(source_at(source, i)->key, late, strlen(late)) == 0;
        const bool ours =
            strncmp(source_at(source, i)->key, TRIAL_PREFIX, strlen(TRIAL_PREFIX)) == 0;
        const bool is_large = strstr(source_at(source, i)->key, "large") != NULL;
        const bool fits = r->pattern != READER_TOGETHER || is_large;
        if (ours && fits && is_late == r->held_back &&
            tree_is_shown(source, source_at(source, i))) {
            r->order[r->order_count++] = i;
        }
    }
    if (r->pattern == READER_IN_ORDER || r->pattern == READER_TOGETHER) {
        return;
    }
    for (uint32_t i = r->order_count; i > 1; i--) {
        const uint32_t j = (uint32_t)rng_below(&r->rng, i);
        const uint32_t swap = r->order[i - 1];
        r->order[i - 1] = r->order[j];
        r->order[j] = swap;
    }
}
