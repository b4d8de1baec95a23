/* sim/trial/handed.h: what a node that has left in order held is with its new owners. */
#pragma once
#include "sim/trial/trial.h"

/* After a step of this node. */
void handed_look(struct trial *trial, const struct host_node *host, bool *was_drained);
