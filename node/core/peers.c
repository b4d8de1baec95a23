/* node/core/peers.c: one pair of links to each living member. */
#include "node/core/peers.h"

#include <string.h>

#include "base/hash.h"
#include "node/core/catalog.h"
#include "node/core/internal.h"
#include "ring/view.h"

#define BACKOFF_FIRST_US MSEC(100)
#define BACKOFF_MOST_US SEC(2)
#define CONNECT_AGAIN_US SEC(5) /* says CONNECT again: the address may be another one now */
#define HELLO_AGAIN_US MSEC(50) /* a data link overtook its control link's HELLO */
#define REFUSED_US SEC(5)       /* a member that refuses us does not change its mind soon */
#define PROBE_US SEC(1)         /* a silent one is asked that often */
#define EVIDENCE_US SEC(1)      /* gossip wants no more than its own pace */
#define VIEW_ASK_US SEC(1)

size_t peers_memory(const struct node_options *options)
{
    size_t count = node_members_max(options);
    return count * (sizeof(struct peer) + 8 + 2 * sizeof(void *)) + 64;
}

enum err peers_init(struct peers *peers, struct arena *mem, const struct node_options *options)
{
    *peers = (struct peers){ 0 };
    list_init(&peers->all);
    enum err err = map_init(&peers->by_id, mem, node_members_max(options));
    if (err != ERR_OK) {
        return err;
    }
    return pool_init(&peers->pool, mem, sizeof(struct peer), node_members_max(options));
}

struct peer *peer_find(const struct node *node, struct node_id id)
{
    struct map_node *at = map_first(&node->peers.by_id, hash64(id.b, ID_SIZE, 2));
    for (; at != NULL; at = map_next(at)) {
        struct peer *peer = CONTAINER_OF(at, struct peer, by_id);
        if (node_id_equal(peer->id, id)) {
            return peer;
        }
    }
    return NULL;
}

usec_t peer_heard_us(const struct node *node, struct node_id id)
{
    const struct peers *peers = &node->peers;
    const struct peer *peer = peer_find(node, id);
    usec_t heard_us = peer != NULL ? peer->heard_mono_us : 0;
    for (uint32_t i = 0; i < PEERS_GONE_MAX && heard_us == 0; i++) {
        const struct peer_gone *gone = &peers->gone[(peers->gone_next - 1 - i) % PEERS_GONE_MAX];
        heard_us = node_id_equal(gone->id, id) ? gone->heard_mono_us : 0;
    }
    return heard_us;
}

bool peer_is_open(const struct node *node, struct node_id id, enum link_purpose purpose)
{
    const struct peer *peer = peer_find(node, id);
    if (peer == NULL || peer->silent) {
        return false;
    }
    return purpose == LINK_CONTROL ? peer->control_open : peer->data_open;
}

struct peer *peers_next_open(struct node *node, struct peer *peer)
{
    struct list *item = peer == NULL ? node->peers.all.next : peer->all.next;
    for (; item != &node->peers.all; item = item->next) {
        struct peer *next = CONTAINER_OF(item, struct peer, all);
        if (next->control_open && !next->silent) {
            return next;
        }
    }
    return NULL;
}

bool peer_send(struct node *node, struct node_id id, enum link_purpose purpose,
               const struct message *message)
{
    const struct peer *peer = peer_find(node, id);
    if (peer == NULL || !(purpose == LINK_CONTROL ? peer->control_open : peer->data_open)) {
        return false;
    }
    const struct link *link = purpose == LINK_CONTROL ? peer->control : peer->data;
    node_send(node, link->id, message, (struct payload){ 0 });
    return true;
}

static void ask_view(struct node *node, struct peer *peer)
{
    struct message get = { .kind = MESSAGE_VIEW_GET, .view_get = { .digest = node->rings.digest } };
    if (peer_send(node, peer->id, LINK_CONTROL, &get)) {
        MARK(node, "peers.view.asked");
        peer->view_asked_us = node->now.mono_us;
    }
}

void peers_compare_views(struct node *node, struct node_id id)
{
    struct peer *peer = peer_find(node, id);
    if (peer != NULL &&
        (peer->view_asked_us == 0 || node->now.mono_us - peer->view_asked_us >= VIEW_ASK_US)) {
        ask_view(node, peer);
    }
}

