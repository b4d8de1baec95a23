/* sim/trial/scenario_words.h: tables that reading and writing a scenario share. Nobody else includes
 * it. */
#pragma once
#include "sim/trial/fault_kinds.h"
#include "sim/trial/scenario.h"

enum field_unit { FIELD_COUNT, FIELD_NUMBER, FIELD_SIZE, FIELD_TIME, FIELD_FLAG };

struct field {
    const char *line;
    const char *key; /* "": the first value of the line */
    enum field_unit unit;
    size_t offset; /* in struct scenario */
};

enum expect_unit { EXPECT_UNIT_NONE, EXPECT_UNIT_RATIO, EXPECT_UNIT_TIME, EXPECT_UNIT_SIZE };

struct expect_words {
    const char *words; /* before the value */
    enum expect_unit unit;
};

uint32_t scenario_fields(const struct field **out);
uint32_t scenario_expect_words(const struct expect_words **out);
/* Of a reader: "in-order", ... */
const char *scenario_pattern_name(enum reader_pattern pattern);
