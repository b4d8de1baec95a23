/* node/io/threads.c: pthread_create with a name, and no signals. */
#include "node/io/threads.h"

#include <signal.h>
#include <string.h>

enum err threads_start(const char *name, void *(*run)(void *), void *self, pthread_t *out)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    CHECK(strlen(name) < 16);
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int failed = pthread_create(&thread, NULL, run, self);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (failed != 0) {
        return ERR_SYSTEM;
    }
    pthread_setname_np(thread, name);
    *out = thread;
    return ERR_OK;
}

void threads_join(pthread_t thread)
{
    CHECK(pthread_join(thread, NULL) == 0);
}
