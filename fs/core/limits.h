/* fs/core/limits.h: the constants of a mount, each with its reason. */
#pragma once
#include "base/time.h"

#define SILENCE_US MSEC(400)   /* DESIGN 7.5 */
#define LAG_US MSEC(20)        /* a step later than that: we were not running */
#define LAG_GRACE_US MSEC(100) /* what has piled up meanwhile is read first */
#define ATTEMPT_US SEC(30)     /* a node may work on one question that long */
#define ROUND_MIN_US MSEC(200) /* all ranks failed: wait before the next round */
#define ROUND_MAX_US SEC(2)    /* ... doubling up to this */
#define CORRUPT_ROUNDS 3       /* in a row that end with a wrong checksum, before it is an error */
#define ENTRY_MAX_US SEC(3600) /* the kernel asks again after that; answered from here */
#define ATTR_MAX_US SEC(86400) /* attributes of one (path, pin) never change */
#define FRESH_MAX_US SEC(31536000) /* "for ever" without overflow */
#define INTERRUPT_US SEC(1)        /* a request that ends within it is not cut short by a signal */
#define AGAIN_US SEC(1) /* the kernel's second request comes within that, on a busy machine too */
#define AGAIN_TIME_US MSEC(20) /* what it gets: enough for what is here, or comes just now */
#define SCRATCH_SIZE 393216u   /* 64 frames of at most FRAME_ROOM */
#define FRAME_ROOM 6144u       /* the largest we send: HELLO with 4 KiB of grants */
#define PATH_MAX_SIZE 1312u    /* a row's path, a slash, and the rest of a key */
#define KEY_MAX 1024u          /* of S3 and OSS */
#define ROW_NONE UINT32_MAX
#define BLOCK_WORDS 4u /* 16 MiB / CHUNK_SIZE / 64 */
#define OP_BLOCKS 18u  /* of 64 KiB under one READ of 1 MiB */
#define HAILS_MAX 2u
#define NAME_ROOM 256u
#define EXTENT_BYTES (16u << 20) /* DESIGN 2: blocks of a large object that live together */
