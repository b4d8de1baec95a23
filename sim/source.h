/* sim/source.h: a virtual object store: keys with versions, listings in byte order, and bytes that
 * are a function of (key, version, offset), so that every byte anybody reads can be checked.
 *
 * It counts what it gives away, by chunk and version. Its weather makes it slow, refuse or cut. */
#pragma once
#include "node/core/node.h"
#include "sim/world.h"

#define SOURCE_VERSIONS_MAX 8
#define SOURCE_PIN_MAX 32

struct source;

struct source_version {
    uint64_t size;
    int64_t mtime_us; /* no two versions of any object have the same */
    usec_t from_us;   /* it is the present one from that world time on */
    uint32_t *given;  /* bytes of each chunk that nodes got */
};

struct source_object {
    char *key;
    uint32_t key_size;
    uint64_t seed;
    struct source_version versions[SOURCE_VERSIONS_MAX];
    uint32_t version_count; /* the last one is the present one */
    uint32_t heads;
};

struct source_weather {
    usec_t latency_us; /* of an answer's first byte, at least; and up to twice that */
    uint64_t rate;     /* bytes a second of one GET */
    uint32_t slow;     /* GETs whose first byte takes slow_us, per million */
    usec_t slow_us;
    uint32_t throttled; /* requests that are answered 503, per million */
    uint32_t cut;       /* GETs that end somewhere in the middle, per million */
};

struct source_totals {
    uint64_t gets;
    uint64_t lists;
    uint64_t heads;
    uint64_t refused;
    uint64_t bytes;        /* given away */
    uint64_t repeat_bytes; /* of them, given before */
};

struct source *source_new(struct world *world);
void source_free(struct source **source);
struct source_weather *source_weather(struct source *source);
const struct source_totals *source_totals(const struct source *source);

/* A new key, or the next version of one. Keys may be added in any order before the first listing. */
struct source_object *source_put(struct source *source, const char *key, uint64_t size);
uint32_t source_count(const struct source *source);
/* In byte order of the keys. */
struct source_object *source_at(const struct source *source, uint32_t index);
/* The first one at or after `key`; source_count when there is none. */
uint32_t source_lower_bound(const struct source *source, struct span key);
/* NULL: no such key. */
struct source_object *source_find(const struct source *source, struct span key);
/* Does `data` hold the bytes of that version from `offset` on? */
bool source_is(const struct source_object *object, uint32_t version, uint64_t offset,
               struct span data);
/* What the source calls that version. */
void source_pin(const struct source_object *object, uint32_t version, char out[SOURCE_PIN_MAX]);
/* The version that looks like that; -1: none ever did. */
int source_version_of(const struct source_object *object, uint64_t size, int64_t mtime_us);
/* Bytes of all objects that were given more than once, and unique bytes given. */
void source_amplification(const struct source *source, uint64_t *given, uint64_t *unique);

/* Does a listing of a directory begin with that? Its first page does, a probe for a key does not. */
bool source_begins_listing(const struct node_effect *effect);
/* NODE_FETCH, NODE_FETCH_CANCEL, NODE_LIST, NODE_HEAD of a node; the answers go to `answer`. */
typedef void source_answer(struct process *process, const struct node_event *event);
void source_do(struct source *source, struct process *process, source_answer *answer,
               const struct node_effect *effect);
