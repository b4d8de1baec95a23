/* sim/trial/packets.h: what must hold of gossip packets (gossip/seal.h): sealed as documented, no nonce
 * twice, none taken twice; who is asked to relay says how it went. */
#pragma once
#include "sim/trial/trial.h"

struct packets;

struct packets *packets_new(struct trial *trial);
void packets_free(struct packets **packets);
void packets_sent(struct packets *packets, struct process *from, struct span bytes);
/* `taken`: it was ours, whole and new, says who got it. */
void packets_heard(struct packets *packets, struct process *to, struct span bytes, bool taken);
/* Every now and then. */
void packets_look(struct packets *packets);
