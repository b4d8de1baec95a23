/* tests/unit/fs/test_settings.c: what `atoll mount` takes, and what it says about the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/settings.h"

#define WORDS_MAX 16

struct parsed {
    struct options *options;
    struct settings settings;
    enum err err;
    char line[1024];
};

/* A command line as words separated by one space. */
static void parse(struct parsed *p, const char *line)
{
    char copy[1024];
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    struct text why;
    snprintf(copy, sizeof copy, "mount %s", line);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    memset(p, 0, sizeof *p);
    text_init(&why, p->line, sizeof p->line);
    p->err = options_parse(&settings_table, argc, argv, &p->options, &why);
    if (p->err == ERR_OK) {
        p->err = settings_make(p->options, &p->settings, &why);
    }
}

static void done(struct parsed *p)
{
    options_free(&p->options);
}

/* Parsed, and well. */
static void take(struct parsed *p, const char *line)
{
    parse(p, line);
    if (p->err != ERR_OK) {
        print_message("%s\n", p->line);
    }
    assert_int_equal(p->err, ERR_OK);
}

/* Refused as invalid, with this in the line for a person. */
static void refuse(const char *line, const char *said)
{
    struct parsed p;
    parse(&p, line);
    assert_int_equal(p.err, ERR_INVALID);
    if (strstr(p.line, said) == NULL) {
        print_message("\"%s\" does not say \"%s\"\n", p.line, said);
    }
    assert_non_null(strstr(p.line, said));
    done(&p);
}

#define CLUSTER " --seeds a:7700 --insecure --cluster lab"

static void dataset_and_prefix_are_told_apart(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "train/2026/may /mnt/t" CLUSTER);
    assert_string_equal(p.settings.dataset, "train");
    assert_string_equal(p.settings.prefix, "2026/may/");
    assert_string_equal(p.settings.dir, "/mnt/t");
    assert_string_equal(p.settings.uri, "");
    assert_string_equal(p.settings.keys.cluster, "lab");
    done(&p);
    take(&p, "train /mnt/t" CLUSTER);
    assert_string_equal(p.settings.prefix, "");
    done(&p);
}

static void uri_needs_no_cluster(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "s3://bucket/set /mnt/set --region eu-west-1 --metadata ttl=60");
    assert_string_equal(p.settings.uri, "s3://bucket/set");
    assert_string_equal(p.settings.region, "eu-west-1");
    assert_int_equal(p.settings.ttl_us, SEC(60));
    assert_true(p.settings.insecure);
    done(&p);
}

static void place_of_a_uri_is_that_of_the_environment_unless_it_is_given(void **state)
{
    (void)state;
    struct parsed p;
    setenv("AWS_ENDPOINT_URL", "http://s3.example", 1);
    setenv("AWS_DEFAULT_REGION", "eu-south-2", 1);
    setenv("OSS_REGION", "cn-hangzhou", 1);
    take(&p, "s3://bucket/set /mnt/set");
    assert_string_equal(p.settings.endpoint, "http://s3.example");
    assert_string_equal(p.settings.region, "eu-south-2");
    done(&p);
    setenv("AWS_REGION", "eu-west-3", 1);
    take(&p, "s3://bucket/set /mnt/set --endpoint http://mine");
    assert_string_equal(p.settings.endpoint, "http://mine");
    assert_string_equal(p.settings.region, "eu-west-3");
    done(&p);
    take(&p, "oss://bucket/set /mnt/set");
    assert_null(p.settings.endpoint);
    assert_string_equal(p.settings.region, "cn-hangzhou");
    done(&p);
    take(&p, "file:///set /mnt/set");
    assert_null(p.settings.endpoint);
    assert_null(p.settings.region);
    done(&p);
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_DEFAULT_REGION");
    unsetenv("AWS_REGION");
    unsetenv("OSS_REGION");
}

static void listing_of_a_uri_may_be_believed_once_for_a_time_or_never(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "s3://bucket/set /mnt/set");
    assert_true(p.settings.ttl_us < 0);
    done(&p);
    take(&p, "s3://bucket/set /mnt/set --metadata always");
    assert_int_equal(p.settings.ttl_us, 0);
    done(&p);
    refuse("s3://bucket/set /mnt/set --metadata ttl=0", "always");
}

static void mount_options_have_the_defaults_of_a_read_only_mount(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "train /mnt/t" CLUSTER);
    assert_false(p.settings.hard);
    assert_int_equal(p.settings.timeo_us, SEC(300));
    assert_int_equal(p.settings.file_mode, 0444);
    assert_int_equal(p.settings.dir_mode, 0555);
    assert_int_equal(p.settings.uid, getuid());
    assert_false(p.settings.allow_other);
    done(&p);
}

