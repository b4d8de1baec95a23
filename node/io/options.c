/* node/io/options.c: flags, environment, file, and what they come to. */
#include "node/io/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "node/io/options_inside.h"

static const char *const truths[] = { "true", "yes", "on", "1" };
static const char *const lies[] = { "false", "no", "off", "0" };

static bool is_among(const char *text, const char *const *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

void option_spell(const char *name, char dash, bool capitals, char *out)
{
    uint32_t i = 0;
    for (; i < 63 && name[i] != 0; i++) {
        const char c = name[i] == '-' ? dash : name[i];
        out[i] = capitals ? (char)toupper((unsigned char)c) : c;
    }
    out[i] = 0;
}

const char *option_fault(const struct option_row *row, const char *text)
{
    const struct span span = span_text(text);
    uint64_t number;
    int64_t duration;
    switch (row->kind) {
    case OPTION_FLAG:
        return is_among(text, truths, ARRAY_COUNT(truths)) ||
                       is_among(text, lies, ARRAY_COUNT(lies))
                   ? NULL
                   : "true or false";
    case OPTION_STRING:
    case OPTION_LIST:
        return text[0] != 0 ? NULL : "one letter or more";
    case OPTION_SIZE:
        return parse_size(span, &number) ? NULL : "a size, as 65536, 64KiB or 10GiB";
    case OPTION_NUMBER:
        return parse_u64(span, &number) ? NULL : "a number";
    case OPTION_DURATION:
        return parse_duration(span, &duration) ? NULL : "a time, as 300, 1.5s, 250ms or 5m";
    }
    BUG("an option of no kind");
}

bool option_add(struct options *options, uint32_t row, enum option_source source, const char *text)
{
    struct option_value *value = &options->values[row];
    if (value->source > source) {
        return true;
    }
    if (value->source < source || options->table->rows[row].kind != OPTION_LIST) {
        while (value->count > 0) {
            free(value->items[--value->count]);
        }
    }
    if (value->count == OPTIONS_VALUES_MAX) {
        return false;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return false;
    }
    value->source = source;
    value->items[value->count++] = copy;
    return true;
}

static enum err say(struct text *why, const char *a, const char *b, const char *c, const char *d)
{
    text_str(why, a);
    text_str(why, b);
    text_str(why, c);
    text_str(why, d);
    return ERR_INVALID;
}

/* ---- flags --------------------------------------------------------------------------------- */

static enum err unknown_flag(const struct options_table *table, const char *flag, struct text *why)
{
    const char *near = options_nearest(flag, table->rows, table->count, sizeof *table->rows);
    say(why, "unknown option --", flag, "", "");
    if (near != NULL) {
        say(why, ": did you mean --", near, "?", "");
    } else {
        say(why, "; see atoll ", table->command, " --help", "");
    }
    return ERR_INVALID;
}

/* Which row is `word` ("name", or one letter)? table->count: none. */
static uint32_t find_row(const struct options_table *table, const char *word, size_t size,
                         bool is_letter)
{
    uint32_t i = 0;
    for (; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (is_letter ? row->letter == word[0]
                      : strlen(row->name) == size && memcmp(row->name, word, size) == 0) {
            break;
        }
    }
    return i;
}

struct words {
    int count;
    char **at;
    int next;
};

static enum err add_flag(struct options *options, uint32_t i, const char *text, struct text *why)
{
    const struct option_row *row = &options->table->rows[i];
    if (text == NULL && row->kind != OPTION_FLAG) {
        return say(why, "--", row->name, " wants ", row->argument);
    }
    if (options->values[i].source == OPTION_FROM_FLAG && text != NULL && row->kind != OPTION_LIST) {
        return say(why, "--", row->name, " is given twice, and takes one ", row->argument);
    }
    text = text == NULL ? "true" : text;
    const char *fault = option_fault(row, text);
    if (fault != NULL) {
        say(why, "--", row->name, " ", text);
        return say(why, ": must be ", fault, "", "");
    }
    return option_add(options, i, OPTION_FROM_FLAG, text)
               ? ERR_OK
               : say(why, "--", row->name, ": too many of them", "");
}

/* One flag, with its argument when it has one. */
static enum err take_flag(struct options *options, struct words *words, struct text *why)
{
    const char *word = words->at[words->next++];
    const bool is_letter = word[1] != '-';
    const char *name = word + (is_letter ? 1 : 2);
    const char *equal = is_letter ? NULL : strchr(name, '=');
    const size_t size = equal != NULL ? (size_t)(equal - name) : strlen(name);
    const uint32_t i = find_row(options->table, name, size, is_letter);
    const char *text = equal != NULL ? equal + 1 : NULL;
    if (i == options->table->count || (is_letter && name[1] != 0)) {
        char unknown[64] = { 0 };
        memcpy(unknown, name, size < 63 ? size : 63);
        return is_letter ? say(why, "unknown option ", word, "", "")
                         : unknown_flag(options->table, unknown, why);
    }
    if (text == NULL && options->table->rows[i].kind != OPTION_FLAG && words->next < words->count) {
        text = words->at[words->next++];
    }
    return add_flag(options, i, text, why);
}

static enum err take_words(struct options *options, struct words *words, bool *help,
                           struct text *why)
{
    bool only_arguments = false;
    while (words->next < words->count) {
        char *word = words->at[words->next];
        if (!only_arguments && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            *help = true;
            return ERR_OK;
        }
        if (!only_arguments && strcmp(word, "--") == 0) {
            only_arguments = true;
            words->next++;
        } else if (!only_arguments && word[0] == '-' && word[1] != 0) {
            enum err err = take_flag(options, words, why);
            if (err != ERR_OK) {
                return err;
            }
        } else if (options->argument_count < options->table->arguments_max &&
                   options->argument_count < OPTIONS_VALUES_MAX) {
            options->arguments[options->argument_count++] = word;
            words->next++;
        } else {
            say(why, "unexpected argument ", word, "", "");
            return say(why, "; see atoll ", options->table->command, " --help", "");
        }
    }
    return ERR_OK;
}

/* ---- environment ----------------------------------------------------------------------------- */

static enum err take_list(struct options *options, uint32_t row, char *text)
{
    char *rest = NULL;
    for (char *item = strtok_r(text, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        if (!option_add(options, row, OPTION_FROM_ENVIRONMENT, item)) {
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

static enum err take_environment(struct options *options, struct text *why)
{
    for (uint32_t i = 0; i < options->table->count; i++) {
        const struct option_row *row = &options->table->rows[i];
        char name[72] = "ATOLL_";
        option_spell(row->name, '_', true, name + 6);
        const char *text = getenv(name);
        if (text == NULL || text[0] == 0) {
            continue;
        }
        const char *fault = option_fault(row, text);
        if (fault != NULL) {
            say(why, name, "=", text, ": must be ");
            return say(why, fault, "", "", "");
        }
        char *copy = strdup(text);
        enum err err = copy == NULL ? ERR_NOMEM : ERR_OK;
        if (err == ERR_OK && row->kind == OPTION_LIST) {
            err = take_list(options, i, copy);
        } else if (err == ERR_OK && !option_add(options, i, OPTION_FROM_ENVIRONMENT, copy)) {
            err = ERR_NOMEM;
        }
        free(copy);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

bool options_wants_help(const struct options *options)
{
    return options->help;
}

enum err options_parse(const struct options_table *table, int argc, char **argv,
                       struct options **out, struct text *why)
{
    struct words words = { .count = argc, .at = argv, .next = 1 };
    CHECK(table->count <= OPTIONS_MAX);
    struct options *options = calloc(1, sizeof *options);
    if (options == NULL) {
        return ERR_NOMEM;
    }
    options->table = table;
    enum err err = take_words(options, &words, &options->help, why);
    if (err == ERR_OK && !options->help && table->environment) {
        err = take_environment(options, why);
        const bool has_file = find_row(table, "config", 6, false) < table->count;
        const char *file = err == ERR_OK && has_file ? options_string(options, "config") : NULL;
        if (file != NULL) {
            err = option_read_file(options, file, why);
        }
    }
    if (err != ERR_OK) {
        options_free(&options);
        return err;
    }
    *out = options;
    return ERR_OK;
}

bool options_has(const struct options_table *table, const char *name)
{
    return find_row(table, name, strlen(name), false) < table->count;
}

enum err options_set(struct options *options, const char *name, const char *text, struct text *why)
{
    const uint32_t i = find_row(options->table, name, strlen(name), false);
    if (i == options->table->count) {
        return ERR_NOT_FOUND;
    }
    return options->values[i].source == OPTION_FROM_FLAG ? ERR_OK : add_flag(options, i, text, why);
}

void options_free(struct options **pointer)
{
    struct options *options = *pointer;
    if (options == NULL) {
        return;
    }
    for (uint32_t i = 0; i < options->table->count; i++) {
        while (options->values[i].count > 0) {
            free(options->values[i].items[--options->values[i].count]);
        }
    }
    free(options);
    *pointer = NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint32_t row_of(const struct options *options, const char *name)
{
    const uint32_t i = find_row(options->table, name, strlen(name), false);
    CHECK(i < options->table->count);
    return i;
}

const char *options_string(const struct options *options, const char *name)
{
    const uint32_t i = row_of(options, name);
    return options->values[i].count > 0 ? options->values[i].items[0]
                                        : options->table->rows[i].fallback;
}

bool options_flag(const struct options *options, const char *name)
{
    const char *text = options_string(options, name);
    return text != NULL && is_among(text, truths, ARRAY_COUNT(truths));
}

uint64_t options_size(const struct options *options, const char *name)
{
    const char *text = options_string(options, name);
    const enum option_kind kind = options->table->rows[row_of(options, name)].kind;
    uint64_t value = 0;
    CHECK(kind == OPTION_SIZE || kind == OPTION_NUMBER);
    if (text != NULL) {
        const struct span span = span_text(text);
        CHECK(kind == OPTION_SIZE ? parse_size(span, &value) : parse_u64(span, &value));
    }
    return value;
}

int64_t options_duration_us(const struct options *options, const char *name)
{
    const char *text = options_string(options, name);
    int64_t value = 0;
    if (text != NULL) {
        CHECK(parse_duration(span_text(text), &value));
    }
    return value;
}

uint32_t options_count(const struct options *options, const char *name)
{
    return options->values[row_of(options, name)].count;
}

const char *options_item(const struct options *options, const char *name, uint32_t index)
{
    const struct option_value *value = &options->values[row_of(options, name)];
    CHECK(index < value->count);
    return value->items[index];
}

bool options_commanded(const struct options *options, const char *name)
{
    return options->values[row_of(options, name)].source == OPTION_FROM_FLAG;
}

bool options_given(const struct options *options, const char *name)
{
    return options->values[row_of(options, name)].source != OPTION_NONE;
}

uint32_t options_arguments(const struct options *options)
{
    return options->argument_count;
}

const char *options_argument(const struct options *options, uint32_t index)
{
    CHECK(index < options->argument_count);
    return options->arguments[index];
}
