/* sim/trial/tree.h: the files of a trial's dataset, and what a listing of a directory must show. */
#pragma once
#include "sim/trial/trial.h"

#define TREE_SEEN_MAX 4096

/* A listing as far as it has come. */
struct tree_seen {
    char dir[1200]; /* key of the directory: "" or ends in "/" */
    uint32_t count;
    uint64_t hash; /* of names and kinds, order does not matter */
};

/* Keys below TRIAL_PREFIX: small files in a row, large ones, deep ones, odd names. */
void tree_make(struct trial *trial);
/* Can POSIX show that key (no directory of its name, no odd parts)? */
bool tree_is_shown(const struct source *source, const struct source_object *object);
void tree_seen_begin(struct tree_seen *seen, const char *path);
/* NULL, or what is wrong. */
const char *tree_seen_add(struct tree_seen *seen, const struct source *source,
                          const struct mount_dirent *entry);
const char *tree_seen_end(const struct tree_seen *seen, const struct source *source);
