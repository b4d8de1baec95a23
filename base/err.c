/* base/err.c: the table of failures. */
#include "base/err.h"

#include <errno.h>

const char *err_text(enum err err)
{
    switch (err) {
#define ERROR(name, number, sys, exit_code, text) \
    case ERR_##name:                              \
        return text;
#include "base/errors.def"
#undef ERROR
    }
    return "unknown error";
}

const char *err_name(enum err err)
{
    switch (err) {
#define ERROR(name, number, sys, exit_code, text) \
    case ERR_##name:                              \
        return #name;
#include "base/errors.def"
#undef ERROR
    }
    return "UNKNOWN";
}

int err_exit_code(enum err err)
{
    switch (err) {
#define ERROR(name, number, sys, exit_code, text) \
    case ERR_##name:                              \
        return exit_code;
#include "base/errors.def"
#undef ERROR
    }
    return 1;
}

int err_errno(enum err err)
{
    switch (err) {
#define ERROR(name, number, sys, exit_code, text) \
    case ERR_##name:                              \
        return sys;
#include "base/errors.def"
#undef ERROR
    }
    return EIO;
}

enum err err_from_wire(uint64_t number)
{
#define ERROR(name, wire, sys, exit_code, text) \
    if (number == (uint64_t)(wire)) {           \
        return ERR_##name;                      \
    }
#include "base/errors.def"
#undef ERROR
    return ERR_MALFORMED;
}
