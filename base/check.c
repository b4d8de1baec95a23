/* base/check.c: the one place where pure code ends the process. */
#include "base/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(STDERR_FILENO, text, left);
        if (written <= 0) {
            return; /* nobody is listening; the core file tells the rest */
        }
        text += written;
        left -= (size_t)written;
    }
}

static void say_number(uint32_t value)
{
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        at--;
        digits[at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    say(digits + at);
}

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    say("atoll: bug at ");
    say(file);
    say(":");
    say_number((uint32_t)line);
    say(": ");
    say(what);
    say("\n");
    abort();
}
