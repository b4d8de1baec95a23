/* node/io/process.c: starts the actors of a node in order and stops them in reverse.
 * What can be refused is tried before anything that others could see. */
#include "node/io/process.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/next.h"
#include "node/io/address.h"
#include "node/io/clock.h"
#include "node/io/keyring_file.h"
#include "node/io/keys.h"
#include "node/io/item.h"
#include "node/io/log.h"
#include "node/io/machine.h"
#include "node/io/metrics_io.h"
#include "node/io/process_inside.h"

#define FETCH_THREADS 2

/* ---- news for main --------------------------------------------------------------------------- */

static void tell_word(struct process *process, const struct process_word *said)
{
    struct process_word *word = calloc(1, sizeof *word);
    if (word == NULL) {
        BUG("out of memory for a word to main");
    }
    *word = *said;
    queue_push(process->news, &word->queue);
}

static void tell(struct process *process, enum process_news news, uint64_t number)
{
    tell_word(process, &(struct process_word){ .news = news, .number = number });
}

static void on_weight(void *self, uint32_t weight)
{
    struct process *process = self;
    if (!process->is_private) {
        tell_word(process, &(struct process_word){ .news = NEWS_WEIGHT, .weight = weight });
    }
}

static void on_keep_weight(void *self, uint32_t weight, bool forget)
{
    tell_word(self, &(struct process_word){
                        .news = NEWS_KEEP_WEIGHT, .weight = weight, .forget = forget });
}

static void on_owning(void *self)
{
    tell(self, NEWS_OWNING, 0);
}

static void on_drained(void *self)
{
    tell(self, NEWS_DRAINED, 0);
}

/* The peer thread is told at once, gossip by main: it may not have started yet. */
static void on_credentials(void *self, const char *names, uint32_t broken)
{
    struct process *process = self;
    const size_t size = strlen(names);
    struct item *item = item_must(NODE_CREDENTIALS, size);
    memcpy(item_room(item), names, size);
    item->event.credentials.names = span_of(item_room(item), size);
    item->event.credentials.broken = broken;
    queue_push(process->in, &item->queue);
    if (!process->is_private) {
        tell(process, NEWS_CREDENTIALS, 0);
    }
}

static void tell_ring(struct process *process, const struct gossip_word *from)
{
    struct process_word said = { .news = NEWS_KEYRING,
                                 .number = from->number,
                                 .ring = *from->ring };
    tell_word(process, &said);
    sodium_memzero(&said, sizeof said);
}

static void on_gossip(void *self, const struct gossip_word *word)
{
    switch (word->news) {
    case GOSSIP_NEWS_PERSIST:
        tell(self, NEWS_PERSIST, word->number);
        return;
    case GOSSIP_NEWS_LEFT:
        tell(self, NEWS_LEFT, 0);
        return;
    case GOSSIP_NEWS_IDENTITY_IN_USE:
        tell(self, NEWS_IDENTITY_IN_USE, 0);
        return;
    case GOSSIP_NEWS_KEYRING:
        tell_ring(self, word);
        return;
    }
    BUG("news of no kind");
}

/* ---- answers to operators --------------------------------------------------------------------- */

static void on_reply(void *self, uint64_t id, enum err err, struct span text)
{
    struct process *process = self;
    if (process->http != NULL) {
        http_actor_reply(process->http, id, err, text);
        return;
    }
    const size_t most = sizeof process->answer_text - 1;
    const size_t size = text.size < most ? text.size : most;
    pthread_mutex_lock(&process->mutex);
    process->has_answer = true;
    process->answer = err;
    if (size > 0) {
        memcpy(process->answer_text, text.data, size);
    }
    process->answer_text[size] = 0;
    pthread_cond_signal(&process->answered);
    pthread_mutex_unlock(&process->mutex);
}

static bool is_alive(void *self)
{
    const struct process *process = self;
    return peer_is_alive(process->peer);
}

