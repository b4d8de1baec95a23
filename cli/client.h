/* cli/client.h: questions to a node's admin address over HTTP. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/err.h"
#include "node/io/options.h"

/* Rows every asking command has. */
/* clang-format off */
#define CLIENT_OPTIONS                                                               \
    { "admin", 0, OPTION_STRING, "URL", CLIENT_ADMIN, "admin address of any node" }, \
    { "admin-token-file", 0, OPTION_STRING, "FILE", NULL, CLIENT_TOKEN_HELP },       \
    { "json", 0, OPTION_FLAG, NULL, NULL, "print the node's answer as it is" }
/* clang-format on */
#define CLIENT_TOKEN_HELP "the token of that address, when it wants one"
#define CLIENT_ADMIN "http://127.0.0.1:7780"

/* An answer: `json` is the caller's; on failure it has "error" and "what_to_do". */
struct client_answer {
    enum err err;
    json_t *json;
};

/* `body` is NULL for GET and DELETE without one. Tells on stderr what went wrong. */
struct client_answer client_ask(const struct options *options, const char *method, const char *path,
                                json_t *body);
/* Percent-encode a part of a path or query. The caller frees. */
char *client_escape(const char *text);
/* Parse the words of a command that asks; ends in *status when there is nothing more to do. */
struct options *client_options(const struct options_table *table, int argc, char **argv,
                               int *status);
/* A text of an answer; "" where it has none. */
const char *client_text(const json_t *object, const char *key);
typedef void client_show(const json_t *answer);
/* What went well: as JSON under --json, else by `show`. */
void client_print(const struct options *options, const struct client_answer *answer,
                  client_show *show);
/* The whole of a command that shows one answer: asks, prints it, frees. */
int client_run(struct options *options, const char *path, client_show *show);
