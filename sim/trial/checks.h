/* sim/trial/checks.h: what must hold at every step, and at the turns of a trial's course. */
#pragma once
#include "sim/trial/trial.h"

struct checks *checks_new(struct trial *trial);
void checks_free(struct checks **checks);
/* Have all the same view and the same ring? */
bool checks_agree(const struct checks *checks);
/* Faults have been over for a while: one view, one ring. */
void checks_settled(struct checks *checks);
uint64_t checks_repeated(const struct checks *checks);
/* Nobody asks for anything: nothing is open, nothing is held. */
void checks_rest(struct checks *checks);
