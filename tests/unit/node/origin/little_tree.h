/* tests/unit/node/origin/little_tree.h: a directory for a test, made and removed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct little_tree {
    char root[64];
};

void little_tree_make(struct little_tree *tree);
void little_tree_drop(struct little_tree *tree);
/* Directories above `name` are made. A name ending in "/" is an empty directory. */
void little_tree_add(const struct little_tree *tree, const char *name, const char *text);
void little_tree_link(const struct little_tree *tree, const char *name, const char *target);
/* Root may read everything: be nobody until little_tree_return. false: that cannot be done here. */
bool little_tree_leave_root(const struct little_tree *tree);
void little_tree_return(void);
void little_tree_path(const struct little_tree *tree, const char *name, char path[1200]);
