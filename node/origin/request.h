/* node/origin/request.h: the three requests Atoll makes of a store, signed, and what an answer
 * must look like before its bytes are believed (docs/sources.md). */
#pragma once
#include <stdint.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/text.h"
#include "base/time.h"
#include "node/origin/sign.h"
#include "node/origin/source.h"

#define REQUEST_HEADERS_MAX 16
#define REQUEST_TEXT_MAX 24576u

enum request_kind { REQUEST_GET, REQUEST_HEAD, REQUEST_LIST };

/* What is wanted; spans are the caller's. */
struct request {
    enum request_kind kind;
    struct span key; /* GET, HEAD */
    struct span pin; /* GET: sent as If-Match */
    uint64_t offset; /* GET: a range of `size` bytes, size > 0 */
    uint64_t size;
    uint64_t object_size;         /* GET: what the answer's Content-Range must say */
    struct span prefix;           /* LIST */
    struct span after;            /* LIST: start-after, when there is no continuation */
    struct span continuation;     /* LIST */
    uint32_t limit;               /* LIST: 1..1000 */
    bool delimited;               /* LIST: "/" as delimiter */
    const char *unsigned_because; /* in words for a refusal; NULL: it is signed */
};

/* A request ready to send: URL and header lines, in one buffer of its own. */
struct signed_request {
    const char *method;
    const char *url;
    const char *headers[REQUEST_HEADERS_MAX]; /* "name: value" */
    uint32_t header_count;
    char buffer[REQUEST_TEXT_MAX];
};

/* Who signs, and when. A credential without an access key id sends an unsigned request. */
struct signer {
    const struct credential *credential;
    struct sign_key *key; /* the cache of the thread that signs */
    time_t when;
};

/* Build and sign. ERR_TOO_LARGE: key and prefix do not fit. ERR_INVALID: the pin or the token
 * cannot stand in a header. Not for file://. */
enum err request_sign(const struct source *source, const struct request *request,
                      const struct signer *signer, struct signed_request *out) MUST_USE;

/* The headers of an answer that matter; collected line by line. */
struct answer {
    uint32_t status;
    bool has_range;
    uint64_t range_first, range_last, range_total; /* Content-Range */
    bool has_length;
    uint64_t length;
    char etag[257]; /* quotes stripped: the pin */
    usec_t mtime_us;
    usec_t date_us;     /* Date: the store's clock */
    usec_t retry_us;    /* Retry-After, or x-oss-qos-delay-time */
    char oss_err[2049]; /* x-oss-err of a HEAD: the XML of its body in base64 */
};

/* A new answer begins (also after "100 Continue"). */
void answer_init(struct answer *answer);
/* One header line as it arrives, with or without its line end. Unknown ones are ignored. */
void answer_header(struct answer *answer, struct span line);
/* Is this the range that was asked of the object that was meant? ERR_OK, ERR_CHANGED (another
 * version, or gone), or a failure of the table. For status >= 400 `body` is the start of the
 * error's XML (may be empty); `why` gets the store's own words and what to do. */
enum err answer_check(const struct answer *answer, const struct request *request, struct span body,
                      struct text *why) MUST_USE;
/* Was it refused without a word? An answer to a HEAD has no body that could say why. */
bool answer_is_mute(const struct answer *answer, const struct request *request);
/* What to add to our wall clock so that a signature for it is in time for the store: not 0 only
 * when the answer refuses a request signed at `signed_us` for its time. */
usec_t answer_skew_us(const struct answer *answer, struct span body, usec_t signed_us);
