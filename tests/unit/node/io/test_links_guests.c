/* Connections of others: who may go on sending. Here the test takes the bytes, as ZeroMQ would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/io/links_guests.h"

#define LIMIT ((size_t)GUESTS_BYTES)

struct fixture {
    struct guests *guests;
    int listening;
    struct guests_port port;
    usec_t now_us;
};

/* Both ends of a connection. */
struct visit {
    int ours;
    int theirs;
};

static void start(struct fixture *f)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    f->now_us = SEC(1000);
    f->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listening, (void *)&at, size), 0);
    assert_int_equal(listen(f->listening, 128), 0);
    assert_int_equal(getsockname(f->listening, (void *)&at, &size), 0);
    f->port = (struct guests_port){ LINK_DATA, ntohs(at.sin_port) };
    assert_int_equal(guests_new(&f->guests), ERR_OK);
}

static void stop(struct fixture *f)
{
    guests_free(&f->guests);
    close(f->listening);
}

static struct visit come(struct fixture *f)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct visit visit = { .theirs = socket(AF_INET, SOCK_STREAM, 0) };
    at.sin_port = htons(f->port.number);
    assert_int_equal(connect(visit.theirs, (void *)&at, sizeof at), 0);
    visit.ours = accept(f->listening, NULL, NULL);
    assert_true(visit.ours >= 0);
    guests_came(f->guests, f->now_us, visit.ours, f->port);
    return visit;
}

static void go(struct visit *visit)
{
    close(visit->ours);
    close(visit->theirs);
}

static void send_bytes(const struct visit *visit, size_t size)
{
    char block[4096] = { 0 };
    while (size > 0) {
        const size_t part = size < sizeof block ? size : sizeof block;
        assert_int_equal(write(visit->theirs, block, part), part);
        size -= part;
    }
}

static void take_bytes(const struct visit *visit, size_t size)
{
    char block[4096];
    while (size > 0) {
        const ssize_t got = recv(visit->ours, block, size < sizeof block ? size : sizeof block, 0);
        assert_true(got > 0);
        size -= (size_t)got;
    }
}

static void send_and_take(const struct visit *visit, size_t size)
{
    send_bytes(visit, size);
    take_bytes(visit, size);
}

static uint32_t look(struct fixture *f, bool drained)
{
    f->now_us += GUESTS_LOOK_US;
    return guests_look(f->guests, f->now_us, drained);
}

/* Enough looks that everybody was weighed twice; how many were cut off. */
static uint32_t look_long(struct fixture *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < 11; i++) {
        count += look(f, true);
    }
    return count;
}

