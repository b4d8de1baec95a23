/* sim/links.h: what net.c and links.c share. */
#pragma once
#include "sim/net.h"

struct conn;

struct net_payload {
    uint8_t *data; /* NULL: the slot is free */
    uint32_t size;
    struct process *process;
    uint64_t life;
    uint64_t serial;
};

struct net {
    struct world *world;
    struct net_weather weather;
    struct rng rng;
    uint8_t blocked[WORLD_PROCESSES_MAX + 1][WORLD_PROCESSES_MAX + 1]; /* how many faults do */
    struct conn **conns; /* link 2n + 1 is the opener's end of the n-th, 2n + 2 the other's */
    uint32_t conn_count;
    uint32_t conn_room;
    struct happening heart; /* looks for links that were cut too long */
    struct net_payload *payloads;
    uint32_t payload_count;
    uint64_t payload_serial;
};

void links_start(struct net *net);
void links_end(struct net *net);
/* The way from one process to another is open again. */
void links_opened(struct net *net, uint32_t from, uint32_t to);
/* A token for a payload that the process holds from now on. */
uint64_t net_hold(struct net *net, struct process *process, uint8_t *data, uint32_t size);
void net_forget_payloads(struct net *net, const struct process *process);
