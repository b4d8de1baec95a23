#include "node/io/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The table has space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' &&
            from[3] != '\0') {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
            continue;
        }
        *to++ = *from;
    }
    *to = '\0';
}

static bool parse(const char *line, struct mountinfo *out)
{
    const char *dash = strstr(line, " - ");
    if (dash == NULL || sscanf(line, "%*s %*s %*s %*s %4096s", out->dir) != 1 ||
        sscanf(dash, " - %64s %4096s", out->type, out->source) != 2) {
        return false;
    }
    unescape(out->dir);
    unescape(out->source);
    return true;
}

static bool is_in(const char *path, const char *dir)
{
    const size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 &&
           (path[size] == '\0' || path[size] == '/' || dir[size - 1] == '/');
}

bool mountinfo_of(const char *path, struct mountinfo *out)
{
    struct mountinfo *row = malloc(sizeof *row);
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    size_t best = 0;
    while (row != NULL && table != NULL && getline(&line, &room, table) > 0) {
        /* Of two at one directory the last hides the other. */
        if (parse(line, row) && is_in(path, row->dir) && strlen(row->dir) >= best) {
            best = strlen(row->dir);
            *out = *row;
        }
    }
    free(line);
    free(row);
    if (table != NULL) {
        fclose(table);
    }
    return best > 0;
}
