/* node/origin/credentials.h: named credentials, each a file in one directory.
 *
 * A file DIR/NAME.json holds {"access_key_id": ..., "access_key_secret": ..., "security_token": ...,
 * "uri_prefixes": ["oss://bucket/", ...]}; the last two may be missing. What is in it never leaves
 * this host; only the name is told.
 *
 * A table is what the files said at one look, and is never changed: the next look makes another one
 * from it. A file that says nothing usable any more (half written, not JSON, readable by others)
 * leaves what it said before in use; so does one that is gone, but only for CREDENTIALS_SETTLE_US,
 * so that whoever replaces a file in two steps is not caught between them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/time.h"
#include "node/origin/sign.h"
#include "node/origin/source.h"

#define CREDENTIALS_MAX 128 /* files looked at: as many names as a member's record can hold */
#define CREDENTIALS_SETTLE_US SEC(1)

/* Any number of threads may read one table. */
struct credentials;

/* The first look. `directory` may be NULL: no named ones. `environment`: the name "" is what AWS_*,
 * OSS_* and ALIBABA_CLOUD_* variables hold. ERR_INVALID with a line in `why`: the directory cannot
 * be read, or a file in it can be read by others. */
enum err credentials_open(const char *directory, bool environment, struct credentials **out,
                          struct text *why) MUST_USE;
/* Look again: every file is read. `before` stays valid and the caller's. ERR_INVALID with a line in
 * `why`: the directory cannot be read (now). */
enum err credentials_look(const struct credentials *before, usec_t now_us, struct credentials **out,
                          struct text *why) MUST_USE;
/* Wipes it. */
void credentials_close(struct credentials **credentials);

/* One file. */
struct credential_state {
    const char *name;
    uint64_t serial;   /* another number for another content; 0: there is nothing to be used */
    const char *fault; /* what is wrong with the file now, for a sentence; NULL: nothing */
    bool settled; /* the fault has lasted for CREDENTIALS_SETTLE_US, or was there at the start */
};
uint32_t credentials_count(const struct credentials *credentials);
struct credential_state credentials_at(const struct credentials *credentials, uint32_t index);
/* Something is wrong that may be right in a moment: look again soon. */
bool credentials_are_unsettled(const struct credentials *credentials);

/* What a credential is wanted for. */
struct credential_use {
    const char *name;
    const struct source *source;
    struct span key; /* the object, or the prefix to be listed */
};

/* The credential for one request, and its serial (0: of the environment, or none). An empty name
 * without an environment credential gives an empty one: requests go out unsigned.
 * ERR_NO_CREDENTIAL with a line in `why`: none of that name, or not for this URI. */
enum err credentials_find(const struct credentials *credentials, const struct credential_use *use,
                          struct credential *out, uint64_t *serial, struct text *why) MUST_USE;
/* 0: there is none of that name that could be used. */
uint64_t credentials_serial(const struct credentials *credentials, const char *name);
/* Names that can be used, sorted, comma separated, at most room - 1 bytes; how many were left out
 * because they did not fit. */
uint32_t credentials_names(const struct credentials *credentials, char *out, size_t room);
