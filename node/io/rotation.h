/* node/io/rotation.h: what an operator says of a new key: JSON with "ttl_seconds", "revoke", "force"
 * and "file" (of the node's host, with the secret; without one the node makes it). */
#pragma once
#include <stddef.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "gossip/keyring.h"

#define ROTATION_TTL_S \
    900u /* mounts renew what they show within a minute; a long pause of a node */
#define ROTATION_TTL_S_MAX 2592000u /* 30 days */

/* ERR_INVALID with a line in `why`. Wipe *out when done. */
enum err rotation_parse(const char *body, size_t size, struct key_rotation *out, struct text *why)
    MUST_USE;
