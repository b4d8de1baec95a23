/* node/core/metrics.h: the numbers of metrics.def as a structure. */
#pragma once
#include <stdint.h>

struct node;

enum metric_kind { METRIC_COUNTER, METRIC_COUNTER_US, METRIC_GAUGE };

struct metrics {
#define METRIC(field, series, labels, kind, help) uint64_t field;
#include "node/core/metrics.def"
#undef METRIC
};

/* One row of the table, for whoever renders it. */
struct metric {
    const char *series; /* without "atoll_" */
    const char *labels; /* "" or k="v" */
    const char *help;   /* "" for the series' further rows */
    enum metric_kind kind;
    uint64_t value;
};

uint32_t metrics_count(void);
/* Row `index` with its value; call metrics_gauges first. */
struct metric metrics_at(const struct node *node, uint32_t index);
/* Compute the gauges. */
void metrics_gauges(struct node *node);
