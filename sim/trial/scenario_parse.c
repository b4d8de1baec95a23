/* sim/trial/scenario_parse.c: a scenario from its text: lines of words, '#' begins a comment. */
#include <string.h>

#include "sim/trial/faults.h"
#include "sim/trial/scenario_values.h"
#include "sim/trial/scenario_words.h"

#define WORDS_MAX 40
#define COUNT_MAX 100000u
#define ALL_NODES (1u << 31) /* in struct planned, until it is known how many there are */
#define TIME_MAX SEC(10LL * 365 * 86400) /* sums of some of them are no trouble */

/* One line, cut into words. */
struct line {
    struct span words[WORDS_MAX];
    uint32_t count;
    uint32_t at; /* the next one to look at */
};

struct parse {
    struct scenario *out;
    struct line line;
    const char *fault; /* NULL: none so far */
    bool readers;      /* told by the text */
    bool run;
    bool block;
    bool metadata;
    uint64_t fields;  /* a bit each */
    uint32_t weights; /* of nodes, a bit each */
    uint32_t zones;
};

static bool is(struct span word, const char *text)
{
    return span_equal(word, span_text(text));
}

static bool ends(const struct parse *parse)
{
    return parse->line.at == parse->line.count;
}

/* The next word; an empty one when there is none. */
static struct span next(struct parse *parse)
{
    return ends(parse) ? span_of("", 0) : parse->line.words[parse->line.at++];
}

/* The next word, if it is this one. */
static bool take(struct parse *parse, const char *word)
{
    const bool found = !ends(parse) && is(parse->line.words[parse->line.at], word);
    parse->line.at += found;
    return found;
}

static void wrong(struct parse *parse, const char *fault)
{
    parse->fault = parse->fault == NULL ? fault : parse->fault;
}

/* Told a second time, of two values one would be dropped without a word. */
static void once(struct parse *parse, bool before)
{
    if (before) {
        wrong(parse, "this was said before");
    }
}

/* ---- values ------------------------------------------------------------------------------------ */

static uint64_t take_count(struct parse *parse, uint64_t most)
{
    uint64_t value = 0;
    if (!parse_u64(next(parse), &value) || value > most) {
        wrong(parse, "a number is expected that is not too large");
        return 0;
    }
    return value;
}

static uint64_t take_size(struct parse *parse)
{
    uint64_t value = 0;
    if (!parse_size(next(parse), &value)) {
        wrong(parse, "a size is expected: 64KiB, 8MiB, 100MB");
    }
    return value;
}

static usec_t time_of(struct parse *parse, struct span word)
{
    int64_t value = 0;
    if (!parse_duration(word, &value)) {
        wrong(parse, "a time is expected: 300ms, 12.5s, 1h");
    } else if (value > TIME_MAX) {
        wrong(parse, "a time is ten years at most");
    }
    return value;
}

static usec_t take_time(struct parse *parse)
{
    return time_of(parse, next(parse));
}

/* Forward, or back: "-1h". */
static usec_t take_signed_time(struct parse *parse)
{
    const struct span word = next(parse);
    const bool back = word.size > 0 && word.data[0] == '-';
    return back ? -time_of(parse, span_of(word.data + 1, word.size - 1)) : time_of(parse, word);
}

/* "12.5%" in millionths. */
static int64_t share_of(struct parse *parse, struct span word)
{
    int64_t value = 0;
    if (word.size < 2 || word.data[word.size - 1] != '%' ||
        !scenario_values_decimal(span_of(word.data, word.size - 1), 4, &value) || value > 1000000) {
        wrong(parse, "a share is expected: 12.5%");
    }
    return value;
}

static void take_name(struct parse *parse, struct span word, char *out, size_t room)
{
    if (word.size == 0 || word.size >= room) {
        wrong(parse, "a name is expected that is not too long");
        return;
    }
    memcpy(out, word.data, word.size);
    out[word.size] = '\0';
}

/* ---- plain lines ------------------------------------------------------------------------------- */

static void take_value(struct parse *parse, const struct field *field)
{
    uint8_t *at = (uint8_t *)parse->out + field->offset;
    switch (field->unit) {
    case FIELD_COUNT:
        *(uint32_t *)(void *)at = (uint32_t)take_count(parse, COUNT_MAX);
        return;
    case FIELD_NUMBER:
        *(uint64_t *)(void *)at = take_count(parse, UINT64_MAX);
        return;
    case FIELD_SIZE:
        *(uint64_t *)(void *)at = take_size(parse);
        return;
    case FIELD_TIME:
        *(usec_t *)(void *)at = take_time(parse);
        return;
    case FIELD_FLAG:
        *(bool *)at = true;
        return;
    }
    BUG("a field of no unit");
}

