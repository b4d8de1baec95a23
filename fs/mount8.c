#include "fs/mount8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "fs/command.h"

#define WORDS_MAX 32

/* Of mount(8)'s exit codes. */
#define MOUNT_USAGE 1
#define MOUNT_FAILED 32

struct words {
    char *at[WORDS_MAX + 1];
    int count;
};

bool mount8_is_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;
    return strncmp(name, "mount.", 6) == 0;
}

static void add(struct words *words, char *word)
{
    CHECK(words->count < WORDS_MAX);
    words->at[words->count++] = word;
}

/* mount(8) says "rw" wherever nobody said "ro": no wish of anybody's. */
static void drop_rw(char *list)
{
    char *to = list;
    for (const char *from = list; *from != 0;) {
        const size_t size = strcspn(from, ",");
        if (size != 2 || memcmp(from, "rw", 2) != 0) {
            if (to > list) {
                *to++ = ',';
            }
            memmove(to, from, size);
            to += size;
        }
        from += size + (from[size] == ',' ? 1 : 0);
    }
    *to = 0;
}

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s SOURCE DIR [-sfnv] [-o OPTION,...]\n"
            "It is run by mount(8), as for `mount -t fuse.atoll SOURCE DIR -o ...`; "
            "the options are those of `atoll mount`.\n",
            program);
    return MOUNT_USAGE;
}

int mount8_command(int argc, char **argv)
{
    static char command[] = "mount";
    static char option[] = "-o";
    static char talk[] = "--log-level=info";
    struct words words = { .count = 0 };
    bool pretend = false;
    bool is_talkative = false;
    int letter;
    add(&words, command);
    while ((letter = getopt(argc, argv, "sfnvo:t:")) != -1) {
        switch (letter) {
        case 's': /* sloppy: there is nothing to be sloppy about */
        case 'n': /* no mtab: there is none */
        case 't':
            break;
        case 'f':
            pretend = true;
            break;
        case 'v':
            is_talkative = true;
            break;
        case 'o':
            drop_rw(optarg);
            if (optarg[0] != 0 && words.count < WORDS_MAX - 5) { /* room for what follows */
                add(&words, option);
                add(&words, optarg);
            }
            break;
        default:
            return usage(argv[0]);
        }
    }
    if (argc - optind != 2) {
        return usage(argv[0]);
    }
    if (is_talkative) {
        add(&words, talk);
    }
    add(&words, argv[optind]);
    add(&words, argv[optind + 1]);
    const int code = pretend ? 0 : mount_command(words.count, words.at);
    return code == 0 ? 0 : code == err_exit_code(ERR_INVALID) ? MOUNT_USAGE : MOUNT_FAILED;
}
