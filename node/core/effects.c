/* node/core/effects.c: effects in order, and the bytes they point to. */
#include "node/core/effects.h"

#include <string.h>

#include "base/next.h"
#include "node/core/internal.h"

#define ROOMY_COUNT 8u
#define ALIGNMENT 16u

size_t effects_memory(size_t scratch_size)
{
    return scratch_size + EFFECTS_STEP_MAX * sizeof(struct effects_waiting) + (size_t)2 * ALIGNMENT;
}

enum err effects_init(struct effects *effects, struct arena *mem, size_t scratch_size)
{
    *effects = (struct effects){ .scratch_size = scratch_size };
    effects->waiting = arena_array_raw(mem, EFFECTS_STEP_MAX, sizeof *effects->waiting);
    effects->scratch = arena_take_raw(mem, scratch_size);
    if (effects->waiting == NULL || effects->scratch == NULL) {
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void effects_begin(struct effects *effects, struct node_effects *out)
{
    effects->out = out;
    out->count = 0;
    if (effects->count == 0) {
        effects->scratch_head = 0;
        effects->scratch_tail = 0;
        effects->scratch_pushed = 0;
        return;
    }
    effects->scratch_tail = effects->waiting[effects->head].scratch_at;
    while (effects->count > 0 && out->count < NODE_EFFECTS_MAX) {
        out->items[out->count] = effects->waiting[effects->head].effect;
        out->count++;
        effects->head = (effects->head + 1) % EFFECTS_STEP_MAX;
        effects->count--;
    }
}

bool effects_waiting(const struct effects *effects)
{
    return effects->count > 0;
}

void effects_push(struct node *node, const struct node_effect *effect)
{
    struct effects *effects = &node->effects;
    if (effects->count == 0 && effects->out->count < NODE_EFFECTS_MAX) {
        effects->out->items[effects->out->count] = *effect;
        effects->out->count++;
    } else {
        MARK(node, "node.effects.wait");
        CHECK(effects->count < EFFECTS_STEP_MAX);
        uint32_t at = (effects->head + effects->count) % EFFECTS_STEP_MAX;
        effects->waiting[at].effect = *effect;
        effects->waiting[at].scratch_at = effects->scratch_pushed;
        effects->count++;
    }
    effects->scratch_pushed = effects->scratch_head;
}

/* Where `size` bytes fit, or SIZE_MAX. */
static size_t scratch_place(const struct effects *effects, size_t size)
{
    size_t head = effects->scratch_head;
    size_t tail = effects->scratch_tail;
    if (head < tail) {
        return tail - head > size ? head : SIZE_MAX;
    }
    if (effects->scratch_size - head >= size) {
        return head;
    }
    return tail > size ? 0 : SIZE_MAX;
}

bool effects_roomy(const struct node *node, size_t bytes)
{
    const struct effects *effects = &node->effects;
    if (effects->count > 0 || effects->out->count + ROOMY_COUNT > NODE_EFFECTS_MAX) {
        return false;
    }
    return scratch_place(effects, bytes + 8192) != SIZE_MAX; /* 8192: and some small frames */
}

uint8_t *scratch_take(struct node *node, size_t size)
{
    struct effects *effects = &node->effects;
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    size_t at = scratch_place(effects, rounded);
    CHECK(at != SIZE_MAX);
    effects->scratch_head = at + rounded;
    return effects->scratch + at;
}

struct span scratch_copy(struct node *node, struct span bytes)
{
    if (bytes.size == 0) {
        return (struct span){ 0 };
    }
    uint8_t *copy = scratch_take(node, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return span_of(copy, bytes.size);
}

#define FRAME_LEAST (IS_NEXT ? 48 : 16)

/* Bytes that surely hold the frame: 10 a number, 20 an id, 6 before a byte string. */
static size_t frame_bound(const struct message *message)
{
    switch (message->kind) {
#define ID(number, name) +20
#define U64(number, name, max) +10
#define BYTES(number, name, max) +6 + m->name.size
#define MESSAGE(NAME, name, number, fields)              \
    case MESSAGE_##NAME: {                               \
        const struct message_##name *m = &message->name; \
        (void)m;                                         \
        return FRAME_LEAST fields;                       \
    }
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef U64
#undef ID
    }
    BUG("a message of no kind");
}

void node_send(struct node *node, struct link_id link, const struct message *message,
               struct payload payload)
{
    CHECK(link.v != 0);
    size_t room = frame_bound(message);
    uint8_t *frame = scratch_take(node, room);
    size_t used = 0;
    enum err err = message_encode(message, frame, room, &used);
    CHECK(err == ERR_OK && used <= room);
    effects_push(node,
                 &(struct node_effect){
                     .kind = NODE_SEND,
                     .send = { .link = link, .frame = span_of(frame, used), .payload = payload },
                 });
}

void node_release(struct node *node, struct payload payload)
{
    if (payload.token == 0) {
        return;
    }
    effects_push(
        node, &(struct node_effect){ .kind = NODE_RELEASE, .release = { .token = payload.token } });
}

void node_log(struct node *node, enum log_level level, const struct text *text)
{
    struct span copy = scratch_copy(node, span_of(text->data, text->used));
    effects_push(
        node, &(struct node_effect){ .kind = NODE_LOG, .log = { .level = level, .text = copy } });
}

uint64_t node_next_id(struct node *node)
{
    node->next_id++;
    return node->next_id;
}
