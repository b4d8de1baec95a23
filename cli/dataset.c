/* cli/dataset.c: `atoll dataset create|list|show|delete|refresh`. */
#include "cli/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/words.h"

#define DATASETS "/api/v1/datasets"

static const struct option_row plain_rows[] = { CLIENT_OPTIONS };

static const struct option_row create_rows[] = {
    { "block-size", 0, OPTION_SIZE, "SIZE", NULL, "64KiB to 16MiB, a power of two; default: 4MiB" },
    { "endpoint", 0, OPTION_STRING, "URL", NULL, "of the object store, when it is not the usual" },
    { "region", 0, OPTION_STRING, "REGION", NULL, "of the bucket" },
    { "credential", 0, OPTION_STRING, "NAME", NULL,
      "file of that name in the nodes' --credentials-dir" },
    { "path-style", 0, OPTION_FLAG, NULL, NULL,
      "the bucket stands in the path, not in the host's name; wants --endpoint" },
    { "nodes", 0, OPTION_STRING, "K=V,…", NULL, "only nodes with these labels keep it" },
    { "metadata", 0, OPTION_STRING, "POLICY", "once",
      "how long a listing is believed: once (until `refresh`), ttl=SECS, always" },
    CLIENT_OPTIONS,
};

static const struct option_row refresh_rows[] = {
    { "prefix", 0, OPTION_STRING, "PATH", NULL, "only what is below it" },
    CLIENT_OPTIONS,
};

const struct options_table dataset_create_table = {
    .command = "dataset create",
    .usage = "atoll dataset create NAME URI [OPTIONS]\n"
             "       atoll dataset create NAME PATH=URI… [OPTIONS]",
    .intro = "Name a bucket, a prefix of one, or several side by side, for all mounts. Any node\n"
             "takes it and all learn it; the source is asked once, so that mistakes show here.",
    .examples =
        "  atoll dataset create imagenet s3://training/imagenet --region eu-west-1 "
        "--credential s3\n"
        "  atoll dataset create mixed a=oss://one/set/ b=oss://two/ --region cn-hangzhou \\\n"
        "    --credential oss --metadata ttl=1h\n"
        "  atoll dataset create local file:///srv/data\n",
    .rows = create_rows,
    .count = ARRAY_COUNT(create_rows),
    .environment = true,
    .arguments_max = 33, /* the node tells how many rows are too many */
};

const struct options_table dataset_list_table = {
    .command = "dataset list",
    .usage = "atoll dataset list [OPTIONS]",
    .intro = "The datasets of the cluster.",
    .examples = "  atoll dataset list\n",
    .rows = plain_rows,
    .count = ARRAY_COUNT(plain_rows),
    .environment = true,
};

const struct options_table dataset_show_table = {
    .command = "dataset show",
    .usage = "atoll dataset show NAME [OPTIONS]",
    .intro = "Everything about one dataset.",
    .examples = "  atoll dataset show imagenet --json\n",
    .rows = plain_rows,
    .count = ARRAY_COUNT(plain_rows),
    .environment = true,
    .arguments_max = 1,
};

const struct options_table dataset_delete_table = {
    .command = "dataset delete",
    .usage = "atoll dataset delete NAME [OPTIONS]",
    .intro =
        "Take a dataset's name away; nothing happens to its source. Programs that read from its\n"
        "mounts get EIO from then on, but for what is in their hosts' memory.",
    .examples = "  atoll dataset delete imagenet\n",
    .rows = plain_rows,
    .count = ARRAY_COUNT(plain_rows),
    .environment = true,
    .arguments_max = 1,
};

const struct options_table dataset_refresh_table = {
    .command = "dataset refresh",
    .usage = "atoll dataset refresh NAME [--prefix PATH] [OPTIONS]",
    .intro = "Believe no listing that is older than now: what changed at the source is seen, by\n"
             "mounts within a minute.",
    .examples = "  atoll dataset refresh imagenet --prefix train/\n",
    .rows = refresh_rows,
    .count = ARRAY_COUNT(refresh_rows),
    .environment = true,
    .arguments_max = 1,
};

/* ---- create ---------------------------------------------------------------------------------- */

static void set_string(json_t *object, const char *key, const char *value)
{
    if (value != NULL) {
        json_object_set_new(object, key, json_string(value));
    }
}

/* "URI" or "PATH=URI": a '=' before the scheme. */
static json_t *make_row(const struct options *options, const char *word)
{
    json_t *row = json_object();
    const char *scheme = strstr(word, "://");
    const char *equal = strchr(word, '=');
    if (equal != NULL && scheme != NULL && equal < scheme) {
        json_object_set_new(row, "path", json_stringn(word, (size_t)(equal - word)));
        word = equal + 1;
    }
    set_string(row, "uri", word);
    set_string(row, "endpoint", options_string(options, "endpoint"));
    set_string(row, "region", options_string(options, "region"));
    set_string(row, "credential", options_string(options, "credential"));
    return row;
}

