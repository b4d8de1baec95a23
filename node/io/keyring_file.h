/* node/io/keyring_file.h: keyring.json in a node's --data-dir: the keys of the cluster as rotations
 * have left them.
 *
 * Why not the cluster file: that one belongs to the operator. It may be mounted read-only, be kept by
 * a configuration manager that would put the old one back, or be shared by nodes; --data-dir has one
 * writer, which is this node. The cluster file is what a node starts from when it has no ring, and
 * what tells a ring of another cluster from one of this. */
#pragma once
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "gossip/keyring.h"

/* The ring to start with: what is kept in `dir`, together with the key of the cluster file where that
 * is newer; that key alone when nothing is kept. Refused, with a line in `why`: a ring of another
 * cluster (ERR_INVALID), a damaged one (ERR_MALFORMED), one of a newer format (ERR_VERSION). */
enum err keyring_file_load(const char *dir, const struct cluster_keys *cluster, struct keyring *out,
                           struct text *why) MUST_USE;
/* Whole, in place of the one before, and on disk when it returns. */
enum err keyring_file_save(const char *dir, const struct cluster_keys *cluster,
                           const struct keyring *ring, struct text *why) MUST_USE;
