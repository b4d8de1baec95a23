/* fs/core/again.c: requests whose time was over a moment ago.
 *
 * The kernel asks twice for what it cannot get: whoever waits for a page that was read ahead reads
 * it once more when that has failed, and a name that could not be checked is looked up anew. Such a
 * second request has no time of its own, or a program would wait twice as long as `timeo` says. */
#include "base/hash.h"
#include "fs/core/internal.h"

size_t again_memory(const struct mount_options *options)
{
    return options->requests_max * sizeof(struct again) + 16;
}

enum err again_init(struct mount *m, struct arena *mem)
{
    m->agains = arena_array(mem, m->options.requests_max, sizeof *m->agains);
    return m->agains == NULL ? ERR_NOMEM : ERR_OK;
}

static struct again what(const struct op *op)
{
    struct again again = { .kind = op->in.kind, .ino = op->in.ino };
    if (op->in.kind == OP_LOOKUP) {
        again.from = hash64(op->in.name.data, op->in.name.size, 0);
        again.end = again.from | 1; /* not empty */
        again.from &= ~UINT64_C(1);
    } else {
        again.from = op->in.offset;
        again.end = op->in.offset + op->in.size;
    }
    return again;
}

void again_note(struct mount *m, const struct op *op)
{
    if (op->again) {
        return; /* one that asks a third time, and ever again, shall wait */
    }
    struct again *again = &m->agains[m->again_next++ % m->options.requests_max];
    *again = what(op);
    again->until_us = m->now.mono_us + AGAIN_US;
}

bool again_is(const struct mount *m, const struct op *op)
{
    const struct again now = what(op);
    uint32_t count =
        m->again_next < m->options.requests_max ? m->again_next : m->options.requests_max;
    for (uint32_t i = 0; i < count; i++) {
        const struct again *before = &m->agains[i];
        if (before->until_us > m->now.mono_us && before->kind == now.kind &&
            before->ino == now.ino && before->from < now.end && now.from < before->end) {
            return true;
        }
    }
    return false;
}
