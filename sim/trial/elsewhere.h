/* sim/trial/elsewhere.h: readers that are handed on: only those that allow it, only by an owner, and
 * only to whom it has named, for that block and once. */
#pragma once
#include "sim/trial/trial.h"
#include "wire/message.h"

struct elsewhere;

struct elsewhere *elsewhere_new(struct trial *trial);
void elsewhere_free(struct elsewhere **elsewhere);
/* A node has taken it out of its socket. */
void elsewhere_taken(struct elsewhere *elsewhere, const struct process *from,
                     const struct process *to, const struct message *message);
/* Anybody sends it. */
void elsewhere_sent(struct elsewhere *elsewhere, const struct process *from,
                    const struct process *to, const struct message *message);
