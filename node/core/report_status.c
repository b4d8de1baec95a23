/* node/core/report_status.c: is the cluster well, and what to do if not. */
#include "node/core/report_gather.h"

#include <string.h>

#define REASONS_MAX 16u
#define ADVICE_MAX 400u
#define DIR_MAX 300u
#define SEEDS_SHOWN 160u
#define FORGETS ": until then the node forgets at its next restart what it learns"

enum verdict { VERDICT_OK, VERDICT_DEGRADED, VERDICT_CRITICAL };

/* What is wrong, and what shows more of it. */
struct reason {
    enum verdict verdict;
    const char *text;
    const char *subject; /* "", or a node's or dataset's name */
    const char *next;
};

struct findings {
    struct reason reasons[REASONS_MAX];
    const struct gather_outage *outages[REASONS_MAX]; /* what it is about; NULL: something else */
    uint32_t count;
    uint32_t more; /* not shown */
    char room[ADVICE_MAX];
    char seeds[ADVICE_MAX];
    enum verdict verdict;
};

struct sums {
    struct report_numbers all;
    uint32_t states[MEMBER_LEFT + 1]; /* the dead without those that were replaced */
    uint32_t replaced;
    uint32_t answered;
    uint32_t unreachable;
    uint32_t ring_agree;
    uint32_t ring_differ;
    uint64_t load_most;
    struct node_id busiest;
};

static void find(struct findings *findings, const struct reason *reason)
{
    findings->verdict = reason->verdict > findings->verdict ? reason->verdict : findings->verdict;
    if (findings->count == REASONS_MAX) {
        findings->more++;
        return;
    }
    findings->reasons[findings->count++] = *reason;
}

/* Everything that adds up; digests do not. */
static void add(struct report_numbers *sum, const struct report_numbers *one)
{
#define NUMBER(field) sum->field += one->field;
    REPORT_NUMBERS
#undef NUMBER
}

static const char *name_of(const struct node *node, struct node_id id)
{
    const struct member *member = view_find(node->rings.view, id);
    return member == NULL ? "" : member->name;
}

/* ---- judging ----------------------------------------------------------------------------- */

/* Nobody owns. The asked node knows of itself only whether it still looks for the others. */
static void judge_beginning(struct node *node, const struct sums *sums, struct findings *findings)
{
    const bool is_alone = sums->states[MEMBER_WARMING] <= 1;
    struct reason reason = { sums->states[MEMBER_WARMING] > 0 ? VERDICT_DEGRADED : VERDICT_CRITICAL,
                             "no node owns the ring yet: nodes are still reading their disks", "",
                             "atoll nodes" };
    if (node->rings.gathering) {
        reason.text = is_alone ? "no node owns the ring yet: this one waits for its seeds to answer"
                               : "no node owns the ring yet: nodes that start wait for each other";
        reason.next = "ask again in ten seconds";
    }
    find(findings, &reason);
}

static void judge_members(struct node *node, struct sums *sums, struct findings *findings)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK((uint32_t)members[i].state <= MEMBER_LEFT);
        if (view_successor(node->rings.view, &members[i]) != NULL) {
            sums->replaced++;
            continue;
        }
        sums->states[members[i].state]++;
        if (members[i].state == MEMBER_DEAD) {
            find(findings, &(struct reason){ VERDICT_DEGRADED, "node is dead", members[i].name,
                                             "start it again, or see atoll nodes" });
        }
    }
    if (sums->states[MEMBER_OWNING] == 0) {
        judge_beginning(node, sums, findings);
    }
}

/* Who is about to leave, or gone since it was asked, need not answer: a dead one is a reason by
 * itself. */
static bool need_not_answer(const struct node *node, struct node_id id)
{
    const struct member *member = view_find(node->rings.view, id);
    return member == NULL || member->state == MEMBER_LEAVING || !member_is_living(member);
}

/* What its --data-dir is only a node itself knows. */
static const char *advise_room(const struct node *node, struct findings *findings)
{
    struct text text;
    const char *dir = node->options.data_dir;
    text_init(&text, findings->room, sizeof findings->room);
    text_str(&text, "make room below ");
    text_str(&text, dir != NULL && strlen(dir) <= DIR_MAX ? dir : "that directory");
    text_str(&text, FORGETS);
    CHECK(!text.overflow);
    return findings->room;
}

