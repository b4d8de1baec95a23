/* node/core/outages.h: sources that fail, since when, and in what words: for whoever is on call.
 *
 * An outage is about one dataset, one source of it, and either listing or reading, because a policy
 * may allow one without the other. It begins with a request that failed, and ends with the next one
 * that did not. A request that says nothing about the source (the object is another one now, or was
 * never there) does neither. While an outage lasts and nobody asks for anything, this node asks for
 * one key now and then, so that its end is seen without a reader. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/timers.h"
#include "node/core/node.h"

#define OUTAGES_MAX 64u
#define OUTAGE_SHOW_US SEC(10) /* what may pass by itself (a cut connection) is shown after that */
#define OUTAGE_FIRST_US SEC(5) /* this node asks itself when nobody has for so long, at first */
#define OUTAGE_AGAIN_US SEC(30)
#define OUTAGE_KEY_MAX 1024u
#define OUTAGE_SAID_MAX 240u

struct io_for;
struct object;

enum outage_kind { OUTAGE_LIST, OUTAGE_READ };

struct outage {
    bool in_use;
    bool logged;
    enum outage_kind kind;
    struct dataset_id dataset;
    struct source_id source;
    enum err err;      /* of the last failure */
    usec_t since_us;   /* wall: the first failure */
    usec_t last_us;    /* wall: the last one */
    usec_t began_us;   /* monotonic: the first one */
    usec_t asked_us;   /* monotonic: the last one */
    uint64_t failures; /* since then, this node's own questions included */
    uint64_t io;       /* this node's own question that is under way */
    uint32_t key_size; /* LIST: a prefix; READ: an object */
    uint32_t said_size;
    uint8_t key[OUTAGE_KEY_MAX];
    char said[OUTAGE_SAID_MAX]; /* the store's words, on one line */
    bool mute;                  /* it had none: `said` is what its status means */
};

struct outages {
    struct outage of[OUTAGES_MAX];
    uint32_t count;
    struct timer timer;
};

void outages_init(struct outages *outages);

/* What a request was about. */
struct outage_about {
    enum outage_kind kind;
    struct dataset_id dataset;
    struct source_id source;
    struct span key;
};
/* How it ended. The answer to a HEAD is mute; what the store said before of the same failure is
 * worth more than that. */
struct outage_end {
    enum err err; /* ERR_OK: well */
    struct span said;
    bool mute;
};
void outages_note(struct node *node, const struct outage_about *about,
                  const struct outage_end *end);
/* The same for the end of a GET, and of a LIST or HEAD that was asked for `of`. */
void outages_on_fetched(struct node *node, const struct object *object,
                        const struct node_event *event);
void outages_on_listed(struct node *node, const struct io_for *of, const struct node_event *event);

/* Other credentials can be used now: what they may mend is tried at once. */
void outages_try_again(struct node *node);
void outages_on_timer(struct node *node);
void outages_on_answer(struct node *node, struct outage *outage, const struct node_event *event);

/* The next one that an operator should see; pass NULL first. Valid until the next event. */
const struct outage *outages_next(const struct node *node, const struct outage *after);
uint32_t outages_shown(const struct node *node);
/* How long it has lasted. */
usec_t outage_age_us(const struct node *node, const struct outage *outage);
const char *outage_word(enum outage_kind kind);
/* What to do about that failure of a source. */
const char *outage_advice(enum err err);
