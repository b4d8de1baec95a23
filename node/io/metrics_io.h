/* node/io/metrics_io.h: numbers of the process in Prometheus' text form (metrics_io.def). */
#pragma once
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "gossip/gossip.h"
#include "node/io/fetch.h"
#include "node/io/links.h"

struct metrics_io {
    struct links_totals links;
    struct gossip_stats gossip;
    struct fetch_totals fetch;
    usec_t start_us; /* wall clock */
};

void metrics_io_put(const struct metrics_io *metrics, struct text *text);
/* Both tables, this one and the core's, as Markdown. */
void metrics_io_page(FILE *out);
