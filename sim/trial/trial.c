/* sim/trial/trial.c: the course of one run. */
#include "sim/trial/trial.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gossip/tuning.h"
#include "node/core/internal.h"
#include "sim/trial/checks.h"
#include "sim/trial/expects.h"
#include "sim/trial/faults.h"
#include "sim/trial/inodes.h"
#include "sim/trial/reader.h"
#include "sim/trial/stranger.h"
#include "sim/trial/tree.h"
#include "wire/dataset.h"

#define CLUSTER "virtual"
#define SLOTS_LOG2 12
#define CREATE_TRIES 30
#define START_TRIES 20
#define AGREE_US SEC(1)  /* for all to hear that somebody owns */
#define AFTER_US SEC(60) /* at most, until the files held back are read */
#define STOP_US SEC(40)  /* at most, until the last request is answered */
#define REST_US SEC(8)   /* for what goes on in the background */
#define OWN_US SEC(20)   /* to own, once it may: the last votes on it may be 10 s old */

/* ---- making it ------------------------------------------------------------------------------- */

/* Small, so that there are many; a few blocks fit. */
static uint32_t segment_size(const struct scenario *scenario)
{
    const uint32_t least = 1u << 20;
    return scenario->block_size * 4 > least ? scenario->block_size * 4 : least;
}

static void make_key(struct trial *trial)
{
    static const uint8_t seed[crypto_sign_SEEDBYTES] = { 7 };
    uint8_t sign_public[TRUST_KEY_SIZE];
    trial->key = (struct cluster_key){ .number = 1, .gossip = { 7 }, .capability = { 8 } };
    int failed = crypto_sign_seed_keypair(sign_public, trial->key.sign_secret, seed);
    CHECK(failed == 0);
}

static void make_nodes(struct trial *trial)
{
    const struct scenario *scenario = trial->scenario;
    char name[16];
    trial->node_count = scenario->node_count;
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct host_node_options options = { .name = name,
                                             .cluster = CLUSTER,
                                             .slots_log2 = SLOTS_LOG2,
                                             .region_size = scenario->node_memory,
                                             .tier_quota = scenario->node_disk,
                                             .segment_size = segment_size(scenario),
                                             .weight = scenario->nodes[i].weight,
                                             .zone = scenario->nodes[i].zone,
                                             .labels = "",
                                             .hot_floor = scenario->hot_floor,
                                             .sealed = scenario->sealed };
        snprintf(name, sizeof name, "node%u", i);
        options.key = trial->key;
        trial->nodes[i] = host_node_new(trial->world, &options);
        trial->nodes[i]->options.name = trial->nodes[i]->process.name;
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        host_node_seeds(trial->nodes[i], trial->nodes, trial->node_count);
    }
}

static void make_disks(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        struct disk_weather *disk = disk_weather(trial->nodes[i]->disk);
        disk->rate = trial->scenario->disk_rate;
        disk->latency_us = trial->scenario->disk_latency_us;
    }
}

static void on_reply(void *self, const struct mount_effect *effect)
{
    struct trial *trial = self;
    if (effect->kind == MOUNT_DROP_ENTRY || effect->kind == MOUNT_DROP_INODE) {
        return; /* our kernel answers nothing by itself */
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
    char name[16];
    trial->mount_count = trial->scenario->mount_count;
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        const struct host_mount_options options = { .name = name,
                                                    .dataset = TRIAL_DATASET,
                                                    .cluster = CLUSTER,
                                                    .slots_log2 = SLOTS_LOG2,
                                                    .memory = trial->scenario->mount_memory,
                                                    .inodes_max = 4000,
                                                    .timeo_us = SEC(300),
                                                    .key = trial->scenario->sealed ? &trial->key
                                                                                   : NULL };
        snprintf(name, sizeof name, "mount%u", i);
        struct host_mount *mount = host_mount_new(trial->world, &options);
        mount->options.name = mount->process.name;
        mount->seeds = trial->nodes;
        mount->seed_count = trial->node_count;
        mount->self = trial;
        mount->on_reply = on_reply;
        trial->mounts[i] = mount;
        trial->inodes[i] = inodes_new();
    }
}

static void make_readers(struct trial *trial)
{
    trial->reader_count = trial->scenario->reader_count;
    for (uint32_t i = 0; i < trial->reader_count; i++) {
        trial->readers[i] = reader_new(trial, trial->mounts[i % trial->mount_count], i);
    }
}

