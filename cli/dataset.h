/* cli/dataset.h: the tables of `atoll dataset`. */
#pragma once
#include "node/io/options.h"

extern const struct options_table dataset_create_table;
extern const struct options_table dataset_list_table;
extern const struct options_table dataset_show_table;
extern const struct options_table dataset_delete_table;
extern const struct options_table dataset_refresh_table;
