/* cli/docgen.c: docs/generated from the tables: options, metrics, errors, messages, scenarios,
 * atoll.1. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/commands.h"
#include "node/io/metrics_io.h"
#include "base/time.h"
#include "wire/message.h"

typedef void page(const struct docgen *docgen, FILE *out);

/* ---- options ---------------------------------------------------------------------------------- */

static void each_table(const struct docgen *docgen, FILE *out,
                       void (*put)(const struct options_table *table, FILE *out))
{
    uint32_t count = 0;
    const struct options_table *const *own = commands_tables(&count);
    for (uint32_t i = 0; i < docgen->table_count; i++) {
        put(docgen->tables[i], out);
    }
    for (uint32_t i = 0; i < count; i++) {
        put(own[i], out);
    }
}

static void put_options(const struct docgen *docgen, FILE *out)
{
    fputs("# Commands and options\n\n"
          "A flag goes before the environment, that before the file of `--config`, that before the "
          "default.\nIn the file the names are those of the flags with `_` for `-`.\n\n"
          "| command | what it does |\n|---|---|\n",
          out);
    for (uint32_t i = 0; i < docgen->command_count; i++) {
        fprintf(out, "| `atoll %s` | %s |\n", docgen->commands[i].name,
                docgen->commands[i].summary);
    }
    fputc('\n', out);
    each_table(docgen, out, options_page);
}

/* ---- errors ----------------------------------------------------------------------------------- */

