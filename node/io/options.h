/* node/io/options.h: options of a command from one table: flags, ATOLL_* variables and a YAML file
 * with the same names, --help, and the page in docs/generated.
 *
 * Precedence: flag, then environment, then file, then the default. --data-dir is data_dir in YAML
 * and ATOLL_DATA_DIR in the environment. An unknown name is refused with the nearest known one. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

#define OPTIONS_MAX 48
#define OPTIONS_VALUES_MAX 64 /* of one repeatable option */

enum option_kind {
    OPTION_FLAG, /* no argument; in YAML and the environment true or false */
    OPTION_STRING,
    OPTION_LIST, /* may be given several times; a list in YAML, comma separated elsewhere */
    OPTION_SIZE, /* 4096, 64KiB, 1GiB */
    OPTION_NUMBER,
    OPTION_DURATION, /* 300, 1.5s, 250ms */
};

struct option_row {
    const char *name; /* "data-dir" */
    char letter;      /* short form; 0: none */
    enum option_kind kind;
    const char *argument; /* "DIR", for help */
    const char *fallback; /* as text; NULL: none */
    const char *help;
};

/* A command: its table and what --help says around it. */
struct options_table {
    const char *command;  /* "node" */
    const char *usage;    /* "atoll node [OPTIONS]" */
    const char *intro;    /* what it does, one or two lines */
    const char *examples; /* lines, each ending with a newline */
    const struct option_row *rows;
    uint32_t count;
    bool environment;       /* ATOLL_* and --config are looked at */
    uint32_t arguments_max; /* words that are no options */
};

struct options;

/* Reads argv[1..] (argv[0] is the command's name). ERR_INVALID with a line in `why`, also when an
 * option that takes one value is given twice. When --help was
 * asked for nothing else was checked: look at options_wants_help first. */
enum err options_parse(const struct options_table *table, int argc, char **argv,
                       struct options **out, struct text *why) MUST_USE;
bool options_wants_help(const struct options *options);
void options_free(struct options **options);

/* As if --NAME TEXT had been on the command line, where the real one wins; NULL: without an argument.
 * ERR_NOT_FOUND: there is no such option. ERR_INVALID with a line in `why`: not such a value. */
enum err options_set(struct options *options, const char *name, const char *text, struct text *why)
    MUST_USE;
bool options_has(const struct options_table *table, const char *name);

/* Values; the name must be in the table. NULL or false or 0: not given and no default. */
const char *options_string(const struct options *options, const char *name);
bool options_flag(const struct options *options, const char *name);
uint64_t options_size(const struct options *options, const char *name); /* SIZE, NUMBER */
int64_t options_duration_us(const struct options *options, const char *name);
uint32_t options_count(const struct options *options, const char *name);
const char *options_item(const struct options *options, const char *name, uint32_t index);
/* Was it given, by anybody? */
bool options_given(const struct options *options, const char *name);
/* ... on the command line, or by options_set? */
bool options_commanded(const struct options *options, const char *name);
/* Words that are no options. */
uint32_t options_arguments(const struct options *options);
const char *options_argument(const struct options *options, uint32_t index);

void options_help(const struct options_table *table, FILE *out);
/* The table as Markdown, for docs/generated. */
void options_page(const struct options_table *table, FILE *out);
/* "did you mean" for `word` among `count` names `stride` bytes apart, each a const char * at the
 * start of its item; NULL when nothing is near. */
const char *options_nearest(const char *word, const void *names, uint32_t count, size_t stride);
