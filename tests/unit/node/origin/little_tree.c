#include "tests/unit/node/origin/little_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

void little_tree_make(struct little_tree *tree)
{
    snprintf(tree->root, sizeof tree->root, "/tmp/atoll-test-tree-XXXXXX");
    CHECK(mkdtemp(tree->root) != NULL);
}

void little_tree_drop(struct little_tree *tree)
{
    char command[192];
    snprintf(command, sizeof command, "chmod -R u+rwX %s && rm -r %s", tree->root, tree->root);
    CHECK(system(command) == 0);
}

void little_tree_path(const struct little_tree *tree, const char *name, char path[1200])
{
    CHECK(snprintf(path, 1200, "%s/%s", tree->root, name) < 1200);
}

bool little_tree_leave_root(const struct little_tree *tree)
{
    const uid_t nobody = 65534;
    CHECK(chmod(tree->root, 0755) == 0); /* nobody comes as far as there */
    return geteuid() != 0 || seteuid(nobody) == 0;
}

void little_tree_return(void)
{
    CHECK(getuid() != 0 || seteuid(0) == 0);
}

static void make_above(char *path)
{
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0755);
        *at = '/';
    }
}

void little_tree_add(const struct little_tree *tree, const char *name, const char *text)
{
    char path[1200];
    little_tree_path(tree, name, path);
    make_above(path);
    if (name[strlen(name) - 1] == '/') {
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

void little_tree_link(const struct little_tree *tree, const char *name, const char *target)
{
    char path[1200];
    little_tree_path(tree, name, path);
    make_above(path);
    CHECK(symlink(target, path) == 0);
}
