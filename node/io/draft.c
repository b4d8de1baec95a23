/* node/io/draft.c: from words or JSON to a dataset's record, checked. */
#include "node/io/draft.h"

#include <jansson.h>
#include <string.h>

#include "node/core/node.h"
#include "node/origin/source.h"

static enum err refuse(struct text *why, const char *what, const char *reason)
{
    text_str(why, what);
    text_str(why, reason);
    return ERR_INVALID;
}

static bool copy(const char *from, char *to, size_t room)
{
    const size_t size = from != NULL ? strlen(from) : 0;
    if (size >= room) {
        return false;
    }
    if (size > 0) {
        memcpy(to, from, size);
    }
    to[size] = 0;
    return true;
}

enum err draft_begin(struct dataset *dataset, const char *name, struct text *why)
{
    memset(dataset, 0, sizeof *dataset);
    dataset->block_size = BLOCK_SIZE_DEFAULT;
    dataset->policy = METADATA_ONCE;
    return copy(name, dataset->name, sizeof dataset->name)
               ? ERR_OK
               : refuse(why, "name", ": at most 64 letters");
}

static enum err set_source(struct dataset_row *row, struct text *why)
{
    const struct source_text text = { .uri = span_text(row->uri),
                                      .endpoint = span_text(row->endpoint),
                                      .region = span_text(row->region) };
    char prefix[SOURCE_PREFIX_MAX + 1];
    struct source source;
    struct text uri;
    enum err err = source_parse(&text, &source, prefix, why);
    if (err != ERR_OK) {
        return err;
    }
    row->source = source_identity(&source);
    text_init(&uri, row->uri, sizeof row->uri);
    source_uri(&source, &uri);
    if (uri.overflow || !copy(prefix, row->prefix, sizeof row->prefix)) {
        return refuse(why, "uri", ": too long");
    }
    return ERR_OK;
}

enum err draft_add(struct dataset *dataset, const struct draft_row *from, struct text *why)
{
    struct dataset_row *row = &dataset->rows[dataset->row_count];
    if (dataset->row_count == DATASET_ROWS_MAX) {
        return refuse(why, "rows", ": at most 8; make several datasets");
    }
    if (!copy(from->path, row->path, sizeof row->path) ||
        !copy(from->uri, row->uri, sizeof row->uri) ||
        !copy(from->endpoint, row->endpoint, sizeof row->endpoint) ||
        !copy(from->region, row->region, sizeof row->region) ||
        !copy(from->credential, row->credential, sizeof row->credential)) {
        return refuse(why, "a row", ": a path, URI, endpoint, region or credential is too long");
    }
    if (from->path_style && strchr(row->endpoint, ';') == NULL) {
        if (row->endpoint[0] == 0) {
            return refuse(why, "path style", ": wants an endpoint");
        }
        if (strlen(row->endpoint) + sizeof ";path-style" > sizeof row->endpoint) {
            return refuse(why, "endpoint", ": too long");
        }
        strcat(row->endpoint, ";path-style");
    }
    enum err err = set_source(row, why);
    if (err == ERR_OK) {
        dataset->row_count++;
    }
    return err;
}

enum err draft_policy(struct dataset *dataset, const char *policy, struct text *why)
{
    if (strcmp(policy, "once") == 0) {
        dataset->policy = METADATA_ONCE;
        return ERR_OK;
    }
    if (strcmp(policy, "always") == 0) {
        dataset->policy = METADATA_ALWAYS;
        return ERR_OK;
    }
    if (strncmp(policy, "ttl=", 4) == 0 &&
        parse_duration(span_text(policy + 4), &dataset->ttl_us)) {
        dataset->policy = METADATA_TTL;
        return ERR_OK;
    }
    return refuse(why, policy, ": the metadata policy is one of once, ttl=SECS, always");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A key that nobody knows is a typing error, not a wish to be ignored. */
static enum err check_keys(const json_t *object, const char *known, struct text *why)
{
    const char *key;
    json_t *value;
    char marked[80];
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        struct text text;
        text_init(&text, marked, sizeof marked);
        text_char(&text, ' ');
        text_str(&text, key);
        text_char(&text, ' ');
        if (text.overflow || strstr(known, marked) == NULL) {
            return refuse(why, "unknown key ", key);
        }
    }
    return ERR_OK;
}

