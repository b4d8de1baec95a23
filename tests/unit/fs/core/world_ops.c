/* tests/unit/fs/core/world_ops.c: requests that wait for their answer, and what was asked. */
#include "tests/unit/fs/core/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define MIB ((uint64_t)1 << 20)
#define READ 4096u

struct world *world_with_file(void)
{
    struct world *w = world_make(3);
    world_file(w, "big", 8 * MIB, "v1");
    return w;
}

struct world *world_settled(uint64_t *ino)
{
    struct world *w = world_with_file();
    world_begin(w);
    *ino = world_ino(w, "big");
    world_run(w, MSEC(100));
    return w;
}

uint64_t world_start_read(struct world *w, uint64_t ino, uint64_t offset)
{
    struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = offset, .size = READ };
    return world_op(w, op);
}

void world_check_read(const struct world_reply *reply, uint64_t offset)
{
    assert_true(reply->done);
    assert_true(world_is(reply, "big", "v1", offset));
    assert_int_equal(reply->size, READ);
}

const struct world_reply *world_lookup(struct world *w, uint64_t parent, const char *name)
{
    struct mount_op op = { .kind = OP_LOOKUP, .ino = parent, .name = span_text(name) };
    return world_wait(w, world_op(w, op), WORLD_FOR_EVER);
}

uint64_t world_ino(struct world *w, const char *path)
{
    char copy[1200];
    snprintf(copy, sizeof copy, "%s", path);
    uint64_t ino = MOUNT_ROOT_INO;
    char *rest = NULL;
    for (char *name = strtok_r(copy, "/", &rest); name != NULL; name = strtok_r(NULL, "/", &rest)) {
        const struct world_reply *reply = world_lookup(w, ino, name);
        assert_int_equal(reply->kind, MOUNT_REPLY_ENTRY);
        assert_int_not_equal(reply->entry.ino, 0);
        ino = reply->entry.ino;
    }
    return ino;
}

const struct world_reply *world_read(struct world *w, uint64_t ino, uint64_t offset, uint32_t size)
{
    struct mount_op op = { .kind = OP_READ, .ino = ino, .offset = offset, .size = size };
    return world_wait(w, world_op(w, op), WORLD_FOR_EVER);
}

uint64_t world_opendir(struct world *w, uint64_t ino)
{
    struct mount_op op = { .kind = OP_OPENDIR, .ino = ino };
    const struct world_reply *reply = world_wait(w, world_op(w, op), WORLD_FOR_EVER);
    assert_int_equal(reply->kind, MOUNT_REPLY_OPEN);
    return reply->handle;
}

const struct world_reply *world_readdir(struct world *w, uint64_t handle, uint64_t offset,
                                        uint32_t size)
{
    struct mount_op op = { .kind = OP_READDIR, .handle = handle, .offset = offset, .size = size };
    return world_wait(w, world_op(w, op), WORLD_FOR_EVER);
}

bool world_is(const struct world_reply *reply, const char *key, const char *pin, uint64_t offset)
{
    if (!reply->done || reply->kind != MOUNT_REPLY_DATA) {
        return false;
    }
    for (uint32_t i = 0; i < reply->size; i++) {
        if (reply->data[i] != world_byte(key, pin, offset + i)) {
            return false;
        }
    }
    return true;
}

uint32_t world_count(const struct world *w, enum message_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->ask_count; i++) {
        count += w->asks[i].kind == kind;
    }
    return count;
}

const struct world_ask *world_ask(const struct world *w, enum message_kind kind, uint32_t i)
{
    for (uint32_t at = 0; at < w->ask_count; at++) {
        if (w->asks[at].kind == kind && i-- == 0) {
            return &w->asks[at];
        }
    }
    return NULL;
}