static void put_metrics(void *self, struct text *text)
{
    struct process *process = self;
    struct metrics_io metrics = { .start_us = process->start_us };
    peer_links_totals(process->peer, &metrics.links);
    fetch_totals(process->fetch, &metrics.fetch);
    if (process->gossip != NULL) {
        gossip_actor_stats(process->gossip, &metrics.gossip);
    }
    metrics_io_put(&metrics, text);
}

/* ---- parts ------------------------------------------------------------------------------------ */

static enum err open_identity(struct process *process, struct text *why)
{
    process->weight = process->config.weight;
    if (process->is_private) {
        randombytes_buf(process->id.b, sizeof process->id.b);
        process->incarnation = (uint64_t)(process->start_us / 1000) << 16;
        return ERR_OK;
    }
    enum err err = identity_open(process->config.data_dir, &process->identity, why);
    if (err == ERR_OK) {
        (void)identity_weight(process->identity, &process->weight);
        process->id = identity_id(process->identity);
        process->incarnation = identity_incarnation(process->identity, process->start_us);
    }
    return err;
}

static enum err load_ring(struct process *process, struct text *why)
{
    if (process->config.insecure) {
        return ERR_OK;
    }
    return keyring_file_load(process->config.data_dir, &process->config.keys, &process->node.ring,
                             why);
}

static enum err start_meta(struct process *process, struct text *why)
{
    const struct meta_actor_options options = {
        .out = process->in,
        .dir = process->is_private ? NULL : process->config.data_dir,
    };
    process->node.data_dir = options.dir;
    process->node.seeds = process->config.seeds;
    return meta_actor_start(&options, &process->meta, why);
}

static enum err start_disks(struct process *process, struct text *why)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < process->config.tier_count; i++) {
        const struct config_tier *tier = &process->config.tiers[i];
        char uuid[DISK_UUID_SIZE];
        const struct disk_actor_options options = {
            .out = process->in,
            .tier = i,
            .dir = tier->dir,
            .quota = tier->quota,
            .uuid = process->identity != NULL ? identity_tier(process->identity, tier->dir) : NULL,
        };
        err = disk_actor_start(&options, &process->disks[i], uuid, why);
        if (err == ERR_OK && process->identity != NULL) {
            err = identity_keep_tier(process->identity, tier->dir, uuid);
        }
    }
    return err;
}

static enum err start_fetch(struct process *process, struct text *why)
{
    const char *roots[CONFIG_ROOTS_MAX];
    const struct config *config = &process->config;
    for (uint32_t i = 0; i < config->root_count; i++) {
        roots[i] = config->roots[i];
    }
    const struct fetch_options options = {
        .out = process->in,
        .credentials_dir = config->credentials_dir[0] != 0 ? config->credentials_dir : NULL,
        .environment = process->is_private,
        .changed = on_credentials,
        .self = process,
        .allow_roots = roots,
        .allow_root_count = config->root_count,
        .threads = FETCH_THREADS,
    };
    return fetch_start(&options, &process->fetch, why);
}

static enum err size_node(struct process *process, struct text *why)
{
    const struct config *config = &process->config;
    struct node_options *node = &process->node;
    memcpy(node->name, config->name, sizeof node->name);
    memcpy(node->cluster, config->keys.name, sizeof node->cluster);
    node->slots_log2 = config->keys.slots_log2;
    node->insecure = config->insecure;
    randombytes_buf(&node->seed, sizeof node->seed);
    node->tier_count = config->tier_count;
    for (uint32_t i = 0; i < config->tier_count; i++) {
        node->tier[i].quota = config->tiers[i].quota;
        node->tier[i].segment_size = sizing_segment(config->tiers[i].quota);
    }
    enum err err = machine_check_memory(config->memory, why);
    if (err != ERR_OK) {
        return err;
    }
    err = sizing_make(config->memory, node, &process->sizing);
    if (err != ERR_OK) {
        /* The mount has given the node half of what it was told. */
        const uint64_t least = process->sizing.least * (process->is_private ? 2 : 1);
        text_str(why, "--memory: too little; give at least ");
        text_u64(why, (least + (1u << 20) - 1) >> 20);
        text_str(why, "MiB");
    }
    return err;
}

