#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/gossip_actor.h"
#include "node/io/item.h"
#include "tests/unit/node/io/ports.h"

struct word {
    struct queue_item queue;
    enum gossip_news news;
    uint64_t number;
    uint32_t keys;
};

struct end {
    struct address address;
    struct queue *peer;
    struct queue *words;
    struct gossip_actor *actor;
    bool keyed;
    bool is_renamed; /* it tells others another address than the one it listens at */
    char why_room[512];
};

static void tell(void *self, const struct gossip_word *from)
{
    struct end *end = self;
    struct word *word = calloc(1, sizeof *word);
    assert_non_null(word);
    word->news = from->news;
    word->number = from->number;
    word->keys = from->ring->count;
    queue_push(end->words, &word->queue);
}

static enum err start(struct end *end, uint8_t id, const char *cluster, const char *seeds)
{
    struct text why;
    struct gossip_actor_options options = {
        .gossip = { .cluster = span_text(cluster),
                    .insecure = !end->keyed,
                    .ring = { .keys = { { .number = 1 } }, .count = 1 },
                    .self = { .id = { { id } },
                              .incarnation = 1,
                              .weight = 1,
                              .name = "n",
                              .endpoint_count = 1 },
                    .boot = { id },
                    .seed = id,
                    .members_max = 16 },
        .listen = end->address,
        .seeds = seeds,
        .peer = end->peer,
        .tell = tell,
        .self = end,
    };
    options.gossip.self.endpoints[0] =
        (struct endpoint){ .purpose = ENDPOINT_GOSSIP, .address = end->address };
    if (end->is_renamed) {
        options.gossip.self.endpoints[0].address.ip[15]++; /* 127.0.0.2 */
    }
    text_init(&why, end->why_room, sizeof end->why_room);
    return gossip_actor_start(&options, &end->actor, &why);
}

static void end_init(struct end *end)
{
    memset(end, 0, sizeof *end);
    assert_true(address_parse("127.0.0.1", ports_take(1), &end->address));
    assert_int_equal(queue_new(&end->peer), ERR_OK);
    assert_int_equal(queue_new(&end->words), ERR_OK);
}

static void end_fini(struct end *end)
{
    struct queue_item *next;
    gossip_actor_stop(&end->actor);
    next = queue_take(end->peer);
    while (next != NULL) {
        struct item *item = item_of(next);
        next = next->next;
        item->free(item);
    }
    next = queue_take(end->words);
    while (next != NULL) {
        struct word *word = CONTAINER_OF(next, struct word, queue);
        next = next->next;
        free(word);
    }
    queue_free(&end->peer);
    queue_free(&end->words);
}

/* Wait for a view in which `count` members are alive. */
static void wait_members(struct end *end, uint32_t count)
{
    uint32_t living = 0;
    while (living != count) {
        struct queue_item *next = queue_pop(end->peer, SEC(60));
        assert_non_null(next);
        struct item *item = item_of(next);
        if (item->event.kind == NODE_VIEW) {
            living = 0;
            for (uint32_t i = 0; i < item->event.view.count; i++) {
                living += item->event.view.members[i].state < MEMBER_LEAVING;
            }
        }
        item->free(item);
    }
}

static struct word wait_news(struct end *end, enum gossip_news news)
{
    struct word found = { .news = news };
    bool is_it = false;
    while (!is_it) {
        struct queue_item *next = queue_pop(end->words, SEC(60));
        assert_non_null(next);
        struct word *word = CONTAINER_OF(next, struct word, queue);
        is_it = word->news == news;
        found = *word;
        free(word);
    }
    return found;
}

/* Takes what is for the node until an event of that kind comes. */
static struct node_event wait_event(struct end *end, enum node_event_kind kind, uint32_t *keys)
{
    struct node_event event = { .kind = NODE_TICK };
    while (event.kind != kind) {
        struct queue_item *next = queue_pop(end->peer, SEC(60));
        assert_non_null(next);
        struct item *item = item_of(next);
        event = item->event;
        *keys = event.kind == NODE_KEYS ? event.keys.ring->count : *keys;
        item->free(item);
    }
    return event;
}

static void two_find_each_other_and_one_leaves_in_order(void **state)
{
    struct end a;
    struct end b;
    char seed[ADDRESS_TEXT_SIZE];
    struct gossip_stats stats;
    (void)state;
    end_init(&a);
    end_init(&b);
    address_text(&a.address, seed);
    assert_int_equal(start(&a, 1, "test", ""), ERR_OK);
    assert_int_equal(start(&b, 2, "test", seed), ERR_OK);
    wait_members(&a, 2);
    wait_members(&b, 2);
    (void)wait_news(&a, GOSSIP_NEWS_PERSIST);
    gossip_actor_leave(b.actor, false);
    gossip_actor_leave(b.actor, true);
    (void)wait_news(&b, GOSSIP_NEWS_LEFT);
    wait_members(&a, 1);
    gossip_actor_stats(a.actor, &stats);
    assert_true(stats.sent_packets > 0);
    end_fini(&b);
    end_fini(&a);
}

