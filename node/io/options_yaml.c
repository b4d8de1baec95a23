/* node/io/options_yaml.c: the file of options, by libcyaml, whose schema is made from the table. */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/options_inside.h"

#define FILE_MAX_BYTES (1u << 20)

/* What libcyaml fills in for one row: a text, or a list. */
struct slot {
    char *text;
    char **items;
    uint32_t count;
};

struct schema {
    char names[OPTIONS_MAX][64]; /* "data_dir" */
    cyaml_schema_field_t fields[OPTIONS_MAX + 1];
    cyaml_schema_value_t top;
};

static const cyaml_schema_value_t item_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static void make_field(const struct option_row *row, uint32_t i, struct schema *schema)
{
    const cyaml_schema_value_t text = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                                           char, 0, CYAML_UNLIMITED) };
    const cyaml_schema_value_t list = { CYAML_VALUE_SEQUENCE(
        CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, &item_schema, 0, OPTIONS_VALUES_MAX) };
    const bool is_list = row->kind == OPTION_LIST;
    const uint32_t slot = i * (uint32_t)sizeof(struct slot);
    const cyaml_schema_field_t field = {
        .key = schema->names[i],
        .data_offset =
            slot + (uint32_t)(is_list ? offsetof(struct slot, items) : offsetof(struct slot, text)),
        .count_offset = slot + (uint32_t)offsetof(struct slot, count),
        .count_size = sizeof(uint32_t),
        .value = is_list ? list : text,
    };
    option_spell(row->name, '_', false, schema->names[i]);
    memcpy(&schema->fields[i], &field, sizeof field);
}

static void make_schema(const struct options_table *table, struct schema *schema)
{
    const cyaml_schema_value_t top = { CYAML_VALUE_MAPPING(
        CYAML_FLAG_POINTER, struct slot[OPTIONS_MAX], schema->fields) };
    for (uint32_t i = 0; i < table->count; i++) {
        make_field(&table->rows[i], i, schema);
    }
    memcpy(&schema->top, &top, sizeof top);
}

/* libcyaml tells what is wrong only in its log: the first line says what, a later one says where. */
struct complaint {
    char what[256];
    char where[128];
};

static void listen_to_cyaml(cyaml_log_t level, void *self, const char *format, va_list args)
{
    struct complaint *complaint = self;
    char line[256];
    (void)level;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = 0;
    const char *at = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (complaint->what[0] == 0) {
        snprintf(complaint->what, sizeof complaint->what, "%s", at);
    } else if (complaint->where[0] == 0 && strstr(at, "line:") != NULL) {
        while (*at == ' ') {
            at++;
        }
        snprintf(complaint->where, sizeof complaint->where, "%.120s", at);
    }
}

/* "Expecting STRING, got event: SEQUENCE_START, in mapping field 'seeds' (line: 2, column: 3)": a list
 * where one value belongs, or the other way round. false: something else is wrong. */
static bool explain_kind(const struct complaint *complaint, struct text *why)
{
    static const char field[] = "in mapping field '";
    const bool wants_list = strncmp(complaint->what, "Expecting SEQUENCE", 18) == 0;
    const bool wants_text = strncmp(complaint->what, "Expecting STRING", 16) == 0;
    const char *name = strstr(complaint->where, field);
    if ((!wants_list && !wants_text) || name == NULL) {
        return false;
    }
    name += sizeof field - 1;
    const size_t size = strcspn(name, "'");
    const char *place = strchr(name, '(');
    text_span(why, span_of(name, size));
    text_str(why, wants_list ? " must be a list, as [ A, B ] " : " must be one value, not a list ");
    text_str(why, place != NULL ? place : "");
    return true;
}

