/* node/origin/credentials.h: named credentials, each a file in one directory.
 *
 * A file DIR/NAME.json holds {"access_key_id": ..., "access_key_secret": ..., "security_token": ...,
 * "uri_prefixes": ["oss://bucket/", ...]}; the last two may be missing. What is in it never leaves
 * this host; only the name is told. Files that others can read are refused. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/origin/sign.h"
#include "node/origin/source.h"

/* May be used from one thread at a time. */
struct credentials;

/* `directory` may be NULL: no named ones. `environment`: the name "" is what AWS_*, OSS_* and
 * ALIBABA_CLOUD_* variables hold. ERR_INVALID with a line in `why`: it cannot be read, or a file in
 * it can be read by others. */
enum err credentials_open(const char *directory, bool environment, struct credentials **out,
                          struct text *why) MUST_USE;
void credentials_close(struct credentials **credentials);

/* What a credential is wanted for. */
struct credential_use {
    const char *name;
    const struct source *source;
    struct span key; /* the object, or the prefix to be listed */
};

/* The credential for one request: read again when its file changed. An empty name without an
 * environment credential gives an empty one: requests go out unsigned.
 * ERR_NO_CREDENTIAL with a line in `why`: none of that name, or not for this URI. */
enum err credentials_find(struct credentials *credentials, const struct credential_use *use,
                          struct credential *out, struct text *why) MUST_USE;
/* Forget what was read: after the store refused it. */
void credentials_forget(struct credentials *credentials, const char *name);
/* Names that could be used now, sorted, comma separated, at most room - 1 bytes. */
void credentials_names(struct credentials *credentials, char *out, size_t room);
