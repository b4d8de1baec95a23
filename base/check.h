/* base/check.h: invariants that stay on in every build.
 *
 * A CHECK that fails is a bug in Atoll, never bad input: it prints where and aborts. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The structure of type `type` whose member `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Say which invariant broke and abort; the only place where pure code ends the process. */
_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(condition)                                  \
    do {                                                  \
        if (__builtin_expect(!(condition), 0)) {          \
            check_failed(__FILE__, __LINE__, #condition); \
        }                                                 \
    } while (0)

#define BUG(what) check_failed(__FILE__, __LINE__, what)
