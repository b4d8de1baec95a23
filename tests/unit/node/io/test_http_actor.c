#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/address.h"
#include "node/io/http_actor.h"
#include "node/io/item.h"
#include "node/io/threads.h"
#include "tests/unit/node/io/ports.h"
#include "wire/dataset.h"

struct question {
    struct queue_item queue;
    enum admin_kind kind;
    size_t argument_size;
    char argument[DATASET_RECORD_MAX];
};

/* A node that answers what the test says. */
struct world {
    struct queue *peer;
    struct queue *asked;      /* struct question: what came to the node */
    struct question question; /* taken from there */
    struct http_actor *http;
    uint16_t port;
    pthread_t thread;
    enum err err;
    const char *text;
    bool silent;        /* never answers */
    char answer[65536]; /* what came over HTTP */
    bool alive;
};

static void *answer_all(void *self)
{
    struct world *world = self;
    struct queue_item *next;
    while ((next = queue_pop(world->peer, USEC_NEVER)) != NULL) {
        struct item *item = item_of(next);
        struct question *question = calloc(1, sizeof *question);
        question->kind = item->event.admin.kind;
        question->argument_size = item->event.admin.argument.size;
        memcpy(question->argument, item->event.admin.argument.data, question->argument_size);
        queue_push(world->asked, &question->queue);
        if (!world->silent) {
            http_actor_reply(world->http, item->event.admin.id, world->err, span_text(world->text));
        }
        item->free(item);
    }
    return NULL;
}

/* The oldest question not yet looked at; waits for it. */
static const struct question *question_of(struct world *world)
{
    struct queue_item *item = queue_pop(world->asked, SEC(60));
    assert_non_null(item);
    struct question *question = CONTAINER_OF(item, struct question, queue);
    world->question = *question;
    free(question);
    return &world->question;
}

static bool is_alive(void *self)
{
    return ((struct world *)self)->alive;
}

static void put_metrics(void *self, struct text *text)
{
    (void)self;
    text_str(text, "more 1\n");
}

static enum err start(struct world *world, const char *token_file, char *why_room)
{
    struct text why;
    const struct http_actor_options options = { .peer = world->peer,
                                                .host = "127.0.0.1",
                                                .port = world->port,
                                                .token_file = token_file,
                                                .is_alive = is_alive,
                                                .put_metrics = put_metrics,
                                                .self = world };
    text_init(&why, why_room, 512);
    return http_actor_start(&options, &world->http, &why);
}

static struct world *world_make(const char *token_file)
{
    struct world *world = calloc(1, sizeof *world);
    char why_room[512];
    world->text = "{\"a\":1}";
    world->port = ports_take(1);
    world->alive = true;
    assert_int_equal(queue_new(&world->peer), ERR_OK);
    assert_int_equal(queue_new(&world->asked), ERR_OK);
    assert_int_equal(start(world, token_file, why_room), ERR_OK);
    assert_int_equal(threads_start("answers", answer_all, world, &world->thread), ERR_OK);
    return world;
}

static void world_free(struct world *world)
{
    queue_close(world->peer);
    threads_join(world->thread);
    http_actor_stop(&world->http);
    struct queue_item *next = queue_take(world->asked);
    while (next != NULL) {
        struct question *question = CONTAINER_OF(next, struct question, queue);
        next = next->next;
        free(question);
    }
    queue_free(&world->asked);
    queue_free(&world->peer);
    free(world);
}

static int open_connection(const struct world *world, const char *request)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(world->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (void *)&at, sizeof at), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return fd;
}

static int read_status(struct world *world, int fd)
{
    size_t size = 0;
    ssize_t got;
    while (size < sizeof world->answer - 1 &&
           (got = read(fd, world->answer + size, sizeof world->answer - 1 - size)) > 0) {
        size += (size_t)got;
    }
    world->answer[size] = 0;
    close(fd);
    return size > 12 ? atoi(world->answer + 9) : 0;
}

/* Status of "METHOD PATH" with more headers and a body. */
static int ask(struct world *world, const char *line, const char *headers, const char *body)
{
    char request[70000];
    snprintf(request, sizeof request,
             "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", line,
             headers, strlen(body), body);
    return read_status(world, open_connection(world, request));
}

