/* tests/unit/fs/core/world_node.h: what the world and its nodes tell each other. */
#pragma once
#include "tests/unit/fs/core/world.h"
#include "wire/dir.h"

#define WORLD_SOURCE 5, 5, 5
#define WORLD_PAGES 64u

enum world_event_kind {
    WORLD_TO_NODE,
    WORLD_TO_MOUNT,
    WORLD_CONNECTED,
    WORLD_SEEDS,
    WORLD_RING,
    WORLD_AGAIN, /* a question that a node answers PENDING to */
};

struct world_payload {
    struct world_payload *next; /* of those the mount holds */
    uint32_t size;
    bool is_held;
    uint8_t bytes[];
};

struct world_event {
    usec_t at_us;
    uint64_t order;
    enum world_event_kind kind;
    uint64_t link;
    uint32_t node;
    enum link_purpose purpose;
    struct address address;
    uint8_t *frame;
    uint32_t frame_size;
    struct world_payload *payload;
    uint64_t request;
    const struct ring *ring;
};

struct world_event *world_push(struct world *w, usec_t in_us);
struct address world_address(uint32_t node, enum link_purpose purpose);
void world_dataset(struct world *w);
void world_node_take(struct world *w, const struct world_event *event);
/* What is directly below the prefix, as pages and their root. */
struct world_listing {
    uint8_t *pages[WORLD_PAGES];
    size_t sizes[WORLD_PAGES];
    uint32_t count;
    uint8_t root[65536];
    size_t root_size;
};
void world_listing_make(struct world *w, struct span prefix, struct world_listing *out);
void world_listing_free(struct world_listing *listing);
void world_node_again(struct world *w, const struct world_event *event);
