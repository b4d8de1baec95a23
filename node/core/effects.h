/* node/core/effects.h: what a step wants done, and the bytes those effects point to.
 *
 * Effects leave in the order in which they are pushed. What does not fit the caller's array waits
 * here and goes out first on the next step. A frame lives in a ring of scratch bytes until the step
 * after the one that hands it out. A fan-out asks effects_roomy before each piece and goes on from
 * a timer set to now.
 *
 * An effect may wait, so its pointers lead to scratch bytes or to what outlives the wait: never to
 * what a later event changes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/err.h"
#include "node/core/node.h"
#include "wire/message.h"

struct effects_waiting {
    struct node_effect effect;
    size_t scratch_at; /* where the bytes begin that it may point to */
};

struct effects {
    struct node_effects *out; /* of this step */
    struct effects_waiting *waiting;
    uint32_t head;
    uint32_t count;
    uint8_t *scratch;
    size_t scratch_size;
    size_t scratch_head;
    size_t scratch_tail;
    size_t scratch_pushed; /* head when the last effect was pushed */
};

/* `scratch_size`: at least twice the largest frame. */
size_t effects_memory(size_t scratch_size);
enum err effects_init(struct effects *effects, struct arena *mem, size_t scratch_size) MUST_USE;
/* A step begins: what waited goes out first. */
void effects_begin(struct effects *effects, struct node_effects *out);
bool effects_waiting(const struct effects *effects);

/* Never fails; a step that pushes more than that without asking effects_roomy is a bug. */
#define EFFECTS_STEP_MAX 1024
void effects_push(struct node *node, const struct node_effect *effect);
/* Is there room for about eight more effects and `bytes` of frames in this step? */
bool effects_roomy(const struct node *node, size_t bytes);
/* Bytes that hold until the effects pushed after them have been handed out. CHECKs that they fit. */
uint8_t *scratch_take(struct node *node, size_t size);
/* A copy in the scratch bytes. */
struct span scratch_copy(struct node *node, struct span bytes);

/* Encode `message` and send it. A payload's token is one of sends.h (or zero data). */
void node_send(struct node *node, struct link_id link, const struct message *message,
               struct payload payload);
/* Give back a received payload; nothing for an empty one. */
void node_release(struct node *node, struct payload payload);
/* One line: "event.name key=value ..."; `text` may be a local. */
void node_log(struct node *node, enum log_level level, const struct text *text);
/* A number for FETCH, LIST, DISK_*, META_*, RING_BUILD: never 0, never used twice. */
uint64_t node_next_id(struct node *node);
