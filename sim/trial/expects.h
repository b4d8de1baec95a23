/* sim/trial/expects.h: what a scenario expects of its run, beyond what must always hold. */
#pragma once
#include "sim/trial/trial.h"

struct expects *expects_new(struct trial *trial);
void expects_free(struct expects **expects);
/* The readers begin: times count from now. */
void expects_begin(struct expects *expects);
/* All is over: the trial fails when something was not as expected. */
void expects_end(struct expects *expects);
