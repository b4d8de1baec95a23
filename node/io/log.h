/* node/io/log.h: lines in logfmt, from any thread, on stderr or, once it is open, to the system's log
 * (system_log.h).
 *
 *   ts=2026-11-22T16:43:00.123456Z level=info msg=node.ready name=a listen=127.0.0.1:7700
 *
 * Of one msg at most 20 lines a second are written; the next one tells how many were left out.
 * Values are quoted where they must be. Nobody ever passes a secret, a signed URL or a token. */
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "node/core/node.h" /* enum log_level */

struct log_field {
    const char *key;
    const char *text; /* NULL: the number */
    uint64_t number;
};

/* Lines above this level are dropped. Before it is called: LOG_INFO. */
void log_level_set(enum log_level level);
/* "error" "warn" "info" "debug"; false: none of these, *out untouched. */
bool log_level_parse(const char *text, enum log_level *out);
/* The first field is the msg; they end at the first without a key. */
void log_event(enum log_level level, const struct log_field *fields);
/* As NODE_LOG and MOUNT_LOG carry it: the msg, then logfmt fields as they are. */
void log_text(enum log_level level, struct span text);

/* LOG(LOG_WARN, "disk.failed", LOG_TEXT("dir", dir), LOG_NUM("errno", errno)); */
#define LOG(level, msg, ...) \
    log_event(level, (const struct log_field[]){ LOG_TEXT("msg", msg), ##__VA_ARGS__, { 0 } })
#define LOG_TEXT(name, value)          \
    {                                  \
        .key = (name), .text = (value) \
    }
#define LOG_NUM(name, value)                       \
    {                                              \
        .key = (name), .number = (uint64_t)(value) \
    }
