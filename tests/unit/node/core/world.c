/* tests/unit/node/core/world.c: the virtual world around whole nodes. */
#include "tests/unit/node/core/world.h"

#include "tests/unit/node/core/world_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wire/dataset.h"

void world_later(struct world *world, usec_t delay_us, const struct pending *what)
{
    struct pending *item = calloc(1, sizeof *item);
    assert_non_null(item);
    *item = *what;
    item->at_us = world->now_us + delay_us;
    struct pending **at = &world->pending;
    while (*at != NULL && (*at)->at_us <= item->at_us) {
        at = &(*at)->next;
    }
    item->next = *at;
    *at = item;
}

static struct now now_of(const struct world *world)
{
    return (struct now){ .mono_us = world->now_us, .wall_us = world->now_us + SEC(1700000000) };
}

void world_event(struct world *world, uint32_t index, const struct node_event *event)
{
    struct world_node *w = &world->nodes[index];
    static struct node_effects effects;
    node_step(w->node, now_of(world), event, &effects);
    w->last_us = world->now_us;
    assert_true(effects.count <= NODE_EFFECTS_MAX);
    for (uint32_t i = 0; i < effects.count; i++) {
        world_effect(world, index, &effects.items[i]);
    }
    struct node_totals totals;
    node_totals(w->node, &totals);
    assert_true(totals.region_used <= totals.region_size);
    if (totals.region_used > w->most_used) {
        w->most_used = totals.region_used;
    }
}

/* The node that has to do something first, and when. */
static usec_t next_tick(const struct world *world, uint32_t *index)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct world_node *w = &world->nodes[i];
        if (w->up && !w->frozen && node_deadline(w->node) < next) {
            next = node_deadline(w->node);
            *index = i;
        }
    }
    return next;
}

/* Is it for a node that does not run at the moment? */
static bool must_wait(const struct world *world, const struct pending *item)
{
    return item->node < WORLD_NODES && world->nodes[item->node].frozen;
}

static struct pending **next_pending(struct world *world)
{
    struct pending **at = &world->pending;
    while (*at != NULL && must_wait(world, *at)) {
        at = &(*at)->next;
    }
    return at;
}

void world_run(struct world *world, usec_t us)
{
    usec_t end = world->now_us + us;
    for (;;) {
        uint32_t index = 0;
        usec_t tick = next_tick(world, &index);
        struct pending **at = next_pending(world);
        usec_t due = *at == NULL ? USEC_NEVER : (*at)->at_us;
        usec_t next = usec_min(tick, due);
        if (next > end) {
            break;
        }
        world->now_us = usec_max(world->now_us, next);
        if (due <= tick) {
            struct pending *item = *at;
            *at = item->next;
            world_deliver(world, item);
            free(item);
        } else {
            world_event(world, index, &(struct node_event){ .kind = NODE_TICK });
        }
    }
    world->now_us = end;
}

static void make_dataset(struct world *world)
{
    struct dataset *dataset = &world->dataset;
    strcpy(dataset->name, "train");
    strcpy(dataset->rows[0].uri, "file:///data/");
    dataset->rows[0].source = source_id_make(span_text("file"), span_text(""), span_text("/data/"));
    dataset->row_count = 1;
    dataset->block_size = WORLD_BLOCK;
    dataset->version = 1;
    dataset->writer.b[0] = 1;
}

void world_start_unscanned(struct world *world, uint32_t index)
{
    struct world_node *w = &world->nodes[index];
    size_t size = node_memory(&w->options);
    struct arena arena;
    w->arena = malloc(size);
    assert_non_null(w->arena);
    arena_init(&arena, w->arena, size);
    w->options.incarnation++;
    assert_int_equal(node_new(&arena, &w->options, &w->node), ERR_OK);
    w->up = true;
    w->owning = false;
    w->frozen = false;
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    assert_int_equal(dataset_encode(&world->dataset, record, sizeof record, &used), ERR_OK);
    world_event(world, index,
                &(struct node_event){ .kind = NODE_META_RECORD,
                                      .meta_record = { .value = span_of(record, used) } });
    world_event(world, index, &(struct node_event){ .kind = NODE_META_READY });
}

