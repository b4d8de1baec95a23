/* sim/trial/freshness.h: what must hold of a listing that a mount is given: it may be believed until
 * its directory was last listed longer ago than the dataset's ttl, and no longer, unless a clock was set
 * or the source is troubled. */
#pragma once
#include "sim/trial/trial.h"
#include "wire/message.h"

struct freshness;

struct freshness *freshness_new(struct trial *trial);
void freshness_free(struct freshness **freshness);
/* A node asks the source. */
void freshness_asked(struct freshness *freshness, const struct node_effect *effect);
/* A node answers a request of that mount, which it took at taken_us. */
void freshness_sent(struct freshness *freshness, const struct process *from,
                    const struct process *to, const struct message_dir_root *answer,
                    usec_t taken_us);
