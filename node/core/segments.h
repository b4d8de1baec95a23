/* node/core/segments.h: files of records, of one source each, dropped whole, the oldest first. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "node/core/store.h"

/* NULL: not known. */
struct segment *segment_find(const struct node *node, uint32_t tier, uint32_t number);
/* Known from now on, in its place by age; NULL: too many. */
struct segment *segment_new(struct node *node, uint32_t tier, uint32_t number);
/* It takes no more records. */
void segment_close(struct node *node, struct segment *segment);
/* The block is there, or not any more; then it is forgotten unless something else is known of it. */
void segment_put(struct node *node, struct segment *segment, struct block *block, uint32_t offset);
void segment_take_out(struct node *node, struct block *block);
/* Drop the oldest segment of a tier that no write goes to; false: there is none. */
bool tier_drop_oldest(struct node *node, struct tier *tier);
/* Where a record of `size` bytes of that source goes; drops the oldest segments for it. NULL: the
 * tier cannot hold it now. */
struct segment *segment_for(struct node *node, uint32_t tier, struct source_id source,
                            uint32_t size);
