/* tests/unit/gossip/net_keys.c: rotations of the key of a net, and which key its nodes use. */
#include "tests/unit/gossip/net.h"

void net_ask_rotation(struct net *net, uint32_t index, const struct key_rotation *rotation)
{
    net->nodes[index].rotated = false;
    net_event(net, index,
              &(struct gossip_event){ .kind = GOSSIP_ROTATE,
                                      .rotate = { .id = 1, .rotation = rotation } });
}

void net_rotate(struct net *net, uint32_t index, uint8_t byte, uint32_t ttl_s, bool revokes)
{
    struct key_rotation rotation = { .key = { .ttl_s = ttl_s }, .revokes = revokes };
    memset(rotation.key.gossip, byte, sizeof rotation.key.gossip);
    memset(rotation.key.sign_secret, byte, sizeof rotation.key.sign_secret);
    net_ask_rotation(net, index, &rotation);
}

uint8_t net_key_used(const struct net *net, uint32_t index)
{
    return keyring_present(gossip_ring(net->nodes[index].gossip))->gossip[0];
}

bool net_all_use(const struct net *net, uint8_t byte, uint32_t open)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].gossip != NULL &&
            (net_key_used(net, i) != byte || gossip_ring(net->nodes[i].gossip)->count != open)) {
            return false;
        }
    }
    return true;
}

usec_t net_wait_key(struct net *net, uint8_t byte, uint32_t open, usec_t most_us)
{
    usec_t began_us = net->now_us;
    while (!net_all_use(net, byte, open)) {
        if (net->now_us - began_us >= most_us) {
            return USEC_NEVER;
        }
        net_run(net, NET_STEP_US);
    }
    return net->now_us - began_us;
}
