/* tests/unit/node/io/ports.h: ports for servers of tests. */
#pragma once
#include <stdint.h>

/* The first of `count` ports in a row on 127.0.0.1 that are free for TCP and UDP, of those that the
 * kernel gives to no connection: nobody else takes them before the test does, or while it pauses. */
uint16_t ports_take(uint32_t count);