static void make_weather(struct trial *trial)
{
    const struct scenario *scenario = trial->scenario;
    struct net_weather *net = net_weather(trial->world->net);
    struct source_weather *source = source_weather(trial->world->source);
    net->rate = scenario->network_rate;
    net->delay_us = scenario->network_delay_us;
    net->jitter_us = net->delay_us * 2;
    source->latency_us = scenario->source_latency_us;
    source->rate = scenario->source_rate;
}

/* ---- its beginning ----------------------------------------------------------------------------- */

static size_t dataset_record(struct trial *trial, uint8_t *buffer, size_t room)
{
    struct dataset dataset = { .row_count = 1, .block_size = trial->scenario->block_size };
    struct dataset_row *row = &dataset.rows[0];
    size_t used = 0;
    snprintf(dataset.name, sizeof dataset.name, TRIAL_DATASET);
    snprintf(row->uri, sizeof row->uri, "s3://bucket");
    snprintf(row->prefix, sizeof row->prefix, TRIAL_PREFIX);
    snprintf(row->credential, sizeof row->credential, "store");
    row->source = source_id_make(span_text("s3"), span_text(""), span_text("bucket"));
    dataset.policy = trial->scenario->metadata;
    dataset.ttl_us = trial->scenario->ttl_us;
    CHECK(dataset_encode(&dataset, buffer, room, &used) == ERR_OK);
    return used;
}

static struct host_node *first_running(const struct trial *trial)
{
    uint32_t at = 0;
    while (!trial->nodes[at]->process.up) {
        at++;
        CHECK(at < trial->node_count);
    }
    return trial->nodes[at];
}

static void create_dataset(struct trial *trial)
{
    uint8_t record[DATASET_RECORD_MAX];
    const size_t size = dataset_record(trial, record, sizeof record);
    struct host_node *node = first_running(trial);
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
        if (!faults_holds_back(trial->faults, i)) {
            host_node_start(trial->nodes[i]);
            world_run(trial->world, rng_between(&trial->rng, 0, MSEC(500)));
        }
    }
    world_run(trial->world, trial->scenario->settle_us);
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
        const enum reader_pattern pattern =
            held_back ? READER_IN_ORDER : trial->scenario->readers[i];
        reader_start(trial->readers[i], pattern, held_back);
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

/* The first node that runs and does not own; NULL when all do. */
static const struct host_node *who_does_not_own(const struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        const struct host_node *host = trial->nodes[i];
        if (host->process.up && !host->process.frozen && !host->over &&
            gossip_self(host->gossip).state != MEMBER_OWNING) {
            return host;
        }
    }
    return NULL;
}

/* Who was removed while it lived owns again when its time is over, and a moment later all know it. */
static void wait_for_owners(struct trial *trial)
{
    const usec_t end_us = trial->world->now_us + (HELD_US << HELD_DOUBLES) + OWN_US;
    const struct host_node *waits = who_does_not_own(trial);
    while (!trial->world->failed && trial->world->now_us < end_us &&
           !(waits == NULL && checks_agree(trial->checks))) {
        world_run(trial->world, SEC(1));
        waits = who_does_not_own(trial);
    }
    if (trial->world->failed) {
        return;
    }
    if (waits != NULL) {
        world_fail(trial->world, "%s does not own, long after all faults are over",
                   waits->process.name);
        return;
    }
    checks_settled(trial->checks);
}

static void read_the_rest(struct trial *trial)
{
    stop_readers(trial);
    wait_for_owners(trial);
    if (trial->world->failed) {
        return;
    }
    trial->is_late = true;
    start_readers(trial, true);
    run_until(trial, reader_is_done, AFTER_US, "the files held back are not read in time");
    stop_readers(trial);
    world_run(trial->world, REST_US);
    if (!trial->world->failed) {
        checks_rest(trial->checks);
    }
}

/* Somebody may begin to own at the very end: then all are given a moment to hear of it. */
static void settle(struct trial *trial)
{
    world_run(trial->world, FAULTS_SETTLE_US - AGREE_US);
    const bool did_all_own = who_does_not_own(trial) == NULL;
    world_run(trial->world, AGREE_US);
    for (usec_t us = 0; us < AGREE_US && !did_all_own && !checks_agree(trial->checks);
         us += MSEC(100)) {
        world_run(trial->world, MSEC(100));
    }
}

