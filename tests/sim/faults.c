#include "tests/sim/faults.h"
#include <stdlib.h>
struct faults { struct trial *trial; };
struct faults *faults_new(struct trial *trial) { struct faults *f = calloc(1, sizeof *f); f->trial = trial; return f; }
void faults_free(struct faults **f) { free(*f); *f = NULL; }
void faults_begin(struct faults *f, usec_t us) { (void)f; (void)us; }
void faults_end(struct faults *f) { (void)f; }
void faults_names(const struct faults *f, char *out, size_t room) { (void)f; (void)room; out[0] = 0; }
uint32_t faults_active(const struct faults *f) { (void)f; return 0; }