static enum err make_peer(struct process *process, struct text *why)
{
    const struct config *config = &process->config;
    struct links_keys keys;
    process->node.id = process->id;
    process->node.incarnation = process->incarnation;
    process->node.weight = process->weight;
    process->node.weight_default = config->weight;
    process->node.drain_us = config->drain_us;
    process->node.hot_floor = config->hand_on_above;
    struct peer_options options = {
        .node = process->node,
        .arena = process->sizing.arena,
        .links = { .transport = process->is_private ? LINKS_PRIVATE : LINKS_TCP,
                   .zmq = process->zmq,
                   .keys = config->insecure ? NULL : &keys,
                   .links_max = process->node.links_max },
        .control = config->listen,
        .data = config->listen,
        .in = process->in,
        .fetch = process->fetch,
        .meta = process->meta,
        .hooks = { .self = process,
                   .owning = on_owning,
                   .drained = on_drained,
                   .weight = on_weight,
                   .keep_weight = on_keep_weight,
                   .reply = on_reply },
    };
    keys_make_pair(keys.public_key, keys.secret_key); /* a proof holds for one process */
    memcpy(options.node.link_key, keys.public_key, sizeof options.node.link_key);
    memcpy(keys.server_key, config->keys.curve_public, sizeof keys.server_key);
    memcpy(keys.server_secret, config->keys.curve_secret, sizeof keys.server_secret);
    memcpy(options.disks, process->disks, sizeof options.disks);
    options.data.port++;
    enum err err = peer_new(&options, &process->peer, why);
    sodium_memzero(&keys, sizeof keys);
    return err;
}

static enum err start_http(struct process *process, struct text *why)
{
    const struct config *config = &process->config;
    const struct http_actor_options options = {
        .peer = process->in,
        .host = config->admin_host,
        .port = config->admin_port,
        .token_file = config->admin_token_file,
        .is_alive = is_alive,
        .put_metrics = put_metrics,
        .self = process,
    };
    return config->admin_port == 0 ? ERR_OK : http_actor_start(&options, &process->http, why);
}

static void add_endpoint(struct member *member, enum endpoint_purpose purpose,
                         struct address address, uint16_t port_after)
{
    struct endpoint *endpoint = &member->endpoints[member->endpoint_count++];
    endpoint->purpose = purpose;
    endpoint->address = address;
    endpoint->address.port = (uint16_t)(address.port + port_after);
}

void process_member(const struct process *process, struct member *out)
{
    const struct config *config = &process->config;
    memset(out, 0, sizeof *out);
    out->id = process->id;
    out->incarnation = process->incarnation;
    out->state = MEMBER_WARMING;
    out->weight = process->weight;
    out->serve_weight = 1;
    memcpy(out->name, config->name, sizeof out->name);
    memcpy(out->zone, config->zone, sizeof out->zone);
    memcpy(out->labels, config->labels, sizeof out->labels);
    memcpy(out->credentials, process->node.credentials, sizeof out->credentials);
    add_endpoint(out, ENDPOINT_GOSSIP, config->advertise, 0);
    add_endpoint(out, ENDPOINT_CONTROL, config->advertise, 0);
    add_endpoint(out, ENDPOINT_DATA, config->advertise, 1);
    out->later_size = next_put(out->later);
}

