/* tests/unit/wire/test_dataset.c: records of datasets: valid, stored, merged, asked. */
#include "wire/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct dataset example(void)
{
    struct dataset d = { .name = "imagenet-1k", .row_count = 2, .block_size = 4u << 20 };
    snprintf(d.rows[0].uri, sizeof d.rows[0].uri, "s3://bucket");
    snprintf(d.rows[0].prefix, sizeof d.rows[0].prefix, "train/");
    snprintf(d.rows[0].endpoint, sizeof d.rows[0].endpoint, "http://127.0.0.1:9000");
    snprintf(d.rows[0].region, sizeof d.rows[0].region, "eu-west-1");
    snprintf(d.rows[0].credential, sizeof d.rows[0].credential, "reader");
    memset(d.rows[0].source.b, 1, ID_SIZE);
    snprintf(d.rows[1].path, sizeof d.rows[1].path, "extra/labels");
    snprintf(d.rows[1].uri, sizeof d.rows[1].uri, "oss://other");
    memset(d.rows[1].source.b, 2, ID_SIZE);
    snprintf(d.selector, sizeof d.selector, "disk=nvme");
    d.policy = METADATA_TTL;
    d.ttl_us = SEC(60);
    d.refreshed = 7;
    d.version = 1700000000000000;
    memset(d.writer.b, 9, ID_SIZE);
    return d;
}

static void record_comes_back_as_it_was_stored(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out = { .row_count = 0 };
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    assert_int_equal(dataset_decode(span_of(record, used), &out), ERR_OK);
    assert_string_equal(out.name, in.name);
    assert_int_equal(out.row_count, 2);
    assert_string_equal(out.rows[0].prefix, "train/");
    assert_string_equal(out.rows[0].endpoint, in.rows[0].endpoint);
    assert_string_equal(out.rows[0].region, in.rows[0].region);
    assert_string_equal(out.rows[0].credential, in.rows[0].credential);
    assert_string_equal(out.rows[1].path, "extra/labels");
    assert_true(source_id_equal(out.rows[1].source, in.rows[1].source));
    assert_int_equal(out.block_size, in.block_size);
    assert_string_equal(out.selector, in.selector);
    assert_int_equal(out.policy, METADATA_TTL);
    assert_int_equal(out.ttl_us, in.ttl_us);
    assert_int_equal(out.refreshed, 7);
    assert_int_equal(out.version, in.version);
    assert_true(node_id_equal(out.writer, in.writer));
    assert_false(out.deleted);
}

static void every_shortened_record_is_refused_or_lacks_its_tail(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out;
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    for (size_t size = 0; size < used; size++) {
        uint8_t *copy = malloc(size + 1); /* exact, so that a sanitizer sees a read behind it */
        memcpy(copy, record, size);
        enum err err = dataset_decode(span_of(copy, size), &out);
        bool lacks_version = err == ERR_OK && out.version != in.version;
        bool lacks_writer = err == ERR_OK && node_id_is_zero(out.writer);
        assert_true(err == ERR_MALFORMED || lacks_version || lacks_writer);
        free(copy);
    }
}

static void flipped_bytes_never_read_outside_the_record(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out;
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    for (size_t i = 0; i < used; i++) {
        uint8_t *copy = malloc(used);
        memcpy(copy, record, used);
        copy[i] ^= 0xff;
        if (dataset_decode(span_of(copy, used), &out) == ERR_OK) {
            assert_null(dataset_fault(&out));
        }
        free(copy);
    }
}

static void record_of_a_newer_format_is_refused_as_newer(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out;
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    put_u16(record, 2);
    assert_int_equal(dataset_decode(span_of(record, used), &out), ERR_VERSION);
}

static void unknown_field_is_skipped(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out;
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    put_u16(record + used, 999);
    put_u16(record + used + 2, 3);
    memcpy(record + used + 4, "new", 3);
    assert_int_equal(dataset_decode(span_of(record, used + 7), &out), ERR_OK);
    assert_int_equal(out.version, in.version);
}

static void record_that_does_not_fit_is_refused(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 77;
    struct dataset in = example();
    (void)state;
    in.row_count = DATASET_ROWS_MAX;
    for (uint32_t i = 0; i < in.row_count; i++) {
        in.rows[i] = in.rows[0];
        snprintf(in.rows[i].path, sizeof in.rows[i].path, "row%u", i);
        memset(in.rows[i].prefix, 'p', sizeof in.rows[i].prefix - 2);
        in.rows[i].prefix[sizeof in.rows[i].prefix - 2] = '/';
        in.rows[i].prefix[sizeof in.rows[i].prefix - 1] = '\0';
    }
    assert_null(dataset_fault(&in));
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_FULL);
    assert_int_equal(used, 77);
}

static void a_valid_dataset_has_no_fault(void **state)
{
    struct dataset d = example();
    (void)state;
    assert_null(dataset_fault(&d));
}

static void names_outside_the_alphabet_are_faults(void **state)
{
    static const char *const bad[] = { "", "Upper", "-dash", ".dot", "a b", "a/b", "\xc3\xa9" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct dataset d = example();
        snprintf(d.name, sizeof d.name, "%s", bad[i]);
        assert_non_null(dataset_fault(&d));
    }
}

static void row_paths_that_no_mount_could_show_are_faults(void **state)
{
    static const char *const bad[] = { "/a", "a/", "a//b", ".", "..", "a/../b", "a\nb" };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct dataset d = example();
        snprintf(d.rows[1].path, sizeof d.rows[1].path, "%s", bad[i]);
        assert_non_null(dataset_fault(&d));
    }
}

