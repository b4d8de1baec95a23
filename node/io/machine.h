/* node/io/machine.h: how much memory there is for this process. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"

/* The machine's memory, or less where a control group (v2 or v1) that the process is in, or one above
 * it, allows less. */
uint64_t machine_memory(void);
/* The same with the kernel's files below another root than "/". */
uint64_t machine_memory_below(const char *root);
/* ERR_INVALID with a line in `why`: `memory`, which --memory says, is more than that. Whoever used it
 * would be killed for it, later. */
enum err machine_check_memory(uint64_t memory, struct text *why) MUST_USE;
