/* sim/trial/stranger.c: one trick after the other, each at some node, as frames on links of its own. */
#include "sim/trial/stranger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/objects.h"
#include "wire/dir.h"
#include "wire/message.h"

#define EVERY_US SEC(5) /* a trick; its links are closed before the next one */
#define LIFE_S 2u       /* of a grant that is to end */
#define AFTER_US SEC(1) /* its end; so much may clocks of one host differ from what was asked */
#define HURRY_US MSEC(3)
#define PATIENCE_US SEC(2)

enum trick {
    TRICK_HURRY, /* the only one where there are no keys */
    TRICK_OTHERS_GRANT,
    TRICK_OTHER_DATASET,
    TRICK_OLD_CAPABILITY,
    TRICK_COUNT,
};

struct stranger {
    struct process process;
    struct trial *trial;
    struct rng rng;
    struct happening next;  /* trick */
    struct happening later; /* its GET */
    enum trick trick;
    struct host_node *node;
    struct link_id links[2]; /* by enum link_purpose; 0: none */
    uint8_t session[ID_SIZE];
    uint64_t ends_wall_s; /* its grant, by the node's clock */
    uint8_t grants[512];
    size_t grants_size;
    uint8_t capability[512];
    size_t capability_size;
    uint64_t number;
};

static struct stranger *stranger_of(struct process *process)
{
    return CONTAINER_OF(process, struct stranger, process);
}

static void say(struct stranger *s, enum link_purpose purpose, const struct message *message)
{
    uint8_t frame[8192];
    size_t used = 0;
    const struct link_id link = s->links[purpose];
    if (link.v == 0) {
        return;
    }
    CHECK(message_encode(message, frame, sizeof frame, &used) == ERR_OK);
    net_send(s->trial->world->net, &s->process, link, span_of(frame, used), (struct payload){ 0 });
}

/* ---- what it shows and asks ---------------------------------------------------------------------- */

static usec_t wall_us(const struct stranger *s)
{
    return process_now(&s->node->process).wall_us;
}

static void make_grant(struct stranger *s)
{
    struct grant grant = { .dataset_count = 1 };
    grant.datasets[0] = span_text(s->trick == TRICK_OTHER_DATASET ? "other" : TRIAL_DATASET);
    grant.expires_wall_s = UINT64_C(4000000000);
    if (s->trick == TRICK_OLD_CAPABILITY) {
        grant.expires_wall_s = s->ends_wall_s;
    }
    process_link_key(s->trick == TRICK_OTHERS_GRANT ? &s->trial->mounts[0]->process : &s->process,
                     grant.client_key);
    enum err err = grant_encode_sign(&grant, s->trial->key.sign_secret, s->grants, sizeof s->grants,
                                     &s->grants_size);
    CHECK(err == ERR_OK);
}

static void hello(struct stranger *s, enum link_purpose purpose)
{
    struct message message = { .kind = MESSAGE_HELLO };
    message.hello.lowest_version = WIRE_VERSION_LOWEST;
    message.hello.highest_version = WIRE_VERSION_HIGHEST;
    message.hello.cluster = span_text(s->trial->mounts[0]->options.cluster);
    memcpy(message.hello.session, s->session, ID_SIZE);
    message.hello.role = WIRE_MOUNT;
    message.hello.purpose = purpose;
    if (purpose == LINK_CONTROL) {
        message.hello.grants = span_of(s->grants, s->grants_size);
    }
    message.hello.name = span_text(s->process.name);
    say(s, purpose, &message);
}

static void ask_for_dataset(struct stranger *s)
{
    struct message message = { .kind = MESSAGE_DATASET_GET };
    message.dataset_get.request = ++s->number;
    message.dataset_get.name = span_text(TRIAL_DATASET);
    say(s, LINK_CONTROL, &message);
}

/* Where the blocks of a large file are follows from its key alone. */
static bool is_large(const struct source_object *object)
{
    const struct span late = span_text(TRIAL_PREFIX TRIAL_HELD_BACK);
    return object->versions[object->version_count - 1].size > SMALL_FILE_MAX &&
           !span_starts_with(span_of(object->key, object->key_size), late);
}

