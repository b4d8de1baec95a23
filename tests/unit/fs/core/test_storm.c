/* tests/unit/fs/core/test_storm.c: everything at once, at random, from printed seeds: whatever nodes
 * do, every request is answered, every byte is right, and the budget holds in every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/fs/core/world.h"

#define SEEDS 150u
#define ACTIONS 250u
#define FILES 40u
#define INOS 256u
#define BASE 1000000u /* a file's version is in its size, so that an inode tells which it is */

struct storm {
    struct world *w;
    struct rng rng;
    uint32_t versions[FILES];
    uint64_t dir; /* inode of the directory of all files; 0: not known */
    struct {
        uint64_t ino;
        uint64_t lookups;
        uint64_t size;
        uint32_t file;
    } known[INOS];
    uint32_t known_count;
    uint64_t handles[64];
    uint32_t handle_count;
    struct {
        uint64_t op;
        enum mount_op_kind kind;
        uint32_t what; /* file, or index in known */
        uint64_t size, offset;
    } open[4096];
    uint32_t open_count;
};

static void name_of(uint32_t file, char *out)
{
    snprintf(out, 64, "%02u-file", file);
}

static uint64_t size_of(uint32_t file, uint32_t version)
{
    uint64_t base = file % 3 == 0 ? 3u * BASE : file % 3 == 1 ? 90000 : 700;
    return base + version;
}

static void write_file(struct storm *s, uint32_t file)
{
    char key[80] = "dir/";
    char pin[32];
    name_of(file, key + 4);
    snprintf(pin, sizeof pin, "%u", s->versions[file]);
    world_file(s->w, key, size_of(file, s->versions[file]), pin);
}

static void push_op(struct storm *s, struct mount_op op, uint32_t what)
{
    if (world_totals(s->w).ops_open >= 50) {
        return;
    }
    s->open[s->open_count].op = world_op(s->w, op);
    s->open[s->open_count].kind = op.kind;
    s->open[s->open_count].what = what;
    s->open[s->open_count].offset = op.offset;
    s->open[s->open_count++].size = op.size;
}

static void learn(struct storm *s, uint64_t ino, uint64_t size, uint32_t file)
{
    for (uint32_t i = 0; i < s->known_count; i++) {
        if (s->known[i].ino == ino) {
            assert_int_equal(s->known[i].size, size); /* a node id is one version */
            s->known[i].lookups++;
            return;
        }
    }
    assert_true(s->known_count < INOS);
    s->known[s->known_count].ino = ino;
    s->known[s->known_count].lookups = 1;
    s->known[s->known_count].size = size;
    s->known[s->known_count++].file = file;
}

static void check_read(struct storm *s, uint32_t i, const struct world_reply *reply)
{
    uint32_t what = s->open[i].what;
    uint64_t size = s->known[what].size;
    if (reply->kind == MOUNT_REPLY_ERR) {
        bool fine = reply->err == ESTALE || reply->err == EINTR || reply->err == EACCES ||
                    reply->err == EIO;
        assert_true(fine);
        return;
    }
    char key[80] = "dir/";
    char pin[32];
    name_of(s->known[what].file, key + 4);
    snprintf(pin, sizeof pin, "%u", (uint32_t)(size - size_of(s->known[what].file, 0)));
    assert_true(world_is(reply, key, pin, s->open[i].offset));
    uint64_t left = s->open[i].offset < size ? size - s->open[i].offset : 0;
    assert_int_equal(reply->size, left < s->open[i].size ? left : s->open[i].size);
}

static void check_dir(struct storm *s, const struct world_reply *reply)
{
    for (uint32_t i = 0; reply->kind == MOUNT_REPLY_DIR && i < reply->count; i++) {
        const struct world_entry *entry = &reply->entries[i];
        if (entry->entry.ino != 0) {
            learn(s, entry->entry.ino, entry->entry.attr.size, (uint32_t)atoi(entry->name));
        }
    }
}