static void each_wrong_value_is_a_fault_of_its_own(void **state)
{
    struct dataset d = example();
    (void)state;
    d.block_size = 100000;
    assert_non_null(strstr(dataset_fault(&d), "block size"));
    d = example();
    d.block_size = 32u << 20;
    assert_non_null(strstr(dataset_fault(&d), "block size"));
    d = example();
    d.ttl_us = 0;
    assert_non_null(strstr(dataset_fault(&d), "ttl"));
    d = example();
    d.row_count = 0;
    assert_non_null(strstr(dataset_fault(&d), "URI"));
    d = example();
    snprintf(d.rows[0].prefix, sizeof d.rows[0].prefix, "train");
    assert_non_null(strstr(dataset_fault(&d), "slash"));
    d = example();
    d.rows[1].path[0] = '\0';
    assert_non_null(strstr(dataset_fault(&d), "same path"));
    d = example();
    snprintf(d.rows[1].uri, sizeof d.rows[1].uri, "bucket");
    assert_non_null(strstr(dataset_fault(&d), "URI"));
}

static void a_draft_may_be_wrong_but_a_record_may_not(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = example();
    struct dataset out;
    (void)state;
    in.block_size = 5;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    assert_int_equal(dataset_decode(span_of(record, used), &out), ERR_MALFORMED);
    assert_int_equal(dataset_decode_draft(span_of(record, used), &out), ERR_OK);
    assert_non_null(dataset_fault(&out));
}

static void tombstone_needs_only_its_name(void **state)
{
    uint8_t record[DATASET_RECORD_MAX];
    size_t used = 0;
    struct dataset in = { .name = "gone", .deleted = true, .version = 5 };
    struct dataset out;
    (void)state;
    assert_int_equal(dataset_encode(&in, record, sizeof record, &used), ERR_OK);
    assert_int_equal(dataset_decode(span_of(record, used), &out), ERR_OK);
    assert_true(out.deleted);
}

static void later_version_wins_and_the_writer_breaks_ties(void **state)
{
    struct dataset a = example();
    struct dataset b = example();
    (void)state;
    b.version = a.version + 1;
    assert_true(dataset_supersedes(&b, &a));
    assert_false(dataset_supersedes(&a, &b));
    b.version = a.version;
    b.writer.b[0] = (uint8_t)(a.writer.b[0] + 1);
    assert_true(dataset_supersedes(&b, &a));
    assert_false(dataset_supersedes(&a, &b));
    b.writer = a.writer;
    assert_false(dataset_supersedes(&b, &a));
}

static void the_row_with_the_longest_path_shows_a_path(void **state)
{
    struct dataset d = example();
    (void)state;
    assert_ptr_equal(dataset_row_of(&d, span_text("")), &d.rows[0]);
    assert_ptr_equal(dataset_row_of(&d, span_text("extra")), &d.rows[0]);
    assert_ptr_equal(dataset_row_of(&d, span_text("extra/labels")), &d.rows[1]);
    assert_ptr_equal(dataset_row_of(&d, span_text("extra/labels/x")), &d.rows[1]);
    assert_ptr_equal(dataset_row_of(&d, span_text("extra/labels2")), &d.rows[0]);
    snprintf(d.rows[0].path, sizeof d.rows[0].path, "main");
    assert_null(dataset_row_of(&d, span_text("other")));
}

static void key_is_the_prefix_and_what_is_below_the_row(void **state)
{
    char buffer[64];
    struct text key;
    struct dataset d = example();
    (void)state;
    text_init(&key, buffer, sizeof buffer);
    assert_true(dataset_key_of(&d.rows[0], span_text("n01/a.jpg"), &key));
    assert_string_equal(buffer, "train/n01/a.jpg");
    text_init(&key, buffer, sizeof buffer);
    assert_true(dataset_key_of(&d.rows[1], span_text("extra/labels/b"), &key));
    assert_string_equal(buffer, "b");
    text_init(&key, buffer, sizeof buffer);
    assert_true(dataset_key_of(&d.rows[1], span_text("extra/labels"), &key));
    assert_string_equal(buffer, "");
    text_init(&key, buffer, 5);
    assert_false(dataset_key_of(&d.rows[0], span_text("n01/a.jpg"), &key));
}

static void keys_outside_the_prefixes_are_not_shown(void **state)
{
    struct dataset d = example();
    (void)state;
    assert_true(dataset_shows(&d, d.rows[0].source, span_text("train/a")));
    assert_false(dataset_shows(&d, d.rows[0].source, span_text("test/a")));
    assert_true(dataset_shows(&d, d.rows[1].source, span_text("test/a")));
    assert_false(dataset_shows(&d, (struct source_id){ .b = { 5 } }, span_text("train/a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was_stored),
        cmocka_unit_test(every_shortened_record_is_refused_or_lacks_its_tail),
        cmocka_unit_test(flipped_bytes_never_read_outside_the_record),
        cmocka_unit_test(record_of_a_newer_format_is_refused_as_newer),
        cmocka_unit_test(unknown_field_is_skipped),
        cmocka_unit_test(record_that_does_not_fit_is_refused),
        cmocka_unit_test(a_valid_dataset_has_no_fault),
        cmocka_unit_test(names_outside_the_alphabet_are_faults),
        cmocka_unit_test(row_paths_that_no_mount_could_show_are_faults),
        cmocka_unit_test(each_wrong_value_is_a_fault_of_its_own),
        cmocka_unit_test(a_draft_may_be_wrong_but_a_record_may_not),
        cmocka_unit_test(tombstone_needs_only_its_name),
        cmocka_unit_test(later_version_wins_and_the_writer_breaks_ties),
        cmocka_unit_test(the_row_with_the_longest_path_shows_a_path),
        cmocka_unit_test(key_is_the_prefix_and_what_is_below_the_row),
        cmocka_unit_test(keys_outside_the_prefixes_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
