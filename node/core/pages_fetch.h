/* node/core/pages_fetch.h: between pages.c and pages_fetch.c. */
#pragma once
#include "node/core/pages.h"

#define PAGE_FETCHES_MAX 256u /* pages searched for at once */

uint64_t page_key_hash(const struct page_key *key);
bool page_key_equal(const struct page_key *a, const struct page_key *b);
struct page_bytes page_bytes_of(struct buffer *buffer, uint32_t size);
/* Send the page and end the ask. */
void pages_answer(struct node *node, struct meta_ask *ask, const struct page_bytes *page);
/* As pages_wait for an ask; it is searched with other ranks when ask->may_search. ERR_NOT_FOUND: it
 * asks for what is here, and this node itself asks others. */
enum err pages_wait_ask(struct node *node, const struct page_search *search, struct meta_ask *ask)
    MUST_USE;
