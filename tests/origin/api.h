/* tests/origin/api.h: the operations. Each answers a request whose body is complete and which is
 * allowed, and returns what the access handler has to. */
#ifndef ATOLL_TESTS_ORIGIN_API_H
#define ATOLL_TESTS_ORIGIN_API_H

#include "tests/origin/reply.h"

/* api_object.c */
enum MHD_Result api_object_read(struct request *request); /* GET and HEAD */
enum MHD_Result api_object_put(struct request *request);
enum MHD_Result api_object_delete(struct request *request);
enum MHD_Result api_object_delete_many(struct request *request);

/* api_list.c */
enum MHD_Result api_list_objects(struct request *request);

/* api_bucket.c */
enum MHD_Result api_bucket(struct request *request);

/* api_upload.c */
enum MHD_Result api_upload_start(struct request *request);
enum MHD_Result api_upload_part(struct request *request);
enum MHD_Result api_upload_complete(struct request *request);
enum MHD_Result api_upload_abort(struct request *request);

/* api_common.c */

/* The request's bucket, or NULL after an answer of 404; *result is that answer's. */
struct bucket *api_bucket_of(struct request *request, enum MHD_Result *result);
/* Whether the body is what the client says it is; `md5` is its digest. */
enum fail api_check_body(struct request *request, uint8_t md5[16]);
/* The headers of a PUT to be kept and given back; NULL when there are none. The caller's. */
char *api_kept_headers(const struct request *request);
/* The text of the next <NAME> element from *at on, undone of entities, and *at moved behind it. NULL
 * when there is none. The caller's. */
char *api_xml_next(const char **at, const char *name);
/* "crc64" header of OSS, as a line; empty for S3. */
void api_add_crc(const struct request *request, uint64_t crc, struct text *headers);

#endif
