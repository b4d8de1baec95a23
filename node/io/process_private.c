/* node/io/process_private.c: a node inside the process of its only mount: no socket, no gossip, no
 * file unless there is a tier. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "node/io/clock.h"
#include "node/io/draft.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/process_inside.h"

#define CLUSTER "private"
#define DATASET "private"
#define PORT 1            /* of links_private_address: control; data is the next */
#define SLOTS_LOG2 12     /* one node owns them all */
#define READY_US SEC(30)  /* to open files without a name, on a machine that is very busy */
#define CREATE_SECONDS 90 /* asking the source once, with the core's retries */

static enum err set_text(char *to, size_t room, const char *from, const char *what,
                         struct text *why)
{
    if (from == NULL) {
        return ERR_OK;
    }
    if (strlen(from) >= room) {
        text_str(why, what);
        text_str(why, ": too long");
        return ERR_INVALID;
    }
    memcpy(to, from, strlen(from) + 1);
    return ERR_OK;
}

static enum err make_config(const struct process_private_options *options, struct config *config,
                            struct text *why)
{
    memcpy(config->name, "private", sizeof "private");
    memcpy(config->keys.name, CLUSTER, sizeof CLUSTER);
    config->keys.slots_log2 = SLOTS_LOG2;
    config->insecure = true;
    config->memory = options->memory;
    config->weight = 1;
    config->listen = links_private_address(PORT);
    config->advertise = config->listen;
    config->roots[0][0] = '/'; /* whoever may mount may read what the process may read */
    config->root_count = 1;
    enum err err = ERR_OK;
    if (options->tier != NULL) {
        config->tier_count = 1;
        err = config_tier_parse(options->tier, &config->tiers[0], why);
    }
    if (err == ERR_OK) {
        err = set_text(config->credentials_dir, sizeof config->credentials_dir,
                       options->credentials_dir, "--credentials-dir", why);
    }
    return err;
}

static enum err make_dataset(const struct process_private_options *options, struct dataset *dataset,
                             struct text *why)
{
    const struct draft_row row = { .path = "",
                                   .uri = options->uri,
                                   .endpoint = options->endpoint,
                                   .region = options->region,
                                   .credential = options->credential,
                                   .path_style = options->path_style };
    enum err err = draft_begin(dataset, DATASET, why);
    if (err == ERR_OK) {
        err = draft_add(dataset, &row, why);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (options->block_size > 0) {
        dataset->block_size =
            options->block_size > UINT32_MAX ? UINT32_MAX : (uint32_t)options->block_size;
    }
    if (options->ttl_us >= 0) {
        dataset->policy = options->ttl_us == 0 ? METADATA_ALWAYS : METADATA_TTL;
        dataset->ttl_us = options->ttl_us;
    }
    const char *fault = dataset_fault(dataset);
    if (fault != NULL) {
        text_str(why, fault);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* The view of a node that is alone: itself, owning everything. */
static void give_view(struct process *process)
{
    struct item *item = item_must(NODE_VIEW, sizeof(struct member));
    struct member *self = item_room(item);
    process_member(process, self);
    self->state = MEMBER_OWNING;
    item->event.view.members = self;
    item->event.view.count = 1;
    queue_push(process->in, &item->queue);
}

/* Wait for the answer to the one NODE_ADMIN that is out. */
static enum err wait_answer(struct process *process, struct text *why)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CREATE_SECONDS;
    pthread_mutex_lock(&process->mutex);
    while (!process->has_answer && late == 0) {
        late = pthread_cond_timedwait(&process->answered, &process->mutex, &until);
    }
    const enum err err = process->has_answer ? process->answer : ERR_TIMEOUT;
    if (err != ERR_OK) {
        text_str(why, process->has_answer && process->answer_text[0] != 0 ? process->answer_text
                                                                          : err_text(err));
    }
    pthread_mutex_unlock(&process->mutex);
    return err;
}

static enum err create_dataset(struct process *process, const struct dataset *dataset,
                               struct text *why)
{
    struct item *item = item_new(NODE_ADMIN, DATASET_RECORD_MAX);
    size_t size = 0;
    if (item == NULL) {
        return ERR_NOMEM;
    }
    enum err err = dataset_encode(dataset, item_room(item), DATASET_RECORD_MAX, &size);
    if (err != ERR_OK) {
        item->free(item);
        return err;
    }
    item->event.admin.id = 1;
    item->event.admin.kind = ADMIN_DATASET_CREATE;
    item->event.admin.argument = span_of(item_room(item), size);
    queue_push(process->in, &item->queue);
    return wait_answer(process, why);
}

/* What the node doubts. A bucket or directory may be empty; a prefix with nothing below it does not
 * exist: ERR_NOT_FOUND, with the doubt in `why`. */
static enum err take_doubts(const char *answer, bool has_prefix, struct process_private *reach,
                            struct text *why)
{
    json_t *json = json_loads(answer, 0, NULL);
    const char *warning = json_string_value(json_object_get(json, "warning"));
    const bool missing = has_prefix && json_is_true(json_object_get(json, "empty"));
    snprintf(reach->warning, sizeof reach->warning, "%s", warning != NULL ? warning : "");
    if (missing) {
        text_str(why, reach->warning);
    }
    json_decref(json);
    return missing ? ERR_NOT_FOUND : ERR_OK;
}

enum err node_start_private(const struct process_private_options *options, struct process **out,
                            struct process_private *reach, struct text *why)
{
    struct process *process = calloc(1, sizeof *process);
    struct dataset *dataset = calloc(1, sizeof *dataset);
    enum err err = process == NULL || dataset == NULL ? ERR_NOMEM : ERR_OK;
    if (err == ERR_OK) {
        err = make_dataset(options, dataset, why);
    }
    if (err == ERR_OK) {
        err = make_config(options, &process->config, why);
    }
    if (err == ERR_OK) {
        process->is_private = true;
        process->zmq = zmq_ctx_new();
        err = process->zmq == NULL ? ERR_NOMEM : process_build(process, why);
    }
    if (err == ERR_OK) {
        err = process_run(process, why);
    }
    if (err == ERR_OK) {
        give_view(process);
        err = meta_actor_wait_ready(process->meta, READY_US);
        if (err == ERR_OK) {
            err = create_dataset(process, dataset, why);
        } else {
            text_str(why, err_text(err));
        }
        if (err == ERR_OK) {
            err = take_doubts(process->answer_text, dataset->rows[0].prefix[0] != '\0', reach, why);
        }
        if (err != ERR_OK) {
            process_end(process);
        }
    }
    free(dataset);
    if (err != ERR_OK) {
        if (process != NULL && process->zmq != NULL) {
            zmq_ctx_term(process->zmq);
        }
        free(process);
        return err;
    }
    reach->zmq = process->zmq;
    reach->control = process->config.listen;
    reach->cluster = CLUSTER;
    reach->slots_log2 = SLOTS_LOG2;
    reach->dataset = DATASET;
    *out = process;
    return ERR_OK;
}

void node_stop_private(struct process **pointer)
{
    struct process *process = *pointer;
    if (process == NULL) {
        return;
    }
    process_end(process);
    zmq_ctx_term(process->zmq);
    free(process);
    *pointer = NULL;
}
