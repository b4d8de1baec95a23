#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
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
        const struct ring_request request = { .id = i, .members = members, .count = i };
        assert_int_equal(ring_worker_build(worker, &request), ERR_OK);
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
    const struct ring_request request = {
        .id = 1, .selector = span_text(selector), .members = &member, .count = 1
    };
    assert_int_equal(ring_worker_build(worker, &request), ERR_OK);
    selector[0] = 'x'; /* it was copied */
    const struct answer answer = wait_for(queue);
    assert_non_null(answer.ring);
    assert_int_equal(ring_count(answer.ring), 0);
    ring_worker_stop(&worker);
    queue_free(&queue);
}

/* Readers take whatever table is the present one and never wait: a table is not changed once it is
 * there. The worker makes each from the one before, which is dropped while it still reads it. */
#define CLUSTER 40u
#define SWAPS 60u
#define READERS 3u

struct readers {
    const struct ring *_Atomic ring;
    atomic_bool over;
    atomic_uint wrong;
};

static void *read_on(void *self)
{
    struct readers *readers = self;
    uint64_t place = 1;
    while (!atomic_load(&readers->over)) {
        const struct ring *ring = atomic_load(&readers->ring);
        struct node_id owners[RING_RANKS];
        place = place * 6364136223846793005u + 1;
        uint32_t count = ring_owners(ring, (struct place){ place }, RING_RANKS, owners);
        if (count != RING_RANKS || !ring_is_owner(ring, (struct place){ place }, owners[0])) {
            atomic_fetch_add(&readers->wrong, 1);
        }
    }
    return NULL;
}

static const struct ring *build_from(struct ring_worker *worker, struct queue *queue,
                                     const struct ring *previous, const struct member *members)
{
    const struct ring_request request = { .members = members,
                                          .count = CLUSTER,
                                          .previous = previous };
    assert_int_equal(ring_worker_build(worker, &request), ERR_OK);
    return wait_for(queue).ring;
}

static void readers_go_on_while_tables_are_swapped(void **state)
{
    static struct member members[CLUSTER];
    static struct readers readers;
    const struct ring *swapped[SWAPS + 1];
    struct queue *queue;
    struct ring_worker *worker;
    pthread_t threads[READERS];
    (void)state;
    for (uint32_t i = 0; i < CLUSTER; i++) {
        members[i] = (struct member){ .state = MEMBER_OWNING, .weight = 5 };
        put_u32(members[i].id.b, i + 1);
    }
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_int_equal(ring_worker_start(12, done, queue, &worker), ERR_OK);
    swapped[0] = build_from(worker, queue, NULL, members);
    atomic_store(&readers.ring, swapped[0]);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    }
    for (uint32_t i = 1; i <= SWAPS; i++) {
        put_u32(members[i % CLUSTER].id.b, 1000 + i); /* one goes, another comes */
        swapped[i] = build_from(worker, queue, swapped[i - 1], members);
        assert_true(ring_is_updated(swapped[i]));
        atomic_store(&readers.ring, swapped[i]);
    }
    atomic_store(&readers.over, true);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&readers.wrong), 0);
    for (uint32_t i = 0; i <= SWAPS; i++) {
        ring_worker_drop(worker, swapped[i]);
    }
    ring_worker_stop(&worker);
    queue_free(&queue);
}

static void a_ring_is_there_until_those_made_from_it_are(void **state)
{
    static struct member members[CLUSTER];
    struct queue *queue;
    struct ring_worker *worker;
    (void)state;
    for (uint32_t i = 0; i < CLUSTER; i++) {
        members[i] = (struct member){ .state = MEMBER_OWNING, .weight = 5 };
        put_u32(members[i].id.b, i + 1);
    }
    assert_int_equal(queue_new(&queue), ERR_OK);
    assert_int_equal(ring_worker_start(16, done, queue, &worker), ERR_OK);
    const struct ring *first = build_from(worker, queue, NULL, members);
    for (uint32_t i = 0; i < 3; i++) {
        members[0].weight++;
        const struct ring_request request = {
            .id = i, .members = members, .count = CLUSTER, .previous = first
        };
        assert_int_equal(ring_worker_build(worker, &request), ERR_OK);
    }
    ring_worker_drop(worker, first);
    for (uint32_t i = 0; i < 3; i++) {
        const struct answer answer = wait_for(queue);
        assert_true(ring_is_updated(answer.ring));
        ring_worker_drop(worker, answer.ring);
    }
    ring_worker_stop(&worker);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_come_back_in_order_and_know_their_members),
        cmocka_unit_test(the_selector_travels_with_the_job),
        cmocka_unit_test(readers_go_on_while_tables_are_swapped),
        cmocka_unit_test(a_ring_is_there_until_those_made_from_it_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