static void a_question_goes_to_the_node_and_its_answer_comes_back(void **state)
{
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "GET /api/v1/status", "", ""), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_STATUS);
    assert_non_null(strstr(world->answer, "{\"a\":1}"));
    assert_int_equal(ask(world, "GET /api/v1/where?file=set/a%20b", "", ""), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_WHERE);
    assert_int_equal(world->question.argument_size, 7);
    assert_memory_equal(world->question.argument, "set/a b", 7);
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?without=n7", "", ""), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_RING_DIFF);
    assert_int_equal(world->question.argument_size, 5);
    assert_memory_equal(world->question.argument, "\nn7\n\n", 5);
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?add=1%0a2", "", ""), 400);
    world_free(world);
}

static void a_parameter_that_there_is_not_or_twice_is_refused(void **state)
{
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?without=a&without=b", "", ""), 400);
    assert_non_null(strstr(world->answer, "the parameter without is given twice"));
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?withuot=a", "", ""), 400);
    assert_non_null(strstr(world->answer, "there is no parameter withuot here"));
    assert_int_equal(ask(world, "GET /api/v1/where?file=a/b&dir=1", "", ""), 400);
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?without=a&add=5", "", ""), 200);
    world_free(world);
}

static void a_diff_of_what_no_node_or_dataset_can_have_is_refused(void **state)
{
    static const struct {
        const char *query;
        const char *why;
    } wrong[] = {
        { "add=5,z,y", "add: a zone has 1 to 32 letters" },
        { "add=5,a%20b", "add: a zone has 1 to 32 letters" },
        { "add=5,%c3%a9", "add: a zone has 1 to 32 letters" },
        { "add=", "add: is empty" },
        { "without=", "without: is empty" },
        { "nodes=k", "nodes: must be KEY=VALUE,KEY2=VALUE2, each key once" },
        { "nodes=k=v,k=w", "nodes: must be KEY=VALUE,KEY2=VALUE2, each key once" },
    };
    struct world *world = world_make("");
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        char line[128];
        snprintf(line, sizeof line, "GET /api/v1/ring/diff?%s", wrong[i].query);
        assert_int_equal(ask(world, line, "", ""), 400);
        assert_non_null(strstr(world->answer, wrong[i].why));
    }
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?nodes=&add=5,z-9", "", ""), 200);
    (void)question_of(world);
    assert_memory_equal(world->question.argument, "\n\n5,z-9\n", 8);
    world_free(world);
}

static void a_stray_percent_sign_is_not_taken_as_it_is(void **state)
{
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "GET /api/v1/ring/diff?without=n%zz", "", ""), 400);
    assert_non_null(strstr(world->answer, "two hexadecimal digits"));
    assert_int_equal(ask(world, "GET /api/v1/where?file=set/a%00b", "", ""), 400);
    assert_int_equal(ask(world, "GET /api/v1/datasets/a%4", "", ""), 400);
    assert_int_equal(ask(world, "GET /%", "", ""), 400);
    int fd = open_connection(world, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                                    "GET /livez?%zz HTTP/1.1\r\nHost: x\r\n\r\n"
                                    "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_int_equal(read_status(world, fd), 200);
    assert_non_null(strstr(strstr(world->answer, "HTTP/1.1 400"), "HTTP/1.1 200"));
    /* One that goes away before its headers are there. */
    fd = open_connection(world, "GET /livez?%zz HTTP/1.1\r\nHost");
    shutdown(fd, SHUT_WR);
    (void)read_status(world, fd);
    assert_int_equal(ask(world, "GET /livez", "", ""), 200);
    world_free(world);
}

static void a_weight_is_a_number_or_a_word(void **state)
{
    static const char json[] = "Content-Type: application/json\r\n";
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "{\"weight\": 50}"), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_NODE_WEIGHT);
    assert_int_equal(world->question.argument_size, 5);
    assert_memory_equal(world->question.argument, "n7 50", 5);
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "{\"weight\": \"auto\"}"),
                     200);
    (void)question_of(world);
    assert_memory_equal(world->question.argument, "n7 auto", 7);
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "{\"weight\": 1.5}"), 400);
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "50"), 400);
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", "", "{\"weight\": 50}"), 415);
    assert_int_equal(ask(world,
                         "POST /api/v1/nodes/n%20"
                         "7/weight",
                         json, "{\"weight\": 50}"),
                     400);
    assert_non_null(strstr(world->answer, "the name of a node has 1 to 32 letters"));
    world_free(world);
}

