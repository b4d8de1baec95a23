#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/clock.h"
#include "node/io/links.h"
#include "node/io/process.h"
#include "wire/message.h"

/* A private node over a directory, and a link to it as a mount has one. */
struct world {
    char dir[64];
    char why_room[512];
    struct process *process;
    struct process_private reach;
    struct links *links;
    struct link_id link;
    struct message answer;
    uint8_t frame[WIRE_REQUEST_MAX];
    bool answered;
};

static struct world *world_make(void)
{
    struct world *world = calloc(1, sizeof *world);
    char path[96];
    strcpy(world->dir, "/tmp/atoll-test-process-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(path, sizeof path, "%s/hello", world->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    return world;
}

static enum err start(struct world *world, const char *uri)
{
    struct text why;
    const struct process_private_options options = { .uri = uri,
                                                     .memory = 256ull << 20,
                                                     .ttl_us = -1 };
    text_init(&why, world->why_room, sizeof world->why_room);
    return node_start_private(&options, &world->process, &world->reach, &why);
}

static void world_free(struct world *world)
{
    char command[96];
    links_free(&world->links);
    node_stop_private(&world->process);
    snprintf(command, sizeof command, "rm -rf %s", world->dir);
    assert_int_equal(system(command), 0);
    free(world);
}

static void on_link(void *self, const struct links_event *event)
{
    struct world *world = self;
    if (event->kind != LINKS_MESSAGE) {
        return;
    }
    assert_true(event->frame.size <= sizeof world->frame);
    memcpy(world->frame, event->frame.data, event->frame.size);
    assert_int_equal(message_decode(span_of(world->frame, event->frame.size), &world->answer),
                     ERR_OK);
    if (event->payload.token != 0) {
        links_release(world->links, event->payload.token);
    }
    world->answered = world->answer.kind != MESSAGE_PENDING;
}

/* Ask, and wait for an answer. */
static void ask(struct world *world, const struct message *message)
{
    uint8_t frame[WIRE_REQUEST_MAX];
    size_t size = 0;
    const usec_t until_us = clock_mono_us() + SEC(60);
    assert_int_equal(message_encode(message, frame, sizeof frame, &size), ERR_OK);
    links_send(world->links, world->link, span_of(frame, size), (struct payload){ 0 });
    world->answered = false;
    while (!world->answered) {
        assert_true(clock_mono_us() < until_us);
        links_poll(world->links, MSEC(100), on_link, world);
    }
}

static void a_private_node_shows_its_source_to_a_link_of_its_process(void **state)
{
    struct world *world = world_make();
    char uri[96];
    const struct message hello = { .kind = MESSAGE_HELLO,
                                   .hello = { .lowest_version = WIRE_VERSION_LOWEST,
                                              .highest_version = WIRE_VERSION_HIGHEST,
                                              .cluster = span_text("private"),
                                              .session = { 7 },
                                              .role = WIRE_MOUNT,
                                              .purpose = LINK_CONTROL,
                                              .name = span_text("test") } };
    const struct message get = { .kind = MESSAGE_DATASET_GET,
                                 .dataset_get = { .request = 5, .name = span_text("private") } };
    (void)state;
    snprintf(uri, sizeof uri, "file://%s", world->dir);
    if (start(world, uri) != ERR_OK) {
        fail_msg("%s", world->why_room);
    }
    assert_string_equal(world->reach.dataset, "private");
    const struct links_options options = { .transport = LINKS_PRIVATE,
                                           .zmq = world->reach.zmq,
                                           .links_max = 4 };
    assert_int_equal(links_new(&options, &world->links), ERR_OK);
    world->link =
        links_connect(world->links, &world->reach.control, LINK_CONTROL, (struct node_id){ { 0 } });
    links_poll(world->links, 0, on_link, world); /* up */
    ask(world, &hello);
    assert_int_equal(world->answer.kind, MESSAGE_WELCOME);
    assert_int_equal(world->answer.welcome.slots_log2, world->reach.slots_log2);
    ask(world, &get);
    assert_int_equal(world->answer.kind, MESSAGE_DATASET);
    assert_int_equal(world->answer.dataset.request, 5);
    assert_int_equal(world->answer.dataset.err, ERR_OK);
    world_free(world);
}

static void a_source_that_is_not_there_is_told_at_the_start(void **state)
{
    struct world *world = world_make();
    (void)state;
    assert_int_equal(start(world, "file:///nonexistent/dir"), ERR_SOURCE_NOT_FOUND);
    assert_non_null(strstr(world->why_room, "/nonexistent/dir"));
    assert_null(world->process);
    assert_int_equal(start(world, "ftp://x/y"), ERR_INVALID);
    assert_non_null(strstr(world->why_room, "scheme"));
    assert_null(world->process);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_node_shows_its_source_to_a_link_of_its_process),
        cmocka_unit_test(a_source_that_is_not_there_is_told_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
