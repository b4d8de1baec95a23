#include "fs/probe.h"

#include <errno.h>

static struct probe_word tell(struct probe *probe, enum err err, const char *said)
{
    const bool first = !probe->told;
    probe->told = true;
    return (struct probe_word){ .is = first, .err = err, .said = said };
}

void probe_begin(struct probe *probe, usec_t now_us)
{
    CHECK(probe->state == PROBE_NONE);
    probe->state = PROBE_WANTED;
    probe->until_us = now_us + PROBE_US;
}

bool probe_next(struct probe *probe, struct mount_event *out)
{
    *out = (struct mount_event){ .kind = MOUNT_OP, .op = { .id = PROBE_ID } };
    if (probe->state == PROBE_WANTED) {
        probe->state = PROBE_OPEN;
        out->op.kind = OP_OPENDIR;
        out->op.ino = MOUNT_ROOT_INO;
        return true;
    }
    if (probe->state == PROBE_HELD) {
        probe->state = PROBE_OVER;
        out->op.kind = OP_RELEASEDIR;
        out->op.handle = probe->handle;
        return true;
    }
    return false;
}

struct probe_word probe_on_reply(struct probe *probe, const struct mount_effect *effect)
{
    CHECK(effect->reply_err.id == PROBE_ID); /* all replies begin with it */
    if (probe->state != PROBE_OPEN) {
        return (struct probe_word){ .is = false }; /* that it was closed */
    }
    if (effect->kind == MOUNT_REPLY_OPEN) {
        probe->state = PROBE_HELD;
        probe->handle = effect->reply_open.handle;
        return tell(probe, ERR_OK, NULL);
    }
    probe->state = PROBE_OVER;
    if (effect->reply_err.err == ENOENT || effect->reply_err.err == ENOTDIR) {
        return tell(probe, ERR_NOT_FOUND,
                    ": there is no such directory; look for it with `atoll where`, and if it is "
                    "new, say `atoll dataset refresh`");
    }
    return tell(probe, ERR_OK,
                " is mounted without knowing whether it exists: it could not be listed, see `atoll "
                "status`");
}

struct probe_word probe_on_time(struct probe *probe, usec_t now_us, usec_t *due_us)
{
    *due_us = USEC_NEVER;
    if (probe->state != PROBE_OPEN || probe->told) {
        return (struct probe_word){ .is = false };
    }
    if (now_us < probe->until_us) {
        *due_us = probe->until_us;
        return (struct probe_word){ .is = false };
    }
    return tell(probe, ERR_OK,
                " is mounted without knowing whether it exists: no answer came within 3 s, see "
                "`atoll status`");
}
