/* node/core/report_datasets.c: datasets, one or all. */
#include "node/core/report_gather.h"

static void put_row(struct json *json, const struct dataset_row *row)
{
    json_open(json, NULL, '{');
    json_str(json, "path", row->path);
    json_str(json, "uri", row->uri);
    json_str(json, "prefix", row->prefix);
    json_str(json, "endpoint", row->endpoint);
    json_str(json, "region", row->region);
    json_str(json, "credential", row->credential);
    json_id(json, "source", row->source.b);
    json_close(json, '}');
}

static const char *policy_word(enum metadata_policy policy)
{
    switch (policy) {
    case METADATA_ONCE:
        return "once";
    case METADATA_TTL:
        return "ttl";
    case METADATA_ALWAYS:
        return "always";
    }
    BUG("a policy that is none");
}

static void put_dataset(struct node *node, struct json *json, const struct catalog_item *item)
{
    const struct dataset *dataset = &item->dataset;
    uint64_t files;
    uint64_t bytes;
    catalog_numbers(node, dataset, &files, &bytes);
    json_str(json, "name", dataset->name);
    json_open(json, "rows", '[');
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        put_row(json, &dataset->rows[i]);
    }
    json_close(json, ']');
    json_u64(json, "block_size", dataset->block_size);
    json_str(json, "selector", dataset->selector);
    json_str(json, "metadata", policy_word(dataset->policy));
    json_fixed(json, "ttl_seconds", dataset->ttl_us / 1000, 3);
    json_u64(json, "files_listed", files);
    json_u64(json, "bytes_listed", bytes);
    json_u64(json, "refreshed_us", dataset->refreshed);
    json_u64(json, "version", dataset->version);
    report_node_name(node, json, "writer", dataset->writer);
}

/* Whose part of the numbers is not in them. */
static void put_not_counted(struct node *node, struct json *json)
{
    const struct reports *reports = &node->meta->reports;
    json_open(json, "not_counted", '[');
    for (uint32_t i = 0; i < reports->silent_count && i < REPORT_SILENT_MAX; i++) {
        report_node_name(node, json, NULL, reports->silent[i]);
    }
    json_close(json, ']');
    json_u64(json, "not_counted_nodes", reports->silent_count);
}

static void put_list(struct node *node, uint64_t admin)
{
    struct text text;
    struct json json;
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    json_open(&json, "datasets", '[');
    const struct catalog_item *item = catalog_next(node, NULL);
    for (; item != NULL; item = catalog_next(node, item)) {
        if (!item->dataset.deleted) {
            json_open(&json, NULL, '{');
            put_dataset(node, &json, item);
            json_close(&json, '}');
        }
    }
    json_close(&json, ']');
    put_not_counted(node, &json);
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}

static void put_one(struct node *node, uint64_t admin, struct span name)
{
    const struct catalog_item *item = catalog_item(node, dataset_id_make(name));
    struct text text;
    struct json json;
    if (item == NULL || item->dataset.deleted) {
        report_error(node, admin, ERR_NOT_FOUND, "there is no dataset of that name");
        return;
    }
    report_begin(node, &text);
    json_init(&json, &text);
    json_open(&json, NULL, '{');
    put_dataset(node, &json, item);
    put_not_counted(node, &json);
    json_close(&json, '}');
    report_reply(node, admin, ERR_OK, &text);
}

/* ---- the totals of others ------------------------------------------------------------------ */

static void answer(struct node *node, const struct report_wait *wait)
{
    if (wait->is_list) {
        put_list(node, wait->admin);
    } else {
        put_one(node, wait->admin, span_of(wait->name, wait->name_size));
    }
}

void report_datasets_go_on(struct node *node)
{
    struct reports *reports = &node->meta->reports;
    const uint32_t count = reports->wait_count;
    reports->wait_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        answer(node, &reports->waits[i]);
    }
}

static void answer_soon(struct node *node, const struct report_wait *wait)
{
    struct reports *reports = &node->meta->reports;
    report_totals_wanted(node);
    if (reports->counting && reports->wait_count < REPORT_WAITS_MAX) {
        reports->waits[reports->wait_count++] = *wait;
    } else {
        answer(node, wait);
    }
}

void report_dataset_list(struct node *node, uint64_t admin)
{
    answer_soon(node, &(struct report_wait){ .admin = admin, .is_list = true });
}

void report_dataset_show(struct node *node, uint64_t admin, struct span name)
{
    struct report_wait wait = { .admin = admin, .name_size = (uint32_t)name.size };
    if (name.size > sizeof wait.name) {
        report_error(node, admin, ERR_NOT_FOUND, "there is no dataset of that name");
        return;
    }
    if (name.size > 0) {
        memcpy(wait.name, name.data, name.size);
    }
    answer_soon(node, &wait);
}
