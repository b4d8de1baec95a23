/* tests/sim/faults.h: what goes wrong in a trial: at least three kinds, each for a while. */
#pragma once
#include "tests/sim/trial.h"

struct faults *faults_new(struct trial *trial);
void faults_free(struct faults **faults);
/* They begin and end by themselves within that time. */
void faults_begin(struct faults *faults, usec_t within_us);
/* All of them are over now. */
void faults_end(struct faults *faults);
/* "crash freeze ..." */
void faults_names(const struct faults *faults, char *out, size_t room);
/* How many are active. */
uint32_t faults_active(const struct faults *faults);