static void take_field(struct parse *parse, const struct field *fields, uint32_t index)
{
    CHECK(index < 64);
    once(parse, (parse->fields >> index & 1) != 0);
    parse->fields |= 1ULL << index;
    take_value(parse, &fields[index]);
}

/* A line that scenario.def describes; false: it is none. */
static bool take_fields(struct parse *parse, struct span name)
{
    const struct field *fields;
    const uint32_t count = scenario_fields(&fields);
    bool known = false;
    for (uint32_t i = 0; i < count; i++) {
        if (is(name, fields[i].line)) {
            known = true;
            if (fields[i].key[0] == '\0') {
                take_field(parse, fields, i);
            }
        }
    }
    while (known && !ends(parse) && parse->fault == NULL) {
        const struct span key = next(parse);
        uint32_t i = 0;
        while (i < count && !(is(name, fields[i].line) && is(key, fields[i].key))) {
            i++;
        }
        if (i == count) {
            wrong(parse, "there is no such word in this line");
        } else {
            take_field(parse, fields, i);
        }
    }
    return known;
}

static void take_node(struct parse *parse)
{
    uint32_t index = 0;
    if (!scenario_values_number(next(parse), "node", SCENARIO_NODES_MAX, &index)) {
        wrong(parse, "a node is expected: node0");
        return;
    }
    struct scenario_node *node = &parse->out->nodes[index];
    while (!ends(parse) && parse->fault == NULL) {
        if (take(parse, "weight")) {
            once(parse, (parse->weights >> index & 1) != 0);
            parse->weights |= 1u << index;
            node->weight = (uint32_t)take_count(parse, 65535);
        } else if (take(parse, "zone")) {
            once(parse, (parse->zones >> index & 1) != 0);
            parse->zones |= 1u << index;
            take_name(parse, next(parse), node->zone, sizeof node->zone);
        } else {
            wrong(parse, "a node has a weight and a zone");
        }
    }
    if (node->weight == 0) {
        wrong(parse, "a weight is 1 at least");
    }
}

static void take_readers(struct parse *parse)
{
    struct scenario *out = parse->out;
    const uint64_t count = take_count(parse, SCENARIO_READERS_MAX);
    const struct span word = next(parse);
    uint32_t pattern = 0;
    while (pattern < READER_PATTERNS &&
           !is(word, scenario_pattern_name((enum reader_pattern)pattern))) {
        pattern++;
    }
    out->reader_count = parse->readers ? out->reader_count : 0;
    parse->readers = true;
    if (pattern == READER_PATTERNS) {
        wrong(parse, "readers are in-order, shuffled, random or listing");
    }
    if (out->reader_count + count > SCENARIO_READERS_MAX) {
        wrong(parse, "too many readers: 24 at most");
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        out->readers[out->reader_count++] = (enum reader_pattern)pattern;
    }
}

static void take_metadata(struct parse *parse)
{
    struct scenario *out = parse->out;
    const struct span word = next(parse);
    out->ttl_us = 0;
    if (is(word, "once")) {
        out->metadata = METADATA_ONCE;
    } else if (is(word, "always")) {
        out->metadata = METADATA_ALWAYS;
    } else if (span_starts_with(word, span_text("ttl="))) {
        out->metadata = METADATA_TTL;
        out->ttl_us = time_of(parse, span_of(word.data + 4, word.size - 4));
        if (out->ttl_us == 0) {
            wrong(parse, "a ttl is more than zero: ttl=10s; \"always\" asks again each time");
        }
    } else {
        wrong(parse, "metadata is once, always or ttl=TIME");
    }
}

static void take_dataset(struct parse *parse)
{
    while (!ends(parse) && parse->fault == NULL) {
        if (take(parse, "block")) {
            const uint64_t size = take_size(parse);
            once(parse, parse->block);
            parse->block = true;
            parse->out->block_size = size <= UINT32_MAX ? (uint32_t)size : 0;
        } else if (take(parse, "metadata")) {
            once(parse, parse->metadata);
            parse->metadata = true;
            take_metadata(parse);
        } else {
            wrong(parse, "a dataset has a block and metadata");
        }
    }
}

/* ---- faults ------------------------------------------------------------------------------------ */

/* One of "node1,mount0,all". */
static void take_target(struct parse *parse, struct span word, struct planned *plan)
{
    uint32_t index = 0;
    if (is(word, "all")) {
        plan->nodes |= ALL_NODES;
    } else if (scenario_values_number(word, "node", SCENARIO_NODES_MAX, &index)) {
        plan->nodes |= 1u << index;
    } else if (scenario_values_number(word, "mount", SCENARIO_MOUNTS_MAX, &index)) {
        plan->mounts |= 1u << index;
    } else {
        wrong(parse, "nodes or mounts are expected: node0,mount1");
    }
}

