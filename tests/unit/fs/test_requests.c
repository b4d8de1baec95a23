/* tests/unit/fs/test_requests.c: which requests of the kernel are open, whoever asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "fs/requests.h"

static struct fuse_req *fake(uintptr_t number)
{
    return (struct fuse_req *)number; /* never looked into */
}

static void request_is_open_until_it_is_closed_and_then_never_again(void **state)
{
    (void)state;
    struct requests *r = NULL;
    assert_int_equal(requests_new(&r), ERR_OK);
    uint64_t number = requests_open(r, fake(16));
    assert_int_not_equal(number, 0);
    assert_ptr_equal(requests_close(r, number), fake(16));
    assert_null(requests_close(r, number));
    uint64_t next = requests_open(r, fake(32)); /* the same slot */
    assert_int_not_equal(next, number);
    assert_null(requests_close(r, number));
    assert_ptr_equal(requests_close(r, next), fake(32));
    requests_free(&r);
}

static void interrupt_before_the_push_is_told_to_whoever_pushes(void **state)
{
    (void)state;
    struct requests *r = NULL;
    assert_int_equal(requests_new(&r), ERR_OK);
    uint64_t number = requests_open(r, fake(16));
    assert_false(requests_interrupt(r, number)); /* nobody knows of the request yet */
    assert_true(requests_pushed(r, number));
    assert_true(requests_interrupt(r, number));
    requests_close(r, number);
    assert_false(requests_interrupt(r, number));
    requests_free(&r);
}

static void everything_open_can_be_closed_at_the_end(void **state)
{
    (void)state;
    struct requests *r = NULL;
    assert_int_equal(requests_new(&r), ERR_OK);
    requests_open(r, fake(16));
    requests_open(r, fake(32));
    assert_non_null(requests_close_any(r));
    assert_non_null(requests_close_any(r));
    assert_null(requests_close_any(r));
    requests_free(&r);
}

static void *open_one_more(void *self)
{
    return (void *)(uintptr_t)requests_open(self, fake(16));
}

static void full_table_makes_the_next_one_wait_for_a_free_place(void **state)
{
    (void)state;
    struct requests *r = NULL;
    uint64_t first = 0;
    assert_int_equal(requests_new(&r), ERR_OK);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        uint64_t number = requests_open(r, fake(16));
        first = i == 0 ? number : first;
    }
    pthread_t thread;
    void *number = NULL;
    assert_int_equal(pthread_create(&thread, NULL, open_one_more, r), 0);
    requests_close(r, first);
    pthread_join(thread, &number);
    assert_non_null(number);
    requests_free(&r);
}

static void end_of_the_session_wakes_those_who_wait(void **state)
{
    (void)state;
    struct requests *r = NULL;
    assert_int_equal(requests_new(&r), ERR_OK);
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        requests_open(r, fake(16));
    }
    pthread_t thread;
    void *number = fake(1);
    assert_int_equal(pthread_create(&thread, NULL, open_one_more, r), 0);
    requests_end(r);
    pthread_join(thread, &number);
    assert_null(number);
    requests_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_open_until_it_is_closed_and_then_never_again),
        cmocka_unit_test(interrupt_before_the_push_is_told_to_whoever_pushes),
        cmocka_unit_test(everything_open_can_be_closed_at_the_end),
        cmocka_unit_test(full_table_makes_the_next_one_wait_for_a_free_place),
        cmocka_unit_test(end_of_the_session_wakes_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
