/* node/core/report.c: questions of operators to whom they belong; readiness and metrics. */
#include "node/core/report.h"

#include "node/core/report_gather.h"

#define BUFFER_LEAST (64u << 10)

/* A small node has a small buffer. */
static size_t buffer_size(const struct node_options *options)
{
    size_t size = options->region_size / 16;
    size = size < BUFFER_LEAST ? BUFFER_LEAST : size;
    return size < REPORT_SIZE_MAX ? size : REPORT_SIZE_MAX;
}

size_t reports_memory(const struct node_options *options)
{
    return buffer_size(options) + REPORTS_MAX * sizeof(struct gather) + 64;
}

enum err reports_init(struct reports *reports, struct arena *mem,
                      const struct node_options *options)
{
    reports->size = buffer_size(options);
    reports->buffer = arena_take(mem, reports->size);
    if (reports->buffer == NULL) {
        return ERR_NOMEM;
    }
    return pool_init(&reports->gathers, mem, sizeof(struct gather), REPORTS_MAX);
}

/* ---- replies ----------------------------------------------------------------------------- */

void report_begin(struct node *node, struct text *text)
{
    text_init(text, node->meta->reports.buffer, node->meta->reports.size);
}

static void reply(struct node *node, uint64_t admin, enum err err, struct span text)
{
    effects_push(node,
                 &(struct node_effect){
                     .kind = NODE_ADMIN_REPLY,
                     .admin_reply = { .id = admin, .err = err, .text = scratch_copy(node, text) },
                 });
}

void report_reply(struct node *node, uint64_t admin, enum err err, const struct text *text)
{
    if (text->overflow) {
        MARK(node, "report.overflow");
        reply(node, admin, ERR_TOO_LARGE,
              span_text("the answer is larger than this node's buffer"));
        return;
    }
    if (!effects_roomy(node, text->used)) {
        MARK(node, "report.busy");
        reply(node, admin, ERR_BUSY, span_text("this node has much to do: try again"));
        return;
    }
    reply(node, admin, err, span_of(text->data, text->used));
}

void report_line(struct node *node, uint64_t admin, const char *key, const char *value)
{
    char buffer[256];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_char(&text, '{');
    text_json(&text, span_text(key));
    text_char(&text, ':');
    text_str(&text, value);
    text_char(&text, '}');
    CHECK(!text.overflow);
    reply(node, admin, ERR_OK, span_of(buffer, text.used));
}

void report_error(struct node *node, uint64_t admin, enum err err, const char *text)
{
    CHECK(err != ERR_OK && admin != 0);
    reply(node, admin, err, span_text(text));
}

void report_failed(struct node *node, uint64_t admin, enum err err, struct span said)
{
    char buffer[512];
    struct text text;
    text_init(&text, buffer, sizeof buffer);
    text_str(&text, err_text(err));
    if (said.size > 0) {
        text_str(&text, " (");
        text_span(&text, said);
        text_str(&text, ")");
    }
    report_error(node, admin, err, buffer);
}

/* ---- readiness --------------------------------------------------------------------------- */

static bool check(struct text *text, const char *what, bool well)
{
    text_str(text, what);
    text_str(text, well ? " ok\n" : " not ready\n");
    return well;
}

static bool disks_are_well(struct node *node)
{
    for (uint32_t i = 0; i < node->options.tier_count; i++) {
        struct store_report tier;
        store_tier_report(node, i, &tier);
        if (!tier.ready || tier.failed) {
            return false;
        }
    }
    return true;
}

static void report_ready(struct node *node, uint64_t admin)
{
    struct text text;
    report_begin(node, &text);
    bool well = check(&text, "catalog", catalog_is_loaded(node));
    well = check(&text, "disks", disks_are_well(node)) && well;
    well = check(&text, "ring", rings_current(node, span_of(NULL, 0)) != NULL) && well;
    well = check(&text, "owning", node->owning) && well;
    well = check(&text, "staying", !node->leaving) && well;
    if (node->seeds_silent) { /* the first of many seeds must become ready, or no other is started */
        text_str(&text, "seeds silent (ready all the same: see atoll status)\n");
    }
    report_reply(node, admin, well ? ERR_OK : ERR_BUSY, &text);
}

/* ---- metrics ----------------------------------------------------------------------------- */

static const char *type_word(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_COUNTER:
    case METRIC_COUNTER_US:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    }
    BUG("a metric that is none");
}