static void explain(const struct schema *schema, uint32_t count, const char *path,
                    const struct complaint *complaint, struct text *why)
{
    static const char unexpected[] = "Unexpected key: ";
    text_str(why, path);
    text_str(why, ": ");
    if (explain_kind(complaint, why)) {
        return;
    }
    if (strncmp(complaint->what, unexpected, sizeof unexpected - 1) != 0) {
        text_str(why, complaint->what[0] != 0 ? complaint->what : "not YAML");
        text_str(why, complaint->where[0] != 0 ? ", " : "");
        text_str(why, complaint->where);
        return;
    }
    const char *key = complaint->what + sizeof unexpected - 1;
    const char *near = NULL;
    const char *names[OPTIONS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        names[i] = schema->names[i];
    }
    near = options_nearest(key, names, count, sizeof names[0]);
    text_str(why, "unknown key ");
    text_str(why, key);
    if (near != NULL) {
        text_str(why, ": did you mean ");
        text_str(why, near);
        text_char(why, '?');
    }
}

static enum err add_one(struct options *options, uint32_t i, const char *text, struct text *why)
{
    const struct option_row *row = &options->table->rows[i];
    const char *fault = option_fault(row, text);
    if (fault != NULL) {
        text_str(why, row->name);
        text_str(why, ": ");
        text_str(why, text);
        text_str(why, " in the file of --config must be ");
        text_str(why, fault);
        return ERR_INVALID;
    }
    return option_add(options, i, OPTION_FROM_FILE, text) ? ERR_OK : ERR_NOMEM;
}

static enum err add_slots(struct options *options, const struct slot *slots, struct text *why)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < options->table->count; i++) {
        if (slots[i].text != NULL) {
            err = add_one(options, i, slots[i].text, why);
        }
        for (uint32_t k = 0; err == ERR_OK && k < slots[i].count; k++) {
            err = add_one(options, i, slots[i].items[k] != NULL ? slots[i].items[k] : "", why);
        }
    }
    return err;
}

static enum err read_whole(const char *path, char **out, size_t *size, struct text *why)
{
    FILE *file = fopen(path, "re");
    char *data = file != NULL ? malloc(FILE_MAX_BYTES + 1) : NULL;
    const size_t got = data != NULL ? fread(data, 1, FILE_MAX_BYTES + 1, file) : 0;
    const bool good = data != NULL && ferror(file) == 0 && got <= FILE_MAX_BYTES;
    if (!good) {
        text_str(why, path);
        text_str(why, ": ");
        text_str(why, got > FILE_MAX_BYTES ? "larger than 1 MiB" : strerror(errno));
        free(data);
    }
    if (file != NULL) {
        fclose(file);
    }
    if (!good) {
        return ERR_INVALID;
    }
    *out = data;
    *size = got;
    return ERR_OK;
}

/* A file with nothing in it is a file without options; libcyaml would call it broken. */
static bool says_nothing(const char *data, size_t size)
{
    bool comment = false;
    for (size_t i = 0; i < size; i++) {
        comment = data[i] == '#' || (comment && data[i] != '\n');
        if (!comment && strchr(" \t\r\n", data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

enum err option_read_file(struct options *options, const char *path, struct text *why)
{
    struct schema *schema = calloc(1, sizeof *schema);
    struct complaint complaint = { { 0 }, { 0 } };
    const cyaml_config_t config = { .log_fn = listen_to_cyaml,
                                    .log_ctx = &complaint,
                                    .log_level = CYAML_LOG_WARNING,
                                    .mem_fn = cyaml_mem };
    cyaml_data_t *slots = NULL;
    char *data = NULL;
    size_t size = 0;
    enum err err = schema == NULL ? ERR_NOMEM : read_whole(path, &data, &size, why);
    if (err != ERR_OK || says_nothing(data, size)) {
        goto out;
    }
    make_schema(options->table, schema);
    if (cyaml_load_data((const uint8_t *)data, size, &config, &schema->top, &slots, NULL) !=
        CYAML_OK) {
        explain(schema, options->table->count, path, &complaint, why);
        err = ERR_INVALID;
        goto out;
    }
    if (slots != NULL) {
        err = add_slots(options, slots, why);
        cyaml_free(&config, &schema->top, slots, 0);
    }
out:
    free(data);
    free(schema);
    return err;
}
