/* sim/trial/repeats.h: what must hold of requests to the source: a chunk is not asked for while a
 * live node holds it or is fetching it, nor again by a node whose disk is well; a directory is
 * listed once. */
#pragma once
#include "sim/trial/trial.h"

struct repeats;

struct repeats *repeats_new(struct trial *trial);
void repeats_free(struct repeats **repeats);
void repeats_asked(struct repeats *repeats, struct process *node, const struct node_effect *effect);
void repeats_given(struct repeats *repeats, struct process *node, const struct given *given);
/* Bytes that were asked for although a live node had them or was fetching them. */
uint64_t repeats_bytes(const struct repeats *repeats);
