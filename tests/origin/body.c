#include "tests/origin/body.h"

#include <errno.h>
#include <isa-l/crc64.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

struct body {
    int fd;
    uint64_t size;
    uint64_t crc;
    EVP_MD_CTX *md5;
    EVP_MD_CTX *sha256; /* NULL: not wanted */
    struct text text;
};

struct body *body_new(int fd, bool sha256)
{
    struct body *body = text_alloc(sizeof *body);
    body->fd = fd;
    body->md5 = EVP_MD_CTX_new();
    body->sha256 = sha256 ? EVP_MD_CTX_new() : NULL;
    if (body->md5 == NULL || EVP_DigestInit_ex(body->md5, EVP_md5(), NULL) != 1 ||
        (sha256 &&
         (body->sha256 == NULL || EVP_DigestInit_ex(body->sha256, EVP_sha256(), NULL) != 1))) {
        abort();
    }
    return body;
}

void body_free(struct body **body)
{
    struct body *old = *body;
    if (old == NULL) {
        return;
    }
    if (old->fd >= 0) {
        close(old->fd);
    }
    EVP_MD_CTX_free(old->md5);
    EVP_MD_CTX_free(old->sha256);
    text_fini(&old->text);
    free(old);
    *body = NULL;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return false;
        }
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

bool body_add(struct body *body, const void *bytes, size_t size)
{
    EVP_DigestUpdate(body->md5, bytes, size);
    if (body->sha256 != NULL) {
        EVP_DigestUpdate(body->sha256, bytes, size);
    }
    body->crc = crc64_ecma_refl(body->crc, bytes, size);
    body->size += size;
    if (body->fd >= 0) {
        return write_all(body->fd, bytes, size);
    }
    if (body->size > BODY_TEXT_MAX) {
        return false;
    }
    text_add(&body->text, bytes, size);
    return true;
}

uint64_t body_size(const struct body *body)
{
    return body->size;
}

uint64_t body_crc64(const struct body *body)
{
    return body->crc;
}

const struct text *body_text(const struct body *body)
{
    return &body->text;
}

void body_digests(struct body *body, uint8_t md5[16], uint8_t sha256[32])
{
    unsigned size = 0;
    EVP_DigestFinal_ex(body->md5, md5, &size);
    if (body->sha256 != NULL) {
        EVP_DigestFinal_ex(body->sha256, sha256, &size);
    }
}
