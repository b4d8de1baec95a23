/* sim/trial/views.h: what processes believe, told when they differ. */
#pragma once
#include "sim/trial/trial.h"

/* The members that a node's gossip, and a mount, believe in; on stderr when the run is verbose. */
void views_say_node(const struct host_node *host);
void views_say_mount(const struct host_mount *host);
