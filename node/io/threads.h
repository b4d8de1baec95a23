/* node/io/threads.h: threads with a name and signals blocked. */
#pragma once
#include <pthread.h>

#include "base/check.h"
#include "base/err.h"

/* `name` has at most 15 letters. All signals are blocked in the new thread: they belong to main. */
enum err threads_start(const char *name, void *(*run)(void *), void *self, pthread_t *out) MUST_USE;
void threads_join(pthread_t thread);
