/* node/core/report.h: what operators ask a node: answers in JSON, metrics as Prometheus text.
 *
 * An answer that needs other nodes (where a file's blocks are, the numbers of a dataset) is gathered
 * over control links with a deadline, and says who did not answer. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/text.h"
#include "base/timers.h"
#include "node/core/calls.h"
#include "node/core/node.h"
#include "wire/dataset.h"
#include "wire/dir.h"

#define REPORT_SIZE_MAX (1u << 20)
#define REPORTS_MAX 4u /* gathered at once */
#define REPORTS_TIMERS REPORTS_MAX
#define REPORT_BLOCKS_MAX 256u /* of one file, shown one by one */
#define REPORT_GATHER_US SEC(2)
#define REPORT_WAITS_MAX 16u
#define REPORT_SILENT_MAX 16u /* named; more are a number */

struct gather;
struct link;

/* An operator who waits for the totals of the other members. */
struct report_wait {
    uint64_t admin;
    bool is_list; /* of all datasets; else of the one named */
    uint32_t name_size;
    char name[DATASET_NAME_MAX];
};

struct reports {
    char *buffer; /* of the answer being written: one a step */
    size_t size;
    struct pool gathers;
    usec_t totals_us; /* the other members were last asked for their totals */
    bool counting;    /* ... and have not all answered */
    struct node_id silent[REPORT_SILENT_MAX]; /* living, and their totals are not known */
    uint32_t silent_count;                    /* may be more than have room */
    struct report_wait waits[REPORT_WAITS_MAX];
    uint32_t wait_count;
};

size_t reports_memory(const struct node_options *options);
enum err reports_init(struct reports *reports, struct arena *mem,
                      const struct node_options *options) MUST_USE;

/* ADMIN_REPLY with what was written. */
void report_reply(struct node *node, uint64_t admin, enum err err, const struct text *text);
/* {"key":value}; `value` is JSON. */
void report_line(struct node *node, uint64_t admin, const char *key, const char *value);
/* One line for a person. */
void report_error(struct node *node, uint64_t admin, enum err err, const char *text);
/* The same for a failure somebody else told; `text` may be empty. */
void report_failed(struct node *node, uint64_t admin, enum err err, struct span text);

/* The ring that rings_try has asked for; NULL: it could not be built. */
void report_ring_trial(struct node *node, const struct ring *ring);

/* The totals of datasets at the other members are wanted: asked for every two seconds at most. */
void report_totals_wanted(struct node *node);

/* A directory's root that a gathering asked for (dirs_root_find); empty: there is none. */
void report_on_root(struct node *node, struct gather *gather, struct span root);
void report_on_root_failed(struct node *node, struct gather *gather, enum err err,
                           struct span text);

void report_on_get(struct node *node, struct link *link, const struct message_report_get *get);
enum call_more report_on_answer(struct node *node, const struct call *call,
                                const struct message *message);
void report_on_failure(struct node *node, const struct call *call, enum err err);
void report_on_timer(struct node *node, struct timer *timer);
