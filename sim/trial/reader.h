/* sim/trial/reader.h: a virtual application on a mount, and the kernel below it: it walks paths,
 * lists, opens, reads, releases and forgets, and checks every byte, name and attribute. */
#pragma once
#include "sim/trial/trial.h"

struct reader *reader_new(struct trial *trial, struct host_mount *mount, uint32_t number);
void reader_free(struct reader **reader);
/* Go on until told to stop; `held_back` files are read in order, once, by every reader. */
void reader_start(struct reader *reader, enum reader_pattern pattern, bool held_back);
void reader_stop(struct reader *reader);
/* Go on where it was stopped. */
void reader_go_on(struct reader *reader);
/* Nothing is under way. */
bool reader_is_idle(const struct reader *reader);
/* Has it done what it was started for? Only with `held_back`. */
bool reader_is_done(const struct reader *reader);
/* true: the answer was for it. */
bool reader_take(struct reader *reader, const struct mount_effect *effect);
/* How long its oldest request has been waiting. */
usec_t reader_waiting_us(const struct reader *reader);

struct reader_totals {
    uint64_t ops;
    uint64_t bytes;
    uint64_t files;
    uint64_t listings;
    uint64_t stale; /* ESTALE of objects that had changed */
    usec_t longest_us;
};
const struct reader_totals *reader_totals(const struct reader *reader);
/* For messages: what it is doing. */
const char *reader_what(const struct reader *reader);