static void put_errors(const struct docgen *docgen, FILE *out)
{
    static const struct {
        const char *name;
        const char *text;
        int number;
        int exit_code;
        const char *sys;
    } errors[] = {
#define ERROR(name_, number_, sys_, exit_code_, text_) \
    { .name = #name_, .text = text_, .number = number_, .exit_code = exit_code_, .sys = #sys_ },
#include "base/errors.def"
#undef ERROR
    };
    (void)docgen;
    fputs("# Errors\n\n"
          "Exit codes: " ERR_EXIT_CODES
          ".\nThe number is what travels between nodes; errno is what "
          "a reader of a file gets.\n\n"
          "| name | meaning | number | exit code | errno |\n|---|---|---|---|---|\n",
          out);
    for (uint32_t i = 0; i < ARRAY_COUNT(errors); i++) {
        fprintf(out, "| `%s` | %s | %d | %d | %s |\n", errors[i].name, errors[i].text,
                errors[i].number, errors[i].exit_code, errors[i].sys);
    }
}

/* ---- messages --------------------------------------------------------------------------------- */

static void put_messages(const struct docgen *docgen, FILE *out)
{
    (void)docgen;
    fprintf(out,
            "# Messages between processes\n\n"
            "Version %d to %d. A frame is a msgpack map: 0 is the message's number, then field "
            "number and value.\nZero and empty fields are left out; unknown ones are skipped.\n",
            WIRE_VERSION_LOWEST, WIRE_VERSION_HIGHEST);
#define U64(field, name, max) \
    fprintf(out, "| %d | `%s` | number, at most %llu |\n", field, #name, (unsigned long long)max);
#define ID(field, name) fprintf(out, "| %d | `%s` | 16 bytes |\n", field, #name);
#define BYTES(field, name, max) \
    fprintf(out, "| %d | `%s` | at most %llu bytes |\n", field, #name, (unsigned long long)max);
#define MESSAGE(NAME, name, number, fields)                                                   \
    fprintf(out, "\n## %s (%d)\n\n| field | name | value |\n|---|---|---|\n", #NAME, number); \
    fields
#include "wire/messages.def"
#undef MESSAGE
#undef BYTES
#undef ID
#undef U64
}

/* ---- metrics ---------------------------------------------------------------------------------- */

static void put_metrics(const struct docgen *docgen, FILE *out)
{
    (void)docgen;
    metrics_io_page(out);
}

/* ---- scenarios -------------------------------------------------------------------------------- */

/* Of a line of a scenario: "`nodes N memory SIZE`". */
static void put_fields(FILE *out)
{
#define COUNT "N"
#define NUMBER "N"
#define SIZE "SIZE"
#define TIME "TIME"
#define FLAG ""
#define FIELD(line_, key_, unit_, member_, text_)                                   \
    fprintf(out, "| `%s%s%s%s%s` | %s |\n", line_, key_[0] != 0 ? " … " : "", key_, \
            unit_[0] != 0 ? " " : "", unit_, text_);
#include "sim/trial/scenario.def"
#undef FIELD
#undef COUNT
#undef NUMBER
#undef SIZE
#undef TIME
#undef FLAG
}

static void put_faults(FILE *out)
{
#define NODES "NODES"
#define MOUNTS "MOUNTS"
#define PROCESS "NODE or MOUNT"
#define SIDES "NODES and MOUNTS"
#define PAIR "NODE,MOUNT"
#define NOTHING ""
#define FILES "N or FILE"
#define NONE ""
#define SHARE " SHARE"
#define TIME " TIME"
#define COUNT ""
#define FAULT(name_, about_, unit_, least_, most_, least_us_, most_us_, excuse_us_, repeats_,      \
              begin_, end_, text_)                                                                 \
    fprintf(out, "| `%s` | %s%s | %s | %s |\n", name_, about_, unit_, (most_us_) > 0 ? "yes" : "", \
            text_);
#include "sim/trial/faults.def"
#undef FAULT
#undef NODES
#undef MOUNTS
#undef PROCESS
#undef SIDES
#undef PAIR
#undef NOTHING
#undef FILES
#undef NONE
#undef SHARE
#undef TIME
#undef COUNT
}

static void put_expected(FILE *out)
{
#define NONE ""
#define RATIO " RATIO"
#define TIME " TIME"
#define SIZE " SIZE"
#define EXPECT(kind_, words_, unit_, text_) \
    fprintf(out, "| `expect %s%s` | %s |\n", words_, unit_, text_);
#include "sim/trial/expects.def"
#undef EXPECT
#undef NONE
#undef RATIO
#undef TIME
#undef SIZE
}

static void put_scenarios(const struct docgen *docgen, FILE *out)
{
    (void)docgen;
    fputs("# Words of a scenario\n\n"
          "For `atoll sim scenario`; [simulator](../simulator.md) tells what it is. A line is one "
          "thing; `#` begins a\ncomment. TIME is 300ms, 12.5s, 2m or 1h; SIZE is 64KiB, 8MiB or "
          "100MB; SHARE is 12.5%.\n\n## What there is\n\n| line | what it is |\n|---|---|\n",
          out);
    put_fields(out);
    fputs(
        "| `node NODE [weight N] [zone NAME]` | of one node; a weight of 100 is usual |\n"
        "| `readers N PATTERN` | applications, spread over the mounts: in-order, shuffled, random "
        "or "
        "listing; again for others |\n"
        "| `dataset [block SIZE] [metadata once, always or ttl=TIME]` | that all of them read |\n"
        "\n## What goes wrong\n\n"
        "`at TIME FAULT [WHO] [AMOUNT] [for TIME]`. Times count from when the readers begin. NODES "
        "are "
        "node0,node2, or `all`,\nor `owner-of FILE` (a large one); MOUNTS are mount0,mount1. What "
        "takes nodes away lasts for ever when it does\nnot say `for`.\n\n"
        "| fault | who, amount | for | what it is |\n|---|---|---|---|\n",
        out);
    put_faults(out);
    fputs("\n## What is expected\n\n| line | what is compared |\n|---|---|\n", out);
    put_expected(out);
}

/* ---- the man page ----------------------------------------------------------------------------- */

/* Text for roff: a backslash and a dash that must stay one, a dot or quote at a line's start. */
static void put_roff(const char *text, FILE *out)
{
    bool first = true;
    for (; *text != 0; text++) {
        if (first && (*text == '.' || *text == '\'')) {
            fputs("\\&", out);
        }
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
        first = *text == '\n';
    }
}

static void put_man_row(const struct option_row *row, FILE *out)
{
    fputs(".TP\n.B ", out);
    if (row->letter != 0) {
        fprintf(out, "\\-%c, ", row->letter);
    }
    fputs("\\-\\-", out);
    put_roff(row->name, out);
    if (row->argument != NULL) {
        fputc(' ', out);
        put_roff(row->argument, out);
    }
    fputc('\n', out);
    put_roff(row->help, out);
    if (row->fallback != NULL && row->fallback[0] != 0) {
        fputs(" [", out);
        put_roff(row->fallback, out);
        fputc(']', out);
    }
    fputc('\n', out);
}

static void put_man_table(const struct options_table *table, FILE *out)
{
    fputs(".SS atoll ", out);
    put_roff(table->command, out);
    fputs("\n.nf\n", out);
    put_roff(table->usage, out);
    fputs("\n.fi\n.PP\n", out);
    put_roff(table->intro, out);
    fputc('\n', out);
    for (uint32_t i = 0; i < table->count; i++) {
        put_man_row(&table->rows[i], out);
    }
    if (table->examples != NULL) {
        fputs(".PP\nExamples:\n.nf\n", out);
        put_roff(table->examples, out);
        fputs(".fi\n", out);
    }
}

static void put_man(const struct docgen *docgen, FILE *out)
{
    fputs(".TH ATOLL 1 \"\" \"Atoll\" \"User Commands\"\n.SH NAME\n"
          "atoll \\- peer\\-to\\-peer cluster cache for training data\n.SH SYNOPSIS\n"
          ".B atoll\n.I COMMAND\n[ARGUMENTS]\n.SH COMMANDS\n",
          out);
    for (uint32_t i = 0; i < docgen->command_count; i++) {
        fputs(".TP\n.B ", out);
        put_roff(docgen->commands[i].name, out);
        fputc('\n', out);
        put_roff(docgen->commands[i].summary, out);
        fputc('\n', out);
    }
    fputs(".SH DETAILS\n", out);
    each_table(docgen, out, put_man_table);
    fputs(
        ".SH ENVIRONMENT\n"
        "Most options may be given as ATOLL_NAME, in capitals and with '_' for '\\-'; a flag goes "
        "first.\n.SH FILES\n.TP\n.I /sbin/mount.fuse.atoll\nThis program, for mount(8) and "
        "fstab(5): type fuse.atoll.\n.SH EXIT STATUS\n" ERR_EXIT_CODES ".\n.SH SEE ALSO\n"
        "fusermount3(1), mount(8), fstab(5)\n",
        out);
}

/* ---- all of them ------------------------------------------------------------------------------ */

static int write_page(const struct docgen *docgen, const char *dir, const char *name, page *put)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *out = fopen(path, "we");
    if (out != NULL) {
        put(docgen, out);
    }
    if (out == NULL || ferror(out) != 0 || fclose(out) != 0) {
        fprintf(stderr, "atoll docgen: %s: %s\n", path, strerror(errno));
        return err_exit_code(ERR_SYSTEM);
    }
    return 0;
}

int docgen_run(int argc, char **argv, const struct docgen *docgen)
{
    static const struct {
        const char *name;
        page *put;
    } pages[] = { { "options.md", put_options },     { "metrics.md", put_metrics },
                  { "errors.md", put_errors },       { "messages.md", put_messages },
                  { "scenarios.md", put_scenarios }, { "atoll.1", put_man } };
    if (argc != 2 || argv[1][0] == '-') {
        const bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
        fputs("usage: atoll docgen DIR\n\nWrites options.md, metrics.md, errors.md, messages.md, "
              "scenarios.md and atoll.1 into DIR.\n",
              help ? stdout : stderr);
        return help ? 0 : err_exit_code(ERR_INVALID);
    }
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < ARRAY_COUNT(pages); i++) {
        status = write_page(docgen, argv[1], pages[i].name, pages[i].put);
    }
    return status;
}
