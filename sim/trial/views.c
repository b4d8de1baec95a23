/* sim/trial/views.c: members, a line for each. */
#include "sim/trial/views.h"

#include "fs/core/internal.h"

static void say(const struct process *process, const struct view *view)
{
    static const char *const states[] = { "warming", "owning", "leaving", "dead", "left" };
    uint32_t count = 0;
    const struct member *members = view_members(view, &count);
    world_say(process->world, "%s believes in view %016llx:", process->name,
              (unsigned long long)view_digest(view));
    for (uint32_t i = 0; i < count; i++) {
        world_say(process->world, "    %s %s incarnation %llx version %u weight %u",
                  members[i].name, states[members[i].state],
                  (unsigned long long)members[i].incarnation, members[i].version,
                  members[i].weight);
    }
}

void views_say_node(const struct host_node *host)
{
    say(&host->process, gossip_view(host->gossip));
}

void views_say_mount(const struct host_mount *host)
{
    say(&host->process, host->mount->view);
}
