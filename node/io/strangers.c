#include "node/io/strangers.h"

#include "node/io/address.h"
#include "node/io/log.h"

void strangers_on_packet(struct strangers *strangers, const struct gossip_stats *stats,
                         const struct address *from)
{
    const uint64_t seen = stats->dropped_foreign + stats->dropped_unsealed + stats->dropped_key;
    if (seen != strangers->seen) {
        strangers->seen = seen;
        strangers->from = *from;
    }
}

void strangers_tell(struct strangers *strangers, const struct gossip_stats *stats)
{
    const uint64_t foreign = stats->dropped_foreign - strangers->foreign;
    const uint64_t unsealed = stats->dropped_unsealed - strangers->unsealed;
    const uint64_t key = stats->dropped_key - strangers->key;
    char from[ADDRESS_TEXT_SIZE];
    if (foreign + unsealed + key == 0) {
        return;
    }
    address_text(&strangers->from, from);
    LOG(LOG_WARN, "gossip.strangers", LOG_NUM("packets", foreign + unsealed + key),
        LOG_NUM("foreign", foreign), LOG_NUM("unsealed", unsealed), LOG_NUM("key", key),
        LOG_TEXT("from", from),
        LOG_TEXT("text", "packets with another cluster's name or keys were dropped"));
    strangers->foreign = stats->dropped_foreign;
    strangers->unsealed = stats->dropped_unsealed;
    strangers->key = stats->dropped_key;
}