static void judge_data_dir(struct node *node, const struct gather_node *one,
                           struct findings *findings)
{
    const char *name = name_of(node, one->id);
    if (one->numbers.data_dir_err == (uint64_t)ERR_FULL) {
        const bool is_own = node_id_equal(one->id, node->options.id);
        find(findings,
             &(struct reason){
                 VERDICT_DEGRADED, "the disk of --data-dir is full", name,
                 is_own ? advise_room(node, findings)
                        : "make room there (its log names it: meta.disk.failing)" FORGETS });
    } else if (one->numbers.data_dir_err != 0) {
        find(findings,
             &(struct reason){
                 VERDICT_DEGRADED, "nothing can be written to --data-dir", name,
                 "check that disk, then restart the node; its log says why (meta.disk.failing)" });
    }
}

static void judge_node(struct node *node, const struct gather_node *one, struct sums *sums,
                       struct findings *findings)
{
    const char *name = name_of(node, one->id);
    if (one->state != GATHER_ANSWERED && need_not_answer(node, one->id)) {
        MARK(node, "report.node.gone");
        return;
    }
    if (one->state != GATHER_ANSWERED) {
        sums->unreachable++;
        find(findings, &(struct reason){ VERDICT_DEGRADED, "node does not answer", name,
                                         "atoll nodes; check its log and the network to it" });
        return;
    }
    sums->answered++;
    add(&sums->all, &one->numbers);
    if (one->numbers.load >= sums->load_most) {
        sums->load_most = one->numbers.load;
        sums->busiest = one->id;
    }
    if (one->numbers.disks_failed > 0) {
        find(findings, &(struct reason){ VERDICT_DEGRADED, "a disk tier was taken out of use", name,
                                         "check that disk; restart the node afterwards" });
    }
    if (one->numbers.disks_slow > 0) {
        find(findings, &(struct reason){ VERDICT_DEGRADED,
                                         "a disk tier is slow: the node owns less than it should",
                                         name, "check that disk; atoll nodes shows both weights" });
    }
    if (one->numbers.credentials_broken > 0) {
        find(findings, &(struct reason){ VERDICT_DEGRADED, "a credential's file cannot be used",
                                         name, "its log says which and why (credential.broken)" });
    }
    judge_data_dir(node, one, findings);
}

/* Only the asked node: no other one sees it. */
static void judge_seeds(struct node *node, struct findings *findings)
{
    struct text text;
    const char *seeds = node->options.seeds != NULL ? node->options.seeds : "";
    const size_t size = strlen(seeds);
    if (!node->seeds_silent) {
        return;
    }
    text_init(&text, findings->seeds, sizeof findings->seeds);
    text_str(&text, "nobody has answered at --seeds ");
    text_span(&text, span_of(seeds, size < SEEDS_SHOWN ? size : SEEDS_SHOWN));
    text_str(&text, size > SEEDS_SHOWN ? "..." : "");
    text_str(&text, ": check that these run and UDP reaches them, and that ");
    text_str(&text, node->options.insecure
                        ? "they are started with --insecure and this --cluster"
                        : "--cluster-file is theirs and no older than what they rotated to");
    CHECK(!text.overflow);
    find(findings,
         &(struct reason){ VERDICT_DEGRADED, "no seed answers: the node is a cluster of its own",
                           node->options.name, findings->seeds });
}

static void judge_rings(struct node *node, const struct gather *gather, struct sums *sums,
                        struct findings *findings)
{
    const struct ring *ring = rings_current(node, span_of(NULL, 0));
    uint64_t digest = ring == NULL ? 0 : ring_digest(ring);
    for (uint32_t i = 0; i < gather->node_count; i++) {
        const struct gather_node *one = &gather->nodes[i];
        if (one->state == GATHER_ANSWERED && one->numbers.ring_digest == digest) {
            sums->ring_agree++;
        } else if (one->state == GATHER_ANSWERED) {
            sums->ring_differ++;
        }
    }
    if (ring != NULL && ring_count(ring) == 0 && sums->states[MEMBER_OWNING] > 0) {
        find(findings, &(struct reason){ VERDICT_CRITICAL, "every node has weight 0: nobody owns",
                                         "", "atoll node weight NAME auto" });
    }
    if (sums->ring_differ > 0) {
        find(findings, &(struct reason){
                           VERDICT_DEGRADED, "nodes have different rings: a change is under way",
                           "", "ask again in some seconds; then atoll ring on each node" });
    }
    if (sums->unreachable > sums->answered) {
        find(findings, &(struct reason){ VERDICT_CRITICAL, "most nodes do not answer this one", "",
                                         "atoll status on another node: a partition?" });
    }
}

/* Whether its ring is built here does not matter, so that all nodes say the same. Of a dataset
 * without a selector more is said above. */
