/* node/io/address.h: HOST:PORT as people write it, and addresses as sockets want them. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/err.h"
#include "ring/view.h"

#define ADDRESS_TEXT_SIZE 56 /* "[" + 45 of IPv6 + "]:65535" and a zero */
#define ADDRESS_HOST_MAX 253

/* "10.0.0.1:7700", "[::1]:7700", "host.example:7700"; a missing port becomes `port` (0: it must be
 * there). `host` holds ADDRESS_HOST_MAX + 1 bytes. false: not of this form. */
bool address_split(const char *text, uint16_t port, char *host, uint16_t *out_port);
/* A numeric address only; no resolver. */
bool address_parse(const char *host, uint16_t port, struct address *out);
/* Asks the resolver: blocks. Up to `room` addresses; how many there are, 0 when none. */
uint32_t address_resolve(const char *host, uint16_t port, struct address *out, uint32_t room);
/* "127.0.0.1:7700" or "[::1]:7700"; `out` holds ADDRESS_TEXT_SIZE. */
void address_text(const struct address *address, char *out);
/* For sockets of the address' own family, so that nothing needs IPv6 where there is none. Returns
 * AF_INET or AF_INET6. */
int address_to_socket(const struct address *address, struct sockaddr_storage *out, socklen_t *size);
void address_from_socket(const struct sockaddr_storage *from, struct address *out);
bool address_is_any(const struct address *address);      /* :: or 0.0.0.0 */
bool address_is_loopback(const struct address *address); /* ::1 or 127.0.0.0/8 */
