/* sim/trial/views.c: members, a line for each. */
#include "sim/trial/views.h"

#include "fs/core/internal.h"

static void say_member(const struct process *process, const struct member *member)
{
    static const char *const states[] = { "warming", "owning", "leaving", "dead", "left" };
    world_say(process->world, "    %s %s incarnation %llx version %u weight %u", member->name,
              states[member->state], (unsigned long long)member->incarnation, member->version,
              member->weight);
}

static void say_digest(const struct process *process, uint64_t digest)
{
    world_say(process->world, "%s believes in view %016llx:", process->name,
              (unsigned long long)digest);
}

void views_say_node(const struct host_node *host)
{
    struct member member;
    say_digest(&host->process, gossip_digest(host->gossip));
    for (uint32_t i = 0; i < gossip_places(host->gossip); i++) {
        if (gossip_at(host->gossip, i, &member)) {
            say_member(&host->process, &member);
        }
    }
}

void views_say_mount(const struct host_mount *host)
{
    uint32_t count = 0;
    const struct member *members = view_members(host->mount->view, &count);
    say_digest(&host->process, view_digest(host->mount->view));
    for (uint32_t i = 0; i < count; i++) {
        say_member(&host->process, &members[i]);
    }
}
