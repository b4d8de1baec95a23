/* node/io/mountinfo.h: what is mounted where, as the kernel's table has it. */
#pragma once
#include <stdbool.h>

struct mountinfo {
    char dir[4097];
    char type[65];     /* "fuse.atoll" */
    char source[4097]; /* what was mounted, as `atoll mount` was given it */
};

/* The mount that `path` lies in; `path` is absolute and has no symbolic links. It need not be there,
 * and nothing is asked of its file system. false: the table cannot be read. */
bool mountinfo_of(const char *path, struct mountinfo *out);
