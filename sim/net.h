/* sim/net.h: the virtual network: datagrams that get lost, come twice or late, and links that do not
 * (wire/link.h), until a process dies or the way is cut for too long.
 *
 * A way from one host to another may be blocked, in one direction or both. Datagrams then vanish;
 * what travels on a link waits, and the link breaks after about 25 s, as ZeroMQ's heartbeats have
 * it. A frozen process takes nothing: its links stay, and fill. */
#pragma once
#include "sim/world.h"

#define NET_SOURCE WORLD_PROCESSES_MAX /* the object store as the end of a way */

struct net;

/* What the network is like; may be changed at any time. */
struct net_weather {
    usec_t delay_us;  /* one way, at least */
    usec_t jitter_us; /* and up to that much more */
    uint32_t loss;    /* of datagrams, per million; a link loses time instead */
    uint32_t twice;   /* of datagrams, per million */
    uint32_t late;    /* of datagrams, per million: up to a second late, so out of order */
    uint32_t flipped; /* of payloads, per million: one bit of it is another one */
    uint64_t rate;    /* bytes a second in each direction of a link */
};

struct net *net_new(struct world *world);
void net_free(struct net **net);
struct net_weather *net_weather(struct net *net);
/* Block the way from one process to another, or open it again. `to` may be NET_SOURCE. */
void net_block(struct net *net, uint32_t from, uint32_t to, bool blocked);
bool net_is_blocked(const struct net *net, uint32_t from, uint32_t to);

void net_datagram(struct net *net, struct process *from, const struct address *to,
                  struct span bytes);

/* Open a link; tried again until it was up once or is closed. A link that is still being tried to
 * the same address for the same purpose is the one that is returned. */
struct link_id net_connect(struct net *net, struct process *from, const struct address *to,
                           enum link_purpose purpose, struct node_id node);
/* The frame is copied at once, the payload when it leaves; then SENT, exactly once. */
void net_send(struct net *net, struct process *from, struct link_id link, struct span frame,
              struct payload payload);
void net_close(struct net *net, struct process *from, struct link_id link);
void net_release(struct net *net, struct process *process, uint64_t token);
/* All links of a process end. `silently`: its host is gone, too, so nobody tells the others. */
void net_process_gone(struct net *net, struct process *process, bool silently);

/* For links.c. */
usec_t net_delay(struct net *net);
/* Does this one get lost? */
bool net_loses(struct net *net);
/* Change one bit of it, now and then: checksums of cables and kernels let some through. */
void net_flip(struct net *net, uint8_t *data, uint32_t size);
