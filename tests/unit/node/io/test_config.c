#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/core/shares.h"
#include "node/io/config.h"
#include "node/io/keys.h"

static char why_room[512];
static struct config config;

/* `line` is split at blanks. */
static enum err make(const char *line)
{
    char words[1024];
    char *argv[32] = { "node" };
    char *rest = NULL;
    int argc = 1;
    struct options *options = NULL;
    struct text why;
    strncpy(words, line, sizeof words - 1);
    words[sizeof words - 1] = 0;
    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    text_init(&why, why_room, sizeof why_room);
    enum err err = options_parse(&config_table, argc, argv, &options, &why);
    if (err == ERR_OK) {
        err = config_make(options, &config, &why);
    }
    options_free(&options);
    return err;
}

static void the_least_that_runs_is_insecure_with_a_name(void **state)
{
    (void)state;
    assert_int_equal(make("--insecure --cluster try"), ERR_OK);
    assert_true(config.insecure);
    assert_string_equal(config.keys.name, "try");
    assert_int_equal(config.keys.slots_log2, 18);
    assert_int_equal(config.listen.port, 7700);
    assert_int_equal(config.advertise.port, 7700);
    assert_int_equal(config.admin_port, 7780);
    assert_int_equal(config.memory, 1u << 30);
    assert_int_equal(config.weight, 1);
    assert_int_equal(config.hand_on_above, SHARES_FLOOR); /* as it is where nobody gives one */
    assert_true(config.name[0] != 0);
    assert_true(config.data_dir[0] == '/');
}

static void everything_can_be_told(void **state)
{
    (void)state;
    assert_int_equal(make("--insecure --cluster c --name n1 --listen 0.0.0.0:7000 --advertise "
                          "10.0.0.9 --seeds 10.0.0.1:7700,10.0.0.2:7700 --memory 2GiB --tier "
                          "/d:x:10GiB --zone z --label b=2 --label a=1 --admin none --data-dir /x "
                          "--allow-root /r --log-level debug"),
                     ERR_OK);
    assert_string_equal(config.name, "n1");
    assert_int_equal(config.listen.port, 7000);
    assert_int_equal(config.advertise.port, 7000);
    assert_int_equal(config.advertise.ip[12], 10);
    assert_string_equal(config.tiers[0].dir, "/d:x");
    assert_int_equal(config.tiers[0].quota, 10ull << 30);
    assert_int_equal(config.weight, 10);
    assert_string_equal(config.labels, "a=1,b=2");
    assert_int_equal(config.admin_port, 0);
    assert_string_equal(config.roots[0], "/r");
    assert_int_equal(config.log_level, 3);
}

static void what_cannot_work_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *line;
        const char *reason;
    } wrong[] = {
        { "", "--cluster-file" },
        { "--insecure", "--cluster" },
        { "--insecure --cluster a/b", "--cluster" },
        { "--insecure --cluster a --cluster-file /x", "not together" },
        { "--cluster-file /nonexistent/keys", "No such file" },
        { "--insecure --cluster a --listen nowhere", "--listen" },
        { "--insecure --cluster a --listen 127.0.0.1:65535", "65535" },
        { "--insecure --cluster a --listen 0.0.0.0:7700", "--advertise" },
        { "--insecure --cluster a --seeds 10.0.0.1", "HOST:PORT" },
        { "--insecure --cluster a --memory 1MiB", "128MiB" },
        { "--insecure --cluster a --tier /data", "DIR:QUOTA" },
        { "--insecure --cluster a --tier /data:lots", "quota" },
        { "--insecure --cluster a --tier /a:1GiB --tier /b:1GiB", "one directory" },
        { "--insecure --cluster a --weight 70000", "65535" },
        { "--insecure --cluster a --hand-on-above 0", "at least" },
        { "--insecure --cluster a --label x", "KEY=VALUE" },
        { "--insecure --cluster a --label x=1 --label y=1 --label x=2", "two values" },
        { "--insecure --cluster a --admin 0.0.0.0:7780", "--admin-token-file" },
        { "--insecure --cluster a --allow-root relative", "absolute" },
        { "--insecure --cluster a --log-level loud", "--log-level" },
        { "--insecure --cluster a --name a/b", "--name" },
    };
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_not_equal(make(wrong[i].line), ERR_OK);
        if (strstr(why_room, wrong[i].reason) == NULL) {
            fail_msg("`%s` is refused as `%s`", wrong[i].line, why_room);
        }
    }
}

static void a_cluster_file_gives_the_name_and_the_slots(void **state)
{
    struct cluster_keys keys;
    struct text why;
    char dir[] = "/tmp/atoll-test-config-XXXXXX";
    char path[64];
    char line[128];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/c.json", dir);
    text_init(&why, why_room, sizeof why_room);
    keys_make_cluster("prod", 12, &keys);
    assert_int_equal(keys_save_cluster(path, &keys, &why), ERR_OK);
    snprintf(line, sizeof line, "--cluster-file %s", path);
    assert_int_equal(make(line), ERR_OK);
    assert_false(config.insecure);
    assert_string_equal(config.keys.name, "prod");
    assert_int_equal(config.keys.slots_log2, 12);
    assert_memory_equal(config.keys.curve_secret, keys.curve_secret, 32);
    snprintf(line, sizeof line, "--cluster-file %s --cluster other", path);
    assert_int_equal(make(line), ERR_INVALID);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_that_runs_is_insecure_with_a_name),
        cmocka_unit_test(everything_can_be_told),
        cmocka_unit_test(what_cannot_work_is_refused_with_a_reason),
        cmocka_unit_test(a_cluster_file_gives_the_name_and_the_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
