/* sim/rings.c: a list of rings by what they were built from. */
#include "sim/rings.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define CHECK_ONE_IN 8u /* rings are made from nothing again */

struct kept {
    struct kept *next;
    uint64_t key;
    const struct ring *ring;
    void *memory;
};

struct rings_kept {
    struct kept *first;
    rings_built *built; /* may be NULL */
    void *self;
};

struct rings_kept *rings_kept_new(void)
{
    struct rings_kept *kept = calloc(1, sizeof *kept);
    CHECK(kept != NULL);
    return kept;
}

void rings_kept_free(struct rings_kept **pointer)
{
    struct rings_kept *kept = *pointer;
    while (kept->first != NULL) {
        struct kept *first = kept->first;
        kept->first = first->next;
        free(first->memory);
        free(first);
    }
    free(kept);
    *pointer = NULL;
}

void rings_kept_watch(struct rings_kept *kept, rings_built *built, void *self)
{
    kept->built = built;
    kept->self = self;
}

/* Of what ring_build looks at. */
static uint64_t key_of(const struct member *members, uint32_t count,
                       const struct ring_options *options)
{
    uint64_t key = hash64(options->selector.data, options->selector.size, options->slots_log2);
    for (uint32_t i = 0; i < count; i++) {
        const struct member *member = &members[i];
        const uint64_t words[3] = { (uint64_t)member->state, member->weight, member->serve_weight };
        key = hash64(member->id.b, sizeof member->id.b, key);
        key = hash64(words, sizeof words, key);
        key = hash64(member->zone, strlen(member->zone), key);
        key = hash64(member->labels, strlen(member->labels), key);
    }
    return key;
}

static const struct ring *build(struct kept *kept, const struct member *members, uint32_t count,
                                const struct ring_options *options)
{
    const size_t size = ring_memory(count, options->slots_log2);
    struct arena arena;
    void *memory = malloc(size);
    CHECK(memory != NULL);
    arena_init(&arena, memory, size);
    CHECK(ring_build(&arena, members, count, options, &kept->ring) == ERR_OK);
    kept->memory = memory;
    return kept->ring;
}

static void build_again(const struct ring *ring, const struct member *members, uint32_t count,
                        const struct ring_options *options)
{
    struct ring_options anew = *options;
    struct kept kept = { .next = NULL };
    anew.previous = NULL;
    CHECK(ring_equal(ring, build(&kept, members, count, &anew)));
    free(kept.memory);
}

const struct ring *rings_kept_get(struct rings_kept *kept, const struct member *members,
                                  uint32_t count, const struct ring_options *options)
{
    const uint64_t key = key_of(members, count, options);
    struct kept *at = kept->first;
    while (at != NULL && at->key != key) {
        at = at->next;
    }
    if (at == NULL) {
        at = calloc(1, sizeof *at);
        CHECK(at != NULL);
        if (ring_is_updated(build(at, members, count, options)) && key % CHECK_ONE_IN == 0) {
            build_again(at->ring, members, count, options);
        }
        at->key = key;
        at->next = kept->first;
        kept->first = at;
        if (kept->built != NULL) {
            kept->built(kept->self, members, count, at->ring);
        }
    }
    return at->ring;
}
