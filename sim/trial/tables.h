/* sim/trial/tables.h: what must hold of every ring that is built (docs/ring.md): who may own, how much,
 * in which zones; and that one digest is one table. */
#pragma once
#include "ring/ring.h"
#include "sim/trial/trial.h"

struct tables;

struct tables *tables_new(struct trial *trial);
void tables_free(struct tables **tables);
void tables_built(struct tables *tables, const struct member *members, uint32_t count,
                  const struct ring *ring);
