/* node/io/options_help.c: --help, the page in docs, and "did you mean". */
#include <stdlib.h>
#include <string.h>

#include "node/io/options_inside.h"

#define WORD_MAX 64
#define HELP_COLUMN 30
#define HELP_WIDTH 96

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Levenshtein distance of two words of at most WORD_MAX letters. */
static uint32_t distance(const char *a, const char *b)
{
    const uint32_t a_size = (uint32_t)strnlen(a, WORD_MAX);
    const uint32_t b_size = (uint32_t)strnlen(b, WORD_MAX);
    uint32_t row[WORD_MAX + 1];
    for (uint32_t k = 0; k <= b_size; k++) {
        row[k] = k;
    }
    for (uint32_t i = 1; i <= a_size; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t k = 1; k <= b_size; k++) {
            const uint32_t above = row[k];
            const uint32_t swap = diagonal + (a[i - 1] != b[k - 1]);
            row[k] = least(swap, least(above, row[k - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b_size];
}

const char *options_nearest(const char *word, const void *names, uint32_t count, size_t stride)
{
    const char *best = NULL;
    uint32_t best_distance = 1 + (uint32_t)strlen(word) / 3;
    for (uint32_t i = 0; i < count; i++) {
        const char *name;
        memcpy(&name, (const char *)names + i * stride, sizeof name);
        const size_t size = strlen(word);
        const bool begins = size >= 3 && strncmp(name, word, size) == 0;
        const uint32_t far = begins ? 0 : distance(word, name);
        if (far < best_distance || (far == best_distance && best == NULL)) {
            best_distance = far;
            best = name;
        }
    }
    return best;
}

/* Text in a column of its own, broken at blanks. */
static void wrap(FILE *out, const char *text, int column)
{
    int at = column;
    while (*text != 0) {
        const int word = (int)strcspn(text, " ");
        if (at > column && at + 1 + word > HELP_WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        }
        at += fprintf(out, "%s%.*s", at > column ? " " : "", word, text);
        text += word;
        text += *text == ' ' ? 1 : 0;
    }
    fputc('\n', out);
}

/* Letters, not bytes: what continues a UTF-8 letter takes no column. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != 0; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void help_row(const struct option_row *row, FILE *out)
{
    char left[96];
    char help[512];
    if (row->letter != 0) {
        snprintf(left, sizeof left, "  -%c, --%s%s%s", row->letter, row->name,
                 row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
    } else {
        snprintf(left, sizeof left, "  --%s%s%s", row->name, row->argument != NULL ? " " : "",
                 row->argument != NULL ? row->argument : "");
    }
    const bool show = row->fallback != NULL && row->fallback[0] != 0;
    snprintf(help, sizeof help, "%s%s%s%s%s", row->help,
             row->kind == OPTION_LIST ? " (repeatable)" : "", show ? " [" : "",
             show ? row->fallback : "", show ? "]" : "");
    if (width_of(left) + 2 > HELP_COLUMN) {
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    } else {
        fprintf(out, "%s%*s", left, HELP_COLUMN - width_of(left), "");
    }
    wrap(out, help, HELP_COLUMN);
}

void options_help(const struct options_table *table, FILE *out)
{
    fprintf(out, "usage: %s\n\n%s\n", table->usage, table->intro);
    if (table->count > 0) {
        fputs("\noptions:\n", out);
    }
    for (uint32_t i = 0; i < table->count; i++) {
        help_row(&table->rows[i], out);
    }
    if (table->environment && options_has(table, "config")) {
        fputs("\nEach option may also be set as ATOLL_NAME in the environment or as name in the"
              " file\nof --config, with '_' for '-'. A flag goes before the environment, that"
              " before the file.\n",
              out);
    } else if (table->environment) {
        fputs("\nEach option may also be set as ATOLL_NAME in the environment, with '_' for '-'.\n",
              out);
    }
    if (table->examples != NULL) {
        fprintf(out, "\nexamples:\n%s", table->examples);
    }
    fputs("\nexit codes: ", out);
    wrap(out, ERR_EXIT_CODES, 12);
}

static void page_row(const struct options_table *table, const struct option_row *row, FILE *out)
{
    char name[64];
    fprintf(out, "| `--%s%s%s`", row->name, row->argument != NULL ? " " : "",
            row->argument != NULL ? row->argument : "");
    if (row->letter != 0) {
        fprintf(out, ", `-%c`", row->letter);
    }
    if (table->environment) {
        option_spell(row->name, '_', true, name);
        fprintf(out, " | `ATOLL_%s`", name);
    }
    const bool has_fallback = row->fallback != NULL && row->fallback[0] != 0;
    fprintf(out, " | %s%s%s | %s%s |\n", has_fallback ? "`" : "", has_fallback ? row->fallback : "",
            has_fallback ? "`" : "", row->help, row->kind == OPTION_LIST ? " (repeatable)" : "");
}

void options_page(const struct options_table *table, FILE *out)
{
    fprintf(out, "## `atoll %s`\n\n%s\n\n    %s\n\n", table->command, table->intro, table->usage);
    if (table->count > 0) {
        fputs(table->environment
                  ? "| option | variable | default | what it does |\n|---|---|---|---|\n"
                  : "| option | default | what it does |\n|---|---|---|\n",
              out);
    }
    for (uint32_t i = 0; i < table->count; i++) {
        page_row(table, &table->rows[i], out);
    }
    if (table->examples != NULL) {
        fprintf(out, "\nExamples:\n\n");
        for (const char *line = table->examples; *line != 0;) {
            const int indent = (int)strspn(line, " ");
            const int size = (int)strcspn(line, "\n");
            fprintf(out, "    %.*s\n", size - indent, line + indent);
            line += size;
            line += *line == '\n' ? 1 : 0;
        }
    }
    fputc('\n', out);
}
