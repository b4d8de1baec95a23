#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/io/clock.h"
#include "node/io/queue.h"
#include "node/io/threads.h"

struct thing {
    struct queue_item queue;
    uint64_t sender;
    uint64_t number;
};

#define SENDERS 4
#define EACH 20000

struct sender {
    struct queue *queue;
    uint64_t number;
};

static void *send_all(void *self)
{
    const struct sender *sender = self;
    for (uint64_t i = 0; i < EACH; i++) {
        struct thing *thing = malloc(sizeof *thing);
        assert_non_null(thing);
        thing->sender = sender->number;
        thing->number = i;
        queue_push(sender->queue, &thing->queue);
    }
    return NULL;
}

static bool readable(const struct queue *queue, int wait_ms)
{
    struct pollfd fd = { .fd = queue_fd(queue), .events = POLLIN };
    return poll(&fd, 1, wait_ms) == 1;
}

static void items_of_each_sender_arrive_once_and_in_order(void **state)
{
    struct queue *queue;
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    uint64_t next[SENDERS] = { 0 };
    uint64_t all = 0;
    (void)state;
    assert_int_equal(queue_new(&queue), ERR_OK);
    for (uint64_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .queue = queue, .number = i };
        assert_int_equal(threads_start("sender", send_all, &senders[i], &threads[i]), ERR_OK);
    }
    while (all < SENDERS * EACH) {
        assert_true(readable(queue, 60000));
        struct queue_item *item = queue_take(queue);
        while (item != NULL) {
            struct thing *thing = CONTAINER_OF(item, struct thing, queue);
            item = item->next;
            assert_int_equal(thing->number, next[thing->sender]++);
            all++;
            free(thing);
        }
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        threads_join(threads[i]);
    }
    assert_false(readable(queue, 0));
    queue_free(&queue);
}

static void taking_from_an_empty_queue_gives_nothing(void **state)
{
    struct queue *queue;
    (void)state;
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_null(queue_take(queue));
    assert_false(readable(queue, 0));
    queue_free(&queue);
}

static void popping_waits_no_longer_than_it_was_told(void **state)
{
    struct queue *queue;
    (void)state;
    assert_int_equal(queue_new(&queue), ERR_OK);
    const usec_t start_us = clock_mono_us();
    assert_null(queue_pop(queue, MSEC(20)));
    assert_true(clock_mono_us() - start_us >= MSEC(20));
    queue_free(&queue);
}

static void *pop_all(void *self)
{
    struct queue *queue = self;
    uint64_t count = 0;
    struct queue_item *item;
    while ((item = queue_pop(queue, USEC_NEVER)) != NULL) {
        free(CONTAINER_OF(item, struct thing, queue));
        count++;
    }
    return (void *)(uintptr_t)count;
}

static void a_closed_queue_lets_its_takers_finish_what_is_inside(void **state)
{
    struct queue *queue;
    pthread_t takers[2];
    void *count[2];
    struct sender sender;
    (void)state;
    assert_int_equal(queue_new(&queue), ERR_OK);
    sender = (struct sender){ .queue = queue };
    assert_int_equal(threads_start("taker", pop_all, queue, &takers[0]), ERR_OK);
    assert_int_equal(threads_start("taker", pop_all, queue, &takers[1]), ERR_OK);
    send_all(&sender);
    queue_close(queue);
    pthread_join(takers[0], &count[0]);
    pthread_join(takers[1], &count[1]);
    assert_int_equal((uintptr_t)count[0] + (uintptr_t)count[1], EACH);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_each_sender_arrive_once_and_in_order),
        cmocka_unit_test(taking_from_an_empty_queue_gives_nothing),
        cmocka_unit_test(popping_waits_no_longer_than_it_was_told),
        cmocka_unit_test(a_closed_queue_lets_its_takers_finish_what_is_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
