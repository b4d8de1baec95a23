/* sim/trial/trial.c: the course of one seed. */
#include "sim/trial/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trial/checks.h"
#include "sim/trial/faults.h"
#include "sim/trial/reader.h"
#include "sim/trial/tree.h"
#include "wire/dataset.h"

#define CLUSTER "virtual"
#define SLOTS_LOG2 12
#define CREATE_TRIES 30
#define START_TRIES 20
#define BEFORE_US SEC(12) /* all is well, readers read */
#define FAULTS_US SEC(40) /* then faults come and go */
#define AFTER_US SEC(60)  /* at most, until the files held back are read */
#define STOP_US SEC(40)   /* at most, until the last request is answered */
#define REST_US SEC(8)    /* for what goes on in the background */

/* ---- making it ------------------------------------------------------------------------------- */

static uint64_t pick(struct trial *trial, const uint64_t *of, uint32_t count)
{
    return of[rng_below(&trial->rng, count)];
}

static void make_nodes(struct trial *trial)
{
    static const uint64_t regions[] = { 4u << 20, 8u << 20, 16u << 20 };
    static const uint64_t quotas[] = { 0, 8u << 20, 64u << 20 };
    static const char *const zones[] = { "", "east", "west" };
    const bool sealed = rng_chance(&trial->rng, 250000);
    const bool zoned = rng_chance(&trial->rng, 300000);
    const uint64_t region = pick(trial, regions, ARRAY_COUNT(regions));
    const uint64_t quota = pick(trial, quotas, ARRAY_COUNT(quotas));
    char name[16];
    trial->node_count = 5 + (uint32_t)rng_below(&trial->rng, TRIAL_NODES_MAX - 4);
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node_options options = { .name = name,
                                             .cluster = CLUSTER,
                                             .slots_log2 = SLOTS_LOG2,
                                             .region_size = region,
                                             .tier_quota = quota,
                                             .segment_size = 1u << 20,
                                             .weight = 100,
                                             .zone = zoned ? zones[1 + i % 2] : "",
                                             .labels = "",
                                             .sealed = sealed };
        snprintf(name, sizeof name, "node%u", i);
        options.weight = rng_chance(&trial->rng, 200000) ? 200 : 100;
        options.key = (struct cluster_key){ .number = 1, .gossip = { 7 } };
        trial->nodes[i] = host_node_new(trial->world, &options);
        trial->nodes[i]->options.name = trial->nodes[i]->process.name;
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        host_node_seeds(trial->nodes[i], trial->nodes, trial->node_count);
    }
}

static void on_reply(void *self, const struct mount_effect *effect)
{
    struct trial *trial = self;
    if (effect->kind == MOUNT_DROP_ENTRY || effect->kind == MOUNT_DROP_INODE) {
        return; /* our kernel caches nothing */
    }
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        if (reader_take(trial->readers[i], effect)) {
            return;
        }
    }
    world_fail(trial->world, "an answer to a request that is none or was answered");
}

static void make_mounts(struct trial *trial)
{
    static const uint64_t memories[] = { 6u << 20, 8u << 20, 16u << 20 };
    const uint64_t memory = pick(trial, memories, ARRAY_COUNT(memories));
    char name[16];
    trial->mount_count = 2 + (uint32_t)rng_below(&trial->rng, TRIAL_MOUNTS_MAX - 1);
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        const struct host_mount_options options = { .name = name,
                                                    .dataset = TRIAL_DATASET,
                                                    .cluster = CLUSTER,
                                                    .slots_log2 = SLOTS_LOG2,
                                                    .memory = memory,
                                                    .inodes_max = 4000,
                                                    .timeo_us = SEC(300) };
        snprintf(name, sizeof name, "mount%u", i);
        struct host_mount *mount = host_mount_new(trial->world, &options);
        mount->options.name = mount->process.name;
        mount->seeds = trial->nodes;
        mount->seed_count = trial->node_count;
        mount->self = trial;
        mount->on_reply = on_reply;
        trial->mounts[i] = mount;
    }
}

