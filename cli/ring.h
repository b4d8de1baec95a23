/* cli/ring.h: the tables of `atoll ring`. */
#pragma once
#include "node/io/options.h"

extern const struct options_table ring_table;
extern const struct options_table ring_diff_table;
