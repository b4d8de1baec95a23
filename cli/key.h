/* cli/key.h: `atoll key list|rotate|export`. */
#pragma once
#include "node/io/options.h"

extern const struct options_table key_list_table;
extern const struct options_table key_rotate_table;
extern const struct options_table key_export_table;
