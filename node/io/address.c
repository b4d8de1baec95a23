/* node/io/address.c: getaddrinfo and friends. */
#include "node/io/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/text.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_v4(const struct address *address)
{
    return memcmp(address->ip, mapped, sizeof mapped) == 0;
}

static bool parse_port(const char *text, uint16_t *out)
{
    uint64_t value;
    if (!parse_u64(span_text(text), &value) || value == 0 || value > 65535) {
        return false;
    }
    *out = (uint16_t)value;
    return true;
}

bool address_split(const char *text, uint16_t port, char *host, uint16_t *out_port)
{
    const char *end = strrchr(text, ':');
    const char *first = text;
    size_t size;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || (bracket[1] != 0 && bracket[1] != ':')) {
            return false;
        }
        first = text + 1;
        size = (size_t)(bracket - first);
        end = bracket[1] == ':' ? bracket + 1 : NULL;
    } else if (end != NULL &&
               strchr(text, ':') != end) { /* bare IPv6: the port is not to be told */
        return false;
    } else {
        size = end != NULL ? (size_t)(end - text) : strlen(text);
    }
    if (size == 0 || size > ADDRESS_HOST_MAX) {
        return false;
    }
    if (end != NULL && !parse_port(end + 1, &port)) {
        return false;
    }
    if (port == 0) {
        return false;
    }
    memcpy(host, first, size);
    host[size] = 0;
    *out_port = port;
    return true;
}

bool address_parse(const char *host, uint16_t port, struct address *out)
{
    struct address address = { .port = port };
    if (inet_pton(AF_INET6, host, address.ip) == 1) {
        *out = address;
        return true;
    }
    memcpy(address.ip, mapped, sizeof mapped);
    if (inet_pton(AF_INET, host, address.ip + sizeof mapped) == 1) {
        *out = address;
        return true;
    }
    return false;
}

static bool from_info(const struct addrinfo *info, uint16_t port, struct address *out)
{
    struct sockaddr_storage at = { 0 };
    if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
        info->ai_addrlen > sizeof at) {
        return false;
    }
    memcpy(&at, info->ai_addr, info->ai_addrlen);
    address_from_socket(&at, out);
    out->port = port;
    return true;
}

uint32_t address_resolve(const char *host, uint16_t port, struct address *out, uint32_t room)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
    struct addrinfo *found = NULL;
    uint32_t count = 0;
    if (room == 0 || getaddrinfo(host, NULL, &hints, &found) != 0) {
        return 0;
    }
    for (const struct addrinfo *info = found; info != NULL && count < room; info = info->ai_next) {
        count += from_info(info, port, &out[count]) ? 1 : 0;
    }
    freeaddrinfo(found);
    return count;
}

void address_text(const struct address *address, char *out)
{
    char ip[INET6_ADDRSTRLEN];
    if (is_v4(address)) {
        inet_ntop(AF_INET, address->ip + sizeof mapped, ip, sizeof ip);
        snprintf(out, ADDRESS_TEXT_SIZE, "%s:%u", ip, address->port);
        return;
    }
    inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
    snprintf(out, ADDRESS_TEXT_SIZE, "[%s]:%u", ip, address->port);
}

int address_to_socket(const struct address *address, struct sockaddr_storage *out, socklen_t *size)
{
    memset(out, 0, sizeof *out);
    if (is_v4(address)) {
        struct sockaddr_in *four = (void *)out;
        four->sin_family = AF_INET;
        four->sin_port = htons(address->port);
        memcpy(&four->sin_addr, address->ip + sizeof mapped, 4);
        *size = sizeof *four;
        return AF_INET;
    }
    struct sockaddr_in6 *six = (void *)out;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address->port);
    memcpy(&six->sin6_addr, address->ip, 16);
    *size = sizeof *six;
    return AF_INET6;
}

void address_from_socket(const struct sockaddr_storage *from, struct address *out)
{
    memset(out, 0, sizeof *out);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)from;
        out->port = ntohs(four->sin_port);
        memcpy(out->ip, mapped, sizeof mapped);
        memcpy(out->ip + sizeof mapped, &four->sin_addr, 4);
        return;
    }
    const struct sockaddr_in6 *six = (const void *)from;
    out->port = ntohs(six->sin6_port);
    memcpy(out->ip, &six->sin6_addr, 16);
}

bool address_is_any(const struct address *address)
{
    static const uint8_t zero[16];
    return is_v4(address) ? memcmp(address->ip + 12, zero, 4) == 0
                          : memcmp(address->ip, zero, 16) == 0;
}

bool address_is_loopback(const struct address *address)
{
    static const uint8_t one[16] = { [15] = 1 };
    return is_v4(address) ? address->ip[12] == 127 : memcmp(address->ip, one, 16) == 0;
}