static void mount_options_may_be_given_together_and_again(void **state)
{
    (void)state;
    struct parsed p;
    take(&p,
         "train /mnt/t" CLUSTER
         " -o hard,uid=7,gid=8 -o file-mode=0640,dir-mode=750,timeo=30 -o allow_other,ro,_netdev");
    assert_true(p.settings.hard);
    assert_int_equal(p.settings.uid, 7);
    assert_int_equal(p.settings.gid, 8);
    assert_int_equal(p.settings.file_mode, 0640);
    assert_int_equal(p.settings.dir_mode, 0750);
    assert_int_equal(p.settings.timeo_us, SEC(30));
    assert_true(p.settings.allow_other);
    done(&p);
}

/* fstab has no other way to say them. */
static void options_with_a_flag_may_be_given_as_mount_options(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "train /mnt/t -o hard,seeds=a:7700/b:7701,insecure,cluster=lab,memory=1GiB,noexec");
    assert_string_equal(p.settings.seeds, "a:7700,b:7701");
    assert_string_equal(p.settings.keys.cluster, "lab");
    assert_int_equal(p.settings.memory, 1u << 30);
    assert_true(p.settings.hard);
    assert_true(p.settings.noexec);
    done(&p);
    take(&p, "train /mnt/t --memory 256MiB -o memory=1GiB" CLUSTER);
    assert_int_equal(p.settings.memory, 256u << 20); /* the flag's word is the last */
    done(&p);
    refuse("train /mnt/t" CLUSTER " -o memory=lots", "--memory lots");
    refuse("train /mnt/t" CLUSTER " -o client-file", "--client-file wants FILE");
    refuse("train /mnt/t" CLUSTER " -o foreground", "unknown");
}

static void relative_directory_becomes_absolute(void **state)
{
    (void)state;
    struct parsed p;
    char here[4096];
    char want[4200];
    assert_non_null(getcwd(here, sizeof here));
    take(&p, "train some/where/" CLUSTER);
    snprintf(want, sizeof want, "%s/some/where", here);
    assert_string_equal(p.settings.dir, want);
    done(&p);
}

/* Only under its real name does the kernel's table tell what is mounted at a directory. */
static void directory_behind_a_symbolic_link_gets_its_real_name(void **state)
{
    (void)state;
    struct parsed p;
    char real[] = "/tmp/atoll-settings-XXXXXX";
    char link[sizeof real + 8];
    char line[256];
    assert_non_null(mkdtemp(real));
    snprintf(link, sizeof link, "%s.link", real);
    assert_int_equal(symlink(real, link), 0);
    snprintf(line, sizeof line, "train %s/ %s", link, CLUSTER);
    take(&p, line);
    assert_string_equal(p.settings.dir, real);
    done(&p);
    snprintf(line, sizeof line, "train %s/../%s %s", real, real + sizeof "/tmp", CLUSTER);
    take(&p, line);
    assert_string_equal(p.settings.dir, real);
    done(&p);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(real), 0);
}

/* A mount in the background works from "/", and reads the file again and again. */
static void file_of_seeds_is_named_from_the_root_and_must_be_there(void **state)
{
    (void)state;
    struct parsed p;
    char name[] = "atoll-seeds-XXXXXX";
    char here[4096];
    char want[4200];
    char line[256];
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    close(fd);
    assert_non_null(getcwd(here, sizeof here));
    snprintf(line, sizeof line, "train /mnt/t --seeds @%s --insecure --cluster lab", name);
    take(&p, line);
    snprintf(want, sizeof want, "@%s/%s", here, name);
    assert_string_equal(p.settings.seeds, want);
    done(&p);
    assert_int_equal(unlink(name), 0);
    refuse(line, "No such file");
}

static void descriptor_is_taken_as_it_is(void **state)
{
    (void)state;
    struct parsed p;
    take(&p, "train /dev/fd/7" CLUSTER);
    assert_true(p.settings.inherited);
    assert_string_equal(p.settings.dir, "/dev/fd/7");
    done(&p);
    take(&p, "train /mnt/t" CLUSTER);
    assert_false(p.settings.inherited);
    done(&p);
}

