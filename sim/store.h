/* sim/store.h: what source.c, listing.c and fetching.c share. */
#pragma once
#include "sim/source.h"

struct source {
    struct world *world;
    struct source_object **objects; /* by key */
    uint32_t count;
    uint32_t room;
    struct source_weather weather;
    struct source_totals totals;
    struct rng rng;
    struct list fetches;
    int64_t next_mtime_us;
};

/* A request's way there, its work, and its way back. */
usec_t source_delay(struct source *source);
bool source_is_throttled(struct source *source);
void source_fill(const struct source_object *object, uint32_t version, uint64_t offset,
                 uint8_t *out, uint64_t size);
void listing_do(struct source *source, struct process *process, source_answer *answer,
                const struct node_effect *effect);
void fetching_do(struct source *source, struct process *process, source_answer *answer,
                 const struct node_effect *effect);
void fetching_cancel(struct source *source, struct process *process, uint64_t id);
