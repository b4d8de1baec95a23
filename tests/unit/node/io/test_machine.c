#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/machine.h"

#define MIB (1ull << 20)

static char root[64];

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0700); /* or it is there */
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int prepare(void **state)
{
    (void)state;
    strcpy(root, "/tmp/atoll-machine-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int clean(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void without_groups_it_is_the_machines(void **state)
{
    (void)state;
    const uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(machine_memory_below(root), all);
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(machine_memory_below(root), all);
}

static void group_or_one_above_it_may_allow_less(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/memory.max", "104857600\n");
    assert_int_equal(machine_memory_below(root), 100 * MIB);
    put("sys/fs/cgroup/a/memory.max", "10485760\n");
    assert_int_equal(machine_memory_below(root), 10 * MIB);
    put("sys/fs/cgroup/memory.max", "1048576\n");
    assert_int_equal(machine_memory_below(root), MIB);
}

static void groups_of_version_1_count_too(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:pids:/x\n5:cpu,memory:/job\n1:name=systemd:/y\n0::/\n");
    put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "209715200\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(machine_memory_below(root), 200 * MIB);
}

static void more_than_there_is_is_refused_with_how_much_that_is(void **state)
{
    char room[256];
    char most[64];
    struct text why;
    (void)state;
    text_init(&why, room, sizeof room);
    const uint64_t memory = machine_memory();
    assert_int_equal(machine_check_memory(memory, &why), ERR_OK);
    assert_int_equal(machine_check_memory(memory + 1, &why), ERR_INVALID);
    snprintf(most, sizeof most, "(%lluMiB", (unsigned long long)(memory / MIB));
    assert_non_null(strstr(room, "--memory"));
    assert_non_null(strstr(room, most));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_it_is_the_machines, prepare, clean),
        cmocka_unit_test_setup_teardown(group_or_one_above_it_may_allow_less, prepare, clean),
        cmocka_unit_test_setup_teardown(groups_of_version_1_count_too, prepare, clean),
        cmocka_unit_test(more_than_there_is_is_refused_with_how_much_that_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
