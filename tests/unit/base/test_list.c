/* tests/unit/base/test_list.c: an intrusive list keeps the order it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

#include "base/check.h"

struct item {
    int number;
    struct list link;
};

/* The numbers along the list as decimal digits, first to last; checks the links back, too. */
static int digits(struct list *head)
{
    int value = 0;
    for (struct list *at = head->next; at != head; at = at->next) {
        assert_ptr_equal(at->next->prev, at);
        assert_ptr_equal(at->prev->next, at);
        value = value * 10 + CONTAINER_OF(at, struct item, link)->number;
    }
    return value;
}

static void items_stay_where_they_are_put(void **state)
{
    (void)state;
    struct list head;
    struct item items[4] = { { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 } };
    list_init(&head);
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    list_push_back(&head, &items[0].link);
    list_push_back(&head, &items[1].link);
    list_push_front(&head, &items[2].link);
    list_insert_before(&items[3].link, &items[1].link);
    assert_int_equal(digits(&head), 3142);
    assert_ptr_equal(list_first(&head), &items[2].link);
}

static void removing_twice_is_harmless(void **state)
{
    (void)state;
    struct list head;
    struct item items[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } };
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        list_push_back(&head, &items[i].link);
    }
    assert_true(list_is_linked(&items[1].link));
    list_remove(&items[1].link);
    assert_false(list_is_linked(&items[1].link));
    list_remove(&items[1].link);
    assert_int_equal(digits(&head), 13);
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_stay_where_they_are_put),
        cmocka_unit_test(removing_twice_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