/* NULL: there is none. */
static const struct source_object *some_file(struct stranger *s)
{
    struct source *source = s->trial->world->source;
    const struct source_object *chosen = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < source_count(source); i++) {
        const struct source_object *object = source_at(source, i);
        if (is_large(object) && rng_below(&s->rng, ++seen) == 0) {
            chosen = object;
        }
    }
    return chosen;
}

static void ask_for_block(struct stranger *s)
{
    struct message message = { .kind = MESSAGE_GET };
    struct message_get *get = &message.get;
    char pin[SOURCE_PIN_MAX];
    const struct source_object *object = some_file(s);
    if (object == NULL) {
        return;
    }
    const uint32_t version = object->version_count - 1;
    const struct source_id source =
        source_id_make(span_text("s3"), span_text(""), span_text("bucket"));
    const struct span key = span_of(object->key, object->key_size);
    const uint32_t block_size = s->trial->scenario->block_size;
    const uint64_t size = object->versions[version].size;
    source_pin(object, version, pin);
    get->request = ++s->number;
    get->mode = GET_PLAIN;
    memcpy(get->source, source.b, ID_SIZE);
    get->key = key;
    get->pin = span_text(pin);
    get->size = size;
    get->block_size = block_size;
    get->index = rng_below(&s->rng, (size + block_size - 1) / block_size);
    const uint64_t left = size - get->index * block_size;
    get->length = left < block_size ? left : block_size;
    get->place = place_of_extent(object_id_make(source, key, get->pin, block_size),
                                 get->index / extent_blocks(block_size))
                     .v;
    get->ring = UINT64_MAX; /* nobody's: it knows of none, and may ask anybody */
    get->remaining_us = (uint64_t)(s->trick == TRICK_HURRY ? HURRY_US : PATIENCE_US);
    memcpy(get->dataset, dataset_id_make(span_text(TRIAL_DATASET)).b, ID_SIZE);
    get->capability = span_of(s->capability, s->capability_size);
    get->trace = rng_next(&s->rng);
    memcpy(get->mount, s->session, ID_SIZE);
    say(s, LINK_DATA, &message);
}

/* ---- what it hears -------------------------------------------------------------------------------- */

static void on_dataset(struct stranger *s, const struct message_dataset *answer)
{
    const bool has_right = s->trick == TRICK_HURRY || s->trick == TRICK_OLD_CAPABILITY;
    if (answer->err != 0) {
        return;
    }
    if (!has_right) {
        world_fail(s->trial->world, "%s gives a capability to %s, whose grant is %s",
                   s->node->process.name, s->process.name,
                   s->trick == TRICK_OTHERS_GRANT ? "somebody else's" : "for another dataset");
        return;
    }
    s->capability_size = answer->capability.size;
    if (s->capability_size > 0) {
        memcpy(s->capability, answer->capability.data, s->capability_size);
    }
    const struct address address = process_address(&s->node->process, ENDPOINT_DATA);
    (void)net_connect(s->trial->world->net, &s->process, &address, LINK_DATA, s->node->id);
}

static void on_welcome(struct stranger *s, enum link_purpose purpose)
{
    if (purpose == LINK_CONTROL) {
        ask_for_dataset(s);
    } else if (s->trick == TRICK_HURRY) {
        ask_for_block(s);
    } else {
        const usec_t left_us = SEC((usec_t)s->ends_wall_s) - wall_us(s);
        world_set(s->trial->world, &s->later, usec_max(left_us, 0) + AFTER_US);
    }
}

static void on_message(struct stranger *s, enum link_purpose purpose, struct span frame)
{
    struct message message;
    if (message_decode(frame, &message) != ERR_OK) {
        world_fail(s->trial->world, "%s cannot read what %s says", s->process.name,
                   s->node->process.name);
    } else if (message.kind == MESSAGE_WELCOME) {
        on_welcome(s, purpose);
    } else if (message.kind == MESSAGE_DATASET) {
        on_dataset(s, &message.dataset);
    } else if (message.kind == MESSAGE_DATA && s->trick == TRICK_OLD_CAPABILITY &&
               wall_us(s) > SEC((usec_t)s->ends_wall_s)) {
        world_fail(s->trial->world, "%s serves %s, whose capability is over", s->node->process.name,
                   s->process.name);
    }
}

