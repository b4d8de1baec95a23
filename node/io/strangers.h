/* node/io/strangers.h: packets that gossip dropped because of who seems to have sent them: the machine
 * counts them, an operator has to hear of them. */
#pragma once
#include "gossip/gossip.h"

struct strangers {
    uint64_t foreign; /* these as they were last told; what they are: gossip/gossip.h */
    uint64_t unsealed;
    uint64_t key;
    uint64_t seen;       /* all of them, after the last packet */
    struct address from; /* whence the last one came */
};

/* A packet from there has been taken. */
void strangers_on_packet(struct strangers *strangers, const struct gossip_stats *stats,
                         const struct address *from);
/* Logs those that have come since it was last called, if any. */
void strangers_tell(struct strangers *strangers, const struct gossip_stats *stats);
