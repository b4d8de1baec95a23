/* sim/source.c: objects, versions and bytes. */
#include "sim/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/hash.h"
#include "sim/store.h"

struct source *source_new(struct world *world)
{
    struct source *source = calloc(1, sizeof *source);
    CHECK(source != NULL);
    source->world = world;
    source->weather = (struct source_weather){ .latency_us = MSEC(5), .rate = 200000000 };
    source->next_mtime_us = WORLD_WALL_US - SEC(1000000);
    list_init(&source->fetches);
    rng_init(&source->rng, world->seed, 3);
    return source;
}

void source_free(struct source **pointer)
{
    struct source *source = *pointer;
    for (uint32_t i = 0; i < source->count; i++) {
        struct source_object *object = source->objects[i];
        for (uint32_t v = 0; v < object->version_count; v++) {
            free(object->versions[v].given);
        }
        free(object->key);
        free(object);
    }
    free(source->objects);
    free(source);
    *pointer = NULL;
}

struct source_weather *source_weather(struct source *source)
{
    return &source->weather;
}

const struct source_totals *source_totals(const struct source *source)
{
    return &source->totals;
}

uint32_t source_count(const struct source *source)
{
    return source->count;
}

struct source_object *source_at(const struct source *source, uint32_t index)
{
    CHECK(index < source->count);
    return source->objects[index];
}

uint32_t source_lower_bound(const struct source *source, struct span key)
{
    uint32_t low = 0;
    uint32_t high = source->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct source_object *object = source->objects[middle];
        if (span_compare(span_of(object->key, object->key_size), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct source_object *source_find(const struct source *source, struct span key)
{
    const uint32_t at = source_lower_bound(source, key);
    if (at == source->count) {
        return NULL;
    }
    struct source_object *object = source->objects[at];
    return span_equal(span_of(object->key, object->key_size), key) ? object : NULL;
}

static struct source_object *object_new(struct source *source, const char *key)
{
    const uint32_t at = source_lower_bound(source, span_text(key));
    struct source_object *object = calloc(1, sizeof *object);
    CHECK(object != NULL);
    object->key = strdup(key);
    object->key_size = (uint32_t)strlen(key);
    object->seed = hash64(key, object->key_size, source->world->seed);
    if (source->count == source->room) {
        source->room = source->room * 2 + 64;
        source->objects = realloc(source->objects, source->room * sizeof(struct source_object *));
        CHECK(source->objects != NULL);
    }
    memmove(source->objects + at + 1, source->objects + at,
            (source->count - at) * sizeof(struct source_object *));
    source->objects[at] = object;
    source->count++;
    return object;
}

struct source_object *source_put(struct source *source, const char *key, uint64_t size)
{
    struct source_object *object = source_find(source, span_text(key));
    if (object == NULL) {
        object = object_new(source, key);
    }
    CHECK(object->version_count < SOURCE_VERSIONS_MAX);
    struct source_version *version = &object->versions[object->version_count++];
    source->next_mtime_us += SEC(1);
    version->size = size;
    version->mtime_us = source->next_mtime_us;
    version->from_us = source->world->now_us;
    version->given = calloc(chunk_count(size) + 1u, sizeof *version->given);
    CHECK(version->given != NULL);
    return object;
}

/* ---- bytes --------------------------------------------------------------------------------- */

static uint64_t word_of(uint64_t seed, uint64_t index)
{
    uint64_t x = seed + index * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 29;
}

static uint64_t version_seed(const struct source_object *object, uint32_t version)
{
    return hash64_mix(object->seed, version + 1u);
}

/* Bytes of one word, from `skip` on. */
static void fill_part(uint64_t word, uint32_t skip, uint8_t *out, uint64_t size)
{
    uint8_t bytes[8];
    put_u64(bytes, word);
    memcpy(out, bytes + skip, size);
}

void source_fill(const struct source_object *object, uint32_t version, uint64_t offset,
                 uint8_t *out, uint64_t size)
{
    const uint64_t seed = version_seed(object, version);
    uint64_t index = offset / 8;
    if (offset % 8 != 0 && size > 0) {
        const uint32_t skip = offset % 8;
        const uint64_t part = size < 8 - skip ? size : 8 - skip;
        fill_part(word_of(seed, index++), skip, out, part);
        out += part;
        size -= part;
    }
    /* Most of the time of a run is spent here: whole words, without a memcpy of unknown size. */
    for (; size >= 8; out += 8, size -= 8) {
        put_u64(out, word_of(seed, index++));
    }
    if (size > 0) {
        fill_part(word_of(seed, index), 0, out, size);
    }
}

bool source_is(const struct source_object *object, uint32_t version, uint64_t offset,
               struct span data)
{
    uint8_t expected[4096];
    for (size_t at = 0; at < data.size; at += sizeof expected) {
        const size_t part = data.size - at < sizeof expected ? data.size - at : sizeof expected;
        source_fill(object, version, offset + at, expected, part);
        if (memcmp(expected, data.data + at, part) != 0) {
            return false;
        }
    }
    return true;
}

int source_version_of(const struct source_object *object, uint64_t size, int64_t mtime_us)
{
    for (uint32_t v = 0; v < object->version_count; v++) {
        if (object->versions[v].size == size && object->versions[v].mtime_us == mtime_us) {
            return (int)v;
        }
    }
    return -1;
}

void source_amplification(const struct source *source, uint64_t *given, uint64_t *unique)
{
    *given = 0;
    *unique = 0;
    for (uint32_t i = 0; i < source->count; i++) {
        const struct source_object *object = source->objects[i];
        for (uint32_t v = 0; v < object->version_count; v++) {
            const struct source_version *version = &object->versions[v];
            for (uint32_t c = 0; c < chunk_count(version->size); c++) {
                const uint64_t left = version->size - (uint64_t)c * CHUNK_SIZE;
                const uint64_t size = left < CHUNK_SIZE ? left : CHUNK_SIZE;
                *given += version->given[c];
                *unique += version->given[c] < size ? version->given[c] : size;
            }
        }
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

void source_pin(const struct source_object *object, uint32_t version, char out[SOURCE_PIN_MAX])
{
    snprintf(out, SOURCE_PIN_MAX, "\"%016llx-%u\"", (unsigned long long)object->seed, version);
}

usec_t source_delay(struct source *source)
{
    return source->weather.latency_us + rng_between(&source->rng, 0, source->weather.latency_us);
}

bool source_is_throttled(struct source *source)
{
    const bool refused = rng_chance(&source->rng, source->weather.throttled);
    source->totals.refused += refused;
    return refused;
}

void source_do(struct source *source, struct process *process, source_answer *answer,
               const struct node_effect *effect)
{
    const struct watch *watch = &source->world->watch;
    if (watch->asked != NULL && effect->kind != NODE_FETCH_CANCEL) {
        watch->asked(watch->self, process, effect);
    }
    if (effect->kind == NODE_FETCH) {
        fetching_do(source, process, answer, effect);
    } else if (effect->kind == NODE_FETCH_CANCEL) {
        fetching_cancel(source, process, effect->fetch_cancel.id);
    } else {
        listing_do(source, process, answer, effect);
    }
}
