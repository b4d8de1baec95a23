/* base/err.h: the failures of errors.def as an enum, with their text and exit code. */
#pragma once
#include <stdint.h>

enum err {
#define ERROR(name, number, sys, exit_code, text) ERR_##name = number,
#include "base/errors.def"
#undef ERROR
};

/* What the exit codes of errors.def stand for. */
#define ERR_EXIT_CODES                                                                  \
    "0 done, 2 usage or configuration, 3 not found, 4 refused, 5 unreachable, 6 local " \
    "resources, 7 data, 1 anything else"

/* One line for a person, without a full stop; "unknown error" for a number not in the table. */
const char *err_text(enum err err);
/* The upper-case name, as "SOURCE_DENIED". */
const char *err_name(enum err err);
/* What a command exits with, and the (positive) errno a reader of a file gets. */
int err_exit_code(enum err err);
int err_errno(enum err err);
/* The failure with this wire number; ERR_MALFORMED when there is none. */
enum err err_from_wire(uint64_t number);
