/* sim/trial/listen.h: what must hold of messages: at most one hop, nothing past its deadline.
 * What is asked of the source is heard, too: answers are judged by it. */
#pragma once
#include "sim/trial/trial.h"

struct listen;

struct listen *listen_new(struct trial *trial);
void listen_free(struct listen **listen);
/* A node asks the source. */
void listen_asked(struct listen *listen, const struct node_effect *effect);
void listen_sent(struct listen *listen, struct process *from, struct process *to,
                 struct span frame);
void listen_taken(struct listen *listen, struct process *from, struct process *to,
                  struct span frame);