static void wrong_words_are_refused_with_what_to_do(void **state)
{
    (void)state;
    refuse("train" CLUSTER, "atoll mount DATASET|URI DIR");
    refuse("train /mnt/t", "--seeds");
    refuse("train /mnt/t --seeds a:7700", "--client-file");
    refuse("train /mnt/t --seeds a:7700 --insecure", "--cluster NAME");
    refuse("train /mnt/t --seeds nonsense --insecure --cluster lab", "HOST:PORT");
    refuse("train /mnt/t" CLUSTER " -o rw", "read-only");
    refuse("train /mnt/t" CLUSTER " -o bogus", "unknown");
    refuse("train /mnt/t" CLUSTER " -o bogus=3", "unknown");
    refuse("train /mnt/t" CLUSTER " -o timeo", "not valid");
    refuse("train /mnt/t" CLUSTER " -o timeo=soon", "not valid");
    refuse("train /mnt/t" CLUSTER " -o timeo=0", "not valid");
    refuse("train /mnt/t" CLUSTER " -o file-mode=9", "not valid");
    refuse("train /mnt/t" CLUSTER " -o uid=-1", "not valid");
    refuse("train /mnt/t" CLUSTER " --memory 10MiB", "96MiB");
    refuse("train /mnt/t" CLUSTER " --log-level loud", "write error");
    refuse("s3://b/ /mnt/t --metadata never", "ttl=SECS");
}

static void option_that_would_change_nothing_is_refused(void **state)
{
    static const char *const of_a_uri[] = {
        "--endpoint http://h", "--region r",    "--credential c",       "--credentials-dir /d",
        "--tier /t:1GiB",      "--path-style",  "--block-size 4MiB",    "--metadata once",
        "-o region=r",         "-o path-style", "-o hard,tier=/t:1GiB",
    };
    static const char *const of_a_dataset[] = {
        "--seeds a:7700", "--client-file /f", "--insecure", "--cluster lab", "-o seeds=a:7700",
    };
    char line[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(of_a_uri); i++) {
        snprintf(line, sizeof line, "train /mnt/t" CLUSTER " %s", of_a_uri[i]);
        refuse(line, " is of no use for \"train\": it is for a URI");
    }
    for (size_t i = 0; i < ARRAY_COUNT(of_a_dataset); i++) {
        snprintf(line, sizeof line, "s3://b/ /mnt/t %s", of_a_dataset[i]);
        refuse(line, " is of no use for \"s3://b/\": a URI is shown without any cluster");
    }
    refuse("train /mnt/t --region r" CLUSTER, "--region is of no use");
}

/* They are for all mounts of the host, of either kind. */
static void variables_of_the_other_kind_of_mount_are_passed_over(void **state)
{
    (void)state;
    struct parsed p;
    setenv("ATOLL_SEEDS", "a:7700", 1);
    setenv("ATOLL_REGION", "eu-west-1", 1);
    take(&p, "s3://b/ /mnt/t");
    assert_string_equal(p.settings.region, "eu-west-1");
    done(&p);
    take(&p, "train /mnt/t --insecure --cluster lab");
    assert_string_equal(p.settings.seeds, "a:7700");
    done(&p);
    unsetenv("ATOLL_SEEDS");
    unsetenv("ATOLL_REGION");
}

static void names_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    char line[1024] = "";
    memset(line, 'd', 65);
    snprintf(line + 65, sizeof line - 65, " /mnt/t" CLUSTER);
    refuse(line, "1 to 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dataset_and_prefix_are_told_apart),
        cmocka_unit_test(uri_needs_no_cluster),
        cmocka_unit_test(place_of_a_uri_is_that_of_the_environment_unless_it_is_given),
        cmocka_unit_test(listing_of_a_uri_may_be_believed_once_for_a_time_or_never),
        cmocka_unit_test(mount_options_have_the_defaults_of_a_read_only_mount),
        cmocka_unit_test(mount_options_may_be_given_together_and_again),
        cmocka_unit_test(options_with_a_flag_may_be_given_as_mount_options),
        cmocka_unit_test(relative_directory_becomes_absolute),
        cmocka_unit_test(descriptor_is_taken_as_it_is),
        cmocka_unit_test(directory_behind_a_symbolic_link_gets_its_real_name),
        cmocka_unit_test(file_of_seeds_is_named_from_the_root_and_must_be_there),
        cmocka_unit_test(wrong_words_are_refused_with_what_to_do),
        cmocka_unit_test(option_that_would_change_nothing_is_refused),
        cmocka_unit_test(variables_of_the_other_kind_of_mount_are_passed_over),
        cmocka_unit_test(names_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
