/* node/core/sends.c: what is held until SENT. */
#include "node/core/sends.h"

#include "node/core/budget.h"
#include "node/core/internal.h"

#define GENERATION_MASK 0x7fffffffu /* tokens of received payloads may have the highest bit */

struct sending {
    struct list of_session;
    struct session *session;
    struct buffer *buffer; /* or: */
    uint64_t received;
    uint64_t token;
    uint32_t size;
};

static uint32_t sends_max(const struct node_options *options)
{
    return options->requests_max + options->links_max + 64;
}

size_t sends_memory(const struct node_options *options)
{
    return (size_t)sends_max(options) * (sizeof(struct sending) + 8) + 16;
}

enum err sends_init(struct sends *sends, struct arena *mem, const struct node_options *options)
{
    *sends = (struct sends){ 0 };
    return pool_init(&sends->pool, mem, sizeof(struct sending), sends_max(options));
}

bool sends_room(const struct node *node)
{
    return node->sends.pool.used < node->sends.pool.count;
}

static struct sending *sending_new(struct node *node, struct session *session, uint32_t size)
{
    struct sends *sends = &node->sends;
    struct sending *sending = pool_take(&sends->pool);
    CHECK(sending != NULL);
    sends->generation = (sends->generation + 1) & GENERATION_MASK;
    sending->token = ((uint64_t)sends->generation << 32) | (pool_index(&sends->pool, sending) + 1);
    sending->size = size;
    sending->session = session;
    list_init(&sending->of_session);
    if (session != NULL) {
        list_push_back(&session->sends, &sending->of_session);
    }
    sends->bytes += size;
    return sending;
}

void send_buffer(struct node *node, struct link_id link, const struct message *message,
                 const struct send_what *what)
{
    CHECK(what->size > 0 && what->offset <= what->buffer->size);
    CHECK(what->size <= what->buffer->size - what->offset);
    struct sending *sending = sending_new(node, what->session, what->size);
    sending->buffer = what->buffer;
    buffer_ref(node, what->buffer);
    struct payload payload = { .data = what->buffer->data + what->offset,
                               .size = what->size,
                               .token = sending->token };
    node_send(node, link, message, payload);
}

void send_received(struct node *node, struct link_id link, const struct message *message,
                   struct payload payload, struct session *session)
{
    CHECK(payload.token != 0);
    struct sending *sending = sending_new(node, session, payload.size);
    sending->received = payload.token;
    payload.token = sending->token;
    node_send(node, link, message, payload);
}

void sends_on_sent(struct node *node, uint64_t token)
{
    struct sends *sends = &node->sends;
    uint32_t number = (uint32_t)token;
    CHECK(number > 0 && number <= pool_top(&sends->pool));
    struct sending *sending = pool_at(&sends->pool, number - 1);
    CHECK(sending->token == token && sends->bytes >= sending->size);
    struct session *session = sending->session;
    struct buffer *buffer = sending->buffer;
    uint64_t received = sending->received;
    uint32_t size = sending->size;
    sends->bytes -= size;
    list_remove(&sending->of_session);
    sending->token = 0;
    pool_give(&sends->pool, sending);
    if (buffer != NULL) {
        buffer_unref(node, buffer);
    } else {
        node_release(node, (struct payload){ .token = received });
    }
    if (session != NULL) {
        budget_give(node, session, size);
    }
}

void sends_forget_session(struct node *node, struct session *session)
{
    struct list *item;
    while ((item = list_first(&session->sends)) != NULL) {
        MARK(node, "sends.session.gone");
        list_remove(item);
        CONTAINER_OF(item, struct sending, of_session)->session = NULL;
    }
}
