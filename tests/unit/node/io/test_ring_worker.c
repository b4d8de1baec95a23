#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/io/queue.h"
#include "node/io/ring_worker.h"

struct answer {
    struct queue_item queue;
    uint64_t id;
    const struct ring *ring;
};

static void done(void *self, uint64_t id, const struct ring *ring)
{
    struct answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    answer->id = id;
    answer->ring = ring;
    queue_push(self, &answer->queue);
}

static struct answer wait_for(struct queue *queue)
{
    struct queue_item *item = queue_pop(queue, SEC(60));
    assert_non_null(item);
    struct answer *answer = CONTAINER_OF(item, struct answer, queue);
    const struct answer copy = *answer;
    free(answer);
    return copy;
}

static void rings_come_back_in_order_and_know_their_members(void **state)
{
    struct member members[3] = { { .state = MEMBER_OWNING, .weight = 1, .serve_weight = 1 } };
    struct queue *queue;
    struct ring_worker *worker;
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        members[i] = members[0];
        members[i].id.b[0] = (uint8_t)(i + 1);
    }
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_int_equal(ring_worker_start(12, done, queue, &worker), ERR_OK);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(ring_worker_build(worker, i, span_text(""), members, i), ERR_OK);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        const struct answer answer = wait_for(queue);
        assert_int_equal(answer.id, i);
        assert_non_null(answer.ring);
        assert_int_equal(ring_count(answer.ring), i);
        if (i != 2) { /* the second one is freed by ring_worker_stop */
            ring_worker_drop(worker, answer.ring);
        }
    }
    ring_worker_drop(worker, NULL);
    ring_worker_stop(&worker);
    queue_free(&queue);
}

static void the_selector_travels_with_the_job(void **state)
{
    struct member member = { .id = { { 1 } }, .state = MEMBER_OWNING, .weight = 1 };
    struct queue *queue;
    struct ring_worker *worker;
    char selector[] = "disk=nvme";
    (void)state;
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_int_equal(ring_worker_start(12, done, queue, &worker), ERR_OK);
    assert_int_equal(ring_worker_build(worker, 1, span_text(selector), &member, 1), ERR_OK);
    selector[0] = 'x'; /* it was copied */
    const struct answer answer = wait_for(queue);
    assert_non_null(answer.ring);
    assert_int_equal(ring_count(answer.ring), 0);
    ring_worker_stop(&worker);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_come_back_in_order_and_know_their_members),
        cmocka_unit_test(the_selector_travels_with_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
