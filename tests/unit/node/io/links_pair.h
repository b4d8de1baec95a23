/* tests/unit/node/io/links_pair.h: two ends of links in one thread, turned by hand. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/io/links.h"

#define EVENTS_MAX 4096

/* One end: its links and all that was told of them. */
struct end {
    struct links *links;
    struct links_event events[EVENTS_MAX];
    uint8_t frames[EVENTS_MAX][32];
    uint32_t count;
    struct link_id links_of_peer[2]; /* when one of these ends the other is closed, as nodes do */
};

struct pair {
    struct end node;
    struct end mount;
    struct links_keys cluster;
    struct links_keys client;
    struct address control;
    struct address data;
    void *zmq;
};

/* A node and a mount that are not connected yet; keyed: CURVE. */
struct pair *pair_make(bool keyed, bool is_private);
void pair_free(struct pair *pair);
/* A fresh pair of keys. */
void pair_keys(struct links_keys *keys);
/* Make the links of one end (again). */
void pair_start(struct pair *pair, struct end *end, const struct links_keys *keys);
void pair_bind(struct pair *pair);
/* A links_handler whose self is a struct end. */
void pair_record(void *self, const struct links_event *event);
/* Turn both ends until `end` was told `count` events. */
void pair_turn_until(struct pair *pair, const struct end *end, uint32_t count);
/* Turn for a while and be sure that nothing was told. */
void pair_turn_quietly(struct pair *pair, const struct end *end, usec_t wait_us);
const struct links_event *pair_last(const struct end *end);
/* A link of the mount to the node, known to both by a first message. */
void pair_open(struct pair *pair, enum link_purpose purpose, struct link_id *mount_side,
               struct link_id *node_side);
