/* node/io/options_inside.h: what options.c, options_yaml.c and options_help.c share. */
#pragma once
#include "node/io/options.h"

enum option_source {
    OPTION_NONE = 0,
    OPTION_FROM_FILE,
    OPTION_FROM_ENVIRONMENT,
    OPTION_FROM_FLAG,
};

struct option_value {
    enum option_source source;
    char *items[OPTIONS_VALUES_MAX];
    uint32_t count;
};

struct options {
    const struct options_table *table;
    struct option_value values[OPTIONS_MAX];
    char *arguments[OPTIONS_VALUES_MAX];
    uint32_t argument_count;
    bool help; /* was asked for */
};

/* Add one value told by `source`. What a weaker source said before is dropped; a stronger one's
 * words stay. A second value of an option that takes one replaces the first. false: no room. */
bool option_add(struct options *options, uint32_t row, enum option_source source, const char *text);
/* NULL when the text is of the row's kind, else what it should be. */
const char *option_fault(const struct option_row *row, const char *text);
/* "data-dir" with every '-' as `dash`, in capitals or not. `out` holds 64. */
void option_spell(const char *name, char dash, bool capitals, char *out);
/* Read a YAML file into the values. */
enum err option_read_file(struct options *options, const char *path, struct text *why) MUST_USE;