static void a_bad_weight_is_not_sent_to_another_address(void **state)
{
    static const char json[] = "Content-Type: application/json\r\n";
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "{\"weight\": 65536}"), 400);
    assert_non_null(strstr(world->answer, "0 to 65535"));
    assert_null(strstr(world->answer, "--admin"));
    world->err = ERR_INVALID;
    world->text = "the weight of n7 is set elsewhere";
    assert_int_equal(ask(world, "POST /api/v1/nodes/n7/weight", json, "{\"weight\": 5}"), 400);
    assert_non_null(strstr(world->answer, "with --admin at its own address"));
    world_free(world);
}

static void a_dataset_is_deleted_by_its_name(void **state)
{
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "DELETE /api/v1/datasets/one", "", ""), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_DATASET_DELETE);
    assert_memory_equal(world->question.argument, "one", 3);
    world_free(world);
}

static void a_dataset_is_created_from_json_only(void **state)
{
    static const char body[] = "{\"name\":\"a\",\"rows\":[{\"uri\":\"file:///d\"}]}";
    static const char json[] = "Content-Type: application/json\r\n";
    struct world *world = world_make("");
    struct dataset dataset;
    (void)state;
    assert_int_equal(ask(world, "POST /api/v1/datasets", json, body), 200);
    assert_int_equal(question_of(world)->kind, ADMIN_DATASET_CREATE);
    assert_int_equal(
        dataset_decode_draft(span_of(world->question.argument, world->question.argument_size),
                             &dataset),
        ERR_OK);
    assert_string_equal(dataset.rows[0].uri, "file:///d");
    assert_int_equal(ask(world, "POST /api/v1/datasets", "", body), 415);
    assert_int_equal(ask(world, "POST /api/v1/datasets", json, "{\"name\":1}"), 400);
    assert_non_null(strstr(world->answer, "\"what_to_do\""));
    world_free(world);
}

static void failures_tell_what_to_do_and_have_their_status(void **state)
{
    struct world *world = world_make("");
    (void)state;
    world->err = ERR_EXISTS;
    world->text = "a dataset of that \"name\" exists";
    assert_int_equal(ask(world, "GET /api/v1/nodes", "", ""), 409);
    assert_non_null(strstr(world->answer, "{\"error\":\"a dataset of that \\\"name\\\" exists\","
                                          "\"code\":\"EXISTS\",\"what_to_do\":\""));
    world->err = ERR_SOURCE_DENIED;
    world->text = "";
    assert_int_equal(ask(world, "GET /api/v1/nodes", "", ""), 403);
    assert_non_null(strstr(world->answer, err_text(ERR_SOURCE_DENIED)));
    world->err = ERR_DATASET_DELETED; /* while its directory was listed */
    assert_int_equal(ask(world, "GET /api/v1/nodes", "", ""), 404);
    world_free(world);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct world *world = world_make("");
    (void)state;
    assert_int_equal(ask(world, "GET /nothing", "", ""), 404);
    assert_int_equal(ask(world, "GET /api/v1/datasets/a/b/c", "", ""), 404);
    assert_int_equal(ask(world, "POST /api/v1/status", "", ""), 405);
    assert_int_equal(ask(world, "GET /api/v1/where?file=nodataset", "", ""), 400);
    world_free(world);
}

static void readiness_is_short_unless_it_is_asked_in_detail(void **state)
{
    struct world *world = world_make("");
    (void)state;
    world->text = "disks ok\nring ok\n";
    assert_int_equal(ask(world, "GET /readyz", "", ""), 200);
    assert_null(strstr(world->answer, "disks ok"));
    assert_int_equal(ask(world, "GET /readyz?verbose", "", ""), 200);
    assert_non_null(strstr(world->answer, "disks ok"));
    world->err = ERR_BUSY;
    world->text = "disks reading\n";
    assert_int_equal(ask(world, "GET /readyz", "", ""), 503);
    assert_non_null(strstr(world->answer, "disks reading"));
    world_free(world);
}

static void liveness_needs_no_answer_of_the_node(void **state)
{
    struct world *world = world_make("");
    (void)state;
    world->silent = true;
    assert_int_equal(ask(world, "GET /livez", "", ""), 200);
    world->alive = false;
    assert_int_equal(ask(world, "GET /livez", "", ""), 503);
    world_free(world);
}

