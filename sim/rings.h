/* sim/rings.h: rings of all processes, each table built once and shared by all that ask for it. */
#pragma once
#include <stdint.h>

#include "ring/ring.h"

struct rings_kept;

/* `built` is told of each new one. */
typedef void rings_built(void *self, const struct member *members, uint32_t count,
                         const struct ring *ring);
struct rings_kept *rings_kept_new(void);
void rings_kept_watch(struct rings_kept *kept, rings_built *built, void *self);
void rings_kept_free(struct rings_kept **kept);
/* The ring of these members: built, or the one that was built before. It lives as long as the
 * world. Now and then one that was made from another is made from nothing, too: they must agree. */
const struct ring *rings_kept_get(struct rings_kept *kept, const struct member *members,
                                  uint32_t count, const struct ring_options *options);
