/* node/core/metrics.c: rows of metrics.def, and the gauges. */
#include "node/core/metrics.h"

#include "node/core/internal.h"

/* Where a row's value lies. */
struct row {
    const char *series;
    const char *labels;
    const char *help;
    enum metric_kind kind;
    size_t offset;
};

static const struct row rows[] = {
#define METRIC(field, series, labels, kind, help) \
    { #series, labels, help, METRIC_##kind, offsetof(struct metrics, field) },
#include "node/core/metrics.def"
#undef METRIC
};

uint32_t metrics_count(void)
{
    return ARRAY_COUNT(rows);
}

struct metric metrics_at(const struct node *node, uint32_t index)
{
    CHECK(index < ARRAY_COUNT(rows));
    const struct row *row = &rows[index];
    const uint8_t *base = (const uint8_t *)&node->metrics;
    return (struct metric){ .series = row->series,
                            .labels = row->labels,
                            .help = row->help,
                            .kind = row->kind,
                            .value = *(const uint64_t *)(const void *)(base + row->offset) };
}

static uint64_t open_peers(const struct node *node)
{
    uint64_t count = 0;
    for (struct list *item = node->peers.all.next; item != &node->peers.all; item = item->next) {
        const struct peer *peer = CONTAINER_OF(item, struct peer, all);
        count += peer->control_open && !peer->silent ? 1 : 0;
    }
    return count;
}

static void count_members(struct node *node)
{
    uint64_t states[MEMBER_LEFT + 1] = { 0 };
    uint64_t replaced = 0;
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        states[members[i].state]++;
        replaced += view_successor(node->rings.view, &members[i]) != NULL ? 1 : 0;
    }
    node->metrics.members_warming = states[MEMBER_WARMING];
    node->metrics.members_owning = states[MEMBER_OWNING];
    node->metrics.members_leaving = states[MEMBER_LEAVING];
    node->metrics.members_dead = states[MEMBER_DEAD] - replaced;
    node->metrics.members_replaced = replaced;
    node->metrics.members_left = states[MEMBER_LEFT];
}

void metrics_gauges(struct node *node)
{
    struct metrics *metrics = &node->metrics;
    const struct memory *memory = &node->memory;
    metrics->memory_used = buddy_used(memory->buddy);
    metrics->memory_size = buddy_size(memory->buddy);
    metrics->memory_cached = memory->cached;
    metrics->memory_reading = memory->used[MEMORY_READ];
    metrics->memory_background = memory->used[MEMORY_BACKGROUND];
    metrics->memory_meta = memory->used[MEMORY_META];
    metrics->disk_used = 0;
    metrics->disk_size = 0;
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        metrics->disk_used += node->store.tier[i].used;
        metrics->disk_size += node->options.tier[i].quota;
    }
    metrics->blocks_known = node->blocks.pool.used;
    metrics->handover_left = node->handover.left + node->handover.untold;
    metrics->handover_left_bytes = node->handover.left_bytes;
    metrics->handover_taking = node->handover.taking_bytes;
    metrics->load = meter_now(&node->hot.shares.meter);
    metrics->load_mean = node->hot.shares.meter.mean;
    metrics->shared_blocks = node->hot.shares.shared.used;
    metrics->shares_held = node->hot.shares.pool.used;
    metrics->requests_open = node->asks.open;
    metrics->calls_open = node->calls.pool.used;
    metrics->fetches_open = node->fetches.pool.used;
    metrics->sends_bytes = node->sends.bytes;
    metrics->disk_writes_open = node->store.writing;
    metrics->disk_debts = node->store.debts;
    metrics->disk_line = node->flights.line_count;
    metrics->sessions_open = node->sessions.pool.used;
    metrics->peers_open = open_peers(node);
    metrics->members_living = rings_living(node);
    count_members(node);
    struct node_totals totals;
    node_totals(node, &totals);
    metrics->view_hash = totals.view_digest & UINT32_MAX; /* a gauge is a double elsewhere */
    metrics->ring_hash = totals.ring_digest & UINT32_MAX;
    metrics->weight = node->weight.told;
    metrics->weight_wanted = node->weight.wanted;
    metrics->owning = node->owning ? 1 : 0;
    if (!node->options.insecure) {
        metrics->key_number = keyring_present(&node->keychain.ring)->number;
        metrics->keys_open = node->keychain.ring.count;
    }
    metrics->credentials_broken = node->options.credentials_broken;
}