void world_disk_scan(struct world *world, uint32_t index)
{
    struct world_node *w = &world->nodes[index];
    uint32_t next = 0;
    for (uint32_t i = 0; i < w->disk.count; i++) {
        const struct disk_record *record = &w->disk.kept[i].record;
        next = record->segment >= next ? record->segment + 1 : next;
        world_event(
            world, index,
            &(struct node_event){ .kind = NODE_DISK_RECORD, .disk_record = { .record = *record } });
    }
    if (w->options.tier_count > 0) {
        world_event(world, index,
                    &(struct node_event){ .kind = NODE_DISK_READY,
                                          .disk_ready = { .next_segment = next } });
    }
}

void world_start(struct world *world, uint32_t index)
{
    world_start_unscanned(world, index);
    world_disk_scan(world, index);
}

struct member world_member(const struct world *world, uint32_t index)
{
    struct member member = { .id = world->nodes[index].id,
                             .incarnation = world->nodes[index].options.incarnation,
                             .state = MEMBER_OWNING,
                             .weight = 100,
                             .serve_weight = 100,
                             .endpoint_count = 2 };
    member.name[0] = (char)('a' + (int)index);
    for (uint32_t i = 0; i < 2; i++) {
        member.endpoints[i].purpose = i == 0 ? ENDPOINT_CONTROL : ENDPOINT_DATA;
        member.endpoints[i].address.ip[15] = 1;
        member.endpoints[i].address.port = (uint16_t)(7700 + 2 * index + i);
    }
    return member;
}

void world_tell_members(struct world *world)
{
    struct member members[WORLD_NODES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->node_count; i++) {
        members[count] = world_member(world, i);
        if (!world->nodes[i].up) {
            members[count].state = MEMBER_DEAD;
        }
        count++;
    }
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].up) {
            world_event(world, i,
                        &(struct node_event){ .kind = NODE_VIEW,
                                              .view = { .members = members, .count = count } });
        }
    }
}

struct world *world_new(uint32_t count, size_t region_size, uint64_t quota)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->node_count = count;
    world->now_us = SEC(10);
    world->insecure = true;
    strcpy(world->keys.name, "unit");
    world->keys.slots_log2 = 8;
    world->source.latency_us = MSEC(5);
    world->source.step = CHUNK_SIZE;
    make_dataset(world);
    for (uint32_t i = 0; i < count; i++) {
        struct world_node *w = &world->nodes[i];
        memset(w->id.b, (int)(i + 1), ID_SIZE);
        w->region = aligned_alloc(BUDDY_PAGE, region_size);
        assert_non_null(w->region);
        w->options = (struct node_options){ .id = w->id,
                                            .incarnation = 1,
                                            .keys = world->keys,
                                            .insecure = true,
                                            .seed = i + 1,
                                            .region = w->region,
                                            .region_size = region_size,
                                            .links_max = 16,
                                            .requests_max = 1024,
                                            .blocks_max = 1024,
                                            .directories_max = 16,
                                            .datasets_max = 8,
                                            .members_max = 8,
                                            .marks = &world->marks };
        w->options.name[0] = (char)('a' + (int)i);
        if (quota > 0) {
            w->options.tier_count = 1;
            w->options.tier[0].quota = quota;
            w->options.tier[0].segment_size = quota >= (64u << 20) ? 8u << 20 : 4u << 20;
        }
        world_start(world, i);
    }
    world_tell_members(world);
    world_run(world, MSEC(300));
    return world;
}

void world_kill(struct world *world, uint32_t index)
{
    struct world_node *w = &world->nodes[index];
    world_cut_links(world, index);
    for (struct pending **at = &world->pending; *at != NULL;) {
        struct pending *item = *at;
        if (item->node == index) {
            *at = item->next;
            world_pending_free(item);
        } else {
            at = &item->next;
        }
    }
    w->up = false;
    w->node = NULL;
    free(w->arena);
    w->arena = NULL;
}

static void free_lists(struct world *world)
{
    while (world->pending != NULL) {
        struct pending *item = world->pending;
        world->pending = item->next;
        world_pending_free(item);
    }
    while (world->wires != NULL) {
        struct wire *wire = world->wires;
        world->wires = wire->next;
        free(wire);
    }
    while (world->payloads != NULL) {
        struct received_payload *payload = world->payloads;
        world->payloads = payload->next;
        free(payload->data);
        free(payload);
    }
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct world_node *w = &world->nodes[i];
        for (uint32_t k = 0; k < w->disk.count; k++) {
            free(w->disk.kept[k].bytes);
        }
        free(w->arena);
        free(w->region);
    }
    for (uint32_t i = 0; i < WORLD_CLIENTS; i++) {
        client_forget(world, i);
    }
    free_lists(world);
    world_free_rings();
    free(world);
}
