/* node/io/draft.h: a dataset as people write it, made into a record of wire/dataset.h. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "wire/dataset.h"

/* One row; what was not said is NULL. */
struct draft_row {
    const char *path; /* below the dataset's root */
    const char *uri;
    const char *endpoint;
    const char *region;
    const char *credential;
    bool path_style;
};

/* An empty dataset of this name with the default block size and policy. ERR_INVALID: too long. */
enum err draft_begin(struct dataset *dataset, const char *name, struct text *why) MUST_USE;
enum err draft_add(struct dataset *dataset, const struct draft_row *row, struct text *why) MUST_USE;
/* "once", "always", "ttl=SECS". */
enum err draft_policy(struct dataset *dataset, const char *policy, struct text *why) MUST_USE;

/* The body of POST /api/v1/datasets:
 *   {"name": "imagenet", "rows": [{"path": "", "uri": "s3://bucket/prefix", "endpoint": "…",
 *    "region": "…", "credential": "…"}], "block_size": 4194304, "selector": "disk=nvme",
 *    "metadata": "once", "path_style": false}
 * Only name and rows with their uri must be there; an unknown key is refused. */
enum err draft_parse(const char *body, size_t size, struct dataset *out, struct text *why) MUST_USE;