static void connect(struct node *node, struct peer *peer)
{
    effects_push(node, &(struct node_effect){ .kind = NODE_CONNECT,
                                              .connect = { .node = peer->id,
                                                           .control = peer->control_address,
                                                           .data = peer->data_address } });
    timers_set(&node->timers, &peer->timer, node->now.mono_us + CONNECT_AGAIN_US);
}

/* A new session each time: what hung on the old one is not ours any more. Nobody outside can guess
 * it: under keys it depends on a secret of the cluster. */
static void new_session(struct node *node, struct peer *peer)
{
    struct hasher h;
    hasher_init(&h, "atoll session");
    if (!node->options.insecure) {
        hasher_span(&h, span_of(keyring_present(&node->keychain.ring)->capability, TRUST_KEY_SIZE));
    }
    hasher_span(&h, span_of(node->options.id.b, ID_SIZE));
    hasher_u64(&h, node->options.incarnation);
    hasher_u64(&h, node->options.seed);
    hasher_u64(&h, rng_next(&node->rng));
    hasher_span(&h, span_of(peer->id.b, ID_SIZE));
    hasher_end(&h, peer->session);
}

struct proof_terms peer_terms(const struct node *node, const struct peer *peer)
{
    struct proof_terms terms = { .side = PROOF_OF_CLIENT, .node = node->options.id };
    memcpy(terms.session, peer->session, ID_SIZE);
    memcpy(terms.client_key, node->options.link_key, sizeof terms.client_key);
    return terms;
}

static void say_hello(struct node *node, struct peer *peer, struct link *link)
{
    struct message message = {
        .kind = MESSAGE_HELLO,
        .hello = { .lowest_version = WIRE_VERSION_LOWEST,
                   .highest_version = WIRE_VERSION_HIGHEST,
                   .cluster = span_text(node->options.cluster),
                   .role = WIRE_NODE,
                   .purpose = (uint64_t)link->purpose,
                   .incarnation = node->options.incarnation,
                   .name = span_text(node->options.name) },
    };
    memcpy(message.hello.session, peer->session, ID_SIZE);
    memcpy(message.hello.node, node->options.id.b, ID_SIZE);
    if (link->purpose == LINK_CONTROL) {
        const struct proof_terms terms = peer_terms(node, peer);
        message.hello.proofs = keychain_prove(node, &terms);
        peer->proved = node->keychain.change;
    }
    node_send(node, link->id, &message, (struct payload){ 0 });
}

/* Both links down, at once and quietly; the calls to it fail. */
static void peer_down(struct node *node, struct peer *peer)
{
    struct link *links[2] = { peer->control, peer->data };
    peer->control = NULL;
    peer->data = NULL;
    peer->control_open = false;
    peer->data_open = false;
    for (uint32_t i = 0; i < 2; i++) {
        if (links[i] != NULL) {
            links[i]->peer = NULL;
            link_close(node, links[i]);
        }
    }
    calls_on_link_down(node, &peer->calls);
}

static void retry(struct node *node, struct peer *peer, usec_t at_least_us)
{
    usec_t delay = node_backoff(node, BACKOFF_FIRST_US, peer->attempts, BACKOFF_MOST_US);
    if (peer->attempts < 16) {
        peer->attempts++;
    }
    timers_set(&node->timers, &peer->timer, node->now.mono_us + usec_max(delay, at_least_us));
}

static void peer_new(struct node *node, const struct member *member)
{
    struct peer *peer = pool_take(&node->peers.pool);
    if (peer == NULL) {
        MARK(node, "peers.full");
        return;
    }
    peer->id = member->id;
    peer->timer.kind = TIMER_PEER;
    list_init(&peer->calls);
    list_init(&peer->all);
    list_push_back(&node->peers.all, &peer->all);
    map_insert(&node->peers.by_id, &peer->by_id, hash64(peer->id.b, ID_SIZE, 2));
}

static void remember(struct peers *peers, const struct peer *peer)
{
    if (peer->heard_mono_us != 0) {
        peers->gone[peers->gone_next++ % PEERS_GONE_MAX] =
            (struct peer_gone){ .id = peer->id, .heard_mono_us = peer->heard_mono_us };
    }
}

static void peer_free(struct node *node, struct peer *peer)
{
    remember(&node->peers, peer);
    peer_down(node, peer);
    CHECK(list_is_empty(&peer->calls));
    timers_cancel(&node->timers, &peer->timer);
    list_remove(&peer->all);
    map_remove(&node->peers.by_id, &peer->by_id);
    pool_give(&node->peers.pool, peer);
}

