/* cli/sim_hashes.h: the file of `atoll sim fuzz --hashes`. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"

struct sim_hashes;

/* Tells on stderr what is wrong. ERR_INVALID: there can be no such file; ERR_NOMEM. A file of that
 * name stays as it is until all are written: they are gathered in PATH.partial, which must not be there
 * yet. */
enum err sim_hashes_new(const char *path, uint64_t count, struct sim_hashes **out) MUST_USE;
void sim_hashes_set(struct sim_hashes *hashes, uint64_t index, uint64_t hash);
/* Write the first `count` of them, those of the seeds from `first` on. `whole`: that is all there will
 * be, and takes the place of an older file; else PATH.partial stays unless `count` is 0, which is told. ERR_FULL:
 * it could not be written, or could not take that place and stays; told. Frees. */
enum err sim_hashes_end(struct sim_hashes **hashes, uint64_t first, uint64_t count, bool whole)
    MUST_USE;