static void course(struct trial *trial)
{
    begin(trial);
    if (trial->world->failed) {
        return;
    }
    trial->began_us = trial->world->now_us;
    start_readers(trial, false);
    expects_begin(trial->expects);
    faults_begin(trial->faults);
    for (uint32_t i = 0; i < trial->scenario->stranger_count; i++) {
        stranger_begin(trial->strangers[i]);
    }
    world_run(trial->world, trial->scenario->run_us - FAULTS_SETTLE_US);
    for (uint32_t i = 0; i < trial->scenario->stranger_count; i++) {
        stranger_end(trial->strangers[i]);
    }
    faults_end(trial->faults);
    settle(trial);
    if (!trial->world->failed) {
        checks_settled(trial->checks);
        read_the_rest(trial);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------ */

struct host_node *trial_node(const struct trial *trial, struct node_id id)
{
    for (uint32_t i = 0; i < trial->node_count; i++) {
        if (node_id_equal(trial->nodes[i]->id, id)) {
            return trial->nodes[i];
        }
    }
    return NULL;
}

bool trial_is_mount(const struct trial *trial, const struct process *process)
{
    return process->index >= trial->node_count;
}

struct source_object *trial_file(struct trial *trial, const char *path)
{
    char key[256];
    snprintf(key, sizeof key, "%s%s", TRIAL_PREFIX, path);
    struct source_object *object = source_find(trial->world->source, span_text(key));
    if (object == NULL) {
        world_fail(trial->world, "the scenario names \"%s\", which is no file", path);
        object = source_at(trial->world->source, 0);
    }
    return object;
}

uint32_t trial_owner_of(struct trial *trial, const char *path)
{
    const struct source_object *object = trial_file(trial, path);
    const struct ring *ring = rings_current(first_running(trial)->node, span_text(""));
    char pin[SOURCE_PIN_MAX];
    struct node_id owner = { { 0 } };
    source_pin(object, object->version_count - 1, pin);
    const struct object_id id =
        object_id_make(source_id_make(span_text("s3"), span_text(""), span_text("bucket")),
                       span_text(object->key), span_text(pin), trial->scenario->block_size);
    CHECK(ring != NULL);
    (void)ring_owners(ring, place_of_extent(id, 0), 1, &owner);
    const struct host_node *host = trial_node(trial, owner);
    if (host != NULL) {
        return host->process.index;
    }
    world_fail(trial->world, "nobody owns \"%s\"", path);
    return 0;
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
        out->stale += totals->stale;
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
    for (uint32_t i = 0; i < trial->scenario->stranger_count; i++) {
        stranger_free(&trial->strangers[i]);
    }
    for (uint32_t i = 0; i < trial->mount_count; i++) {
        host_mount_free(&trial->mounts[i]);
        inodes_free(&trial->inodes[i]);
    }
    for (uint32_t i = 0; i < trial->node_count; i++) {
        host_node_free(&trial->nodes[i]);
    }
    expects_free(&trial->expects);
    checks_free(&trial->checks);
    faults_free(&trial->faults);
    world_free(&trial->world);
}

void trial_run(const struct scenario *scenario, const struct trial_options *options,
               struct trial_result *out)
{
    struct trial *trial = calloc(1, sizeof *trial);
    CHECK(trial != NULL && scenario_fault(scenario) == NULL);
    trial->scenario = scenario;
    trial->options = *options;
    rng_init(&trial->rng, scenario->seed, 6);
    trial->world = world_new(scenario->seed, &trial->marks);
    trial->world->verbose = options->verbose;
    make_weather(trial);
    tree_make(trial);
    make_key(trial);
    make_nodes(trial);
    make_disks(trial);
    make_mounts(trial);
    make_readers(trial);
    for (uint32_t i = 0; i < scenario->stranger_count; i++) {
        trial->strangers[i] = stranger_new(trial, i);
    }
    trial->faults = faults_new(trial);
    trial->checks = checks_new(trial);
    trial->expects = expects_new(trial);
    course(trial);
    expects_end(trial->expects);
    sum_up(trial, out);
    end(trial);
    free(trial);
}
