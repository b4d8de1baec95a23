/* node/core/serve.c: parts of blocks on their way to whoever asked, session by session. */
#include "node/core/internal.h"
#include "node/core/reads.h"

void serve_count(struct node *node, enum data_tier tier, uint64_t bytes, bool first)
{
    struct metrics *metrics = &node->metrics;
    uint64_t one = first ? 1 : 0;
    switch (tier) {
    case TIER_MEMORY:
        metrics->served_memory_bytes += bytes;
        metrics->served_memory += one;
        return;
    case TIER_DISK:
        metrics->served_disk_bytes += bytes;
        metrics->served_disk += one;
        return;
    case TIER_PEER:
        metrics->served_peer_bytes += bytes;
        metrics->served_peer += one;
        return;
    case TIER_SOURCE:
        metrics->served_source_bytes += bytes;
        metrics->served_source += one;
        return;
    }
    BUG("a tier that is none");
}

void serve_count_answer(struct node *node, usec_t waited_us)
{
    struct metrics *metrics = &node->metrics;
    metrics->gets_answered++;
    metrics->get_wait_us += (uint64_t)waited_us;
    metrics->gets_within_1ms += waited_us <= MSEC(1) ? 1 : 0;
    metrics->gets_within_10ms += waited_us <= MSEC(10) ? 1 : 0;
    metrics->gets_within_100ms += waited_us <= MSEC(100) ? 1 : 0;
    metrics->gets_within_1s += waited_us <= SEC(1) ? 1 : 0;
    metrics->gets_within_10s += waited_us <= SEC(10) ? 1 : 0;
}

void serve_part(struct node *node, const struct serve *part)
{
    uint32_t within = part->offset - part->base;
    meter_served(&node->hot.shares.meter, part->size);
    CHECK(part->offset >= part->base && within % CHUNK_SIZE == 0);
    if (part->announced) {
        asks_announce(node, part->session, part->request);
    }
    struct message message = {
        .kind = MESSAGE_DATA,
        .data = { .request = part->request,
                  .offset = part->offset,
                  .length = part->size,
                  .more = part->more ? 1 : 0,
                  .checksums = span_of(part->buffer->checksums + within / CHUNK_SIZE,
                                       (size_t)chunk_count(part->size) * 8),
                  .tier = (uint64_t)part->tier },
    };
    send_buffer(node, part->link, &message,
                &(struct send_what){ .session = part->session,
                                     .buffer = part->buffer,
                                     .offset = within,
                                     .size = part->size });
}

/* One part of the first read of this session. */
static void serve_session(struct node *node, struct session *session)
{
    struct read *read = CONTAINER_OF(list_first(&session->ready), struct read, turn);
    CHECK(read->buffer != NULL && read->available > read->sent);
    uint32_t size = read->available - read->sent;
    size = size < READ_PART_MAX ? size : READ_PART_MAX;
    bool more = read->sent + size < read->length;
    serve_part(node, &(struct serve){ .session = session,
                                      .link = read->ask.link,
                                      .request = read->ask.request,
                                      .buffer = read->buffer,
                                      .base = read->base,
                                      .offset = read->offset + read->sent,
                                      .size = size,
                                      .more = more,
                                      .announced = read->mode == GET_PEEK && read->sent == 0,
                                      .tier = read->tier });
    serve_count(node, read->tier, size, read->sent == 0);
    read->sent += size;
    read->moved_us = node->now.mono_us;
    if (read->sent == read->available) {
        list_remove(&read->turn);
    }
    if (!more) {
        serve_count_answer(node, node->now.mono_us - read->ask.opened_us);
        ask_close(node, &read->ask);
        reads_on_gone(node, &read->ask);
    }
}

void reads_serve(struct node *node)
{
    struct list *item;
    while ((item = list_first(&node->reads.turns)) != NULL) {
        if (!effects_roomy(node, 0) || !sends_room(node)) {
            MARK(node, "serve.goes_on");
            return;
        }
        struct session *session = CONTAINER_OF(item, struct session, turn);
        list_remove(item);
        if (list_is_empty(&session->ready)) {
            continue; /* what was ready has been cancelled */
        }
        list_push_back(&node->reads.turns, item);
        serve_session(node, session);
        if (list_is_empty(&session->ready)) {
            list_remove(item);
        }
    }
}

bool reads_can_serve(const struct node *node)
{
    return !list_is_empty(&node->reads.turns) && sends_room(node);
}
