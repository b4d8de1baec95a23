#include "cli/words.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define INDENT 14

/* The first sentence of `text`, its further lines below the first one. */
static void put_sentence(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        fputc(*text, out);
        if (*text == '\n') {
            fprintf(out, "%*s", INDENT, "");
        }
        if (*text == '.' && (text[1] == ' ' || text[1] == '\n')) {
            return;
        }
    }
}

static void usage(const struct words *words, FILE *out)
{
    for (uint32_t i = 0; i < words->count; i++) {
        fprintf(out, "%s%s\n", i > 0 ? "       " : "usage: ", words->at[i].table->usage);
    }
    fprintf(out, "\n%s\n\n", words->about);
    for (uint32_t i = 0; i < words->count; i++) {
        fprintf(out, "  %-*s", INDENT - 2, words->at[i].name);
        put_sentence(out, words->at[i].table->intro);
        fputc('\n', out);
    }
    fprintf(out, "\n`atoll %s %s --help` and so on tell more, with examples.\n", words->command,
            words->at[0].name);
}

int words_run(const struct words *words, int argc, char **argv)
{
    const char *name = argc >= 2 ? argv[1] : "";
    for (uint32_t i = 0; i < words->count; i++) {
        if (strcmp(words->at[i].name, name) == 0) {
            return words->at[i].run(argc - 1, argv + 1);
        }
    }
    const bool help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    FILE *out = help ? stdout : stderr;
    if (!help && name[0] != 0) {
        const char *near = options_nearest(name, words->at, words->count, sizeof words->at[0]);
        fprintf(out, "atoll %s: unknown word %s%s%s%s\n\n", words->command, name,
                near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                near != NULL ? "?" : "");
    }
    usage(words, out);
    return help ? 0 : err_exit_code(ERR_INVALID);
}
