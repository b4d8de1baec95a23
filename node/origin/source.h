/* node/origin/source.h: a store and a bucket (or root directory), and how URIs name it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/id.h"
#include "base/text.h"

#define SOURCE_HOST_MAX 255
#define SOURCE_BUCKET_MAX 511 /* a bucket, or an absolute directory */
#define SOURCE_PREFIX_MAX 1024
#define SOURCE_REGION_MAX 63

enum source_kind { SOURCE_FILE, SOURCE_S3, SOURCE_OSS };

struct source {
    enum source_kind kind;
    bool tls;
    bool path_style;                /* else virtual-host style: the bucket in the host name */
    char host[SOURCE_HOST_MAX + 1]; /* host[:port] of the endpoint; "" for file:// */
    char bucket[SOURCE_BUCKET_MAX + 1];
    char region[SOURCE_REGION_MAX + 1];
};

/* What a person wrote: the URI and the options beside it; empty spans where nothing was said. */
struct source_text {
    struct span uri;      /* s3://bucket/prefix/, oss://bucket/prefix/, file:///root/prefix/ */
    struct span endpoint; /* [http[s]://]host[:port][;path-style|;virtual-host] */
    struct span region;
};

/* Parse; `prefix` (SOURCE_PREFIX_MAX + 1 bytes) gets the key prefix, "" or ending in "/". For
 * file:// the whole path is the root and the prefix is empty. ERR_INVALID, with a line in `why`
 * that says what is wrong and what to write instead; *out and prefix are untouched then. */
enum err source_parse(const struct source_text *text, struct source *out, char *prefix,
                      struct text *why) MUST_USE;
/* The source's lasting identity: scheme, endpoint host and bucket. */
struct source_id source_identity(const struct source *source);
/* "s3://bucket", "file:///root": the URI without a prefix, for the dataset record. */
void source_uri(const struct source *source, struct text *out);
/* true for link-local and cloud metadata addresses, which are never a store. */
bool source_host_is_refused(struct span host);
