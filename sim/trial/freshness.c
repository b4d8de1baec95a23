/* sim/trial/freshness.c: when each directory was last listed. */
#include "sim/trial/freshness.h"

#include <stdlib.h>

#include "sim/trial/faults.h"
#include "wire/dir.h"

#define DIRS_MAX 64 /* of a tree that is drawn: some twelve */

struct refreshed {
    struct dir_id dir;
    usec_t last_us;
};

struct freshness {
    struct trial *trial;
    struct refreshed dirs[DIRS_MAX];
    uint32_t dir_count;
};

struct freshness *freshness_new(struct trial *trial)
{
    struct freshness *f = calloc(1, sizeof *f);
    CHECK(f != NULL);
    f->trial = trial;
    return f;
}

void freshness_free(struct freshness **f)
{
    free(*f);
    *f = NULL;
}

static struct refreshed *find(struct freshness *f, struct dir_id dir)
{
    for (uint32_t i = 0; i < f->dir_count; i++) {
        if (dir_id_equal(f->dirs[i].dir, dir)) {
            return &f->dirs[i];
        }
    }
    return NULL;
}

void freshness_asked(struct freshness *f, const struct node_effect *effect)
{
    if (f->trial->scenario->metadata != METADATA_TTL || !source_begins_listing(effect)) {
        return;
    }
    const struct dir_id dir = dir_id_make(effect->list.source, effect->list.prefix);
    struct refreshed *listed = find(f, dir);
    if (listed == NULL) {
        CHECK(f->dir_count < DIRS_MAX);
        listed = &f->dirs[f->dir_count++];
        listed->dir = dir;
    }
    listed->last_us = f->trial->world->now_us;
}

/* A node whose clock was set back takes a listing of another one for one of this moment; and while the
 * source does not answer, what was listed before is given for a moment more (node/core/dirs_work.c). */
static bool is_excused(const struct trial *trial)
{
    return faults_has_begun(trial->faults, "clock-jump") ||
           trial->world->now_us - faults_source_us(trial->faults) < FAULTS_BACKOFF_US;
}

void freshness_sent(struct freshness *f, const struct process *from, const struct process *to,
                    const struct message_dir_root *answer, usec_t taken_us)
{
    const struct scenario *scenario = f->trial->scenario;
    struct root root;
    if (scenario->metadata != METADATA_TTL || !trial_is_mount(f->trial, to) ||
        is_excused(f->trial) || answer->root.size == 0 ||
        root_open(answer->root, &root) != ERR_OK) {
        return;
    }
    const struct refreshed *listed = find(f, root.head.dir);
    const usec_t last_us = listed == NULL ? 0 : listed->last_us;
    const usec_t until_us = taken_us + (usec_t)answer->fresh_us;
    if (answer->fresh_us > 0 && until_us > last_us + scenario->ttl_us) {
        world_fail(f->trial->world, "%s says of \"%.*s\" that it is fresh for %.3f s too long",
                   from->name, (int)root.prefix.size, (const char *)root.prefix.data,
                   (double)(until_us - last_us - scenario->ttl_us) / 1e6);
    }
}