static json_t *make_body(const struct options *options)
{
    json_t *body = json_object();
    json_t *rows = json_array();
    set_string(body, "name", options_argument(options, 0));
    for (uint32_t i = 1; i < options_arguments(options); i++) {
        json_array_append_new(rows, make_row(options, options_argument(options, i)));
    }
    json_object_set_new(body, "rows", rows);
    set_string(body, "selector", options_string(options, "nodes"));
    set_string(body, "metadata", options_string(options, "metadata"));
    if (options_given(options, "block-size")) {
        json_object_set_new(body, "block_size",
                            json_integer((json_int_t)options_size(options, "block-size")));
    }
    if (options_flag(options, "path-style")) {
        json_object_set_new(body, "path_style", json_true());
    }
    return body;
}

/* Says what was done; the node's answer only with --json, and a warning in it always. */
static int finish(struct options *options, struct client_answer answer, const char *done)
{
    const char *warning = json_string_value(json_object_get(answer.json, "warning"));
    if (answer.err == ERR_OK && options_flag(options, "json")) {
        json_dumpf(answer.json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else if (answer.err == ERR_OK) {
        printf("%s %s\n", done, options_argument(options, 0));
    }
    if (answer.err == ERR_OK && warning != NULL) {
        fprintf(stderr, "atoll: %s\n", warning);
    }
    json_decref(answer.json);
    options_free(&options);
    return err_exit_code(answer.err);
}

static int create(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&dataset_create_table, argc, argv, &status);
    if (options == NULL) {
        return status;
    }
    if (options_arguments(options) < 2) {
        fprintf(stderr, "atoll dataset create: give a NAME and a URI, or PATH=URI for each\n");
        options_free(&options);
        return err_exit_code(ERR_INVALID);
    }
    return finish(options, client_ask(options, "POST", DATASETS, make_body(options)), "created");
}

/* ---- the others ------------------------------------------------------------------------------ */

/* As it was given: "s3://bucket/prefix/". */
static json_t *whole_uri(const json_t *row)
{
    const char *uri = client_text(row, "uri");
    const char *prefix = client_text(row, "prefix");
    const size_t size = strlen(uri);
    const bool slash = prefix[0] != 0 && size > 0 && uri[size - 1] != '/';
    return json_sprintf("%s%s%s", uri, slash ? "/" : "", prefix);
}

/* "once", "always", or "ttl 1 h". */
static json_t *policy(const json_t *dataset)
{
    char cell[TABLE_CELL_MAX];
    const char *word = client_text(dataset, "metadata");
    if (strcmp(word, "ttl") != 0) {
        return json_string(word);
    }
    table_cell("seconds", json_object_get(dataset, "ttl_seconds"), cell);
    return json_sprintf("%s %s", word, cell);
}

/* "s3://one/set/", or "a=s3://one/set/" and so on. */
static json_t *uris_of(const json_t *dataset)
{
    json_t *uris = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(dataset, "rows"), i, row)
    {
        json_t *uri = whole_uri(row);
        const char *path = client_text(row, "path");
        json_array_append_new(
            uris, json_sprintf("%s%s%s", path, path[0] != 0 ? "=" : "", json_string_value(uri)));
        json_decref(uri);
    }
    return uris;
}

/* Numbers that lack a part say so. */
static void warn_not_counted(const json_t *answer)
{
    const json_t *names = json_object_get(answer, "not_counted");
    const json_int_t count = json_integer_value(json_object_get(answer, "not_counted_nodes"));
    size_t i;
    json_t *name;
    if (count == 0) {
        return;
    }
    fputs("atoll: these numbers lack what some nodes have listed, which did not answer in time or "
          "are more than can be asked:",
          stderr);
    json_array_foreach(names, i, name)
    {
        fprintf(stderr, " %s", json_string_value(name));
    }
    if ((size_t)count > json_array_size(names)) {
        fprintf(stderr, " and %lld more", (long long)count - (long long)json_array_size(names));
    }
    fputs("; `atoll status` says who does not answer\n", stderr);
}

static void show_list(const json_t *answer)
{
    static const char *const keys[] = { "name",       "uris",         "metadata",    "selector",
                                        "block_size", "files_listed", "listed_bytes" };
    size_t i;
    json_t *dataset;
    json_array_foreach(json_object_get(answer, "datasets"), i, dataset)
    {
        json_object_set_new(dataset, "uris", uris_of(dataset));
        json_object_set_new(dataset, "metadata", policy(dataset));
        json_object_set(dataset, "listed_bytes", json_object_get(dataset, "bytes_listed"));
    }
    table_rows(json_object_get(answer, "datasets"), keys, ARRAY_COUNT(keys));
    warn_not_counted(answer);
}

