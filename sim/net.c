/* sim/net.c: ways between hosts, datagrams, and payloads that were received. */
#include "sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sim/links.h"

/* Per million, of several troubles at once: a link is slow for seconds then, not for ever. */
#define LOSS_MOST 700000u

struct datagram {
    struct work work;
    struct address from;
    struct address to;
    size_t size;
    uint8_t data[];
};

struct net *net_new(struct world *world)
{
    struct net *net = calloc(1, sizeof *net);
    CHECK(net != NULL);
    net->world = world;
    net->weather = (struct net_weather){ .delay_us = 100, .jitter_us = 200, .rate = 1000000000 };
    rng_init(&net->rng, world->seed, 2);
    links_start(net);
    return net;
}

void net_free(struct net **pointer)
{
    struct net *net = *pointer;
    links_end(net);
    for (uint32_t i = 0; i < net->payload_count; i++) {
        free(net->payloads[i].data);
    }
    free(net->payloads);
    free(net);
    *pointer = NULL;
}

struct net_weather *net_weather(struct net *net)
{
    return &net->weather;
}

usec_t net_delay(struct net *net)
{
    return net->weather.delay_us + rng_between(&net->rng, 0, net->weather.jitter_us);
}

bool net_loses(struct net *net)
{
    const uint32_t loss = net->weather.loss;
    return rng_chance(&net->rng, loss < LOSS_MOST ? loss : LOSS_MOST);
}

void net_flip(struct net *net, uint8_t *data, uint32_t size)
{
    if (rng_chance(&net->rng, net->weather.flipped)) {
        const uint64_t bit = rng_below(&net->rng, (uint64_t)size * 8);
        data[bit / 8] = (uint8_t)(data[bit / 8] ^ 1u << (bit % 8));
    }
}

bool net_is_blocked(const struct net *net, uint32_t from, uint32_t to)
{
    return net->blocked[from][to] > 0;
}

void net_block(struct net *net, uint32_t from, uint32_t to, bool blocked)
{
    uint8_t *count = &net->blocked[from][to];
    CHECK(blocked || *count > 0);
    *count = (uint8_t)(blocked ? *count + 1 : *count - 1);
    if (!blocked && *count == 0) {
        links_opened(net, from, to);
    }
}

/* ---- datagrams --------------------------------------------------------------------------------- */

static void datagram_run(struct work *work)
{
    struct datagram *datagram = (struct datagram *)work;
    struct process *process = work->process;
    const struct address now = process_address(process, ENDPOINT_GOSSIP);
    if (memcmp(&now.ip, &datagram->to.ip, sizeof now.ip) == 0) {
        process->ops->on_datagram(process, &datagram->from, datagram->data, datagram->size);
    }
}

static void datagram_post(struct net *net, struct process *to, const struct datagram *like)
{
    usec_t delay_us = net_delay(net);
    struct datagram *copy = work_new(to, sizeof *copy + like->size);
    copy->work.run = datagram_run;
    copy->from = like->from;
    copy->to = like->to;
    copy->size = like->size;
    memcpy(copy->data, like->data, like->size);
    if (rng_chance(&net->rng, net->weather.late)) {
        delay_us += rng_between(&net->rng, 0, SEC(1));
    }
    work_post(&copy->work, delay_us);
}

void net_datagram(struct net *net, struct process *from, const struct address *to,
                  struct span bytes)
{
    enum endpoint_purpose purpose;
    struct process *target = process_at(net->world, to, &purpose);
    const struct watch *watch = &net->world->watch;
    world_log(net->world, 1, from->index, bytes.size, hash64(bytes.data, bytes.size, 0));
    if (watch->packet != NULL) {
        watch->packet(watch->self, from, bytes);
    }
    if (target == NULL || purpose != ENDPOINT_GOSSIP || !target->up ||
        net_is_blocked(net, from->index, target->index) || net_loses(net)) {
        return;
    }
    struct datagram *datagram = malloc(sizeof *datagram + bytes.size);
    CHECK(datagram != NULL);
    datagram->from = process_address(from, ENDPOINT_GOSSIP);
    datagram->to = *to;
    datagram->size = bytes.size;
    memcpy(datagram->data, bytes.data, bytes.size);
    datagram_post(net, target, datagram);
    if (rng_chance(&net->rng, net->weather.twice)) {
        datagram_post(net, target, datagram);
    }
    free(datagram);
}

/* ---- payloads ---------------------------------------------------------------------------------- */

#define TOKEN_RECEIVED 0x8000000000000000u
#define TOKEN_SLOT 0xffffu

uint64_t net_hold(struct net *net, struct process *process, uint8_t *data, uint32_t size)
{
    uint32_t slot = 0;
    while (slot < net->payload_count && net->payloads[slot].data != NULL) {
        slot++;
    }
    if (slot == net->payload_count) {
        CHECK(slot < TOKEN_SLOT);
        net->payload_count++;
        net->payloads = realloc(net->payloads, net->payload_count * sizeof net->payloads[0]);
        CHECK(net->payloads != NULL);
    }
    net->payload_serial++;
    net->payloads[slot] = (struct net_payload){ .data = data,
                                                .size = size,
                                                .process = process,
                                                .life = process->life,
                                                .serial = net->payload_serial };
    process->held_payloads += size;
    return TOKEN_RECEIVED | net->payload_serial << 16 | slot;
}

void net_release(struct net *net, struct process *process, uint64_t token)
{
    const uint32_t slot = (uint32_t)(token & TOKEN_SLOT);
    struct net_payload *payload = &net->payloads[slot];
    if ((token & TOKEN_RECEIVED) == 0 || slot >= net->payload_count || payload->data == NULL ||
        payload->process != process || payload->life != process->life ||
        payload->serial != (token & ~TOKEN_RECEIVED) >> 16) {
        world_fail(net->world, "%s gave back a payload it does not hold", process->name);
        return;
    }
    memset(payload->data, 0xdd, payload->size); /* whoever still reads it shall notice */
    process->held_payloads -= payload->size;
    free(payload->data);
    payload->data = NULL;
}

void net_forget_payloads(struct net *net, const struct process *process)
{
    for (uint32_t slot = 0; slot < net->payload_count; slot++) {
        struct net_payload *payload = &net->payloads[slot];
        if (payload->data != NULL && payload->process == process) {
            free(payload->data);
            payload->data = NULL;
        }
    }
}
