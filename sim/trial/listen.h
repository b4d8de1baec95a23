/* sim/trial/listen.h: what must hold of messages: at most one hop, nothing past its deadline. */
#pragma once
#include "sim/trial/trial.h"

struct listen;

struct listen *listen_new(struct trial *trial);
void listen_free(struct listen **listen);
void listen_sent(struct listen *listen, struct process *from, struct process *to,
                 struct span frame);
void listen_taken(struct listen *listen, struct process *from, struct process *to,
                  struct span frame);