static void make_readers(struct trial *trial)
{
    const uint32_t count = trial->mount_count + (uint32_t)rng_below(&trial->rng, 5);
    for (uint32_t i = 0; i < count; i++) {
        trial->readers[i] = reader_new(trial, trial->mounts[i % trial->mount_count], i);
    }
    trial->reader_count = count;
}

static void make_weather(struct trial *trial)
{
    static const uint64_t rates[] = { 20000000, 100000000, 1000000000 };
    static const uint64_t delays[] = { 30, 100, 1000 };
    struct net_weather *net = net_weather(trial->world->net);
    struct source_weather *source = source_weather(trial->world->source);
    net->rate = pick(trial, rates, ARRAY_COUNT(rates));
    net->delay_us = (usec_t)pick(trial, delays, ARRAY_COUNT(delays));
    net->jitter_us = net->delay_us * 2;
    source->latency_us = rng_between(&trial->rng, MSEC(2), MSEC(60));
    source->rate = pick(trial, rates, ARRAY_COUNT(rates));
}

/* ---- its beginning ----------------------------------------------------------------------------- */

static size_t dataset_record(struct trial *trial, uint8_t *buffer, size_t room)
{
    struct dataset dataset = { .row_count = 1, .block_size = trial->block_size };
    struct dataset_row *row = &dataset.rows[0];
    size_t used = 0;
    snprintf(dataset.name, sizeof dataset.name, TRIAL_DATASET);
    snprintf(row->uri, sizeof row->uri, "s3://bucket");
    snprintf(row->prefix, sizeof row->prefix, TRIAL_PREFIX);
    snprintf(row->credential, sizeof row->credential, "store");
    row->source = source_id_make(span_text("s3"), span_text(""), span_text("bucket"));
    dataset.policy = trial->ttl_us > 0 ? METADATA_TTL : METADATA_ONCE;
    dataset.ttl_us = trial->ttl_us;
    CHECK(dataset_encode(&dataset, buffer, room, &used) == ERR_OK);
    return used;
}

static void create_dataset(struct trial *trial)
{
    uint8_t record[DATASET_RECORD_MAX];
    const size_t size = dataset_record(trial, record, sizeof record);
    struct host_node *node = trial->nodes[0];
    for (uint32_t i = 0; i < CREATE_TRIES && !trial->world->failed; i++) {
        host_node_admin(node, ADMIN_DATASET_CREATE, span_of(record, size));
        for (uint32_t k = 0; k < 100 && !node->admin_answered; k++) {
            world_run(trial->world, MSEC(100));
        }
        if (node->admin_answered && (node->admin_err == ERR_OK || node->admin_err == ERR_EXISTS)) {
            return;
        }
        world_say(trial->world, "create: %s %s", err_name(node->admin_err), node->admin_text);
        world_run(trial->world, MSEC(500));
    }
    world_fail(trial->world, "the dataset cannot be created: %s",
               node->admin_answered ? node->admin_text : "no answer");
}

/* A dataset reaches the last node a moment after it was created; whoever mounts before is told that
 * there is none, and tries again. */
static uint32_t start_mounts(struct trial *trial)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        struct host_mount *mount = trial->mounts[i];
        ready += mount->is_ready;
        if (mount->process.up && !mount->is_ready && mount->ready_err == ERR_NOT_FOUND) {
            host_mount_crash(mount);
        }
        if (!mount->process.up) {
            host_mount_start(mount);
        }
    }
    return ready;
}

static void begin(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        host_node_start(trial->nodes[i]);
        world_run(trial->world, rng_between(&trial->rng, 0, MSEC(500)));
    }
    if (rng_chance(&trial->rng, 700000)) {
        world_run(trial->world, SEC(5));
    }
    create_dataset(trial);
    for (uint32_t i = 0; i < START_TRIES && !trial->world->failed; i++) {
        if (start_mounts(trial) == trial->mount_count) {
            return;
        }
        world_run(trial->world, MSEC(500));
    }
    world_fail(trial->world, "the mounts do not get ready");
}

/* ---- its course ----------------------------------------------------------------------------------- */