static void take_targets(struct parse *parse, struct planned *plan)
{
    if (take(parse, "owner-of")) {
        take_name(parse, next(parse), plan->file, sizeof plan->file);
        return;
    }
    struct span left = next(parse);
    while (parse->fault == NULL) {
        const uint8_t *comma = left.size == 0 ? NULL : memchr(left.data, ',', left.size);
        const size_t size = comma == NULL ? left.size : (size_t)(comma - left.data);
        take_target(parse, span_of(left.data, size), plan);
        if (comma == NULL) {
            return;
        }
        left = span_of(comma + 1, left.size - size - 1);
    }
}

static void take_amount(struct parse *parse, struct planned *plan)
{
    uint64_t count = 0;
    switch (plan->kind->unit) {
    case UNIT_NONE:
        return;
    case UNIT_SHARE:
        plan->amount = share_of(parse, next(parse));
        return;
    case UNIT_TIME:
        plan->amount = plan->kind->least < 0 ? take_signed_time(parse) : take_time(parse);
        return;
    case UNIT_COUNT: {
        const struct span word = next(parse);
        if (parse_u64(word, &count) && count <= COUNT_MAX) {
            plan->amount = (int64_t)count;
        } else {
            take_name(parse, word, plan->file, sizeof plan->file);
        }
        return;
    }
    }
    BUG("an amount of no unit");
}

/* at TIME KIND [WHO] [AMOUNT] [for TIME] */
static void take_fault(struct parse *parse)
{
    struct scenario *out = parse->out;
    struct planned plan = { .at_us = take_time(parse) };
    plan.kind = fault_kinds_find(next(parse));
    if (plan.kind == NULL) {
        wrong(parse, "there is no such fault");
        return;
    }
    if (plan.kind->about != ABOUT_NOTHING && plan.kind->about != ABOUT_FILES) {
        take_targets(parse, &plan);
    }
    take_amount(parse, &plan);
    plan.lasts_us = plan.kind->most_us > 0 ? USEC_NEVER : 0;
    if (take(parse, "for")) {
        plan.lasts_us = take_time(parse);
    }
    if (!ends(parse)) {
        wrong(parse, "there is a word too many");
    }
    if (out->fault_count == SCENARIO_FAULTS_MAX) {
        wrong(parse, "too many faults: 32 at most");
        return;
    }
    out->faults[out->fault_count++] = plan;
}

/* All lines have been read: "all" is as many as `nodes` says, wherever it stood. */
static void resolve_all(struct scenario *out)
{
    _Static_assert(SCENARIO_NODES_MAX < 31, "a node has the bit of all of them");
    const uint32_t count =
        out->node_count < SCENARIO_NODES_MAX ? out->node_count : SCENARIO_NODES_MAX;
    for (uint32_t i = 0; i < out->fault_count; i++) {
        struct planned *plan = &out->faults[i];
        if ((plan->nodes & ALL_NODES) != 0) {
            plan->nodes = (plan->nodes & ~ALL_NODES) | ((1u << count) - 1);
        }
    }
}

/* ---- expectations ------------------------------------------------------------------------------ */

/* Do the next words stand in `words`, with one space between two? They are taken then. */
static bool take_phrase(struct parse *parse, const char *words)
{
    const uint32_t before = parse->line.at;
    while (*words != '\0') {
        const size_t size = strcspn(words, " ");
        if (ends(parse) || !span_equal(parse->line.words[parse->line.at], span_of(words, size))) {
            parse->line.at = before;
            return false;
        }
        parse->line.at++;
        words += size + (words[size] == ' ');
    }
    return true;
}

static int64_t take_expected_value(struct parse *parse, enum expect_unit unit)
{
    int64_t value = 0;
    switch (unit) {
    case EXPECT_UNIT_NONE:
        return 0;
    case EXPECT_UNIT_RATIO:
        if (!scenario_values_decimal(next(parse), 3, &value)) {
            wrong(parse, "a ratio is expected: 1.01");
        }
        return value;
    case EXPECT_UNIT_TIME:
        return take_time(parse);
    case EXPECT_UNIT_SIZE: {
        const uint64_t size = take_size(parse);
        return size <= INT64_MAX ? (int64_t)size : INT64_MAX;
    }
    }
    BUG("a value of no unit");
}

