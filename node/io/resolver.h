/* node/io/resolver.h: turns a list of HOST:PORT into addresses on a thread of its own, so that a
 * slow DNS never holds up whoever asks.
 *
 * Thread: "resolve", one. Takes: questions. Gives: addresses, by the callback, on that thread. */
#pragma once
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "ring/view.h"

#define RESOLVER_ADDRESSES_MAX 64

struct resolver;

typedef void resolver_done(void *self, const struct address *addresses, uint32_t count);

/* `names`: "HOST:PORT,HOST:PORT,…" or "@FILE" with one on each line, read again for each question; in a
 * file a # begins a comment, and what is no HOST:PORT is logged. Copied. A host with many addresses gives them all, at most RESOLVER_ADDRESSES_MAX together. */
enum err resolver_start(const char *names, resolver_done *done, void *self, struct resolver **out)
    MUST_USE;
/* Joins (a lookup that hangs is waited for at most as long as the system's resolver takes). */
void resolver_stop(struct resolver **resolver);
/* Ask again; questions that come while one is worked on become one. */
void resolver_ask(struct resolver *resolver);
/* NULL when every entry is of the right form, else what is wrong. Reads no DNS. */
const char *resolver_fault(const char *names);