static void start_readers(struct trial *trial, bool held_back)
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        enum reader_pattern pattern = (enum reader_pattern)rng_below(&trial->rng, READER_PATTERNS);
        reader_start(trial->readers[i], held_back ? READER_IN_ORDER : pattern, held_back);
    }
}

static bool all(const struct trial *trial, bool (*are)(const struct reader *reader))
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        if (!are(trial->readers[i])) {
            return false;
        }
    }
    return true;
}

static void run_until(struct trial *trial, bool (*are)(const struct reader *reader), usec_t most_us,
                      const char *what)
{
    const usec_t end_us = trial->world->now_us + most_us;
    while (!trial->world->failed && !all(trial, are)) {
        if (trial->world->now_us >= end_us) {
            world_fail(trial->world, "%s", what);
            return;
        }
        world_run(trial->world, MSEC(100));
    }
}

static void stop_readers(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        reader_stop(trial->readers[i]);
    }
    run_until(trial, reader_is_idle, STOP_US,
              "requests are not answered after all faults are over");
}

static void read_the_rest(struct trial *trial)
{
    stop_readers(trial);
    if (trial->world->failed) {
        return;
    }
    start_readers(trial, true);
    run_until(trial, reader_is_done, AFTER_US, "the files held back are not read in time");
    stop_readers(trial);
    world_run(trial->world, REST_US);
    if (!trial->world->failed) {
        checks_rest(trial->checks);
    }
}

static void course(struct trial *trial)
{
    begin(trial);
    if (trial->world->failed) {
        return;
    }
    start_readers(trial, false);
    world_run(trial->world, BEFORE_US);
    faults_begin(trial->faults, FAULTS_US);
    world_run(trial->world, FAULTS_US);
    faults_end(trial->faults);
    world_run(trial->world, FAULTS_SETTLE_US);
    if (!trial->world->failed) {
        checks_settled(trial->checks);
        read_the_rest(trial);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------ */

struct host_node *trial_any_node(struct trial *trial)
{
    const uint32_t first = (uint32_t)rng_below(&trial->rng, trial->node_count);
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node *node = trial->nodes[(first + i) % trial->node_count];
        if (node->process.up && !node->process.frozen) {
            return node;
        }
    }
    return NULL;
}

static void sum_up(struct trial *trial, struct trial_result *out)
{
    *out = (struct trial_result){ .hash = trial->world->log,
                                  .failed = trial->world->failed,
                                  .marks = trial->marks,
                                  .steps = trial->world->steps };
    memcpy(out->failure, trial->world->failure, sizeof out->failure);
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        const struct reader_totals *totals = reader_totals(trial->readers[i]);
        out->ops += totals->ops;
        out->bytes += totals->bytes;
        out->longest_us = usec_max(out->longest_us, totals->longest_us);
    }
    out->repeated = checks_repeated(trial->checks);
    source_amplification(trial->world->source, &out->given, &out->unique);
    faults_names(trial->faults, out->faults, sizeof out->faults);
}

static void end(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        reader_free(&trial->readers[i]);
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        host_mount_free(&trial->mounts[i]);
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        host_node_free(&trial->nodes[i]);
    }
    checks_free(&trial->checks);
    faults_free(&trial->faults);
    world_free(&trial->world);
}

void trial_run(const struct trial_options *options, struct trial_result *out)
{
    static const uint64_t block_sizes[] = { 65536, 131072, 262144, 1048576 };
    struct trial *trial = calloc(1, sizeof *trial);
    CHECK(trial != NULL);
    trial->options = *options;
    rng_init(&trial->rng, options->seed, 4);
    trial->world = world_new(options->seed, &trial->marks);
    trial->world->verbose = options->verbose;
    trial->block_size = (uint32_t)pick(trial, block_sizes, ARRAY_COUNT(block_sizes));
    trial->ttl_us = rng_chance(&trial->rng, 400000) ? SEC(10) : 0;
    make_weather(trial);
    tree_make(trial);
    make_nodes(trial);
    make_mounts(trial);
    make_readers(trial);
    trial->faults = faults_new(trial);
    trial->checks = checks_new(trial);
    course(trial);
    sum_up(trial, out);
    end(trial);
    free(trial);
}
