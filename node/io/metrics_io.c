/* node/io/metrics_io.c: reads /proc/self, writes the table. */
#include "node/io/metrics_io.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atoll_version.h"

struct process_numbers {
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t cpu_us;
    uint64_t start_us;
};

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 3; /* ".", ".." and the one just opened */
}

static uint64_t cpu_us(void)
{
    struct timespec at = { 0 };
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

struct line {
    const char *series;
    const char *labels;
    const char *type;
    const char *help;
    uint64_t value;
};

static void put_value(struct text *text, const struct line *line)
{
    if (strcmp(line->type, "permille") == 0) {
        text_fixed(text, (int64_t)line->value, 3);
    } else if (strcmp(line->type, "microseconds") == 0) {
        text_fixed(text, (int64_t)line->value, 6);
    } else {
        text_u64(text, line->value);
    }
}

static void put_line(struct text *text, const struct line *line)
{
    if (line->help[0] != 0) {
        const bool counter = strstr(line->series, "_total") != NULL;
        text_str(text, "# HELP ");
        text_str(text, line->series);
        text_char(text, ' ');
        text_str(text, line->help);
        text_str(text, "\n# TYPE ");
        text_str(text, line->series);
        text_str(text, counter ? " counter\n" : " gauge\n");
    }
    text_str(text, line->series);
    if (line->labels[0] != 0) {
        text_char(text, '{');
        text_str(text, line->labels);
        text_char(text, '}');
    }
    text_char(text, ' ');
    put_value(text, line);
    text_char(text, '\n');
}

void metrics_io_put(const struct metrics_io *metrics, struct text *text)
{
    const struct links_totals links = metrics->links;
    const struct gossip_stats gossip = metrics->gossip;
    const struct fetch_totals fetch = metrics->fetch;
    const struct process_numbers process = { .resident_bytes = resident_bytes(),
                                             .open_fds = open_fds(),
                                             .cpu_us = cpu_us(),
                                             .start_us = (uint64_t)metrics->start_us };
    const struct line lines[] = {
#define IO_METRIC(series_, labels_, type_, help_, value_) \
    { .series = #series_, .labels = labels_, .type = type_, .help = help_, .value = value_ },
#include "node/io/metrics_io.def"
#undef IO_METRIC
    };
    text_str(text,
             "# HELP atoll_build_info The version that runs\n"
             "# TYPE atoll_build_info gauge\natoll_build_info{version=\"" ATOLL_VERSION "\"} 1\n");
    for (uint32_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        put_line(text, &lines[i]);
    }
}

/* ---- the page in docs/generated --------------------------------------------------------------- */

struct page_line {
    const char *series;
    const char *labels;
    const char *type;
    const char *help;
};

/* Series of one name stand together; the first has the help. */
static void put_page_line(const struct page_line *line, FILE *out)
{
    if (line->help[0] != 0) {
        const bool counter = strstr(line->series, "_total") != NULL;
        fprintf(out, "\n### `%s`\n\n%s. %s\n", line->series, counter ? "Counter" : "Gauge",
                line->help);
    }
    if (line->labels[0] != 0) {
        fprintf(out, "- `{%s}`\n", line->labels);
    }
}

void metrics_io_page(FILE *out)
{
    static const struct page_line lines[] = {
#define METRIC(field_, series_, labels_, kind_, help_) \
    { .series = "atoll_" #series_, .labels = labels_, .type = #kind_, .help = help_ },
#include "node/core/metrics.def"
#undef METRIC
#define IO_METRIC(series_, labels_, type_, help_, value_) \
    { .series = #series_, .labels = labels_, .type = type_, .help = help_ },
#include "node/io/metrics_io.def"
#undef IO_METRIC
    };
    fputs("# Metrics\n\nWhat `/metrics` of a node's admin address shows, in Prometheus' text form."
          " Sizes are bytes, times\nseconds, ratios 0 to 1.\n",
          out);
    for (uint32_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        put_page_line(&lines[i], out);
    }
}