/* Waits until the node has a view that can be used; was it told that the seeds are silent? */
static bool gathers_in_silence(struct end *end)
{
    bool gathering = true;
    bool silent = false;
    while (gathering) {
        struct queue_item *next = queue_pop(end->peer, SEC(60));
        assert_non_null(next);
        struct item *item = item_of(next);
        gathering = item->event.kind != NODE_VIEW || item->event.view.gathering;
        silent = silent || item->event.kind == NODE_SEEDS;
        item->free(item);
    }
    return silent;
}

static void seeds_that_are_silent_are_told_until_one_answers(void **state)
{
    struct end a;
    struct end b;
    char seed[ADDRESS_TEXT_SIZE];
    uint32_t keys = 0;
    (void)state;
    end_init(&a);
    end_init(&b);
    address_text(&b.address, seed);
    assert_int_equal(start(&a, 1, "test", seed), ERR_OK);
    assert_true(gathers_in_silence(&a));
    address_text(&a.address, seed);
    assert_int_equal(start(&b, 2, "test", seed), ERR_OK);
    assert_false(wait_event(&a, NODE_SEEDS, &keys).seeds.silent);
    end_fini(&b);
    end_fini(&a);
}

/* Its own packets come back from there. */
static void a_seed_that_is_ourselves_by_another_address_is_none(void **state)
{
    struct end end;
    char seed[ADDRESS_TEXT_SIZE];
    (void)state;
    end_init(&end);
    end.is_renamed = true;
    address_text(&end.address, seed);
    assert_int_equal(start(&end, 1, "test", seed), ERR_OK);
    assert_false(gathers_in_silence(&end));
    end_fini(&end);
}

static void who_starts_a_cluster_is_not_missing_seeds(void **state)
{
    char seed[ADDRESS_TEXT_SIZE];
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct end end;
        end_init(&end);
        address_text(&end.address, seed);
        assert_int_equal(start(&end, 1, "test", i == 0 ? "" : seed), ERR_OK);
        assert_false(gathers_in_silence(&end));
        end_fini(&end);
    }
}

/* Written by main, known to the node, and then told to who asked. */
static void a_rotation_is_kept_before_it_is_answered(void **state)
{
    struct end a;
    uint32_t keys = 0;
    const struct key_rotation rotation = { .key = { .ttl_s = 1000, .gossip = { 1 } } };
    (void)state;
    end_init(&a);
    a.keyed = true;
    assert_int_equal(start(&a, 1, "test", ""), ERR_OK);
    struct word word = wait_news(&a, GOSSIP_NEWS_KEYRING);
    assert_true(word.number == 0 && word.keys == 1); /* what it has started with */
    gossip_actor_rotate(a.actor, 5, &rotation);
    word = wait_news(&a, GOSSIP_NEWS_KEYRING);
    assert_true(word.number == 1 && word.keys == 2);
    gossip_actor_kept(a.actor, 1, ERR_OK);
    const struct node_event answer = wait_event(&a, NODE_KEY_ROTATED, &keys);
    assert_true(answer.key_rotated.id == 5 && answer.key_rotated.err == ERR_OK);
    assert_int_equal(keys, 2);
    end_fini(&a);
}

static void a_busy_port_is_told(void **state)
{
    struct end a;
    struct end b;
    (void)state;
    end_init(&a);
    end_init(&b);
    b.address = a.address;
    assert_int_equal(start(&a, 1, "test", ""), ERR_OK);
    assert_int_equal(start(&b, 2, "test", ""), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(b.why_room, "--listen"));
    end_fini(&b);
    end_fini(&a);
}

static void garbage_is_counted_and_changes_nothing(void **state)
{
    struct end a;
    struct sockaddr_storage at;
    socklen_t size;
    uint8_t junk[1400];
    struct gossip_stats stats = { 0 };
    (void)state;
    end_init(&a);
    assert_int_equal(start(&a, 1, "test", ""), ERR_OK);
    int fd = socket(address_to_socket(&a.address, &at, &size), SOCK_DGRAM, 0);
    for (uint32_t i = 0; i < sizeof junk; i++) {
        junk[i] = (uint8_t)(i * 7);
    }
    while (stats.dropped_foreign + stats.dropped_unsealed + stats.dropped_malformed < 3) {
        for (size_t k = 1; k <= sizeof junk; k += 100) {
            assert_true(sendto(fd, junk, k, 0, (void *)&at, size) > 0);
        }
        struct queue_item *next = queue_pop(a.words, MSEC(10)); /* a moment for its thread */
        if (next != NULL) {
            free(CONTAINER_OF(next, struct word, queue));
        }
        gossip_actor_stats(a.actor, &stats);
    }
    assert_int_equal(stats.received_packets, 0);
    close(fd);
    end_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_find_each_other_and_one_leaves_in_order),
        cmocka_unit_test(seeds_that_are_silent_are_told_until_one_answers),
        cmocka_unit_test(a_seed_that_is_ourselves_by_another_address_is_none),
        cmocka_unit_test(who_starts_a_cluster_is_not_missing_seeds),
        cmocka_unit_test(a_rotation_is_kept_before_it_is_answered),
        cmocka_unit_test(a_busy_port_is_told),
        cmocka_unit_test(garbage_is_counted_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