/* Learn where the member is; another address or incarnation means other links. */
static void peer_learn(struct node *node, struct peer *peer, const struct member *member)
{
    const struct address *control = member_address(member, ENDPOINT_CONTROL);
    const struct address *data = member_address(member, ENDPOINT_DATA);
    if (control == NULL || data == NULL) {
        MARK(node, "peers.no_address");
        return;
    }
    bool moved = !address_equal(control, &peer->control_address) ||
                 !address_equal(data, &peer->data_address);
    peer->incarnation = member->incarnation;
    if (!moved) {
        return;
    }
    peer->control_address = *control;
    peer->data_address = *data;
    peer->attempts = 0;
    peer_down(node, peer);
    timers_set(&node->timers, &peer->timer, node->now.mono_us);
}

void peers_on_view(struct node *node)
{
    uint32_t count = 0;
    const struct member *members = view_members(node->rings.view, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct member *member = &members[i];
        struct peer *peer = peer_find(node, member->id);
        if (node_id_equal(member->id, node->options.id)) {
            continue;
        }
        if (peer == NULL && member_lives(member)) {
            peer_new(node, member);
            peer = peer_find(node, member->id);
        }
        if (peer != NULL && member_lives(member)) {
            peer_learn(node, peer, member);
        } else if (peer != NULL) {
            MARK(node, "peers.member.gone");
            peer_free(node, peer);
        }
    }
}

void peer_is_silent(struct node *node, struct node_id id)
{
    struct peer *peer = peer_find(node, id);
    if (peer == NULL || peer->silent) {
        return;
    }
    MARK(node, "peers.silent");
    peer->silent = true;
    if (peer->control_open) {
        timers_set(&node->timers, &peer->timer, node->now.mono_us);
    }
}

void peers_on_timer(struct node *node, struct peer *peer)
{
    if (peer->control == NULL || peer->data == NULL) {
        connect(node, peer);
        return;
    }
    if (!peer->control_open) {
        MARK(node, "peers.hello.unanswered");
        peer_down(node, peer);
        retry(node, peer, 0);
        return;
    }
    if (!peer->data_open) {
        say_hello(node, peer, peer->data);
        timers_set(&node->timers, &peer->timer, node->now.mono_us + CONNECT_AGAIN_US);
    }
    if (peer->silent) {
        MARK(node, "peers.probe");
        struct message ping = { .kind = MESSAGE_PING };
        node_send(node, peer->control->id, &ping, (struct payload){ 0 });
        timers_set(&node->timers, &peer->timer, node->now.mono_us + PROBE_US);
    }
}

void peers_on_link_up(struct node *node, struct link *link, struct node_id id)
{
    struct peer *peer = peer_find(node, id);
    struct link **slot = NULL;
    if (peer != NULL) {
        slot = link->purpose == LINK_CONTROL ? &peer->control : &peer->data;
    }
    if (slot == NULL || *slot != NULL) {
        MARK(node, "peers.link.unwanted");
        link_close(node, link);
        return;
    }
    *slot = link;
    link->peer = peer;
    timers_set(&node->timers, &peer->timer, node->now.mono_us + CONNECT_AGAIN_US);
    if (link->purpose == LINK_CONTROL) {
        new_session(node, peer);
        say_hello(node, peer, link);
    } else if (peer->control_open) {
        say_hello(node, peer, link);
    }
}

void peers_on_link_down(struct node *node, struct link *link)
{
    struct peer *peer = link->peer;
    if (peer == NULL) {
        return; /* peer_down closes it */
    }
    if (link->purpose == LINK_CONTROL) {
        peer->control = NULL;
    } else {
        peer->data = NULL;
    }
    MARK(node, "peers.link.down");
    peer_down(node, peer);
    retry(node, peer, 0);
}

/* Tell gossip that it lives. Only an open control link proves who speaks. */
static void give_evidence(struct node *node, struct peer *peer)
{
    usec_t now = node->now.mono_us;
    if (peer->evidence_us == 0 || now - peer->evidence_us >= EVIDENCE_US) {
        peer->evidence_us = now;
        effects_push(
            node, &(struct node_effect){ .kind = NODE_EVIDENCE, .evidence = { .node = peer->id } });
    }
}

