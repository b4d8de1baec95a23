/* sim/trial/tree.c: keys, and what a directory of them looks like. */
#include "sim/trial/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wire/dir.h"

/* ---- making it ----------------------------------------------------------------------------- */

static void put(struct trial *trial, const char *name, uint64_t size)
{
    char key[1200];
    snprintf(key, sizeof key, "%s%s", TRIAL_PREFIX, name);
    source_put(trial->world->source, key, size);
}

/* Mostly small, some of odd sizes around chunks and blocks. */
static uint64_t small_size(struct rng *rng)
{
    static const uint64_t edges[] = { 0, 1, 4095, 4096, 65535, 65536, 65537 };
    if (rng_chance(rng, 300000)) {
        return edges[rng_below(rng, ARRAY_COUNT(edges))];
    }
    return rng_below(rng, 60000);
}

/* Random numbers of one folder: what is in it does not depend on the others. */
static struct rng rng_of(const struct trial *trial, const char *dir, uint64_t stream)
{
    struct rng rng;
    rng_init(&rng, trial->scenario->seed, hash64(dir, strlen(dir), stream));
    return rng;
}

static void put_small(struct trial *trial, const char *dir, uint32_t count)
{
    struct rng rng = rng_of(trial, dir, 8);
    char name[256];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%05u.bin", dir, i);
        put(trial, name, small_size(&rng));
    }
}

static void put_large(struct trial *trial, const char *dir, uint32_t count)
{
    struct rng rng = rng_of(trial, dir, 9);
    char name[256];
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t size = 300000 + rng_below(&rng, 2500000);
        snprintf(name, sizeof name, "%slarge-%u", dir, i);
        put(trial, name, rng_chance(&rng, 200000) ? size / 65536 * 65536 : size);
    }
}

void tree_make(struct trial *trial)
{
    const struct scenario_files *files = &trial->scenario->files;
    source_put(trial->world->source, "other/not-ours", 1000);
    source_put(trial->world->source, "data", 5);
    put_small(trial, "small/", files->small);
    put_small(trial, "many/", files->many);
    put_large(trial, "", files->large);
    put_large(trial, "deep/er/and/deep er/", files->deep);
    put(trial, "deep/\xc3\xbc+%41 b", 10);
    put(trial, "deep/er", 77);    /* a file and a directory of one name: the directory wins */
    put(trial, "marker/", 0);     /* a directory made by a key of its own */
    put(trial, "odd//double", 7); /* no POSIX name: hidden */
    put(trial, "odd/../up", 7);   /* hidden */
    put(trial, "odd/fine", 4097);
    put_small(trial, TRIAL_HELD_BACK, files->late_small);
    put_large(trial, TRIAL_HELD_BACK, files->late_large);
}

/* ---- what is shown ----------------------------------------------------------------------------- */

static bool is_directory(const struct source *source, const struct source_object *object)
{
    char below[1300];
    snprintf(below, sizeof below, "%s/", object->key);
    const uint32_t at = source_lower_bound(source, span_text(below));
    return at < source_count(source) &&
           strncmp(source_at(source, at)->key, below, strlen(below)) == 0;
}

bool tree_is_shown(const struct source *source, const struct source_object *object)
{
    const char *part = object->key;
    for (;;) {
        const char *slash = strchr(part, '/');
        const size_t size = slash == NULL ? strlen(part) : (size_t)(slash - part);
        if (!entry_name_is_valid(span_of(part, size))) {
            return false;
        }
        if (slash == NULL) {
            break;
        }
        part = slash + 1;
    }
    return !is_directory(source, object);
}

static uint64_t hash_of(struct span name, bool is_dir)
{
    return hash64(name.data, name.size, is_dir ? 2 : 1);
}

void tree_seen_begin(struct tree_seen *seen, const char *path)
{
    snprintf(seen->dir, sizeof seen->dir, "%s%s%s", TRIAL_PREFIX, path, path[0] == '\0' ? "" : "/");
    seen->count = 0;
    seen->hash = 0;
}

const char *tree_seen_add(struct tree_seen *seen, const struct source *source,
                          const struct mount_dirent *entry)
{
    char key[1300];
    const bool is_dir = entry->entry.attr.is_dir;
    if (span_equal(entry->name, span_text(".")) || span_equal(entry->name, span_text(".."))) {
        return is_dir ? NULL : "a dot that is no directory";
    }
    seen->count++;
    seen->hash += hash_of(entry->name, is_dir);
    if (is_dir) {
        return NULL;
    }
    snprintf(key, sizeof key, "%s%.*s", seen->dir, (int)entry->name.size,
             (const char *)entry->name.data);
    const struct source_object *object = source_find(source, span_text(key));
    if (object == NULL) {
        return "a name that does not exist is listed";
    }
    if (source_version_of(object, entry->entry.attr.size, entry->entry.attr.mtime_us) < 0) {
        return "a name is listed with attributes of no version";
    }
    return NULL;
}

const char *tree_seen_end(const struct tree_seen *seen, const struct source *source)
{
    const size_t skip = strlen(seen->dir);
    uint64_t hash = 0;
    uint32_t count = 0;
    struct span last = { 0 };
    for (uint32_t i = source_lower_bound(source, span_text(seen->dir)); i < source_count(source);
         i++) {
        const struct source_object *object = source_at(source, i);
        if (strncmp(object->key, seen->dir, skip) != 0) {
            break;
        }
        const char *rest = object->key + skip;
        const char *slash = strchr(rest, '/');
        const struct span name =
            span_of(rest, slash == NULL ? strlen(rest) : (size_t)(slash - rest));
        if (!entry_name_is_valid(name) || (slash == NULL && is_directory(source, object)) ||
            (slash != NULL && span_equal(name, last))) {
            continue;
        }
        last = slash == NULL ? last : name;
        hash += hash_of(name, slash != NULL);
        count++;
    }
    if (seen->count != count) {
        return seen->count < count ? "names are missing in a listing"
                                   : "too many names in a listing";
    }
    return seen->hash == hash ? NULL : "a listing shows other names";
}
