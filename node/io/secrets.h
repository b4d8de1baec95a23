/* node/io/secrets.h: the named credentials as their files are now (node/origin/credentials.h).
 *
 * A thread waits for changes of the directory (inotify), and looks every SECRETS_LOOK_US anyway,
 * for file systems that tell of nothing. What it finds counts from the next request on. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "node/origin/credentials.h"

#define SECRETS_LOOK_US SEC(5)

struct secrets;

/* Other credentials can be used now, or another number of files cannot: the names and the number
 * are as secrets_names gives them, and may be the same as before.
 * Any thread; one call at a time. */
typedef void secrets_changed(void *self, const char *names, uint32_t broken);

struct secrets_options {
    const char *directory;    /* NULL: no named credentials, and no thread */
    bool environment;         /* the credential "" is that of the environment */
    secrets_changed *changed; /* may be NULL */
    void *self;
};

/* ERR_INVALID with a line in `why`: the directory cannot be read, or others can read a file in it. */
enum err secrets_start(const struct secrets_options *options, struct secrets **out,
                       struct text *why) MUST_USE;
void secrets_stop(struct secrets **secrets);

/* Any thread. As credentials_find. */
enum err secrets_find(struct secrets *secrets, const struct credential_use *use,
                      struct credential *out, uint64_t *serial, struct text *why) MUST_USE;
/* The store refused what secrets_find gave with this serial: look at the files now. true: the name
 * stands for something else meanwhile, which is worth a try. */
bool secrets_refused(struct secrets *secrets, const char *name, uint64_t serial);
/* As credentials_names; returns how many files cannot be used as they are. */
uint32_t secrets_names(struct secrets *secrets, char *out, size_t room);