static void metrics_are_the_nodes_and_the_process_together(void **state)
{
    struct world *world = world_make("");
    (void)state;
    world->text = "atoll_x 1\n";
    assert_int_equal(ask(world, "GET /metrics", "", ""), 200);
    assert_non_null(strstr(world->answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(world->answer, "atoll_x 1\nmore 1\n"));
    world_free(world);
}

static void a_token_is_wanted_when_there_is_one(void **state)
{
    char path[] = "/tmp/atoll-test-token-XXXXXX";
    const char token[] = "0123456789abcdef0123\n";
    int fd = mkstemp(path);
    (void)state;
    assert_int_equal(write(fd, token, sizeof token - 1), sizeof token - 1);
    close(fd);
    struct world *world = world_make(path);
    assert_int_equal(ask(world, "GET /api/v1/status", "", ""), 401);
    assert_int_equal(
        ask(world, "GET /api/v1/status", "Authorization: Bearer 0123456789abcdef\r\n", ""), 401);
    assert_int_equal(
        ask(world, "GET /api/v1/status", "Authorization: Bearer 0123456789abcdef0123\r\n", ""),
        200);
    assert_int_equal(ask(world, "GET /livez", "", ""), 200); /* the kubelet has none */
    assert_int_equal(ask(world, "GET /readyz", "", ""), 200);
    assert_int_equal(ask(world, "GET /metrics", "", ""), 401);
    world_free(world);
    unlink(path);
}

static void a_token_that_others_can_read_or_guess_is_refused(void **state)
{
    char path[] = "/tmp/atoll-test-token-XXXXXX";
    char why_room[512];
    struct world world = { .port = ports_take(1) };
    int fd = mkstemp(path);
    (void)state;
    assert_int_equal(write(fd, "short", 5), 5);
    assert_int_equal(start(&world, path, why_room), ERR_INVALID);
    assert_non_null(strstr(why_room, "16"));
    assert_int_equal(write(fd, "long enough now, really", 23), 23);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(start(&world, path, why_room), ERR_INVALID);
    assert_non_null(strstr(why_room, "chmod 600"));
    close(fd);
    unlink(path);
}

static void who_still_waits_at_the_end_is_told(void **state)
{
    struct world *world = world_make("");
    (void)state;
    world->silent = true;
    int fd = open_connection(world, "GET /api/v1/ring HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                    "\r\n");
    assert_int_equal(question_of(world)->kind, ADMIN_RING);
    world_free(world);
    static struct world after;
    assert_int_equal(read_status(&after, fd), 503);
}

static void a_busy_port_is_told(void **state)
{
    struct world *world = world_make("");
    struct world second = { .port = world->port };
    char why_room[512];
    (void)state;
    assert_int_equal(start(&second, "", why_room), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(why_room, "--admin"));
    world_free(world);
}

static void a_body_that_is_too_large_is_refused(void **state)
{
    struct world *world = world_make("");
    static char body[66000];
    (void)state;
    memset(body, 'x', sizeof body - 1);
    assert_int_equal(
        ask(world, "POST /api/v1/datasets", "Content-Type: application/json\r\n", body), 413);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_goes_to_the_node_and_its_answer_comes_back),
        cmocka_unit_test(a_parameter_that_there_is_not_or_twice_is_refused),
        cmocka_unit_test(a_diff_of_what_no_node_or_dataset_can_have_is_refused),
        cmocka_unit_test(a_stray_percent_sign_is_not_taken_as_it_is),
        cmocka_unit_test(a_weight_is_a_number_or_a_word),
        cmocka_unit_test(a_bad_weight_is_not_sent_to_another_address),
        cmocka_unit_test(a_dataset_is_deleted_by_its_name),
        cmocka_unit_test(a_dataset_is_created_from_json_only),
        cmocka_unit_test(failures_tell_what_to_do_and_have_their_status),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(readiness_is_short_unless_it_is_asked_in_detail),
        cmocka_unit_test(liveness_needs_no_answer_of_the_node),
        cmocka_unit_test(metrics_are_the_nodes_and_the_process_together),
        cmocka_unit_test(a_token_is_wanted_when_there_is_one),
        cmocka_unit_test(a_token_that_others_can_read_or_guess_is_refused),
        cmocka_unit_test(who_still_waits_at_the_end_is_told),
        cmocka_unit_test(a_busy_port_is_told),
        cmocka_unit_test(a_body_that_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
