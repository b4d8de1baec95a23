/* tests/origin/stream.h: bodies of objects on their way out: from a file by sendfile, or piece by
 * piece where the bytes are made up, paced or spoilt. */
#ifndef ATOLL_TESTS_ORIGIN_STREAM_H
#define ATOLL_TESTS_ORIGIN_STREAM_H

#include "tests/origin/request.h"

/* A response with `size` bytes from `offset` of the object. `fd` is its file or -1, and moves in. */
struct MHD_Response *stream_response(struct request *request, struct object *object, int fd,
                                     uint64_t offset, uint64_t size);

#endif
