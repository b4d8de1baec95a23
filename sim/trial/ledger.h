/* sim/trial/ledger.h: which blocks each node got from the source, whole. A node with a disk that is
 * well does not ask for one of them again in the same life, however little memory it has. */
#pragma once
#include "sim/trial/trial.h"

struct ledger;

struct ledger *ledger_new(struct trial *trial);
void ledger_free(struct ledger **ledger);
void ledger_given(struct ledger *ledger, struct process *node, const struct given *given);
/* `node` asks for a block of `bytes` bytes, or for a part of it. */
void ledger_asked(struct ledger *ledger, struct host_node *node, struct block_id id,
                  uint32_t bytes);
