/* sim/trial/stranger.h: clients that mean no good, or ask in a hurry: with the grant of somebody else,
 * for a dataset that theirs does not name, with a capability whose time is over; or with hardly any
 * time left, and without a word when it has passed. */
#pragma once
#include "sim/trial/trial.h"

struct stranger;

/* Ends with stranger_free; the trial outlives it. */
struct stranger *stranger_new(struct trial *trial, uint32_t number);
void stranger_free(struct stranger **stranger);
void stranger_begin(struct stranger *stranger);
/* Its process dies. */
void stranger_end(struct stranger *stranger);
