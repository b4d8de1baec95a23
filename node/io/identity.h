/* node/io/identity.h: what a node remembers of itself in its --data-dir.
 *
 *   node.json   id, and the highest incarnation it has had
 *   tiers.json  which disks it has kept blocks on, by UUID
 *   weight.json the weight that its operator has set, when he has
 *   keyring.json, data.mdb: see keyring_file.h, meta_actor.h
 *   lock        held while the node runs: one node for one directory
 *
 * Files are replaced whole. A newer format is refused and left alone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/text.h"
#include "base/time.h"

struct identity;

/* Makes the directory (and its parents) and an id when there is none. */
enum err identity_open(const char *dir, struct identity **out, struct text *why) MUST_USE;
void identity_close(struct identity **identity);
/* Has a node run with this directory? Makes and changes nothing. */
bool identity_exists(const char *dir);
/* The node could not start: when it would have been its first time, closing leaves no trace. */
void identity_abandon(struct identity *identity);

struct node_id identity_id(const struct identity *identity);
/* For this start: above the last one kept, and not below the clock (milliseconds << 16), so that a
 * node whose directory was restored from a backup is still newer than it was. */
uint64_t identity_incarnation(const struct identity *identity, usec_t wall_us);
/* Keep it; what is lower than the kept one is ignored. Waits for the disk. */
enum err identity_keep(struct identity *identity, uint64_t incarnation) MUST_USE;

/* The weight that was set; false: none, and `out` untouched. */
bool identity_weight(const struct identity *identity, uint32_t *out);
/* Both wait for the disk. */
enum err identity_keep_weight(struct identity *identity, uint32_t weight) MUST_USE;
enum err identity_forget_weight(struct identity *identity) MUST_USE;

/* The UUID of the tier this node has used in that directory; NULL: none. */
const char *identity_tier(const struct identity *identity, const char *dir);
enum err identity_keep_tier(struct identity *identity, const char *dir, const char *uuid) MUST_USE;
/* Of the directory, for what else lives in it. */
const char *identity_dir(const struct identity *identity);
