/* sim/trial/scenario_write.c: a scenario as a text. */
#include <string.h>

#include "sim/trial/scenario_words.h"

/* ---- values ------------------------------------------------------------------------------------ */

/* value / 10^decimals, no zeros at its end. */
static void put_decimal(struct text *out, int64_t value, uint32_t decimals)
{
    while (decimals > 0 && value % 10 == 0) {
        value /= 10;
        decimals--;
    }
    text_fixed(out, value, decimals);
}

static void put_time(struct text *out, usec_t us)
{
    const bool is_short = us > -MSEC(1) && us < MSEC(1);
    put_decimal(out, us, is_short ? 3 : 6);
    text_str(out, is_short ? "ms" : "s");
}

static void put_size(struct text *out, uint64_t size)
{
    static const struct {
        uint64_t factor;
        const char *name;
    } units[] = { { 1u << 20, "MiB" }, { 1000000, "MB" }, { 1u << 10, "KiB" } };
    for (uint32_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (size >= units[i].factor && size % units[i].factor == 0) {
            text_u64(out, size / units[i].factor);
            text_str(out, units[i].name);
            return;
        }
    }
    text_u64(out, size);
}

/* ---- plain lines ------------------------------------------------------------------------------- */

static void put_value(struct text *out, enum field_unit unit, const uint8_t *at)
{
    switch (unit) {
    case FIELD_COUNT:
        text_u64(out, *(const uint32_t *)(const void *)at);
        return;
    case FIELD_NUMBER:
        text_u64(out, *(const uint64_t *)(const void *)at);
        return;
    case FIELD_SIZE:
        put_size(out, *(const uint64_t *)(const void *)at);
        return;
    case FIELD_TIME:
        put_time(out, *(const usec_t *)(const void *)at);
        return;
    case FIELD_FLAG:
        return;
    }
    BUG("a field of no unit");
}

static void put_fields(const struct scenario *scenario, struct text *out)
{
    const struct field *fields;
    const uint32_t count = scenario_fields(&fields);
    for (uint32_t i = 0; i < count; i++) {
        const struct field *field = &fields[i];
        const uint8_t *at = (const uint8_t *)scenario + field->offset;
        const bool begins = i == 0 || strcmp(field->line, fields[i - 1].line) != 0;
        const bool left_out = field->unit == FIELD_FLAG && !*(const bool *)at;
        if (begins) {
            text_str(out, i == 0 ? "" : "\n");
            text_str(out, field->line);
        }
        if (left_out) {
            continue;
        }
        if (field->key[0] != '\0') {
            text_char(out, ' ');
            text_str(out, field->key);
        }
        if (field->unit != FIELD_FLAG) {
            text_char(out, ' ');
            put_value(out, field->unit, at);
        }
    }
    text_char(out, '\n');
}

static void put_nodes(const struct scenario *scenario, struct text *out)
{
    for (uint32_t i = 0; i < scenario->node_count; i++) {
        const struct scenario_node *node = &scenario->nodes[i];
        if (node->weight == SCENARIO_WEIGHT_USUAL && node->zone[0] == '\0') {
            continue;
        }
        text_str(out, "node node");
        text_u64(out, i);
        if (node->weight != SCENARIO_WEIGHT_USUAL) {
            text_str(out, " weight ");
            text_u64(out, node->weight);
        }
        if (node->zone[0] != '\0') {
            text_str(out, " zone ");
            text_str(out, node->zone);
        }
        text_char(out, '\n');
    }
}

/* Neighbours of one pattern in a line. */
static void put_readers(const struct scenario *scenario, struct text *out)
{
    uint32_t i = 0;
    while (i < scenario->reader_count) {
        uint32_t end = i;
        while (end < scenario->reader_count && scenario->readers[end] == scenario->readers[i]) {
            end++;
        }
        text_str(out, "readers ");
        text_u64(out, end - i);
        text_char(out, ' ');
        text_str(out, scenario_pattern_name(scenario->readers[i]));
        text_char(out, '\n');
        i = end;
    }
}

static void put_dataset(const struct scenario *scenario, struct text *out)
{
    text_str(out, "dataset block ");
    put_size(out, scenario->block_size);
    text_str(out, " metadata ");
    switch (scenario->metadata) {
    case METADATA_ONCE:
        text_str(out, "once");
        break;
    case METADATA_TTL:
        text_str(out, "ttl=");
        put_time(out, scenario->ttl_us);
        break;
    case METADATA_ALWAYS:
        text_str(out, "always");
        break;
    }
    text_char(out, '\n');
}

/* ---- faults and expectations ------------------------------------------------------------------- */

static void put_names(struct text *out, const char *prefix, uint32_t mask, bool *first)
{
    for (uint32_t i = 0; mask >> i != 0; i++) {
        if ((mask >> i & 1) != 0) {
            text_str(out, *first ? " " : ",");
            text_str(out, prefix);
            text_u64(out, i);
            *first = false;
        }
    }
}

static void put_amount(struct text *out, const struct planned *plan)
{
    switch (plan->kind->unit) {
    case UNIT_NONE:
        return;
    case UNIT_SHARE:
        text_char(out, ' ');
        put_decimal(out, plan->amount, 4);
        text_char(out, '%');
        return;
    case UNIT_TIME:
        text_char(out, ' ');
        put_time(out, plan->amount);
        return;
    case UNIT_COUNT:
        if (plan->file[0] == '\0') {
            text_char(out, ' ');
            text_u64(out, (uint64_t)plan->amount);
        }
        return;
    }
    BUG("an amount of no unit");
}

static void put_fault(const struct planned *plan, struct text *out)
{
    bool first = true;
    text_str(out, "at ");
    put_time(out, plan->at_us);
    text_char(out, ' ');
    text_str(out, plan->kind->name);
    if (plan->file[0] != '\0') {
        text_str(out, plan->kind->about == ABOUT_NODES ? " owner-of " : " ");
        text_str(out, plan->file);
    } else {
        put_names(out, "node", plan->nodes, &first);
        put_names(out, "mount", plan->mounts, &first);
    }
    put_amount(out, plan);
    if (plan->lasts_us != 0 && plan->lasts_us != USEC_NEVER) {
        text_str(out, " for ");
        put_time(out, plan->lasts_us);
    }
    text_char(out, '\n');
}

static void put_expected(const struct expected *expected, struct text *out)
{
    const struct expect_words *words;
    (void)scenario_expect_words(&words);
    words += expected->kind;
    text_str(out, "expect ");
    text_str(out, words->words);
    if (words->unit != EXPECT_UNIT_NONE) {
        text_char(out, ' ');
    }
    switch (words->unit) {
    case EXPECT_UNIT_NONE:
        break;
    case EXPECT_UNIT_RATIO:
        put_decimal(out, expected->value, 3);
        break;
    case EXPECT_UNIT_TIME:
        put_time(out, expected->value);
        break;
    case EXPECT_UNIT_SIZE:
        put_size(out, (uint64_t)expected->value);
        break;
    }
    text_char(out, '\n');
}

void scenario_write(const struct scenario *scenario, struct text *out)
{
    put_fields(scenario, out);
    put_nodes(scenario, out);
    put_readers(scenario, out);
    put_dataset(scenario, out);
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        put_fault(&scenario->faults[i], out);
    }
    for (uint32_t i = 0; i < scenario->expected_count; i++) {
        put_expected(&scenario->expected[i], out);
    }
}
