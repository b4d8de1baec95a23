/* cli/keygen.h: the tables of `atoll keygen`. */
#pragma once
#include "node/io/options.h"

extern const struct options_table keygen_cluster_table;
extern const struct options_table keygen_client_table;
extern const struct options_table keygen_key_table;
