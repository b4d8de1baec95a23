/* node/io/config.h: what `atoll node` was told, checked (options.def). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/time.h"
#include "node/io/options.h"
#include "ring/view.h"
#include "wire/trust.h"

#define CONFIG_TIERS_MAX 4
#define CONFIG_ROOTS_MAX 16
#define CONFIG_PATH_MAX 1024

struct config_tier {
    char dir[CONFIG_PATH_MAX];
    uint64_t quota;
};

struct config {
    char name[MEMBER_NAME_MAX + 1];
    struct address listen; /* gossip UDP and control TCP; data is one port higher */
    struct address advertise;
    char seeds[4096]; /* "" : this node starts a cluster */
    bool insecure;
    struct cluster_keys keys; /* name and slots_log2 also under insecure */
    uint64_t memory;
    struct config_tier tiers[CONFIG_TIERS_MAX];
    uint32_t tier_count;
    uint32_t weight; /* 0: from the tiers' quota or memory */
    usec_t drain_us;
    uint64_t hand_on_above; /* bytes a second */
    char zone[MEMBER_ZONE_MAX + 1];
    char labels[MEMBER_LABELS_MAX + 1]; /* sorted */
    char data_dir[CONFIG_PATH_MAX];
    char credentials_dir[CONFIG_PATH_MAX]; /* "": none */
    char roots[CONFIG_ROOTS_MAX][CONFIG_PATH_MAX];
    uint32_t root_count;
    char admin_host[256];
    uint16_t admin_port; /* 0: no HTTP */
    char admin_token_file[CONFIG_PATH_MAX];
    int log_level; /* enum log_level */
};

extern const struct options_table config_table;

/* From parsed options. ERR_INVALID and others with a line in `why`. */
enum err config_make(const struct options *options, struct config *out, struct text *why) MUST_USE;
/* "DIR:QUOTA" */
enum err config_tier_parse(const char *text, struct config_tier *out, struct text *why) MUST_USE;
