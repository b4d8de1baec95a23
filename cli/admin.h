/* cli/admin.h: questions to the admin address of a node, and the options all asking commands have. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/io/options.h"

/* Rows every such table begins with. */
#define ADMIN_ROWS                                                                                  \
    { "admin", 0, OPTION_STRING, "URL", "http://127.0.0.1:7780", "admin address of a node" },       \
        { "admin-token-file", 0, OPTION_STRING, "FILE", NULL, "token, if that address wants one" }, \
    {                                                                                               \
        "json", 0, OPTION_FLAG, NULL, NULL, "print what the node said, as JSON"                     \
    }

struct admin_question {
    const char *method; /* "GET" */
    const char *path;   /* "/api/v1/status" */
    json_t *body;       /* NULL: none; stays the caller's */
};

/* Ask; *out is the caller's. A failure that the node tells has its number; `why` gets the node's own
 * line, or which address could not be reached. */
enum err admin_ask(const struct options *options, const struct admin_question *question,
                   json_t **out, struct text *why) MUST_USE;
/* `raw`, percent encoded for a query or a path. */
void admin_encode(struct text *out, const char *raw);

/* A command that asks one thing and prints it. */
struct admin_command {
    const struct options_table *table;
    /* Fill in method and path (into `path`); NULL result is fine. */
    enum err (*make)(const struct options *options, struct admin_question *question,
                     struct text *path, struct text *why);
    void (*print)(const json_t *answer);
};
/* Parse, ask, print; the exit code. */
int admin_run(const struct admin_command *command, int argc, char **argv);
/* Print a failure of `atoll WORD`; its exit code. */
int admin_complain(const char *word, enum err err, const struct text *why);
