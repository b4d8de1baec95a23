/* sim/host_inside.h: what the files of a node's host share. */
#pragma once
#include "sim/host_node.h"

struct host_node *host_of(struct process *process);
void host_node_step(struct host_node *host, const struct node_event *event);
void host_gossip_step(struct host_node *host, const struct gossip_event *event);
void host_node_effect(struct host_node *host, const struct node_effect *effect);
void host_gossip_effect(struct host_node *host, const struct gossip_effect *effect);
/* Its member record. */
struct member host_node_self(const struct host_node *host);
/* Of the disk and of the source. */
void host_answer(struct process *process, const struct node_event *event);
