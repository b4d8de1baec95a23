/* sim/trial/patience.h: what must hold of who is refused: it does not ask the source again and again
 * without a pause. */
#pragma once
#include "sim/trial/trial.h"

struct patience;

struct patience *patience_new(struct trial *trial);
void patience_free(struct patience **patience);
void patience_asked(struct patience *patience, const struct process *node,
                    const struct node_effect *effect);
/* The source gave the first bytes that a node had asked for; or none, and may do so later. */
void patience_given(struct patience *patience, const struct process *node,
                    const struct given *given);
void patience_refused(struct patience *patience, const struct process *node,
                      const struct given *asked);
