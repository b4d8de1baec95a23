/* sim/trial/scenario_values.h: values in the text of a scenario that nothing else has. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* "12.5": digits before and behind a point, times 10^decimals. false: it is none, or has more. */
bool scenario_values_decimal(struct span word, uint32_t decimals, int64_t *out);
/* "node3" -> 3, by its prefix; false: it is none, or `most` or more. */
bool scenario_values_number(struct span word, const char *prefix, uint32_t most, uint32_t *out);
