/* tests/origin/fail.h: the errors of both stores, one entry each. */
#ifndef ATOLL_TESTS_ORIGIN_FAIL_H
#define ATOLL_TESTS_ORIGIN_FAIL_H

/* X(enum, status and code of S3, status and code of OSS, OSS's EC, message) */
#define FAILS(X)                                                                                   \
    X(FAIL_DENIED, 403, "AccessDenied", 403, "AccessDenied", "0003-00000001", "Access Denied")     \
    X(FAIL_SIGNATURE, 403, "SignatureDoesNotMatch", 403, "SignatureDoesNotMatch", "0002-00000040", \
      "The request signature we calculated does not match the signature you provided. Check your " \
      "key and signing method.")                                                                   \
    X(FAIL_KEY_ID, 403, "InvalidAccessKeyId", 403, "InvalidAccessKeyId", "0002-00000902",          \
      "The Access Key Id you provided does not exist in our records.")                             \
    X(FAIL_SKEWED, 403, "RequestTimeTooSkewed", 403, "RequestTimeTooSkewed", "0002-00000504",      \
      "The difference between the request time and the current time is too large.")                \
    X(FAIL_EXPIRED, 403, "AccessDenied", 403, "AccessDenied", "0002-00000069",                     \
      "Request has expired.")                                                                      \
    X(FAIL_TOKEN, 400, "InvalidToken", 403, "InvalidSecurityToken", "0002-00000065",               \
      "The provided token is malformed or otherwise invalid.")                                     \
    X(FAIL_AUTHORIZATION, 400, "AuthorizationHeaderMalformed", 400, "InvalidArgument",             \
      "0002-00000201", "The authorization header or query you provided is invalid.")               \
    X(FAIL_UNSIGNED_HEADER, 403, "AccessDenied", 403, "AccessDenied", "0003-00000002",             \
      "There were headers present in the request which were not signed.")                          \
    X(FAIL_REGION, 400, "AuthorizationHeaderMalformed", 400, "InvalidArgument", "0002-00000226",   \
      "The region of the signature is wrong.")                                                     \
    X(FAIL_NO_BUCKET, 404, "NoSuchBucket", 404, "NoSuchBucket", "0015-00000101",                   \
      "The specified bucket does not exist.")                                                      \
    X(FAIL_NO_KEY, 404, "NoSuchKey", 404, "NoSuchKey", "0026-00000001",                            \
      "The specified key does not exist.")                                                         \
    X(FAIL_NO_UPLOAD, 404, "NoSuchUpload", 404, "NoSuchUpload", "0042-00000002",                   \
      "The specified upload does not exist.")                                                      \
    X(FAIL_PRECONDITION, 412, "PreconditionFailed", 412, "PreconditionFailed", "0021-00000001",    \
      "At least one of the pre-conditions you specified did not hold.")                            \
    X(FAIL_NOT_MODIFIED, 304, "NotModified", 304, "NotModified", "", "")                           \
    X(FAIL_RANGE, 416, "InvalidRange", 416, "InvalidRange", "0016-00000501",                       \
      "The requested range is not satisfiable")                                                    \
    X(FAIL_PART_NUMBER, 416, "InvalidPartNumber", 416, "InvalidPartNumber", "0016-00000502",       \
      "The requested partnumber is not satisfiable")                                               \
    X(FAIL_ARGUMENT, 400, "InvalidArgument", 400, "InvalidArgument", "0017-00000001",              \
      "Invalid Argument")                                                                          \
    X(FAIL_URI, 400, "InvalidURI", 400, "InvalidObjectName", "0017-00000002",                      \
      "Couldn't parse the specified URI.")                                                         \
    X(FAIL_KEY_TOO_LONG, 400, "KeyTooLongError", 400, "InvalidObjectName", "0017-00000003",        \
      "Your key is too long")                                                                      \
    X(FAIL_BUCKET_NAME, 400, "InvalidBucketName", 400, "InvalidBucketName", "0015-00000001",       \
      "The specified bucket is not valid.")                                                        \
    X(FAIL_DIGEST, 400, "BadDigest", 400, "InvalidDigest", "0017-00000504",                        \
      "The Content-MD5 you specified did not match what we received.")                             \
    X(FAIL_SHA256, 400, "XAmzContentSHA256Mismatch", 400, "InvalidDigest", "0017-00000505",        \
      "The provided content-sha256 does not match what was computed.")                             \
    X(FAIL_PART, 400, "InvalidPart", 400, "InvalidPart", "0042-00000003",                          \
      "One or more of the specified parts could not be found or its ETag does not match.")         \
    X(FAIL_PART_ORDER, 400, "InvalidPartOrder", 400, "InvalidPartOrder", "0042-00000004",          \
      "The list of parts was not in ascending order.")                                             \
    X(FAIL_PART_SIZE, 400, "EntityTooSmall", 400, "EntityTooSmall", "0042-00000005",               \
      "Your proposed upload is smaller than the minimum allowed object size.")                     \
    X(FAIL_XML, 400, "MalformedXML", 400, "MalformedXML", "0017-00000006",                         \
      "The XML you provided was not well-formed.")                                                 \
    X(FAIL_METHOD, 405, "MethodNotAllowed", 405, "MethodNotAllowed", "0017-00000007",              \
      "The specified method is not allowed against this resource.")                                \
    X(FAIL_NOT_EMPTY, 409, "BucketNotEmpty", 409, "BucketNotEmpty", "0015-00000301",               \
      "The bucket you tried to delete is not empty.")                                              \
    X(FAIL_INTERNAL, 500, "InternalError", 500, "InternalError", "0049-00000001",                  \
      "We encountered an internal error. Please try again.")                                       \
    X(FAIL_NOT_IMPLEMENTED, 501, "NotImplemented", 501, "NotImplemented", "0017-00000008",         \
      "A header or query you provided implies functionality that is not implemented.")             \
    X(FAIL_SLOW_DOWN, 503, "SlowDown", 503, "ServiceUnavailable", "0049-00000002",                 \
      "Please reduce your request rate.")

enum fail {
    FAIL_NONE,
#define X(name, s3_status, s3_code, oss_status, oss_code, ec, message) name,
    FAILS(X)
#undef X
        FAIL_COUNT,
};

#endif
