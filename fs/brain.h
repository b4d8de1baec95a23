/* fs/brain.h: the peer thread of a mount: it owns fs/core and all links.
 *
 * Start it, wait until it is ready (or told why not), mount, then let it serve: brain_serve gives
 * it the kernel to answer. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "fs/kernel.h"
#include "fs/notify.h"
#include "fs/settings.h"

struct brain;

/* Where the nodes are. */
struct brain_reach {
    void *zmq;              /* of a private node; else NULL */
    struct address control; /* of a private node */
    const char *cluster;
    uint32_t slots_log2;
    const char *dataset;
};

enum err brain_start(const struct settings *settings, const struct brain_reach *reach,
                     struct brain **out, struct text *why) MUST_USE;
/* Until the mount's core is ready, and it is known whether there is anything below the prefix:
 * ERR_OK, perhaps with a warning in `why`, or why it will not be, with a line. */
enum err brain_wait_ready(struct brain *brain, struct text *why) MUST_USE;
/* Where fuse threads push what the kernel asks. */
struct queue *brain_queue(struct brain *brain);
/* From now on replies go there. Both must outlive brain_stop. */
void brain_serve(struct brain *brain, struct kernel *kernel, struct notify *notify);
/* Ends the thread and closes the links. Nobody pushes any more. */
void brain_stop(struct brain **brain);
