/* node/io/process_inside.h: the actors of one node, put together; for process*.c alone. */
#pragma once
#include <pthread.h>
#include <stdbool.h>

#include "node/io/config.h"
#include "node/io/disk_actor.h"
#include "node/io/fetch.h"
#include "node/io/gossip_actor.h"
#include "node/io/http_actor.h"
#include "node/io/identity.h"
#include "node/io/meta_actor.h"
#include "node/io/peer.h"
#include "node/io/process.h"
#include "node/io/sizing.h"

/* What main waits for. */
enum process_news {
    NEWS_OWNING,
    NEWS_DRAINED,
    NEWS_PERSIST,
    NEWS_LEFT,
    NEWS_IDENTITY_IN_USE,
    NEWS_CREDENTIALS,
    NEWS_WEIGHT,
    NEWS_KEEP_WEIGHT,
    NEWS_KEYRING,
};

struct process_word {
    struct queue_item queue;
    enum process_news news;
    uint64_t number; /* PERSIST: incarnation; KEYRING: serial */
    uint32_t weight;
    bool forget;         /* KEEP_WEIGHT */
    struct keyring ring; /* KEYRING */
};

struct process {
    struct config config;
    bool is_private;
    void *zmq;                 /* of a private node */
    struct queue *in;          /* of the peer thread */
    struct queue *news;        /* struct process_word, for main */
    struct identity *identity; /* NULL: private */
    struct node_id id;
    uint64_t incarnation;
    uint32_t weight; /* of the member record; main's, once everything runs */
    usec_t start_us;
    struct sizing sizing;
    struct node_options node;
    struct meta_actor *meta;
    struct disk_actor *disks[NODE_TIERS_MAX];
    struct fetch *fetch;
    struct peer_actor *peer;
    struct gossip_actor *gossip; /* NULL: private */
    struct http_actor *http;     /* NULL: none */
    /* the one question of a private node's start */
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    bool has_answer;
    enum err answer;
    char answer_text[4096];
};

/* Everything up to, but without, the first thing that others could see. ERR and a line in `why`;
 * nothing is left behind. config, is_private and zmq are set. */
enum err process_build(struct process *process, struct text *why) MUST_USE;
/* Now it runs: joins the cluster, answers. */
enum err process_run(struct process *process, struct text *why) MUST_USE;
/* In any state. */
void process_end(struct process *process);
/* This node's member record. */
void process_member(const struct process *process, struct member *out);
