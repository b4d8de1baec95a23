/* sim/trial/durable.c: looks at the disks at the moment a node gives a mount a listing. */
#include "sim/trial/durable.h"

#include "node/core/internal.h"
#include "sim/disk.h"
#include "sim/trial/faults.h"
#include "wire/dir.h"

#define COPIES 2u /* META_COPIES of node/core/meta.h, whose `struct work` is not sim/world.h's */

static bool has_pages(struct span bytes)
{
    struct root root;
    return bytes.size > 0 && root_open(bytes, &root) == ERR_OK && root.shards > 0;
}

void durable_sent(const struct trial *trial, const struct process *from, const struct process *to,
                  const struct message_dir_root *answer)
{
    const struct node *node = trial->nodes[from->index]->node;
    const struct ring *ring = node->rings.use[0].ring;
    uint32_t copies = 0;
    if (!trial_is_mount(trial, to) || faults_began(trial->faults) > 0 || ring == NULL ||
        ring_count(ring) < COPIES || !has_pages(answer->root)) {
        return;
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        copies += disk_keeps(trial->nodes[i]->disk, META_ROOT, answer->root) ? 1 : 0;
    }
    if (copies < COPIES) {
        world_fail(trial->world, "%s gives a listing of which there are %u copies", from->name,
                   copies);
    }
}