static void collect(struct storm *s)
{
    for (uint32_t i = 0; i < s->open_count; i++) {
        const struct world_reply *reply = &s->w->replies[s->open[i].op];
        if (!reply->done) {
            continue;
        }
        if (s->open[i].kind == OP_READ) {
            check_read(s, i, reply);
        } else if (s->open[i].kind == OP_LOOKUP && reply->entry.ino != 0) {
            bool is_dir = s->open[i].what == FILES;
            s->dir = is_dir ? reply->entry.ino : s->dir;
            if (!is_dir) {
                learn(s, reply->entry.ino, reply->entry.attr.size, s->open[i].what);
            }
        } else if (s->open[i].kind == OP_READDIRPLUS) {
            check_dir(s, reply);
        } else if (s->open[i].kind == OP_OPENDIR && reply->kind == MOUNT_REPLY_OPEN) {
            assert_true(s->handle_count < 64);
            s->handles[s->handle_count++] = reply->handle;
        }
        s->open[i] = s->open[--s->open_count];
        i--;
    }
}

static void act_on_files(struct storm *s)
{
    char name[64];
    uint32_t file = (uint32_t)rng_below(&s->rng, FILES);
    name_of(file, name);
    uint64_t parent = s->dir == 0 ? MOUNT_ROOT_INO : s->dir;
    const char *which = s->dir == 0 ? "dir" : name;
    uint32_t what = s->dir == 0 ? FILES : file;
    uint32_t choice = (uint32_t)rng_below(&s->rng, 10);
    if (choice < 3 || s->known_count == 0) {
        struct mount_op op = { .kind = OP_LOOKUP, .ino = parent, .name = span_text(which) };
        push_op(s, op, what);
    } else if (choice < 8) {
        uint32_t i = (uint32_t)rng_below(&s->rng, s->known_count);
        struct mount_op op = { .kind = OP_READ, .ino = s->known[i].ino };
        op.offset = rng_below(&s->rng, s->known[i].size + 100);
        op.size = (uint32_t)rng_below(&s->rng, rng_chance(&s->rng, 300000) ? 1u << 20 : 70000) + 1;
        push_op(s, op, i);
    } else if (choice == 8 && s->handle_count < 8 && s->dir != 0) {
        push_op(s, (struct mount_op){ .kind = OP_OPENDIR, .ino = s->dir }, 0);
    } else if (s->handle_count > 0) {
        uint64_t handle = s->handles[rng_below(&s->rng, s->handle_count)];
        struct mount_op op = { .kind = OP_READDIRPLUS, .handle = handle, .size = 4096 };
        op.offset = rng_below(&s->rng, FILES + 4);
        push_op(s, op, 0);
    }
}

static void act_on_nodes(struct storm *s)
{
    uint32_t number = (uint32_t)rng_below(&s->rng, s->w->node_count);
    struct world_node *node = &s->w->nodes[number];
    switch (rng_below(&s->rng, 12)) {
    case 0:
        node->silent = true;
        return;
    case 1:
        world_cut(s->w, number);
        return;
    case 2:
        node->busy = 3;
        return;
    case 3:
        node->lies = 2;
        return;
    case 4:
        node->pending = !node->pending;
        return;
    case 5:
        node->no_pages = !node->no_pages;
        return;
    case 6:
        node->fail = node->fail == ERR_OK ? ERR_NO_CREDENTIAL : ERR_OK;
        return;
    case 7:
        node->mute_after = 1 + (uint32_t)rng_below(&s->rng, 3);
        return;
    case 8:
        node->slow = !node->slow;
        return;
    default:
        node->silent = false;
        node->down = false;
        node->pending = false;
        node->no_pages = false;
        node->fail = ERR_OK;
        node->mute_after = 0;
        return;
    }
}

