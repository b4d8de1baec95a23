#include "node/io/machine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4352

/* The number in a file of one; UINT64_MAX: it says "max", or there is none. */
static uint64_t read_limit(const char *path)
{
    char text[64] = "";
    uint64_t limit;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    const size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    text[strcspn(text, "\n")] = 0;
    return parse_u64(span_text(text), &limit) ? limit : UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The least that a group, or one above it, allows. `group` is cut up to its root. */
static uint64_t limit_of(const char *root, const char *tree, char *group, const char *file)
{
    char path[PATH_SIZE];
    uint64_t limit = UINT64_MAX;
    for (;;) {
        const int size =
            snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, tree, group, file);
        if (size > 0 && (size_t)size < sizeof path) {
            limit = least(limit, read_limit(path));
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL) {
            return limit;
        }
        *slash = 0;
    }
}

/* A line of /proc/self/cgroup: "0::/group" (v2), or "5:cpu,memory:/group" (v1). */
static uint64_t limit_of_line(const char *root, char *line)
{
    line[strcspn(line, "\n")] = 0;
    char *names = strchr(line, ':');
    char *group = names != NULL ? strchr(names + 1, ':') : NULL;
    if (group == NULL) {
        return UINT64_MAX;
    }
    *group++ = 0;
    if (strncmp(line, "0:", 2) == 0 && names[1] == 0) {
        return limit_of(root, "", group, "memory.max");
    }
    for (char *rest = NULL, *name = strtok_r(names + 1, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        if (strcmp(name, "memory") == 0) {
            return limit_of(root, "/memory", group, "memory.limit_in_bytes");
        }
    }
    return UINT64_MAX;
}

uint64_t machine_memory_below(const char *root)
{
    char path[PATH_SIZE];
    char line[4096];
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        memory = least(memory, limit_of_line(root, line));
    }
    if (file != NULL) {
        fclose(file);
    }
    return memory;
}

uint64_t machine_memory(void)
{
    return machine_memory_below("");
}

enum err machine_check_memory(uint64_t memory, struct text *why)
{
    const uint64_t most = machine_memory();
    if (memory <= most) {
        return ERR_OK;
    }
    text_str(why, "--memory: ");
    text_u64(why, memory >> 20);
    text_str(why, "MiB is more than there is for this process (");
    text_u64(why, most >> 20);
    text_str(why, "MiB, by the machine or its control group)");
    return ERR_INVALID;
}
