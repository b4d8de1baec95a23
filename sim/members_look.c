/* sim/members_look.c: what the members believe, all together. */
#include "sim/members.h"

#define LOOK_US MSEC(20) /* how finely a condition is looked at */

bool members_agree(struct members *m)
{
    uint64_t ring = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        ring += m->nodes[i].is_expected ? gossip_owner(m->nodes[i].id) : 0;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        const struct members_node *node = &m->nodes[i];
        if (node->is_expected && (node->gossip == NULL || node->ring != ring)) {
            return false;
        }
    }
    return true;
}

usec_t members_settle(struct members *m, usec_t most_us)
{
    const usec_t began_us = m->world->now_us;
    usec_t last_us = began_us;
    while (!members_agree(m)) {
        if (m->world->failed || m->world->now_us - began_us >= most_us) {
            return USEC_NEVER;
        }
        world_run(m->world, LOOK_US);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        last_us = m->nodes[i].is_expected ? usec_max(last_us, m->nodes[i].ring_us) : last_us;
    }
    return last_us - began_us;
}

bool members_have_one_view(struct members *m)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct members_node *node = &m->nodes[i];
        if (!node->is_expected || node->gossip == NULL) {
            continue;
        }
        const uint64_t own = gossip_digest(node->gossip);
        if (digest != 0 && own != digest) {
            return false;
        }
        digest = own;
    }
    return true;
}

uint32_t members_epochs(const struct members *m)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct members_node *node = &m->nodes[i];
        most = node->is_expected && node->epochs > most ? node->epochs : most;
    }
    return most;
}

void members_forget_epochs(struct members *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        m->nodes[i].epochs = 0;
    }
}
