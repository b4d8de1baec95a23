/* node/core/offers.h: pages and roots that another node wants this one to keep.
 *
 * What is offered is pulled over our own link to the offerer, checked, stored, and acknowledged. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "node/core/calls.h"
#include "node/core/pages.h"

struct link;
struct meta_ask;

#define OFFERS_MAX 256u /* taken at once */

struct offer {
    struct meta_ask *ask; /* NULL: the offerer does not wait any more */
    bool is_root;
    struct page_key key; /* of a root: without a fence */
    uint64_t crc;
    uint64_t call;
    struct buffer *buffer; /* once it is here */
    uint32_t size;
};

struct offers {
    struct pool pool;
};

size_t offers_memory(void);
enum err offers_init(struct offers *offers, struct arena *mem) MUST_USE;

void offers_on_page(struct node *node, struct link *link,
                    const struct message_shard_offer *message);
void offers_on_root(struct node *node, struct link *link, const struct message_root_offer *message);
void offers_on_gone(struct node *node, struct meta_ask *ask);
/* The calls of an offer: SHARD_GET and ROOT_GET with call->options.tag OFFERS_TAG. */
#define OFFERS_TAG 1u
enum call_more offers_on_answer(struct node *node, const struct call *call,
                                const struct message *message, struct payload payload);
void offers_on_failure(struct node *node, const struct call *call, enum err err);
void offers_on_put(struct node *node, struct offer *offer, enum err err);