static enum err start_gossip(struct process *process, struct text *why)
{
    const struct config *config = &process->config;
    struct gossip_actor_options options = {
        .gossip = { .cluster = span_text(config->keys.name),
                    .insecure = config->insecure,
                    .members_max = process->sizing.members_max },
        .listen = config->listen,
        .seeds = config->seeds,
        .peer = process->in,
        .tell = on_gossip,
        .self = process,
    };
    options.gossip.ring = process->node.ring;
    randombytes_buf(options.gossip.secret, sizeof options.gossip.secret);
    process_member(process, &options.gossip.self);
    randombytes_buf(options.gossip.boot, sizeof options.gossip.boot);
    randombytes_buf(&options.gossip.seed, sizeof options.gossip.seed);
    enum err err = gossip_actor_start(&options, &process->gossip, why);
    sodium_memzero(&options, sizeof options);
    return err;
}

/* ---- the whole --------------------------------------------------------------------------------- */

/* It cannot start; a first start leaves nothing behind. */
static void abandon(struct process *process)
{
    if (process->identity != NULL) {
        identity_abandon(process->identity);
    }
    for (uint32_t i = 0; i < NODE_TIERS_MAX; i++) {
        if (process->disks[i] != NULL) {
            disk_actor_abandon(process->disks[i]);
        }
    }
    process_end(process);
}

enum err process_build(struct process *process, struct text *why)
{
    typedef enum err part(struct process *, struct text *);
    static part *const parts[] = { start_fetch, size_node,  open_identity, load_ring,
                                   start_disks, start_meta, make_peer };
    CHECK(pthread_mutex_init(&process->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&process->answered, NULL) == 0);
    process->start_us = clock_wall_us();
    enum err err = sodium_init() < 0 ? ERR_SYSTEM : queue_new(&process->in);
    if (err == ERR_OK) {
        err = queue_new(&process->news);
    }
    for (uint32_t i = 0; err == ERR_OK && i < ARRAY_COUNT(parts); i++) {
        err = parts[i](process, why);
        if (parts[i] == start_fetch && err == ERR_OK) {
            process->node.credentials_broken =
                fetch_credentials(process->fetch, process->node.credentials);
        }
    }
    if (err != ERR_OK) {
        abandon(process);
    }
    return err;
}

enum err process_run(struct process *process, struct text *why)
{
    enum err err = ERR_OK;
    if (!process->is_private) {
        err = start_http(process, why);
    }
    if (err == ERR_OK && !process->is_private) {
        err = start_gossip(process, why);
    }
    if (err == ERR_OK) {
        err = peer_start(process->peer, process->gossip);
    }
    if (err != ERR_OK) {
        abandon(process);
    }
    return err;
}

static void free_items(struct queue *in)
{
    struct queue_item *next = in != NULL ? queue_take(in) : NULL;
    while (next != NULL) {
        struct item *item = item_of(next);
        next = next->next;
        item->free(item);
    }
}

static void free_words(struct queue *news)
{
    struct queue_item *next = news != NULL ? queue_take(news) : NULL;
    while (next != NULL) {
        struct process_word *word = CONTAINER_OF(next, struct process_word, queue);
        next = next->next;
        sodium_memzero(word, sizeof *word);
        free(word);
    }
}

void process_end(struct process *process)
{
    /* First whoever gives work, then the one who does it, then those it had given work to: they
     * write into its region until they are stopped. */
    if (process->peer != NULL) {
        peer_stop(process->peer);
    }
    http_actor_stop(&process->http);
    gossip_actor_stop(&process->gossip);
    fetch_stop(&process->fetch);
    for (uint32_t i = 0; i < NODE_TIERS_MAX; i++) {
        disk_actor_stop(&process->disks[i]);
    }
    meta_actor_stop(&process->meta);
    free_items(process->in);
    peer_free(&process->peer);
    free_items(process->in);
    queue_free(&process->in);
    free_words(process->news);
    queue_free(&process->news);
    identity_close(&process->identity);
    sodium_memzero(&process->config.keys, sizeof process->config.keys);
    sodium_memzero(&process->node.ring, sizeof process->node.ring);
    pthread_cond_destroy(&process->answered);
    pthread_mutex_destroy(&process->mutex);
}
