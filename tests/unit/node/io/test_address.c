#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdint.h>

#include "node/io/address.h"

static void host_and_port_are_taken_apart(void **state)
{
    char host[ADDRESS_HOST_MAX + 1];
    uint16_t port;
    (void)state;
    assert_true(address_split("10.0.0.1:7700", 0, host, &port));
    assert_string_equal(host, "10.0.0.1");
    assert_int_equal(port, 7700);
    assert_true(address_split("[fe80::1]:80", 0, host, &port));
    assert_string_equal(host, "fe80::1");
    assert_int_equal(port, 80);
    assert_true(address_split("seeds.example", 7700, host, &port));
    assert_string_equal(host, "seeds.example");
    assert_int_equal(port, 7700);
    assert_true(address_split("[::1]", 9, host, &port));
    assert_string_equal(host, "::1");
}

static void what_is_no_host_and_port_is_refused(void **state)
{
    const char *const wrong[] = { "",       ":7700",      "host",    "host:",
                                  "host:0", "host:65536", "host:-1", "host:7x",
                                  "[::1",   "[::1]7700",  "::1:7700" };
    char host[ADDRESS_HOST_MAX + 1];
    uint16_t port;
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_false(address_split(wrong[i], 0, host, &port));
    }
}

static void an_address_reads_back_as_it_was_written(void **state)
{
    const char *const texts[] = { "127.0.0.1:7700", "[::1]:1", "[2001:db8::7]:65535",
                                  "0.0.0.0:7780" };
    char host[ADDRESS_HOST_MAX + 1];
    char back[ADDRESS_TEXT_SIZE];
    struct address address;
    uint16_t port;
    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_true(address_split(texts[i], 0, host, &port));
        assert_true(address_parse(host, port, &address));
        address_text(&address, back);
        assert_string_equal(back, texts[i]);
    }
}

static void a_socket_address_and_back_is_the_same(void **state)
{
    struct address address;
    struct address back;
    struct sockaddr_storage socket_address;
    socklen_t size;
    (void)state;
    assert_true(address_parse("10.1.2.3", 77, &address));
    assert_int_equal(address_to_socket(&address, &socket_address, &size), AF_INET);
    address_from_socket(&socket_address, &back);
    assert_true(address_equal(&address, &back));
    assert_true(address_parse("2001:db8::9", 78, &address));
    assert_int_equal(address_to_socket(&address, &socket_address, &size), AF_INET6);
    address_from_socket(&socket_address, &back);
    assert_true(address_equal(&address, &back));
}

static void loopback_and_any_are_known_in_both_families(void **state)
{
    struct address address;
    (void)state;
    assert_true(address_parse("127.8.8.8", 1, &address) && address_is_loopback(&address));
    assert_true(address_parse("::1", 1, &address) && address_is_loopback(&address));
    assert_true(address_parse("10.0.0.1", 1, &address) && !address_is_loopback(&address));
    assert_true(address_parse("0.0.0.0", 1, &address) && address_is_any(&address));
    assert_true(address_parse("::", 1, &address) && address_is_any(&address));
    assert_true(address_parse("::1", 1, &address) && !address_is_any(&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_and_port_are_taken_apart),
        cmocka_unit_test(what_is_no_host_and_port_is_refused),
        cmocka_unit_test(an_address_reads_back_as_it_was_written),
        cmocka_unit_test(a_socket_address_and_back_is_the_same),
        cmocka_unit_test(loopback_and_any_are_known_in_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
