/* tests/live/clock.c: a host whose clock is wrong. Preloaded (LD_PRELOAD), it moves the real-time clock
 * of one process by the seconds (a signed 64-bit number) in the file that ATOLL_TEST_CLOCK names,
 * which may change while the process runs. The monotonic clock stays as it is. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("ATOLL_TEST_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        abort(); /* a test that believes in a wrong clock must have one */
    }
    moved = at;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    long failed = syscall(SYS_clock_gettime, clock, at);
    if (failed == 0 && clock == CLOCK_REALTIME && moved != NULL) {
        at->tv_sec += *moved;
    }
    return (int)failed;
}

time_t time(time_t *out)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out != NULL) {
        *out = at.tv_sec;
    }
    return at.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec at;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &at);
    *out = (struct timeval){ .tv_sec = at.tv_sec, .tv_usec = at.tv_nsec / 1000 };
    return 0;
}