static void take_expected(struct parse *parse)
{
    const struct expect_words *words;
    const uint32_t count = scenario_expect_words(&words);
    uint32_t kind = 0;
    while (kind < count && !take_phrase(parse, words[kind].words)) {
        kind++;
    }
    if (kind == count) {
        wrong(parse, "nothing like that can be expected");
        return;
    }
    const int64_t value = take_expected_value(parse, words[kind].unit);
    if (!ends(parse)) {
        wrong(parse, "there is a word too many");
    }
    if (parse->out->expected_count == SCENARIO_EXPECTED_MAX) {
        wrong(parse, "too many expectations: 16 at most");
        return;
    }
    parse->out->expected[parse->out->expected_count++] =
        (struct expected){ .kind = (enum expected_kind)kind, .value = value };
}

/* ---- lines ------------------------------------------------------------------------------------- */

static void take_line(struct parse *parse)
{
    const struct span name = next(parse);
    if (is(name, "node")) {
        take_node(parse);
    } else if (is(name, "readers")) {
        take_readers(parse);
    } else if (is(name, "dataset")) {
        take_dataset(parse);
    } else if (is(name, "at")) {
        take_fault(parse);
    } else if (is(name, "expect")) {
        take_expected(parse);
    } else if (!take_fields(parse, name)) {
        wrong(parse, "there is no such line");
    }
    parse->run |= is(name, "run");
}

/* Cut a line into words. */
static void cut(struct parse *parse, struct span text)
{
    size_t at = 0;
    parse->line.count = 0;
    parse->line.at = 0;
    while (at < text.size && text.data[at] != '#') {
        const size_t begin = at;
        while (at < text.size && text.data[at] > ' ' && text.data[at] != '#') {
            at++;
        }
        if (at == begin) {
            at++;
            continue;
        }
        if (parse->line.count == WORDS_MAX) {
            wrong(parse, "the line is too long");
            return;
        }
        parse->line.words[parse->line.count++] = span_of(text.data + begin, at - begin);
    }
}

/* Lines by what their meaning rests upon: one that is left out makes none of a lower rank wrong. */
enum rank { RANK_PLAIN, RANK_NODE, RANK_EXPECT, RANK_AT, RANKS };

static enum rank rank_of(struct span name)
{
    return is(name, "at")       ? RANK_AT
           : is(name, "expect") ? RANK_EXPECT
           : is(name, "node")   ? RANK_NODE
                                : RANK_PLAIN;
}

/* What is left out of a text: all of a higher rank, and of this one lines from `from` on. */
struct omitted {
    enum rank rank;
    uint32_t from;
    uint32_t last; /* out: of this rank, the last line that was taken; 0: none */
};

static bool omits(struct omitted *omitted, enum rank rank, uint32_t number)
{
    if (rank > omitted->rank || (rank == omitted->rank && number >= omitted->from)) {
        return true;
    }
    omitted->last = rank == omitted->rank ? number : omitted->last;
    return false;
}

/* NULL, or what is wrong; its line, or 0: it is in none alone. */
static const char *take_text(struct span text, struct omitted *omitted, struct scenario *out,
                             uint32_t *line)
{
    struct parse parse = { .out = out };
    uint32_t number = 0;
    scenario_defaults(out);
    omitted->last = 0;
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        const size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        number++;
        cut(&parse, span_of(text.data, size));
        if (parse.line.count > 0 && parse.fault == NULL &&
            !omits(omitted, rank_of(parse.line.words[0]), number)) {
            take_line(&parse);
        }
        if (parse.fault != NULL) {
            *line = number;
            return parse.fault;
        }
        text = span_of(text.data + size, text.size - size);
        text = text.size > 0 ? span_of(text.data + 1, text.size - 1) : text;
    }
    resolve_all(out);
    if (!parse.run) {
        out->run_us = usec_max(out->run_us, scenario_run_least(out));
    }
    *line = 0;
    return scenario_fault(out);
}

/* The line without which, and without what rests upon it, a text does not have this fault. */
static uint32_t line_of(struct span text, const char *fault)
{
    static struct scenario without;
    uint32_t line = 0;
    for (uint32_t rank = RANKS; rank-- > 0;) {
        struct omitted omitted = { .rank = (enum rank)rank, .from = UINT32_MAX };
        do {
            const char *left = take_text(text, &omitted, &without, &line);
            if (left == NULL || strcmp(left, fault) != 0) {
                return omitted.from;
            }
            omitted.from = omitted.last;
        } while (omitted.from > 0);
    }
    BUG("what is said when nothing is said has a fault");
}

enum err scenario_parse(struct span text, struct scenario *out, struct text *why)
{
    struct omitted nothing = { .rank = RANK_AT, .from = UINT32_MAX };
    uint32_t line = 0;
    const char *fault = take_text(text, &nothing, out, &line);
    if (fault == NULL) {
        return ERR_OK;
    }
    text_str(why, "line ");
    text_u64(why, line > 0 ? line : line_of(text, fault));
    text_str(why, ": ");
    text_str(why, fault);
    return ERR_INVALID;
}
