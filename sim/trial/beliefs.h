/* sim/trial/beliefs.h: what must hold of what nodes believe of each other (docs/gossip.md): nobody else
 * raises a member's incarnation, nothing brings back the dead, nobody buries the living. */
#pragma once
#include "sim/trial/trial.h"

struct beliefs;

struct beliefs *beliefs_new(struct trial *trial);
void beliefs_free(struct beliefs **beliefs);
/* A node has published another view. */
void beliefs_viewed(struct beliefs *beliefs, struct host_node *host);
/* A node tells its log of a member. */
void beliefs_noticed(struct beliefs *beliefs, struct host_node *host,
                     const struct gossip_effect *effect);
/* Every now and then: equal digests are equal views; who is gone is gone from the views. */
void beliefs_look(struct beliefs *beliefs);
/* Faults have been over for a while: who runs is alive to all, who does not is to nobody. `owning`: and
 * everybody who runs owns. */
void beliefs_settled(struct beliefs *beliefs, bool owning);
