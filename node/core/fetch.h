/* node/core/fetch.h: blocks from the source: one ranged GET for neighbouring blocks, tried again
 * from the byte where it stopped, as long as somebody waits. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/pool.h"
#include "node/core/flights.h"
#include "node/core/node.h"

#define FETCH_RETRY_FIRST_US MSEC(200)
#define FETCH_RETRY_MOST_US SEC(20)
#define FETCH_BACKGROUND_TRIES 3u

struct fetch {
    struct map_node by_id;
    uint64_t id; /* of the attempt under way; 0: waits for the next one */
    struct object *object;
    struct flight *flights[FETCH_PARTS_MAX];
    uint32_t count;
    uint32_t at;    /* the flight whose bytes come now */
    uint64_t bytes; /* of this attempt, reported */
    uint32_t attempt;
    usec_t started_us; /* this attempt */
    bool background;
    struct timer timer;
};

struct fetches {
    struct map by_id;
    struct pool pool;
};

size_t fetches_memory(const struct node_options *options);
uint32_t fetches_timers(const struct node_options *options);
enum err fetches_init(struct fetches *fetches, struct arena *mem,
                      const struct node_options *options) MUST_USE;
/* Read the flight's block, and its neighbours when they will be wanted, from the source. */
void fetch_source(struct node *node, struct flight *flight);
void fetch_on_fetched(struct node *node, const struct node_event *event);
void fetch_on_timer(struct node *node, struct fetch *fetch);
