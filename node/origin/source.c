/* node/origin/source.c: parsing of URIs and endpoints. */
#include "node/origin/source.h"

#define QUOTED_MAX 100

/* Takes `head` off the front of *text. */
static bool take(struct span *text, const char *head)
{
    struct span prefix = span_text(head);
    if (!span_starts_with(*text, prefix)) {
        return false;
    }
    *text = span_of(text->data + prefix.size, text->size - prefix.size);
    return true;
}

/* Everything before the first `c`; *text keeps what follows it, or becomes empty. */
static struct span cut(struct span *text, char c)
{
    const uint8_t *at = text->size == 0 ? NULL : memchr(text->data, c, text->size);
    struct span head = *text;
    if (at == NULL) {
        *text = span_of(text->data + text->size, 0);
        return head;
    }
    head.size = (size_t)(at - text->data);
    *text = span_of(at + 1, text->size - head.size - 1);
    return head;
}

static bool copy(char *to, size_t room, struct span from)
{
    if (from.size >= room) {
        return false;
    }
    for (size_t i = 0; i < from.size; i++) {
        if (from.data[i] == 0) {
            return false;
        }
        to[i] = (char)from.data[i];
    }
    to[from.size] = '\0';
    return true;
}

bool source_host_is_refused(struct span host)
{
    /* What a name leads to is looked at again when a connection opens. */
    static const char *const refused[] = { "169.254.",  "[fe8",      "[fe9",
                                           "[fea",      "[feb",      "100.100.100.200",
                                           "metadata.", "[fd00:ec2:" };
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        if (span_starts_with(host, span_text(refused[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_bracket_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.';
}

/* How much of `host` is the name or bracketed address in front of a port; 0: neither. */
static size_t name_size(struct span host)
{
    size_t i = 0;
    if (host.size > 0 && host.data[0] == '[') {
        for (i = 1; i < host.size && is_bracket_char(host.data[i]); i++) {
        }
        return i < host.size && host.data[i] == ']' ? i + 1 : 0;
    }
    while (i < host.size && is_name_char(host.data[i])) {
        i++;
    }
    return i;
}

static bool host_is_valid(struct span host)
{
    uint64_t port;
    size_t name = name_size(host);
    if (name == 0 || name > SOURCE_HOST_MAX - 6 || name == host.size) {
        return name > 0 && name <= SOURCE_HOST_MAX - 6;
    }
    return host.data[name] == ':' &&
           parse_u64(span_of(host.data + name + 1, host.size - name - 1), &port) && port > 0 &&
           port <= 65535 && host.size <= SOURCE_HOST_MAX;
}

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool bucket_is_valid(struct span bucket)
{
    for (size_t i = 0; i < bucket.size; i++) {
        uint8_t c = bucket.data[i];
        if (!is_alnum(c) && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return bucket.size > 0 && bucket.size <= 255 && is_alnum(bucket.data[0]) &&
           is_alnum(bucket.data[bucket.size - 1]);
}

/* A region becomes part of a host name. */
static bool region_is_valid(struct span region)
{
    for (size_t i = 0; i < region.size; i++) {
        if (!is_alnum(region.data[i]) && region.data[i] != '-') {
            return false;
        }
    }
    return region.size <= SOURCE_REGION_MAX;
}

/* Old S3 buckets have names that no host name, or no certificate, covers. */
static bool bucket_fits_host(const char *bucket)
{
    for (const char *c = bucket; *c != '\0'; c++) {
        if ((*c >= 'A' && *c <= 'Z') || *c == '.' || *c == '_') {
            return false;
        }
    }
    return strlen(bucket) <= 63;
}

/* An address: digits and dots with a port, or a bracketed one. */
static bool host_is_address(struct span host)
{
    if (host.size > 0 && host.data[0] == '[') {
        return true;
    }
    for (size_t i = 0; i < host.size && host.data[i] != ':'; i++) {
        uint8_t c = host.data[i];
        if (c != '.' && (c < '0' || c > '9')) {
            return false;
        }
    }
    return true;
}

/* What was written, fit for a terminal and a line. */
static void quote(struct text *why, struct span value)
{
    text_str(why, " \"");
    for (size_t i = 0; i < value.size && i < QUOTED_MAX; i++) {
        text_char(why, value.data[i] < 0x20 || value.data[i] == 0x7f ? '?' : (char)value.data[i]);
    }
    text_str(why, value.size > QUOTED_MAX ? "...\": " : "\": ");
}

static enum err refuse(struct text *why, const char *what, struct span value, const char *then)
{
    text_str(why, what);
    quote(why, value);
    text_str(why, then);
    return ERR_INVALID;
}

static enum err default_host(struct source *source, struct text *why)
{
    struct text host;
    if (source->region[0] == '\0' && source->kind == SOURCE_OSS) {
        return refuse(why, "no --region or --endpoint for", span_text(source->bucket),
                      "give --region such as cn-hangzhou");
    }
    text_init(&host, source->host, sizeof source->host);
    text_str(&host, source->kind == SOURCE_OSS ? "oss-" : "s3.");
    text_str(&host, source->region);
    text_str(&host, source->kind == SOURCE_OSS ? ".aliyuncs.com" : ".amazonaws.com");
    if (source->kind == SOURCE_S3 && strncmp(source->region, "cn-", 3) == 0) {
        text_str(&host, ".cn");
    }
    source->tls = true;
    source->path_style = source->kind == SOURCE_S3 && !bucket_fits_host(source->bucket);
    return ERR_OK;
}

/* "oss-cn-hangzhou-internal.aliyuncs.com" names its region. */
static void region_of_host(struct source *source)
{
    struct span host = span_text(source->host);
    struct span label;
    if (source->kind != SOURCE_OSS || source->region[0] != '\0' || !take(&host, "oss-")) {
        return;
    }
    label = cut(&host, '.');
    if (label.size > 9 && memcmp(label.data + label.size - 9, "-internal", 9) == 0) {
        label.size -= 9;
    }
    (void)copy(source->region, sizeof source->region, label);
}

/* Lower case, and without a port that the scheme implies: one endpoint has one name, and it is the
 * one that the Host header says, which is signed. */
static bool keep_host(struct source *source, struct span host)
{
    struct span name = host;
    const char *implied = source->tls ? ":443" : ":80";
    size_t size = strlen(implied);
    while (name.size > 0 && name.data[name.size - 1] == '/') {
        name.size--;
    }
    if (name.size > size && memcmp(name.data + name.size - size, implied, size) == 0) {
        name.size -= size;
    }
    if (!copy(source->host, sizeof source->host, name)) {
        return false;
    }
    for (char *c = source->host; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    return host_is_valid(span_text(source->host));
}

static enum err parse_endpoint(struct span endpoint, struct source *source, struct text *why)
{
    struct span rest = endpoint;
    source->tls = !take(&rest, "http://");
    (void)take(&rest, "https://");
    if (!keep_host(source, cut(&rest, ';'))) {
        return refuse(why, "endpoint", endpoint,
                      "write [http://]host[:port], without a path or a user");
    }
    if (source_host_is_refused(span_text(source->host))) {
        return refuse(why, "endpoint", endpoint,
                      "link-local and metadata addresses are never a store");
    }
    source->path_style = host_is_address(span_text(source->host)) || source->kind == SOURCE_S3;
    if (rest.size == 0) {
        return ERR_OK;
    }
    source->path_style = span_equal(rest, span_text("path-style"));
    if (!source->path_style && !span_equal(rest, span_text("virtual-host"))) {
        return refuse(why, "endpoint", endpoint, "after \";\" write path-style or virtual-host");
    }
    return ERR_OK;
}

static enum err parse_prefix(struct span rest, char *prefix, struct text *why)
{
    size_t size = rest.size;
    bool slash = size == 0 || rest.data[size - 1] == '/';
    if (size + (slash ? 0 : 1) > SOURCE_PREFIX_MAX || !copy(prefix, SOURCE_PREFIX_MAX + 1, rest)) {
        return refuse(why, "prefix", rest, "at most 1,024 bytes, none of them zero");
    }
    if (!slash) {
        prefix[size++] = '/';
    }
    prefix[size] = '\0';
    return ERR_OK;
}

static enum err parse_file(struct span path, struct source *source, struct text *why)
{
    while (path.size > 1 && path.data[path.size - 1] == '/') {
        path.size--;
    }
    if (path.size == 0 || path.data[0] != '/') {
        return refuse(why, "path", path, "file:// wants an absolute path, as file:///data/set");
    }
    if (!copy(source->bucket, sizeof source->bucket, path)) {
        return refuse(why, "path", path, "at most 511 bytes, none of them zero");
    }
    return ERR_OK;
}

static enum err parse_bucket(const struct source_text *text, struct span rest,
                             struct source *source, struct text *why)
{
    enum err err;
    struct span bucket = cut(&rest, '/');
    if (!bucket_is_valid(bucket) || !copy(source->bucket, sizeof source->bucket, bucket)) {
        return refuse(why, "bucket", bucket,
                      "write scheme://bucket/prefix/ with letters, digits, '.', '-', '_'");
    }
    struct span region = text->region;
    if (source->kind == SOURCE_OSS) {
        (void)take(&region, "oss-"); /* "oss-cn-hangzhou", as its console writes it */
    }
    if (!region_is_valid(region) || !copy(source->region, sizeof source->region, region)) {
        return refuse(why, "region", text->region, "write it as cn-hangzhou or us-east-1");
    }
    if (source->kind == SOURCE_S3 && source->region[0] == '\0') {
        (void)copy(source->region, sizeof source->region, span_text("us-east-1"));
    }
    if (text->endpoint.size == 0) {
        return default_host(source, why);
    }
    err = parse_endpoint(text->endpoint, source, why);
    region_of_host(source);
    return err;
}

enum err source_parse(const struct source_text *text, struct source *out, char *prefix,
                      struct text *why)
{
    struct source source = { 0 };
    char key_prefix[SOURCE_PREFIX_MAX + 1] = "";
    struct span rest = text->uri;
    enum err err = ERR_OK;
    if (take(&rest, "file://")) {
        source.kind = SOURCE_FILE;
        err = parse_file(rest, &source, why);
    } else if (take(&rest, "s3://") || take(&rest, "oss://")) {
        struct span after = rest;
        source.kind = text->uri.data[0] == 's' ? SOURCE_S3 : SOURCE_OSS;
        (void)cut(&after, '/');
        err = parse_bucket(text, rest, &source, why);
        if (err == ERR_OK) {
            err = parse_prefix(after, key_prefix, why);
        }
    } else {
        err = refuse(why, "unknown scheme in", text->uri, "write s3://, oss:// or file://");
    }
    if (err != ERR_OK) {
        return err;
    }
    if (source.kind == SOURCE_OSS && source.region[0] == '\0') {
        return refuse(why, "no --region for", text->uri,
                      "OSS signatures name the region; give --region such as cn-hangzhou");
    }
    *out = source;
    memcpy(prefix, key_prefix, sizeof key_prefix);
    return ERR_OK;
}

static const char *scheme_of(const struct source *source)
{
    switch (source->kind) {
    case SOURCE_FILE:
        return "file";
    case SOURCE_S3:
        return "s3";
    case SOURCE_OSS:
        return "oss";
    }
    BUG("a kind of source that is not in the enum");
}

struct source_id source_identity(const struct source *source)
{
    return source_id_make(span_text(scheme_of(source)), span_text(source->host),
                          span_text(source->bucket));
}

void source_uri(const struct source *source, struct text *out)
{
    text_str(out, scheme_of(source));
    text_str(out, "://");
    text_str(out, source->bucket);
}