static void put_head(struct text *text, const struct metric *metric)
{
    text_str(text, "# HELP atoll_");
    text_str(text, metric->series);
    text_char(text, ' ');
    text_str(text, metric->help);
    text_str(text, "\n# TYPE atoll_");
    text_str(text, metric->series);
    text_char(text, ' ');
    text_str(text, type_word(metric->kind));
    text_char(text, '\n');
}

static void put_metric(struct text *text, const struct metric *metric)
{
    if (metric->help[0] != '\0') {
        put_head(text, metric);
    }
    text_str(text, "atoll_");
    text_str(text, metric->series);
    if (metric->labels[0] != '\0') {
        text_char(text, '{');
        text_str(text, metric->labels);
        text_char(text, '}');
    }
    text_char(text, ' ');
    if (metric->kind == METRIC_COUNTER_US) {
        text_fixed(text, (int64_t)metric->value, 6);
    } else {
        text_u64(text, metric->value);
    }
    text_char(text, '\n');
}

static void put_ratio(struct text *text, const struct metrics *metrics)
{
    uint64_t wanted = metrics->source_bytes - metrics->source_again_bytes;
    if (wanted == 0) {
        return;
    }
    text_str(text, "# HELP atoll_amplification_ratio Bytes read from object stores for each byte "
                   "that no other node can have read\n# TYPE atoll_amplification_ratio gauge\n"
                   "atoll_amplification_ratio ");
    text_fixed(text,
               (int64_t)(metrics->source_bytes / wanted * 1000000 +
                         metrics->source_bytes % wanted * 1000 / wanted * 1000),
               6);
    text_char(text, '\n');
}

static void report_metrics(struct node *node, uint64_t admin)
{
    struct text text;
    report_begin(node, &text);
    metrics_gauges(node);
    node->metrics.directories_known = node->meta->dirs.pool.used;
    node->metrics.datasets_known = catalog_living(node);
    node->metrics.sources_failing = outages_shown(node);
    node->metrics.seeds_silent = node->seeds_silent ? 1 : 0;
    node->metrics.data_dir_failing = node->meta->disk_err != ERR_OK ? 1 : 0;
    for (uint32_t i = 0; i < metrics_count(); i++) {
        struct metric metric = metrics_at(node, i);
        put_metric(&text, &metric);
    }
    put_ratio(&text, &node->metrics);
    report_outages_metrics(node, &text);
    report_reply(node, admin, ERR_OK, &text);
}

/* ---- who answers ------------------------------------------------------------------------- */

static void gather_members(struct node *node, enum gather_kind kind, uint64_t admin)
{
    struct gather *gather = gather_new(node, kind, admin);
    if (gather != NULL) {
        gather_add_living(node, gather);
        gather_start(node, gather);
    }
}

void report_on_admin(struct node *node, uint64_t id, enum admin_kind kind, struct span argument)
{
    CHECK(id != 0);
    switch (kind) {
    case ADMIN_STATUS:
        gather_members(node, GATHER_STATUS, id);
        return;
    case ADMIN_NODES:
        gather_members(node, GATHER_NODES, id);
        return;
    case ADMIN_NODE_WEIGHT:
        weight_on_admin(node, id, argument);
        return;
    case ADMIN_RING:
        report_ring(node, id);
        return;
    case ADMIN_RING_DIFF:
        report_ring_diff(node, id, argument);
        return;
    case ADMIN_WHERE:
        report_where_start(node, id, argument);
        return;
    case ADMIN_DATASET_CREATE:
        catalog_create(node, id, argument);
        return;
    case ADMIN_DATASET_LIST:
        report_dataset_list(node, id);
        return;
    case ADMIN_DATASET_SHOW:
        report_dataset_show(node, id, argument);
        return;
    case ADMIN_DATASET_DELETE:
        catalog_delete(node, id, argument);
        return;
    case ADMIN_DATASET_REFRESH:
        catalog_refresh(node, id, argument);
        return;
    case ADMIN_KEYS:
        report_keys(node, id);
        return;
    case ADMIN_KEY_ROTATE:
        report_key_rotate(node, id, argument);
        return;
    case ADMIN_READY:
        report_ready(node, id);
        return;
    case ADMIN_METRICS:
        report_metrics(node, id);
        return;
    }
    BUG("a question that is none");
}
