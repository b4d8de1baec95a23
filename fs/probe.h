/* fs/probe.h: is there anything below the prefix that is to be mounted?
 *
 * The root is opened as the kernel would, before anything is mounted. A prefix that does not exist
 * is refused; when that cannot be learnt soon, the mount comes up all the same. The thread that
 * runs the mount's core asks probe_next after each step, and hands in replies with PROBE_ID. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/time.h"
#include "fs/core/mount.h"

/* A listing of a prefix with nothing below it is one request to the source; one that takes longer
 * than this has found something, or the source cannot be asked now. */
#define PROBE_US SEC(3)
#define PROBE_ID UINT64_MAX /* requests of the kernel are numbered from 1 */

enum probe_state {
    PROBE_NONE,
    PROBE_WANTED,
    PROBE_OPEN, /* the root is being opened */
    PROBE_HELD, /* it is open, and to be closed */
    PROBE_OVER,
};

struct probe {
    enum probe_state state;
    bool told;
    usec_t until_us;
    uint64_t handle;
};

/* What whoever waits for the mount is told, once. */
struct probe_word {
    bool is;          /* there is something to tell */
    enum err err;     /* ERR_NOT_FOUND: do not mount */
    const char *said; /* behind the prefix' name; NULL: all is well */
};

void probe_begin(struct probe *probe, usec_t now_us);
/* A request for the core; false: none. */
bool probe_next(struct probe *probe, struct mount_event *out);
struct probe_word probe_on_reply(struct probe *probe, const struct mount_effect *effect);
/* Is it enough? *due_us: when to ask again; USEC_NEVER: not at all. */
struct probe_word probe_on_time(struct probe *probe, usec_t now_us, usec_t *due_us);
