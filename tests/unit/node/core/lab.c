/* tests/unit/node/core/lab.c: a virtual world around whole nodes. */
#include "tests/unit/node/core/lab.h"

#include "tests/unit/node/core/lab_inside.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wire/dataset.h"

void lab_later(struct lab *lab, usec_t delay_us, const struct pending *what)
{
    struct pending *item = calloc(1, sizeof *item);
    assert_non_null(item);
    *item = *what;
    item->at_us = lab->now_us + delay_us;
    struct pending **at = &lab->pending;
    while (*at != NULL && (*at)->at_us <= item->at_us) {
        at = &(*at)->next;
    }
    item->next = *at;
    *at = item;
}

static struct now now_of(const struct lab *lab)
{
    return (struct now){ .mono_us = lab->now_us,
                         .wall_us = lab->now_us + lab->set_us + SEC(1700000000) };
}

void lab_event(struct lab *lab, uint32_t index, const struct node_event *event)
{
    struct lab_node *w = &lab->nodes[index];
    static struct node_effects effects;
    node_step(w->node, now_of(lab), event, &effects);
    w->last_us = lab->now_us;
    assert_true(effects.count <= NODE_EFFECTS_MAX);
    for (uint32_t i = 0; i < effects.count; i++) {
        lab_effect(lab, index, &effects.items[i]);
    }
    struct node_totals totals;
    node_totals(w->node, &totals);
    assert_true(totals.region_used <= totals.region_size);
    if (totals.region_used > w->most_used) {
        w->most_used = totals.region_used;
    }
}

/* The node that has to do something first, and when. */
static usec_t next_tick(const struct lab *lab, uint32_t *index)
{
    usec_t next = USEC_NEVER;
    for (uint32_t i = 0; i < lab->node_count; i++) {
        const struct lab_node *w = &lab->nodes[i];
        if (w->up && !w->frozen && node_deadline(w->node) < next) {
            next = node_deadline(w->node);
            *index = i;
        }
    }
    return next;
}

/* Is it for a node that does not run at the moment? */
static bool must_wait(const struct lab *lab, const struct pending *item)
{
    return item->node < LAB_NODES && lab->nodes[item->node].frozen;
}

static struct pending **next_pending(struct lab *lab)
{
    struct pending **at = &lab->pending;
    while (*at != NULL && must_wait(lab, *at)) {
        at = &(*at)->next;
    }
    return at;
}

void lab_run(struct lab *lab, usec_t us)
{
    usec_t end = lab->now_us + us;
    for (;;) {
        uint32_t index = 0;
        usec_t tick = next_tick(lab, &index);
        struct pending **at = next_pending(lab);
        usec_t due = *at == NULL ? USEC_NEVER : (*at)->at_us;
        usec_t next = usec_min(tick, due);
        if (next > end) {
            break;
        }
        lab->now_us = usec_max(lab->now_us, next);
        if (due <= tick) {
            struct pending *item = *at;
            *at = item->next;
            lab_deliver(lab, item);
            free(item);
        } else {
            lab_event(lab, index, &(struct node_event){ .kind = NODE_TICK });
        }
    }
    lab->now_us = end;
}

static void make_dataset(struct lab *lab)
{
    struct dataset *dataset = &lab->dataset;
    strcpy(dataset->name, "train");
    strcpy(dataset->rows[0].uri, "file:///data/");
    dataset->rows[0].source = source_id_make(span_text("file"), span_text(""), span_text("/data/"));
    dataset->row_count = 1;
    dataset->block_size = LAB_BLOCK;
    dataset->version = 1;
    dataset->writer.b[0] = 1;
}

void lab_start_unscanned(struct lab *lab, uint32_t index)
{
    struct lab_node *w = &lab->nodes[index];
    size_t size = node_memory(&w->options);
    struct arena arena;
    w->arena = malloc(size);
    assert_non_null(w->arena);
    arena_init(&arena, w->arena, size);
    w->options.incarnation++;
    assert_int_equal(node_new(&arena, &w->options, &w->node), ERR_OK);
    w->up = true;
    w->leaving = false;
    w->drained = false;
    w->owning = false;
    w->frozen = false;
    if (lab->hooks != NULL) {
        lab->hooks->load(lab, index);
        return;
    }
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    assert_int_equal(dataset_encode(&lab->dataset, record, sizeof record, &used), ERR_OK);
    lab_event(lab, index,
              &(struct node_event){ .kind = NODE_META_RECORD,
                                    .meta_record = { .value = span_of(record, used) } });
    lab_event(lab, index, &(struct node_event){ .kind = NODE_META_READY });
}

void lab_disk_scan(struct lab *lab, uint32_t index)
{
    struct lab_node *w = &lab->nodes[index];
    uint32_t next = 0;
    for (uint32_t i = 0; i < w->disk.count; i++) {
        const struct disk_record *record = &w->disk.kept[i].record;
        next = record->segment >= next ? record->segment + 1 : next;
        lab_event(
            lab, index,
            &(struct node_event){ .kind = NODE_DISK_RECORD, .disk_record = { .record = *record } });
    }
    if (w->options.tier_count > 0) {
        lab_event(lab, index,
                  &(struct node_event){ .kind = NODE_DISK_READY,
                                        .disk_ready = { .next_segment = next } });
    }
}

void lab_start(struct lab *lab, uint32_t index)
{
    lab_start_unscanned(lab, index);
    lab_disk_scan(lab, index);
}

