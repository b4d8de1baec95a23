/* fs/requests.h: open FUSE requests by number, so that a late interrupt of one that was answered
 * never reaches another that got the same memory. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"

struct fuse_req;
struct requests;

#define REQUESTS_MAX 16384 /* more threads than that never wait at one mount */

enum err requests_new(struct requests **out) MUST_USE;
void requests_free(struct requests **requests);
/* Waits while REQUESTS_MAX are open. */
uint64_t requests_open(struct requests *requests, struct fuse_req *request);
/* Take it out to answer it; NULL: it is not open. */
struct fuse_req *requests_close(struct requests *requests, uint64_t number);
/* Any open one, taken out; NULL: there is none. */
struct fuse_req *requests_close_any(struct requests *requests);
/* An interrupt of an open request: true when the request was pushed, so that the interrupt may be,
 * too; false when it is not open, or when requests_pushed will tell. */
bool requests_interrupt(struct requests *requests, uint64_t number);
/* The request was pushed. true: an interrupt came before. */
bool requests_pushed(struct requests *requests, uint64_t number);
/* From now on requests_open never waits: it returns 0 when full. */
void requests_end(struct requests *requests);
