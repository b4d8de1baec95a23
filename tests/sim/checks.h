/* tests/sim/checks.h: what must hold at every step, and at the turns of a trial's course. */
#pragma once
#include "tests/sim/trial.h"

struct checks *checks_new(struct trial *trial);
void checks_free(struct checks **checks);
/* So far nothing was amiss: no byte came from the source twice, no listing was made in vain. */
void checks_calm(struct checks *checks);
/* Faults have been over for a while: one view, one ring. */
void checks_settled(struct checks *checks);
/* Files that nobody has read are read by all: once from the source. */
void checks_fresh_begin(struct checks *checks);
void checks_fresh_end(struct checks *checks);
/* Nobody asks for anything: nothing is open, nothing is held. */
void checks_rest(struct checks *checks);
