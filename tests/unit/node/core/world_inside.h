/* tests/unit/node/core/world_inside.h: what the files of the world share. */
#pragma once
#include "tests/unit/node/core/world.h"

/* Something that happens later: an event for a node, or a message for a client. */
struct pending {
    struct pending *next;
    usec_t at_us;
    uint32_t node; /* WORLD_NODES and above: a client */
    uint64_t link; /* of a message: it must still be there */
    struct node_event event;
    uint8_t *frame;
    uint8_t *payload;
    /* of a fetch under way */
    uint64_t fetch_done;
    bool ends_link;
};

/* One connection; ends are nodes, or WORLD_NODES + client. */
struct wire {
    struct wire *next;
    uint64_t link[2]; /* [0]: of who opened it */
    uint32_t end[2];
    enum link_purpose purpose;
    bool cut;
};

struct received_payload {
    struct received_payload *next;
    uint64_t token;
    uint8_t *data;
};

void world_later(struct world *world, usec_t delay_us, const struct pending *what);
void world_deliver(struct world *world, struct pending *item);
void world_pending_free(struct pending *item);
void world_effect(struct world *world, uint32_t index, const struct node_effect *effect);
void world_disk_scan(struct world *world, uint32_t index);
struct member world_member(const struct world *world, uint32_t index);
/* All links of a node end; the other ends hear of it. */
void world_cut_links(struct world *world, uint32_t index);
struct wire *world_wire(const struct world *world, uint64_t link, uint32_t *side);
struct wire *world_connect(struct world *world, uint32_t from, uint32_t to,
                           enum link_purpose purpose);
/* A frame for the other end of a link. */
void world_send(struct world *world, uint64_t link, struct span frame,
                const struct payload *payload);
void world_close(struct world *world, uint64_t link);
void client_take(struct world *world, uint32_t client, const struct pending *item);
/* effects of disk and source (world_store.c) */
void world_fetch(struct world *world, uint32_t index, const struct node_effect *effect);
void world_disk(struct world *world, uint32_t index, const struct node_effect *effect);
void world_free_rings(void);
