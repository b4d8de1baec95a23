/* node/io/process.h: a whole node in a process: `atoll node`, and the private node of
 * `atoll mount URI DIR`. Owns all actors, starts them in order and stops them in reverse. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "ring/view.h"

/* `atoll node ARGS`; argv[0] is "node". Returns the exit code. */
int process_command(int argc, char **argv);

/* ---- a node inside another process ---- */

struct process;

struct process_private_options {
    const char *uri;      /* oss://bucket/prefix, s3://…, file:///dir */
    const char *endpoint; /* may be NULL, as the next two */
    const char *region;
    const char *credential; /* NULL: that of the environment */
    const char *credentials_dir;
    const char *tier;    /* DIR:QUOTA, may be NULL */
    uint64_t memory;     /* bytes the node may use */
    uint64_t block_size; /* 0: the default */
    bool path_style;
    int64_t ttl_us; /* of listings; < 0: once, 0: always listed anew */
};

/* How to reach it: links over `zmq` with LINKS_PRIVATE to `control`, insecure, in the cluster named
 * here; the URI is shown as `dataset`. Valid until node_stop_private. */
struct process_private {
    void *zmq;
    struct address control;
    const char *cluster;
    uint32_t slots_log2;
    const char *dataset;
    char warning[2304]; /* what a person may not have meant; "": nothing */
};

/* Start it and create its dataset, which asks the source once: a bucket that does not exist or a
 * refused secret is told here, with what to do, in `why`. No socket is opened, no file is written
 * unless there is a tier; no gossip: the node is alone and owns everything. */
enum err node_start_private(const struct process_private_options *options, struct process **out,
                            struct process_private *reach, struct text *why) MUST_USE;
/* All links to it must be closed (links_free). */
void node_stop_private(struct process **process);
