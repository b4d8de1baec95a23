/* fs/core/effect.c: effects of one step, and the memory their frames and texts live in until the
 * next one. */
#include "fs/core/internal.h"

#define LOG_ROOM 16u /* effects that a line leaves to what a timer or a request may push */

struct mount_effect *effect_push(struct mount *m, enum mount_effect_kind kind)
{
    CHECK(m->out != NULL && m->out->count < MOUNT_EFFECTS_MAX);
    struct mount_effect *effect = &m->out->items[m->out->count++];
    effect->kind = kind;
    return effect;
}

uint32_t effect_room(const struct mount *m)
{
    uint32_t slots = MOUNT_EFFECTS_MAX - m->out->count;
    uint32_t frames = (uint32_t)((SCRATCH_SIZE - m->scratch_used) / FRAME_ROOM);
    return slots < frames ? slots : frames;
}

uint8_t *effect_scratch(struct mount *m, size_t size)
{
    CHECK(size <= SCRATCH_SIZE - m->scratch_used);
    uint8_t *at = m->scratch + m->scratch_used;
    m->scratch_used += size;
    return at;
}

void effect_send(struct mount *m, struct link_id link, const struct message *message)
{
    size_t used = 0;
    CHECK(SCRATCH_SIZE - m->scratch_used >= FRAME_ROOM);
    uint8_t *at = m->scratch + m->scratch_used;
    enum err err = message_encode(message, at, FRAME_ROOM, &used);
    CHECK(err == ERR_OK); /* FRAME_ROOM is the largest of what a mount says */
    m->scratch_used += used;
    struct mount_effect *effect = effect_push(m, MOUNT_SEND);
    effect->send.link = link;
    effect->send.frame = span_of(at, used);
}

void effect_err(struct mount *m, uint64_t id, int err)
{
    struct mount_effect *effect = effect_push(m, MOUNT_REPLY_ERR);
    effect->reply_err.id = id;
    effect->reply_err.err = err;
}

void effect_log(struct mount *m, int level, const struct text *text)
{
    if (effect_room(m) < LOG_ROOM || text->used > FRAME_ROOM) {
        MARK(m, "mount.log.dropped"); /* a line is worth less than an answer */
        return;
    }
    uint8_t *copy = effect_scratch(m, text->used);
    memcpy(copy, text->data, text->used);
    struct mount_effect *effect = effect_push(m, MOUNT_LOG);
    effect->log.level = level;
    effect->log.text = span_of(copy, text->used);
}
