/* sim/trial/owners.h: while all is well readers ask owners, and only owners ask the source. */
#pragma once
#include "sim/trial/trial.h"
#include "wire/message.h"

/* A node has taken that request out of a link from a mount. */
void owners_taken(struct trial *trial, const struct process *from, const struct process *to,
                  const struct message *message);
/* A node asks the source. */
void owners_asked(struct trial *trial, const struct process *node,
                  const struct node_effect *effect);