static enum err get_string(const json_t *object, const char *key, const char **out,
                           struct text *why)
{
    const json_t *value = json_object_get(object, key);
    *out = json_string_value(value);
    return value == NULL || *out != NULL ? ERR_OK : refuse(why, key, ": must be a string");
}

static enum err parse_row(const json_t *object, bool path_style, struct dataset *out,
                          struct text *why)
{
    struct draft_row row = { .path_style = path_style };
    const struct {
        const char *key;
        const char **to;
    } fields[] = { { "path", &row.path },
                   { "uri", &row.uri },
                   { "endpoint", &row.endpoint },
                   { "region", &row.region },
                   { "credential", &row.credential } };
    if (!json_is_object(object)) {
        return refuse(why, "rows", ": must be objects");
    }
    enum err err = check_keys(object, " path uri endpoint region credential ", why);
    for (uint32_t i = 0; err == ERR_OK && i < ARRAY_COUNT(fields); i++) {
        err = get_string(object, fields[i].key, fields[i].to, why);
    }
    if (err == ERR_OK && row.uri == NULL) {
        err = refuse(why, "uri", ": is missing");
    }
    return err == ERR_OK ? draft_add(out, &row, why) : err;
}

static enum err parse_rows(const json_t *root, struct dataset *out, struct text *why)
{
    const json_t *rows = json_object_get(root, "rows");
    const json_t *style = json_object_get(root, "path_style");
    size_t i;
    json_t *row;
    if (!json_is_array(rows) || json_array_size(rows) == 0) {
        return refuse(why, "rows", ": must be a list with at least one row");
    }
    if (style != NULL && !json_is_boolean(style)) {
        return refuse(why, "path_style", ": must be true or false");
    }
    json_array_foreach(rows, i, row)
    {
        enum err err = parse_row(row, json_is_true(style), out, why);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err parse_policy(const json_t *root, struct dataset *out, struct text *why)
{
    const json_t *size = json_object_get(root, "block_size");
    const char *selector = NULL;
    const char *metadata = NULL;
    enum err err = get_string(root, "selector", &selector, why);
    if (err == ERR_OK) {
        err = get_string(root, "metadata", &metadata, why);
    }
    if (err == ERR_OK && metadata != NULL) {
        err = draft_policy(out, metadata, why);
    }
    if (err == ERR_OK && size != NULL) {
        if (!json_is_integer(size) || json_integer_value(size) < 0 ||
            json_integer_value(size) > UINT32_MAX) {
            return refuse(why, "block_size", ": must be a number of bytes");
        }
        out->block_size = (uint32_t)json_integer_value(size);
    }
    if (err == ERR_OK && !copy(selector, out->selector, sizeof out->selector)) {
        err = refuse(why, "selector", ": too long");
    }
    return err;
}

static enum err parse_root(const json_t *root, struct dataset *out, struct text *why)
{
    const char *name = NULL;
    enum err err = check_keys(root, " name rows block_size selector metadata path_style ", why);
    if (err == ERR_OK) {
        err = get_string(root, "name", &name, why);
    }
    if (err == ERR_OK) {
        err = draft_begin(out, name != NULL ? name : "", why);
    }
    if (err == ERR_OK) {
        err = parse_rows(root, out, why);
    }
    return err == ERR_OK ? parse_policy(root, out, why) : err;
}

enum err draft_parse(const char *body, size_t size, struct dataset *out, struct text *why)
{
    json_error_t error;
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return refuse(why, "the body is no JSON object", "");
    }
    enum err err = parse_root(root, out, why);
    json_decref(root);
    const char *fault = err == ERR_OK ? dataset_fault(out) : NULL;
    if (fault != NULL) {
        err = refuse(why, fault, "");
    }
    if (err == ERR_OK && !selector_is_valid(span_text(out->selector))) {
        err = refuse(why, "selector", ": must be KEY=VALUE,KEY2=VALUE2, each key once");
    }
    return err;
}