static void judge_dataset(struct node *node, const struct dataset *dataset,
                          struct findings *findings)
{
    const struct span selector = span_text(dataset->selector);
    const struct rings_use *use = rings_find(node, selector);
    if (selector.size == 0 || (use != NULL && use->ring != NULL && ring_count(use->ring) > 0)) {
        return;
    }
    switch (rings_lack(node, selector)) {
    case RINGS_LACK_NOTHING:
        return;
    case RINGS_LACK_LABELS:
        find(findings,
             &(struct reason){ VERDICT_CRITICAL, "no node has the labels that a dataset wants",
                               dataset->name, "atoll nodes; atoll dataset show" });
        return;
    case RINGS_LACK_WEIGHT:
        find(findings, &(struct reason){ VERDICT_CRITICAL,
                                         "the nodes with the labels that a dataset wants have "
                                         "weight 0",
                                         dataset->name, "atoll node weight NAME auto" });
        return;
    }
}

/* A selector that admits nobody leaves its dataset without an owner. While the cluster gathers too
 * little is known to say so. */
static void judge_datasets(struct node *node, struct findings *findings)
{
    const struct catalog_item *item = node->rings.gathering ? NULL : catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        if (!item->dataset.deleted) {
            judge_dataset(node, &item->dataset, findings);
        }
    }
}

/* The cluster goes on with what it has: degraded, however many sources fail. */
static void judge_outages(struct node *node, const struct gather *gather, struct findings *findings)
{
    for (uint32_t i = 0; i < gather->outage_count; i++) {
        const struct gather_outage *outage = &gather->outages[i];
        const uint32_t at = findings->count;
        find(findings, &(struct reason){ VERDICT_DEGRADED, err_text(outage->err),
                                         name_of(node, outage->node), outage_advice(outage->err) });
        if (at < findings->count) {
            findings->outages[at] = outage;
        }
    }
    findings->more += gather->outages_left_out;
}

/* ---- writing ----------------------------------------------------------------------------- */

static const char *verdict_word(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_OK:
        return "OK";
    case VERDICT_DEGRADED:
        return "DEGRADED";
    case VERDICT_CRITICAL:
        return "CRITICAL";
    }
    BUG("a verdict that is none");
}

/* What the asked node does not know of the dataset (yet) is left out. */
static void put_outage(struct node *node, struct json *json, const struct gather_outage *outage)
{
    const struct dataset *dataset = catalog_find(node, outage->dataset);
    const struct dataset_row *row = dataset == NULL ? NULL : catalog_row(dataset, outage->source);
    if (row != NULL) {
        json_str(json, "dataset", dataset->name);
        json_str(json, "source", row->uri);
        json_str(json, "endpoint", row->endpoint);
        json_str(json, "credential", row->credential);
    }
    json_str(json, "requests", outage_word(outage->kind));
    json_str(json, "error", err_name(outage->err));
    json_i64(json, "since_us", outage->since_us);
    json_i64(json, "last_us", outage->last_us);
    json_u64(json, "failures", outage->failures);
    json_u64(json, "nodes", outage->nodes);
    json_span(json, "said", span_of(outage->said, outage->said_size));
}