/* Is it a node that still has a key? Only on a control link can it prove that. */
static bool is_proven(const struct node *node, const struct peer *peer, const struct link *link,
                      const struct message_welcome *welcome)
{
    struct key_id key;
    struct proof_terms terms = peer_terms(node, peer);
    terms.side = PROOF_OF_SERVER;
    terms.node = peer->id;
    return node->options.insecure || link->purpose != LINK_CONTROL ||
           keychain_check(node, &terms, welcome->proofs, &key);
}

/* What protocol 1 has no word for is said to those alone who speak 2. */
static void say_next(struct node *node, const struct link *link)
{
#ifdef ATOLL_NEXT
    if (link->version >= 2) {
        const struct message message = { .kind = MESSAGE_NEXT,
                                         .next = { .text = span_text("well met") } };
        node_send(node, link->id, &message, (struct payload){ 0 });
    }
#else
    (void)node;
    (void)link;
#endif
}

static void on_welcome(struct node *node, struct peer *peer, struct link *link,
                       const struct message_welcome *welcome)
{
    if (memcmp(welcome->node, peer->id.b, ID_SIZE) != 0 || !is_proven(node, peer, link, welcome) ||
        welcome->slots_log2 != node->options.slots_log2 || welcome->version < WIRE_VERSION_LOWEST ||
        welcome->version > WIRE_VERSION_HIGHEST) {
        MARK(node, "peers.welcome.stranger"); /* an address that was somebody else's */
        peer_down(node, peer);
        retry(node, peer, REFUSED_US);
        return;
    }
    link->state = LINK_OPEN;
    link->version = (uint32_t)welcome->version;
    if (link->purpose == LINK_CONTROL) {
        peer->control_open = true;
        give_evidence(node, peer);
        keychain_on_open(node, peer);
        say_next(node, link);
        catalog_on_open(node, peer->id);
        if (peer->data != NULL) {
            say_hello(node, peer, peer->data);
        }
        return;
    }
    peer->data_open = true;
    peer->attempts = 0;
    if (!peer->silent) {
        timers_cancel(&node->timers, &peer->timer);
    }
}

static void on_refused(struct node *node, struct peer *peer, struct link *link,
                       const struct message_refused *refused)
{
    if (refused->err == ERR_NO_SESSION && link->purpose == LINK_DATA) {
        MARK(node, "peers.hello.early");
        timers_set(&node->timers, &peer->timer, node->now.mono_us + HELLO_AGAIN_US);
        return;
    }
    MARK(node, "peers.refused");
    char line[400];
    struct text text;
    text_init(&text, line, sizeof line);
    text_str(&text, "peer.refused node=");
    text_hex(&text, peer->id.b, ID_SIZE);
    text_str(&text, " err=");
    text_str(&text, err_name(err_from_wire(refused->err)));
    text_str(&text, " text=");
    text_json(&text, refused->text);
    node_log(node, LOG_WARN, &text);
    peer_down(node, peer);
    retry(node, peer, REFUSED_US);
}

/* It lives: whatever it said, on a link that this node opened. */
static void heard(struct node *node, struct peer *peer)
{
    peer->heard_us = node_active(node);
    peer->heard_mono_us = node->now.mono_us;
    if (peer->silent) {
        MARK(node, "peers.heard.again");
        peer->silent = false;
        if (peer->data_open) {
            timers_cancel(&node->timers, &peer->timer);
        }
    }
}

void peers_on_message(struct node *node, struct link *link, const struct message *message,
                      struct payload payload)
{
    struct peer *peer = link->peer;
    CHECK(peer != NULL);
    heard(node, peer);
    if (message->kind == MESSAGE_WELCOME && link->state == LINK_NEW) {
        node_release(node, payload);
        on_welcome(node, peer, link, &message->welcome);
        return;
    }
    if (message->kind == MESSAGE_REFUSED && link->state == LINK_NEW) {
        node_release(node, payload);
        on_refused(node, peer, link, &message->refused);
        return;
    }
    if (link->state == LINK_NEW) {
        MARK(node, "peers.message.early");
        node_release(node, payload);
        return;
    }
    if (link->purpose == LINK_CONTROL) {
        give_evidence(node, peer);
    }
    if (message->kind == MESSAGE_PENDING) {
        node_release(node, payload);
        calls_on_pending(node, peer->id, message->pending.requests);
        return;
    }
    if (message->kind == MESSAGE_VIEW) {
        node_release(node, payload);
        rings_on_peer_view(node, &message->view);
        leave_on_peer_view(node, peer, &message->view);
        return;
    }
    calls_on_answer(node, peer->id, message, payload);
}