static void show_fact(const char *title, const char *key, const json_t *value)
{
    char cell[TABLE_CELL_MAX];
    table_cell(key, value, cell);
    printf("%-12s%s\n", title, cell);
}

/* A version is a hybrid clock in microseconds: near enough to the time of the change. */
static void show_time(const char *title, const json_t *us)
{
    char text[TABLE_CELL_MAX] = "never";
    if (json_integer_value(us) > 0) {
        table_date(us, text);
    }
    printf("%-12s%s\n", title, text);
}

static void show_one(const json_t *answer)
{
    static const char *const keys[] = {
        "path", "uri", "endpoint", "region", "credential", "source"
    };
    char files[TABLE_CELL_MAX];
    char bytes[TABLE_CELL_MAX];
    size_t i;
    json_t *row;
    json_t *believed = policy(answer);
    const bool anywhere = client_text(answer, "selector")[0] == 0;
    json_array_foreach(json_object_get(answer, "rows"), i, row)
    {
        json_object_set_new(row, "uri", whole_uri(row));
    }
    table_cell("files", json_object_get(answer, "files_listed"), files);
    table_cell("bytes", json_object_get(answer, "bytes_listed"), bytes);
    show_fact("name", "name", json_object_get(answer, "name"));
    show_fact("block size", "block_size", json_object_get(answer, "block_size"));
    printf("%-12s%s\n", "kept by", anywhere ? "all nodes" : client_text(answer, "selector"));
    show_fact("listings", "metadata", believed);
    printf("%-12s%s files, %s\n", "listed", files, bytes);
    show_time("refreshed", json_object_get(answer, "refreshed_us"));
    show_time("changed", json_object_get(answer, "version"));
    show_fact("by", "writer", json_object_get(answer, "writer"));
    putchar('\n');
    table_rows(json_object_get(answer, "rows"), keys, ARRAY_COUNT(keys));
    json_decref(believed);
    warn_not_counted(answer);
}

static int list(int argc, char **argv)
{
    int status;
    struct options *options = client_options(&dataset_list_table, argc, argv, &status);
    return options == NULL ? status : client_run(options, DATASETS, show_list);
}

/* Options of a command about one dataset, and its path; NULL when it ends here. */
static struct options *about_one(const struct options_table *table, int argc, char **argv,
                                 char **path, int *status)
{
    struct options *options = client_options(table, argc, argv, status);
    if (options == NULL) {
        return NULL;
    }
    char *name =
        options_arguments(options) == 1 ? client_escape(options_argument(options, 0)) : NULL;
    if (name == NULL || strchr(name, '/') != NULL || asprintf(path, DATASETS "/%s", name) < 0) {
        fprintf(stderr, "atoll %s: give the NAME of one dataset\n", table->command);
        options_free(&options);
        *status = err_exit_code(ERR_INVALID);
    }
    free(name);
    return options;
}

static int show(int argc, char **argv)
{
    int status;
    char *path = NULL;
    struct options *options = about_one(&dataset_show_table, argc, argv, &path, &status);
    if (options != NULL) {
        status = client_run(options, path, show_one);
    }
    free(path);
    return status;
}

static int delete (int argc, char **argv)
{
    int status;
    char *path = NULL;
    struct options *options = about_one(&dataset_delete_table, argc, argv, &path, &status);
    if (options != NULL) {
        status = finish(options, client_ask(options, "DELETE", path, NULL), "deleted");
    }
    free(path);
    return status;
}

static int refresh(int argc, char **argv)
{
    int status;
    char *path = NULL;
    char *full = NULL;
    struct options *options = about_one(&dataset_refresh_table, argc, argv, &path, &status);
    if (options == NULL) {
        free(path);
        return status;
    }
    const char *prefix = options_string(options, "prefix");
    char *escaped = client_escape(prefix != NULL ? prefix : "");
    if (escaped == NULL ||
        asprintf(&full, "%s/refresh%s%s", path, prefix != NULL ? "?prefix=" : "", escaped) < 0) {
        full = NULL;
    }
    if (full != NULL) {
        status = finish(options, client_ask(options, "POST", full, json_object()), "refreshed");
    } else {
        options_free(&options);
        status = err_exit_code(ERR_NOMEM);
    }
    free(escaped);
    free(full);
    free(path);
    return status;
}

int dataset_command(int argc, char **argv)
{
    static const struct word at[] = {
        { "create", create, &dataset_create_table },    { "list", list, &dataset_list_table },
        { "show", show, &dataset_show_table },          { "delete", delete, &dataset_delete_table },
        { "refresh", refresh, &dataset_refresh_table },
    };
    static const struct words words = {
        .command = "dataset",
        .about = "Datasets are what mounts show: names for buckets, or parts of them.",
        .at = at,
        .count = ARRAY_COUNT(at),
    };
    return words_run(&words, argc, argv);
}