static void put_reasons(struct node *node, struct json *json, const struct findings *findings)
{
    json_str(json, "verdict", verdict_word(findings->verdict));
    json_open(json, "reasons", '[');
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct reason *reason = &findings->reasons[i];
        json_open(json, NULL, '{');
        json_str(json, "verdict", verdict_word(reason->verdict));
        json_str(json, "text", reason->text);
        json_str(json, "node", reason->subject);
        json_str(json, "next", reason->next);
        if (findings->outages[i] != NULL) {
            put_outage(node, json, findings->outages[i]);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
    json_u64(json, "more_reasons", findings->more);
}

static void put_nodes(struct json *json, const struct gather *gather, const struct sums *sums)
{
    json_open(json, "nodes", '{');
    for (uint32_t i = 0; i <= MEMBER_LEFT; i++) {
        json_u64(json, report_state_word((enum member_state)i), sums->states[i]);
    }
    json_u64(json, "replaced", sums->replaced);
    json_u64(json, "answered", sums->answered);
    json_u64(json, "unreachable", sums->unreachable);
    json_bool(json, "all_asked", !gather->cut);
    json_close(json, '}');
}

static void put_ring(struct node *node, struct json *json, const struct sums *sums)
{
    const struct ring *ring = rings_current(node, span_of(NULL, 0));
    json_open(json, "ring", '{');
    json_hex(json, "digest", ring == NULL ? 0 : ring_digest(ring));
    json_u64(json, "agree", sums->ring_agree);
    json_u64(json, "differ", sums->ring_differ);
    json_close(json, '}');
}

static void put_space(struct json *json, const struct report_numbers *all)
{
    json_open(json, "memory", '{');
    json_u64(json, "used", all->memory_used);
    json_u64(json, "size", all->memory_size);
    json_close(json, '}');
    json_open(json, "disk", '{');
    json_u64(json, "used", all->disk_used);
    json_u64(json, "quota", all->disk_quota);
    json_u64(json, "failed_tiers", all->disks_failed);
    json_close(json, '}');
    json_u64(json, "blocks", all->blocks);
    json_u64(json, "hidden_keys", all->keys_hidden);
}

/* What goes to new owners since the ring has changed: still to go, on its way, and so far. */
static void put_handover(struct json *json, const struct report_numbers *all)
{
    json_open(json, "handover", '{');
    json_u64(json, "left_blocks", all->handover_left);
    json_u64(json, "left_bytes", all->handover_left_bytes);
    json_u64(json, "taking_bytes", all->handover_taking);
    json_u64(json, "given_blocks", all->handover_given);
    json_u64(json, "given_bytes", all->handover_given_bytes);
    json_u64(json, "taken_blocks", all->handover_taken);
    json_u64(json, "taken_bytes", all->handover_taken_bytes);
    json_close(json, '}');
}

/* Bytes a second that nodes serve, and what is handed on to spread them. */
static void put_load(const struct node *node, struct json *json, const struct sums *sums)
{
    uint64_t count = sums->answered > 0 ? sums->answered : 1;
    json_open(json, "load", '{');
    json_u64(json, "bytes", sums->all.load);
    json_u64(json, "mean", sums->all.load / count);
    json_u64(json, "most", sums->load_most);
    json_str(json, "busiest", name_of(node, sums->busiest));
    json_u64(json, "hot_blocks", sums->all.hot_blocks);
    json_u64(json, "hot_copies", sums->all.hot_copies);
    json_u64(json, "handed_on", sums->all.handed_on);
    json_close(json, '}');
}

static void put_traffic(struct json *json, const struct report_numbers *all)
{
    uint64_t served = all->served_memory + all->served_disk + all->served_peer + all->served_source;
    json_open(json, "served_bytes", '{');
    json_u64(json, "memory", all->served_memory);
    json_u64(json, "disk", all->served_disk);
    json_u64(json, "peer", all->served_peer);
    json_u64(json, "source", all->served_source);
    json_u64(json, "total", served);
    json_ratio(json, "hit_ratio", served - all->served_source, served);
    json_close(json, '}');
    json_open(json, "source", '{');
    json_u64(json, "gets", all->source_gets);
    json_u64(json, "lists", all->source_lists);
    json_u64(json, "heads", all->source_heads);
    json_u64(json, "bytes", all->source_bytes);
    json_u64(json, "wanted_bytes", all->source_wanted);
    json_ratio(json, "amplification", all->source_bytes, all->source_wanted);
    json_u64(json, "errors", all->source_errors);
    json_u64(json, "blocks_acting", all->acting);
    json_u64(json, "blocks_differing", all->differing);
    json_close(json, '}');
    json_open(json, "open", '{');
    json_u64(json, "requests", all->requests_open);
    json_u64(json, "fetches", all->fetches_open);
    json_close(json, '}');
}

void report_status(struct node *node, struct gather *gather)
{
    struct findings findings = { .count = 0 };
    struct sums sums = { .answered = 0 };
    struct text text;
    struct json json;
    judge_members(node, &sums, &findings);
    for (uint32_t i = 0; i < gather->node_count; i++) {
        judge_node(node, &gather->nodes[i], &sums, &findings);
    }
    judge_seeds(node, &findings);
    judge_rings(node, gather, &sums, &findings);
    judge_datasets(node, &findings);
    judge_outages(node, gather, &findings);
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    put_reasons(node, &json, &findings);
    json_str(&json, "cluster", node->options.cluster);
    json_str(&json, "asked_node", node->options.name);
    put_nodes(&json, gather, &sums);
    put_ring(node, &json, &sums);
    put_space(&json, &sums.all);
    put_handover(&json, &sums.all);
    put_traffic(&json, &sums.all);
    put_load(node, &json, &sums);
    json_u64(&json, "datasets", catalog_living(node));
    json_close(&json, '}');
    report_reply(node, gather->admin, ERR_OK, &text);
}
