/* tests/origin/journal.h: the lines that say what a bucket's numbered files are. */
#ifndef ATOLL_TESTS_ORIGIN_JOURNAL_H
#define ATOLL_TESTS_ORIGIN_JOURNAL_H

#include <stdio.h>

#include "tests/origin/index.h"

void journal_put(FILE *journal, const struct object *object);
void journal_delete(FILE *journal, const char *key, size_t key_size);

/* Replay the file into a sorted index; a line that is torn or malformed is skipped. Returns the
 * highest number of a file, 0 when there is no journal. */
uint64_t journal_load(const char *path, struct index *index);

#endif
