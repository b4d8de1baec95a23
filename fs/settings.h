/* fs/settings.h: what `atoll mount` was told, checked. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/time.h"
#include "node/io/keys.h"
#include "node/io/options.h"

#define SETTINGS_PATH_MAX 4096

struct settings {
    char dataset[65];            /* with nodes */
    char prefix[1025];           /* below it; "" or ends in "/" */
    char uri[1600];              /* without nodes: a private one; else "" */
    char source[1600];           /* dataset and prefix, or the URI, as they were given */
    char dir[SETTINGS_PATH_MAX]; /* absolute; or "/dev/fd/N" */
    bool inherited;              /* the kernel's end is mounted already, ours is dir */
    char seeds[4096];
    bool insecure;
    struct client_keys keys; /* the cluster's name and constants also under insecure */
    uint64_t memory;
    bool foreground;
    bool hard;
    usec_t timeo_us;
    uint32_t uid, gid, file_mode, dir_mode;
    bool allow_other;
    bool nonempty;
    bool noexec;
    int log_level;
    /* of a private node */
    const char *endpoint, *region, *credential, *credentials_dir, *tier;
    uint64_t block_size;
    bool path_style;
    usec_t ttl_us; /* < 0: a listing is believed for ever; 0: not at all */
};

extern const struct options_table settings_table;

/* From parsed options, which must outlive *out; what -o says of options that have a flag is set in
 * them. Failures have a line in `why`. */
enum err settings_make(struct options *options, struct settings *out, struct text *why) MUST_USE;
