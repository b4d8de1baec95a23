#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gossip/records.h"

#define LIMIT 50u

static struct records *records_of(uint32_t limit, void **memory)
{
    struct arena arena;
    struct records *records = NULL;
    *memory = malloc(records_memory(limit));
    arena_init(&arena, *memory, records_memory(limit));
    assert_int_equal(records_new(&arena, limit, &records), ERR_OK);
    return records;
}

static struct member member_of(uint8_t who, uint32_t weight)
{
    struct member member = { .weight = weight, .incarnation = 7, .version = 3 };
    memset(member.id.b, who, sizeof member.id.b);
    member.state = MEMBER_OWNING;
    strcpy(member.name, "somebody");
    return member;
}

static void equal_facts_are_kept_once_whoever_tells_them(void **state)
{
    (void)state;
    void *memory;
    struct records *records = records_of(LIMIT, &memory);
    struct member member = member_of(1, 5);
    const uint32_t first = records_ref(records, &member);
    member.incarnation = 900;
    member.version = 17;
    member.state = MEMBER_DEAD;
    assert_int_equal(records_ref(records, &member), first);
    assert_int_equal(records_count(records), 1);
    assert_true(records_facts(records, first)->incarnation == 0);
    assert_int_equal(records_facts(records, first)->version, 0);
    assert_int_equal(records_facts(records, first)->weight, 5);
    assert_true(node_id_equal(records_id(records, first), member.id));
    free(memory);
}

static void other_facts_of_one_member_are_another_record(void **state)
{
    (void)state;
    void *memory;
    struct records *records = records_of(LIMIT, &memory);
    const struct member light = member_of(1, 5);
    const struct member heavy = member_of(1, 6);
    const uint32_t a = records_ref(records, &light);
    const uint32_t b = records_ref(records, &heavy);
    assert_int_not_equal(a, b);
    assert_true(records_hash(records, a) != records_hash(records, b));
    assert_true(records_id_hash(records, a) == records_id_hash(records, b));
    assert_true(records_are(records, a, &light));
    assert_false(records_are(records, a, &heavy));
    free(memory);
}

static void a_record_lives_as_long_as_somebody_refers_to_it(void **state)
{
    (void)state;
    void *memory;
    struct records *records = records_of(1, &memory);
    const struct member one = member_of(1, 5);
    const struct member other = member_of(2, 5);
    const uint32_t record = records_ref(records, &one);
    assert_int_equal(records_ref(records, &one), record);
    records_unref(records, record);
    assert_int_equal(records_ref(records, &other), RECORD_NONE); /* full */
    records_unref(records, record);
    assert_int_equal(records_count(records), 0);
    assert_int_not_equal(records_ref(records, &other), RECORD_NONE);
    free(memory);
}

static void places_are_used_again_in_any_order(void **state)
{
    (void)state;
    void *memory;
    uint32_t record[LIMIT];
    struct records *records = records_of(LIMIT, &memory);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < LIMIT; i++) {
            const struct member member = member_of((uint8_t)(1 + i), 1 + round);
            record[i] = records_ref(records, &member);
            assert_int_not_equal(record[i], RECORD_NONE);
        }
        for (uint32_t i = 0; i < LIMIT; i++) {
            const uint32_t at = (i * 7 + round) % LIMIT;
            assert_int_equal(records_facts(records, record[at])->id.b[0], 1 + at);
            records_unref(records, record[at]);
        }
        assert_int_equal(records_count(records), 0);
    }
    free(memory);
}

static void too_small_an_arena_is_an_error(void **state)
{
    (void)state;
    struct arena arena;
    struct records *records = NULL;
    const size_t size = records_memory(LIMIT);
    void *memory = malloc(size);
    arena_init(&arena, memory, size / 2);
    assert_int_equal(records_new(&arena, LIMIT, &records), ERR_NOMEM);
    assert_null(records);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_facts_are_kept_once_whoever_tells_them),
        cmocka_unit_test(other_facts_of_one_member_are_another_record),
        cmocka_unit_test(a_record_lives_as_long_as_somebody_refers_to_it),
        cmocka_unit_test(places_are_used_again_in_any_order),
        cmocka_unit_test(too_small_an_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
