/* node/core/report_outages.c: outages on their way from node to node, and to operators.
 *
 * A line: "outage <dataset> <source> <kind> <err> <since> <last> <failures> <mute> <said ...>". */
#include "node/core/report_gather.h"

#define WORD "outage "
#define HEX_SIZE (2 * (size_t)ID_SIZE)

/* ---- lines ------------------------------------------------------------------------------- */

static void put_number(struct text *text, uint64_t number)
{
    text_u64(text, number);
    text_char(text, ' ');
}

void report_outages_put(struct node *node, struct text *text)
{
    const struct outage *outage = outages_next(node, NULL);
    for (; outage != NULL; outage = outages_next(node, outage)) {
        text_str(text, WORD);
        text_hex(text, outage->dataset.b, ID_SIZE);
        text_char(text, ' ');
        text_hex(text, outage->source.b, ID_SIZE);
        text_char(text, ' ');
        put_number(text, (uint64_t)outage->kind);
        put_number(text, (uint64_t)outage->err);
        put_number(text, (uint64_t)outage->since_us);
        put_number(text, (uint64_t)outage->last_us);
        put_number(text, outage->failures);
        put_number(text, outage->mute);
        text_span(text, span_of(outage->said, outage->said_size));
        text_char(text, '\n');
    }
}

/* The next word of a line, and what is behind it. */
static struct span word(struct span *line)
{
    const uint8_t *space = line->size == 0 ? NULL : memchr(line->data, ' ', line->size);
    size_t size = space == NULL ? line->size : (size_t)(space - line->data);
    struct span found = span_of(line->data, size);
    size += space == NULL ? 0 : 1;
    *line = span_of(line->data + size, line->size - size);
    return found;
}

static bool number(struct span *line, uint64_t most, uint64_t *out)
{
    return parse_u64(word(line), out) && *out <= most;
}

static bool read_line(struct span line, struct gather_outage *out)
{
    uint64_t kind;
    uint64_t err;
    uint64_t since_us;
    uint64_t last_us;
    uint64_t mute;
    struct span dataset = word(&line);
    struct span source = word(&line);
    bool fine = dataset.size == HEX_SIZE && id_parse(dataset, out->dataset.b) &&
                source.size == HEX_SIZE && id_parse(source, out->source.b) &&
                number(&line, OUTAGE_READ, &kind) && number(&line, UINT32_MAX, &err) &&
                number(&line, INT64_MAX, &since_us) && number(&line, INT64_MAX, &last_us) &&
                number(&line, UINT64_MAX, &out->failures) && number(&line, 1, &mute);
    if (!fine) {
        return false;
    }
    out->kind = (enum outage_kind)kind;
    out->err = err_from_wire(err);
    out->since_us = (usec_t)since_us;
    out->last_us = (usec_t)last_us;
    out->mute = mute == 1;
    out->said_size = (uint32_t)(line.size < sizeof out->said ? line.size : sizeof out->said);
    memcpy(out->said, out->said_size > 0 ? line.data : (const uint8_t *)out->said, out->said_size);
    return true;
}

/* ---- gathering --------------------------------------------------------------------------- */

static bool is_same(const struct gather_outage *a, const struct gather_outage *b)
{
    return a->kind == b->kind && a->err == b->err && dataset_id_equal(a->dataset, b->dataset) &&
           source_id_equal(a->source, b->source);
}

/* Whose words to show: a store's own, and the newest of them. */
static bool is_better(const struct gather_outage *one, const struct gather_outage *than)
{
    return one->mute == than->mute ? one->last_us > than->last_us : than->mute;
}

static void gather_outage(struct gather *gather, const struct gather_outage *one)
{
    for (uint32_t i = 0; i < gather->outage_count; i++) {
        struct gather_outage *sum = &gather->outages[i];
        if (!is_same(sum, one)) {
            continue;
        }
        sum->nodes++;
        sum->failures += one->failures;
        sum->since_us = usec_min(sum->since_us, one->since_us);
        if (is_better(one, sum)) {
            sum->mute = one->mute;
            sum->said_size = one->said_size;
            memcpy(sum->said, one->said, sizeof sum->said);
        }
        sum->last_us = usec_max(sum->last_us, one->last_us);
        return;
    }
    if (gather->outage_count == GATHER_OUTAGES_MAX) {
        gather->outages_left_out++;
        return;
    }
    gather->outages[gather->outage_count] = *one;
    gather->outages[gather->outage_count].nodes = 1;
    gather->outage_count++;
}

bool report_outages_take(struct gather *gather, struct node_id from, struct span line)
{
    struct gather_outage outage = { .node = from };
    struct span begin = span_text(WORD);
    if (!span_starts_with(line, begin)) {
        return false;
    }
    if (gather->kind == GATHER_STATUS &&
        read_line(span_of(line.data + begin.size, line.size - begin.size), &outage)) {
        gather_outage(gather, &outage);
    }
    return true;
}

void report_outages_here(struct node *node, struct gather *gather)
{
    const struct outage *outage = outages_next(node, NULL);
    for (; outage != NULL; outage = outages_next(node, outage)) {
        struct gather_outage one = { .kind = outage->kind,
                                     .dataset = outage->dataset,
                                     .source = outage->source,
                                     .err = outage->err,
                                     .since_us = outage->since_us,
                                     .last_us = outage->last_us,
                                     .failures = outage->failures,
                                     .mute = outage->mute,
                                     .node = node->options.id,
                                     .said_size = outage->said_size };
        memcpy(one.said, outage->said, sizeof one.said);
        gather_outage(gather, &one);
    }
}

/* ---- metrics ----------------------------------------------------------------------------- */

/* The value of a label. */
static void put_label(struct text *text, const char *name, const char *value)
{
    text_str(text, name);
    text_str(text, "=\"");
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\') {
            text_char(text, '\\');
        }
        text_char(text, *value);
    }
    text_char(text, '"');
}

static void put_series(struct node *node, struct text *text, const struct outage *outage)
{
    const struct dataset *dataset = catalog_find(node, outage->dataset);
    const struct dataset_row *row = catalog_row(dataset, outage->source);
    text_str(text, "atoll_source_failing_seconds{");
    put_label(text, "dataset", dataset->name);
    put_label(text, ",source", row->uri);
    put_label(text, ",credential", row->credential);
    put_label(text, ",requests", outage_word(outage->kind));
    put_label(text, ",error", err_name(outage->err));
    text_str(text, "} ");
    text_fixed(text, outage_age_us(node, outage), 6);
    text_char(text, '\n');
}

void report_outages_metrics(struct node *node, struct text *text)
{
    const struct outage *outage = outages_next(node, NULL);
    if (outage != NULL) {
        text_str(text, "# HELP atoll_source_failing_seconds How long a dataset's source has failed "
                       "every request of a kind\n"
                       "# TYPE atoll_source_failing_seconds gauge\n");
    }
    for (; outage != NULL; outage = outages_next(node, outage)) {
        put_series(node, text, outage);
    }
}