static void on_link(struct process *process, const struct net_event *event)
{
    struct stranger *s = stranger_of(process);
    switch (event->kind) {
    case NET_UP:
        s->links[event->purpose] = event->link;
        hello(s, event->purpose);
        return;
    case NET_DOWN:
        for (uint32_t i = 0; i < 2; i++) {
            s->links[i].v = s->links[i].v == event->link.v ? 0 : s->links[i].v;
        }
        return;
    case NET_MESSAGE:
        if (event->link.v == s->links[LINK_CONTROL].v || event->link.v == s->links[LINK_DATA].v) {
            on_message(s, event->link.v == s->links[LINK_DATA].v ? LINK_DATA : LINK_CONTROL,
                       event->frame);
        }
        if (event->payload.token != 0) {
            net_release(process->world->net, process, event->payload.token);
        }
        return;
    case NET_SENT: /* it sends no payloads */
        return;
    }
    BUG("a link event of no kind");
}

static void on_datagram(struct process *process, const struct address *from, uint8_t *data,
                        size_t size)
{
    (void)from;
    (void)data;
    (void)size;
    world_fail(process->world, "%s, a client, got a datagram", process->name);
}

static void on_thaw(struct process *process)
{
    (void)process;
}

static const struct process_ops ops = { .on_link = on_link,
                                        .on_datagram = on_datagram,
                                        .on_thaw = on_thaw };

/* ---- its course ----------------------------------------------------------------------------------- */

static void hang_up(struct stranger *s)
{
    world_cancel(s->trial->world, &s->later);
    net_process_gone(s->trial->world->net, &s->process, false);
    process_die(&s->process);
    memset(s->links, 0, sizeof s->links);
}

static void later_fire(struct world *world, struct happening *what)
{
    struct stranger *s = CONTAINER_OF(what, struct stranger, later);
    (void)world;
    if (s->node->process.up && wall_us(s) > SEC((usec_t)s->ends_wall_s)) {
        ask_for_block(s);
    }
}

static void next_fire(struct world *world, struct happening *what)
{
    struct stranger *s = CONTAINER_OF(what, struct stranger, next);
    struct trial *trial = s->trial;
    hang_up(s);
    process_live(&s->process);
    world_set(world, what, EVERY_US);
    s->node = trial->nodes[rng_below(&s->rng, trial->node_count)];
    s->trick = trial->scenario->sealed ? (enum trick)rng_below(&s->rng, TRICK_COUNT) : TRICK_HURRY;
    if (!s->node->process.up || s->node->process.frozen) {
        return;
    }
    s->ends_wall_s = (uint64_t)(wall_us(s) / SEC(1)) + LIFE_S;
    s->capability_size = 0;
    s->grants_size = 0;
    put_u64(s->session, rng_next(&s->rng));
    put_u64(s->session + 8, rng_next(&s->rng));
    if (trial->scenario->sealed) {
        make_grant(s);
    }
    const struct address address = process_address(&s->node->process, ENDPOINT_CONTROL);
    (void)net_connect(world->net, &s->process, &address, LINK_CONTROL, s->node->id);
}

struct stranger *stranger_new(struct trial *trial, uint32_t number)
{
    struct stranger *s = calloc(1, sizeof *s);
    char name[16];
    CHECK(s != NULL);
    s->trial = trial;
    s->process.ops = &ops;
    s->next.fire = next_fire;
    s->later.fire = later_fire;
    snprintf(name, sizeof name, "stranger%u", number);
    world_add(trial->world, &s->process, name);
    rng_init(&s->rng, trial->world->seed, 8000 + number);
    return s;
}

void stranger_begin(struct stranger *stranger)
{
    process_live(&stranger->process);
    world_set(stranger->trial->world, &stranger->next, rng_between(&stranger->rng, 0, EVERY_US));
}

void stranger_end(struct stranger *stranger)
{
    if (stranger->process.up) {
        world_cancel(stranger->trial->world, &stranger->next);
        hang_up(stranger);
    }
}

void stranger_free(struct stranger **stranger)
{
    stranger_end(*stranger);
    free(*stranger);
    *stranger = NULL;
}