struct member lab_member(const struct lab *lab, uint32_t index)
{
    struct member member = { .id = lab->nodes[index].id,
                             .incarnation = lab->nodes[index].options.incarnation,
                             .state = MEMBER_OWNING,
                             .weight = 100,
                             .serve_weight = 100,
                             .endpoint_count = 2 };
    member.name[0] = (char)('a' + (int)index);
    strcpy(member.labels, "of=lab");
    for (uint32_t i = 0; i < 2; i++) {
        member.endpoints[i].purpose = i == 0 ? ENDPOINT_CONTROL : ENDPOINT_DATA;
        member.endpoints[i].address.ip[15] = 1;
        member.endpoints[i].address.port = (uint16_t)(7700 + 2 * index + i);
    }
    return member;
}

void lab_tell_members(struct lab *lab)
{
    struct member members[LAB_NODES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < lab->node_count; i++) {
        members[count] = lab_member(lab, i);
        if (!lab->nodes[i].up) {
            members[count].state = MEMBER_DEAD;
        } else if (lab->nodes[i].leaving) {
            members[count].state = MEMBER_LEAVING;
        } else if (lab->nodes[i].warming) {
            members[count].state = MEMBER_WARMING;
        }
        count++;
    }
    for (uint32_t i = 0; i < lab->node_count; i++) {
        if (lab->nodes[i].up) {
            lab_event(lab, i,
                      &(struct node_event){ .kind = NODE_VIEW,
                                            .view = { .members = members, .count = count } });
        }
    }
}

void lab_leave(struct lab *lab, uint32_t index)
{
    lab->nodes[index].leaving = true;
    lab_event(lab, index, &(struct node_event){ .kind = NODE_LEAVE });
    lab_tell_members(lab);
}

struct keyring lab_keyring(uint8_t byte)
{
    uint8_t sign_public[TRUST_KEY_SIZE];
    uint8_t seed[crypto_sign_SEEDBYTES] = { byte };
    struct cluster_key key = { .number = 1, .gossip = { byte }, .capability = { byte } };
    struct keyring ring;
    assert_int_equal(crypto_sign_seed_keypair(sign_public, key.sign_secret, seed), 0);
    keyring_init(&ring, &key);
    return ring;
}

static struct lab *make(uint32_t count, size_t region_size, uint64_t quota,
                        const struct lab_hooks *hooks)
{
    struct lab *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    lab->hooks = hooks;
    lab->node_count = count;
    lab->now_us = SEC(10);
    lab->insecure = true;
    strcpy(lab->cluster, "unit");
    lab->slots_log2 = 8;
    lab->source.latency_us = MSEC(5);
    lab->source.step = CHUNK_SIZE;
    make_dataset(lab);
    for (uint32_t i = 0; i < count; i++) {
        struct lab_node *w = &lab->nodes[i];
        memset(w->id.b, (int)(i + 1), ID_SIZE);
        w->region = aligned_alloc(BUDDY_PAGE, region_size);
        assert_non_null(w->region);
        w->options = (struct node_options){ .id = w->id,
                                            .incarnation = 1,
                                            .slots_log2 = lab->slots_log2,
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
                                            .drain_us = SEC(5),
                                            .marks = &lab->marks };
        w->options.name[0] = (char)('a' + (int)i);
        w->options.weight = 100;
        w->options.weight_default = 100;
        if (quota > 0) {
            w->options.tier_count = 1;
            w->options.tier[0].quota = quota;
            w->options.tier[0].segment_size = quota >= (64u << 20) ? 8u << 20 : 4u << 20;
        }
        strcpy(w->options.cluster, lab->cluster);
        if (hooks != NULL && hooks->tune != NULL) {
            hooks->tune(&w->options);
        }
        w->options.ring = lab_keyring(1);
        memset(w->options.link_key, (int)(50 + i), sizeof w->options.link_key);
        lab->insecure = w->options.insecure;
        lab_start(lab, i);
    }
    lab_tell_members(lab);
    lab_run(lab, MSEC(300));
    return lab;
}

struct lab *lab_new(uint32_t count, size_t region_size, uint64_t quota)
{
    return make(count, region_size, quota, NULL);
}

struct lab *lab_new_hooked(uint32_t count, size_t region_size, const struct lab_hooks *hooks)
{
    return make(count, region_size, 0, hooks);
}

void lab_kill(struct lab *lab, uint32_t index)
{
    struct lab_node *w = &lab->nodes[index];
    lab_cut_links(lab, index);
    for (struct pending **at = &lab->pending; *at != NULL;) {
        struct pending *item = *at;
        if (item->node == index) {
            *at = item->next;
            lab_pending_free(item);
        } else {
            at = &item->next;
        }
    }
    for (struct received_payload **at = &lab->payloads; *at != NULL;) {
        struct received_payload *payload = *at;
        if (payload->node == index) {
            *at = payload->next;
            free(payload->data);
            free(payload);
        } else {
            at = &payload->next;
        }
    }
    w->up = false;
    w->node = NULL;
    free(w->arena);
    w->arena = NULL;
}

static void free_lists(struct lab *lab)
{
    while (lab->pending != NULL) {
        struct pending *item = lab->pending;
        lab->pending = item->next;
        lab_pending_free(item);
    }
    while (lab->wires != NULL) {
        struct wire *wire = lab->wires;
        lab->wires = wire->next;
        free(wire);
    }
    while (lab->payloads != NULL) {
        struct received_payload *payload = lab->payloads;
        lab->payloads = payload->next;
        free(payload->data);
        free(payload);
    }
}

void lab_free(struct lab *lab)
{
    for (uint32_t i = 0; i < lab->node_count; i++) {
        struct lab_node *w = &lab->nodes[i];
        for (uint32_t k = 0; k < w->disk.count; k++) {
            free(w->disk.kept[k].bytes);
        }
        free(w->arena);
        free(w->region);
    }
    for (uint32_t i = 0; i < LAB_CLIENTS; i++) {
        lab_client_forget(lab, i);
    }
    free_lists(lab);
    lab_free_rings();
    free(lab);
}
