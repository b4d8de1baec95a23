#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/queue.h"
#include "node/io/resolver.h"

struct answer {
    struct queue_item queue;
    struct address addresses[RESOLVER_ADDRESSES_MAX];
    uint32_t count;
};

static void done(void *self, const struct address *addresses, uint32_t count)
{
    struct answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    memcpy(answer->addresses, addresses, count * sizeof *addresses);
    answer->count = count;
    queue_push(self, &answer->queue);
}

static void check(const char *names, uint32_t count, const char *last)
{
    struct queue *queue;
    struct resolver *resolver;
    char text[ADDRESS_TEXT_SIZE];
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_int_equal(resolver_start(names, done, queue, &resolver), ERR_OK);
    resolver_ask(resolver);
    struct queue_item *item = queue_pop(queue, SEC(60));
    assert_non_null(item);
    struct answer *answer = CONTAINER_OF(item, struct answer, queue);
    assert_int_equal(answer->count, count);
    if (count > 0) {
        address_text(&answer->addresses[count - 1], text);
        assert_string_equal(text, last);
    }
    free(answer);
    resolver_stop(&resolver);
    while ((item = queue_take(queue)) != NULL) {
        free(CONTAINER_OF(item, struct answer, queue));
    }
    queue_free(&queue);
}

static void numeric_addresses_need_no_dns(void **state)
{
    (void)state;
    check("10.0.0.1:7700,[::1]:7701,10.0.0.3:7702", 3, "10.0.0.3:7702");
}

static void a_file_lists_one_address_a_line(void **state)
{
    char path[] = "/tmp/atoll-test-seeds-XXXXXX";
    char name[64] = "@";
    const char text[] = "# ours:0\n10.0.0.1:1 # the first\nno-port\n10.0.0.2:2\n\n#";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    strcat(name, path);
    check(name, 2, "10.0.0.2:2");
    unlink(path);
    check(name, 0, ""); /* gone meanwhile: an answer all the same */
}

static void lists_of_the_wrong_form_are_told(void **state)
{
    (void)state;
    assert_null(resolver_fault("a:1,b.example:2,[::1]:3"));
    assert_null(resolver_fault("@/etc/seeds"));
    assert_non_null(resolver_fault("a"));
    assert_non_null(resolver_fault("a:1,,b:2"));
    assert_non_null(resolver_fault("@"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses_need_no_dns),
        cmocka_unit_test(a_file_lists_one_address_a_line),
        cmocka_unit_test(lists_of_the_wrong_form_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
