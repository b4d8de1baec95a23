/* sim/trial/elsewhere.c: what nodes have named, until the mount has asked there. */
#include "sim/trial/elsewhere.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define TABLE_LOG2 16
#define WORDS_MAX 4096u

/* A GET that a node has taken. An older one in the same place is forgotten. */
struct asked {
    uint64_t key; /* 0: none */
    uint64_t block;
    bool may; /* be handed on */
};

/* A node that was named to a mount for a block. */
struct named {
    uint64_t mount; /* its life; 0: none */
    uint64_t block;
    struct node_id node;
};

struct elsewhere {
    struct trial *trial;
    struct asked asked[1u << TABLE_LOG2];
    struct named words[WORDS_MAX]; /* a ring */
    uint32_t next;
};

struct elsewhere *elsewhere_new(struct trial *trial)
{
    struct elsewhere *e = calloc(1, sizeof *e);
    CHECK(e != NULL);
    e->trial = trial;
    return e;
}

void elsewhere_free(struct elsewhere **e)
{
    free(*e);
    *e = NULL;
}

static struct asked *place(struct elsewhere *e, uint64_t key)
{
    return &e->asked[key >> (64 - TABLE_LOG2)];
}

static uint64_t key_of(const struct process *asker, const struct process *node, uint64_t number)
{
    return hash64_mix(hash64_mix(number, asker->life), node->life) | 1;
}

static uint64_t block_of(const struct message_get *get)
{
    uint64_t hash = hash64(get->key.data, get->key.size, get->index);
    return hash64_mix(hash, hash64(get->pin.data, get->pin.size, get_u64(get->source)));
}

void elsewhere_taken(struct elsewhere *e, const struct process *from, const struct process *to,
                     const struct message *message)
{
    if (message->kind != MESSAGE_GET) {
        return;
    }
    const struct message_get *get = &message->get;
    const uint64_t key = key_of(from, to, get->request);
    *place(e, key) =
        (struct asked){ .key = key,
                        .block = block_of(get),
                        .may = trial_is_mount(e->trial, from) && get->mode == GET_PLAIN &&
                               get->hops == 0 && get->elsewhere != 0 };
}

/* A node names another one. */
static void name(struct elsewhere *e, const struct process *from, const struct process *to,
                 const struct message_fail *fail)
{
    const uint64_t key = key_of(to, from, fail->request);
    const struct asked *asked = place(e, key);
    struct node_id node;
    memcpy(node.b, fail->node, ID_SIZE);
    if (asked->key != key) {
        return;
    }
    if (!asked->may) {
        world_fail(e->trial->world, "%s hands %s on, which did not allow it", from->name, to->name);
        return;
    }
    if (node_id_equal(node, e->trial->nodes[from->index]->id)) {
        world_fail(e->trial->world, "%s hands %s on to itself", from->name, to->name);
    }
    e->words[e->next] = (struct named){ .mount = to->life, .block = asked->block, .node = node };
    e->next = (e->next + 1) % WORDS_MAX;
}

/* A mount asks for a copy. */
static void use(struct elsewhere *e, const struct process *from, const struct process *to,
                const struct message_get *get)
{
    const uint64_t block = block_of(get);
    const struct node_id node = e->trial->nodes[to->index]->id;
    for (uint32_t i = 0; i < WORDS_MAX; i++) {
        struct named *word = &e->words[i];
        if (word->mount == from->life && word->block == block && node_id_equal(word->node, node)) {
            word->mount = 0;
            return;
        }
    }
    world_fail(e->trial->world, "%s asks %s for a copy of %.*s block %llu, as nobody has told it",
               from->name, to->name, (int)get->key.size, (const char *)get->key.data,
               (unsigned long long)get->index);
}

void elsewhere_sent(struct elsewhere *e, const struct process *from, const struct process *to,
                    const struct message *message)
{
    if (message->kind == MESSAGE_FAIL && message->fail.err == (uint64_t)ERR_ELSEWHERE) {
        name(e, from, to, &message->fail);
    } else if (message->kind == MESSAGE_GET && message->get.mode == GET_COPY) {
        if (trial_is_mount(e->trial, from)) {
            use(e, from, to, &message->get);
        } else {
            world_fail(e->trial->world, "%s, a node, asks for a copy", from->name);
        }
    }
}