static void act_badly(struct storm *s)
{
    uint8_t bytes[256];
    size_t used = 0;
    if (s->w->link_count == 0) {
        return;
    }
    struct message message;
    memset(&message, 0, sizeof message);
    message.kind = rng_chance(&s->rng, 500000) ? MESSAGE_DATA : MESSAGE_FAIL;
    message.data.request = rng_next(&s->rng) % (1u << 26);
    if (message.kind == MESSAGE_DATA) {
        message.data.length = 65536;
    }
    assert_int_equal(message_encode(&message, bytes, sizeof bytes, &used), ERR_OK);
    if (rng_chance(&s->rng, 500000)) {
        bytes[rng_below(&s->rng, used)] ^= (uint8_t)(1 + rng_below(&s->rng, 255));
    }
    uint32_t payload = rng_chance(&s->rng, 500000) ? 65536 : 0;
    world_inject(s->w, (uint32_t)rng_below(&s->rng, 8), span_of(bytes, used), payload);
}

static void act(struct storm *s)
{
    uint64_t choice = rng_below(&s->rng, 100);
    if (choice < 60) {
        act_on_files(s);
    } else if (choice < 70) {
        act_on_nodes(s);
    } else if (choice < 74) {
        uint32_t file = (uint32_t)rng_below(&s->rng, FILES);
        s->versions[file]++;
        write_file(s, file);
        s->w->generation++;
    } else if (choice < 78) {
        act_badly(s);
    } else if (choice < 82 && s->open_count > 0) {
        world_interrupt(s->w, s->open[rng_below(&s->rng, s->open_count)].op);
    } else {
        world_run(s->w, (usec_t)rng_below(&s->rng, (uint64_t)MSEC(200)));
    }
    collect(s);
}

static void heal(struct storm *s)
{
    for (uint32_t i = 0; i < s->w->node_count; i++) {
        memset((uint8_t *)&s->w->nodes[i] + sizeof s->w->nodes[i].id, 0,
               sizeof s->w->nodes[i] - sizeof s->w->nodes[i].id);
    }
    world_run(s->w, SEC(60));
    collect(s);
}

static void storm_of(uint64_t seed)
{
    static struct storm s;
    memset(&s, 0, sizeof s);
    rng_init(&s.rng, seed, 0);
    s.w = world_make(1 + (uint32_t)rng_below(&s.rng, 3));
    s.w->options.seed = seed;
    s.w->options.hard = rng_chance(&s.rng, 500000);
    s.w->options.timeo_us = SEC(1 + rng_below(&s.rng, 40));
    s.w->options.memory = (4u << 20) + rng_below(&s.rng, 8u << 20);
    s.w->options.inodes_max = 50 + (uint32_t)rng_below(&s.rng, 300);
    s.w->dataset.block_size = 65536u << rng_below(&s.rng, 5);
    s.w->part_size = 65536u << rng_below(&s.rng, 4);
    s.w->fresh_us = (uint64_t)MSEC(1) << rng_below(&s.rng, 16);
    for (uint32_t i = 0; i < FILES; i++) {
        write_file(&s, i);
    }
    world_begin(s.w);
    for (uint32_t i = 0; i < ACTIONS; i++) {
        act(&s);
        if (s.known_count > INOS - 60) {
            heal(&s); /* nothing open may name what is forgotten */
            for (uint32_t k = 0; k < s.known_count; k++) {
                world_forget(s.w, s.known[k].ino, s.known[k].lookups);
            }
            s.known_count = 0;
        }
    }
    heal(&s);
    assert_int_equal(s.open_count, 0);
    assert_int_equal(world_totals(s.w).ops_open, 0);
    assert_int_equal(world_totals(s.w).requests_open, 0);
    assert_int_equal(world_totals(s.w).memory_used, s.w->payload_bytes);
    world_free(s.w);
}

static void whatever_nodes_do_requests_end_and_bytes_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        storm_of(seed);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        storm_of(strtoull(argv[1], NULL, 10));
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_nodes_do_requests_end_and_bytes_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
