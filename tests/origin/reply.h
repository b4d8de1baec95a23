/* tests/origin/reply.h: answers, in the shape of the request's dialect. Each queues one and returns
 * what the access handler has to. */
#ifndef ATOLL_TESTS_ORIGIN_REPLY_H
#define ATOLL_TESTS_ORIGIN_REPLY_H

#include "tests/origin/request.h"

/* `extra`: more elements for the error's XML, NULL for none. */
enum MHD_Result reply_fail(struct request *request, enum fail fail, const char *extra);
/* An error that a fault asks for; `code` "": what the dialect calls "slow down". */
enum MHD_Result reply_status(struct request *request, int status, const char *code);
/* The text moves in. */
enum MHD_Result reply_xml(struct request *request, int status, struct text *xml);
/* Without a body; `headers` as in reply_headers, NULL for none. */
enum MHD_Result reply_empty(struct request *request, int status, const char *headers);

/* The headers that each answer has. */
void reply_common(struct request *request, struct MHD_Response *response);
void reply_header(struct MHD_Response *response, const char *name, const char *value);
/* Lines "name: value\n". */
void reply_headers(struct MHD_Response *response, const char *lines);
/* Queue it and let go of it. `size`: bytes of its body. */
enum MHD_Result reply_queue(struct request *request, int status, struct MHD_Response *response,
                            uint64_t size);

#endif