static bool is_cut(const struct visit *visit)
{
    char byte;
    const ssize_t got = recv(visit->theirs, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void who_sends_on_without_a_whole_message_is_cut_off(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    send_and_take(&visit, LIMIT + 1);
    assert_int_equal(look_long(&f), 1);
    assert_true(is_cut(&visit));
    assert_int_equal(look_long(&f), 0);
    go(&visit);
    stop(&f);
}

static void who_always_has_more_waiting_is_cut_off_at_the_second_look(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    send_and_take(&visit, LIMIT + 1);
    send_bytes(&visit, 1000);
    assert_int_equal(look(&f, true), 0); /* its last message may have come just now */
    assert_false(is_cut(&visit));
    assert_int_equal(look(&f, true), 1);
    assert_true(is_cut(&visit));
    go(&visit);
    stop(&f);
}

static void who_was_known_for_long_is_no_exception(void **state)
{
    struct fixture f;
    uint32_t looks = 0;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    send_and_take(&visit, 100);
    guests_said(f.guests, visit.ours);
    assert_int_equal(look(&f, true), 0);
    while (!is_cut(&visit)) {
        send_and_take(&visit, LIMIT);
        look(&f, true);
        looks++;
        assert_true(looks <= 16); /* a third of a second, for who is careful */
    }
    go(&visit);
    stop(&f);
}

static void whole_messages_are_never_too_many(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    for (uint32_t i = 0; i < 100; i++) {
        send_and_take(&visit, 4 * LIMIT);
        guests_said(f.guests, visit.ours);
        assert_int_equal(look(&f, true), 0);
    }
    go(&visit);
    stop(&f);
}

static void a_message_taken_in_between_clears_the_suspicion(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    for (uint32_t i = 0; i < 50; i++) {
        send_and_take(&visit, 2 * LIMIT);
        assert_int_equal(look(&f, true), 0);
        guests_said(f.guests, visit.ours);
        assert_int_equal(look(&f, true), 0);
    }
    go(&visit);
    stop(&f);
}

static void what_nobody_has_taken_yet_does_not_count(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    send_bytes(&visit, 2 * LIMIT);
    assert_int_equal(look_long(&f), 0);
    go(&visit);
    stop(&f);
}

static void many_that_each_send_little_are_too_much_together(void **state)
{
    enum { MANY = GUESTS_ALL_BYTES / (GUESTS_BYTES / 2) + 1 };
    struct fixture f;
    struct visit visits[MANY];
    (void)state;
    start(&f);
    for (uint32_t i = 0; i < MANY - 1; i++) {
        visits[i] = come(&f);
        send_and_take(&visits[i], LIMIT / 2);
    }
    assert_int_equal(look_long(&f), 0);
    visits[MANY - 1] = come(&f);
    send_and_take(&visits[MANY - 1], LIMIT / 2);
    struct visit honest = come(&f);
    send_and_take(&honest, GUESTS_LITTLE);
    assert_int_equal(look_long(&f), MANY);
    assert_false(is_cut(&honest));
    for (uint32_t i = 0; i < MANY; i++) {
        go(&visits[i]);
    }
    go(&honest);
    stop(&f);
}

static void who_says_nothing_is_cut_off_in_the_end(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit silent = come(&f);
    struct visit speaker = come(&f);
    guests_said(f.guests, speaker.ours);
    f.now_us += GUESTS_SILENT_US - 2 * GUESTS_LOOK_US;
    assert_int_equal(look(&f, true), 0);
    assert_int_equal(look(&f, true), 1);
    assert_true(is_cut(&silent));
    assert_false(is_cut(&speaker));
    go(&silent);
    go(&speaker);
    stop(&f);
}

static void who_stays_after_its_link_was_closed_is_cut_off(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    guests_said(f.guests, visit.ours);
    guests_shut(f.guests, f.now_us, visit.ours);
    guests_said(f.guests, visit.ours); /* whatever it says */
    assert_int_equal(look(&f, true), 0);
    f.now_us += GUESTS_SHUT_US;
    assert_int_equal(look(&f, true), 1);
    assert_true(is_cut(&visit));
    go(&visit);
    stop(&f);
}

static void while_messages_wait_nobody_is_judged_for_them(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    send_and_take(&visit, 4 * LIMIT); /* whole ones, that ZeroMQ holds for us */
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(look(&f, false), 0);
    }
    guests_said(f.guests, visit.ours);
    assert_int_equal(look(&f, true), 0);
    go(&visit);
    stop(&f);
}

static void a_flood_of_messages_does_not_hide_one_without_end(void **state)
{
    struct fixture f;
    uint32_t looks = 0;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    while (!is_cut(&visit)) {
        send_and_take(&visit, (size_t)1 << 20);
        look(&f, false);
        looks++;
        assert_true(looks <= 24);
    }
    go(&visit);
    stop(&f);
}

static void a_descriptor_that_stands_for_something_else_is_left_alone(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit first = come(&f);
    send_and_take(&first, LIMIT + 1);
    look(&f, true);
    struct visit second = { .ours = first.ours };
    struct visit other = come(&f);
    guests_left(f.guests, other.ours, LINK_DATA);
    assert_int_equal(dup2(other.ours, first.ours), first.ours); /* its end was not told yet */
    second.theirs = other.theirs;
    f.now_us += GUESTS_SILENT_US;
    (void)look(&f, true);
    assert_false(is_cut(&second));
    close(other.ours);
    close(first.theirs);
    go(&second);
    stop(&f);
}

static void what_did_not_come_through_the_port_is_no_guest(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    guests_left(f.guests, visit.ours, LINK_DATA);
    guests_came(f.guests, f.now_us, visit.theirs, f.port); /* the end of a client */
    guests_came(f.guests, f.now_us, STDERR_FILENO, f.port);
    guests_came(f.guests, f.now_us, -1, f.port);
    assert_int_equal(guests_due(f.guests), USEC_NEVER);
    guests_said(f.guests, 100000);
    guests_left(f.guests, 100000, LINK_DATA);
    go(&visit);
    stop(&f);
}

static void the_end_of_a_connection_at_the_other_port_is_not_taken_for_this_ones(void **state)
{
    struct fixture f;
    (void)state;
    start(&f);
    struct visit visit = come(&f);
    guests_left(f.guests, visit.ours, LINK_CONTROL); /* who had the descriptor before, told late */
    send_and_take(&visit, LIMIT + 1);
    assert_int_equal(look_long(&f), 1);
    go(&visit);
    stop(&f);
}

static void of_too_many_that_say_nothing_the_first_go(void **state)
{
    enum { MANY = GUESTS_SILENT_MAX + 3 };
    struct fixture f;
    struct rlimit files;
    struct visit *visits = calloc(MANY, sizeof *visits);
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < 2 * MANY + 100) {
        free(visits);
        skip();
    }
    start(&f);
    for (uint32_t i = 0; i < MANY; i++) {
        visits[i] = come(&f);
    }
    assert_int_equal(look(&f, true), 3);
    assert_true(is_cut(&visits[0]) && is_cut(&visits[2]) && !is_cut(&visits[3]));
    assert_int_equal(look(&f, true), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        go(&visits[i]);
    }
    free(visits);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_sends_on_without_a_whole_message_is_cut_off),
        cmocka_unit_test(who_always_has_more_waiting_is_cut_off_at_the_second_look),
        cmocka_unit_test(who_was_known_for_long_is_no_exception),
        cmocka_unit_test(whole_messages_are_never_too_many),
        cmocka_unit_test(a_message_taken_in_between_clears_the_suspicion),
        cmocka_unit_test(what_nobody_has_taken_yet_does_not_count),
        cmocka_unit_test(many_that_each_send_little_are_too_much_together),
        cmocka_unit_test(who_says_nothing_is_cut_off_in_the_end),
        cmocka_unit_test(who_stays_after_its_link_was_closed_is_cut_off),
        cmocka_unit_test(while_messages_wait_nobody_is_judged_for_them),
        cmocka_unit_test(a_flood_of_messages_does_not_hide_one_without_end),
        cmocka_unit_test(a_descriptor_that_stands_for_something_else_is_left_alone),
        cmocka_unit_test(what_did_not_come_through_the_port_is_no_guest),
        cmocka_unit_test(the_end_of_a_connection_at_the_other_port_is_not_taken_for_this_ones),
        cmocka_unit_test(of_too_many_that_say_nothing_the_first_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
