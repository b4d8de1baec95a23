/* cli/node.h: the table of `atoll node weight`. */
#pragma once
#include "node/io/options.h"

extern const struct options_table node_weight_table;
