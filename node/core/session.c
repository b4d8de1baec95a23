/* node/core/session.c: links that others opened, HELLO, and what their sessions may read. */
#include "node/core/session.h"

#include <string.h>

#include "base/hash.h"
#include "node/core/catalog.h"
#include "node/core/internal.h"
#include "node/core/reads.h"
#include "wire/trust.h"

static uint32_t links_max(const struct node_options *options)
{
    return 2 * options->links_max + 2 * node_members_max(options);
}

size_t sessions_memory(const struct node_options *options)
{
    size_t links = links_max(options);
    size_t size = links * (sizeof(struct link) + 8) + 2 * links * sizeof(void *);
    size += options->links_max * (sizeof(struct session) + 8 + 2 * sizeof(void *));
    if (!options->insecure) {
        size += (size_t)options->links_max * SESSION_GRANTS_MAX;
    }
    return size + 256;
}

enum err sessions_init(struct sessions *sessions, struct arena *mem,
                       const struct node_options *options)
{
    *sessions = (struct sessions){ 0 };
    uint32_t grants = options->insecure ? 0 : options->links_max;
    bool fits =
        map_init(&sessions->links, mem, links_max(options)) == ERR_OK &&
        map_init(&sessions->by_id, mem, options->links_max) == ERR_OK &&
        pool_init(&sessions->link_pool, mem, sizeof(struct link), links_max(options)) == ERR_OK &&
        pool_init(&sessions->pool, mem, sizeof(struct session), options->links_max) == ERR_OK &&
        pool_init(&sessions->grants, mem, SESSION_GRANTS_MAX, grants) == ERR_OK;
    return fits ? ERR_OK : ERR_NOMEM;
}

struct link *link_find(const struct node *node, struct link_id id)
{
    struct map_node *at = map_first(&node->sessions.links, hash64_mix(id.v, 1));
    for (; at != NULL; at = map_next(at)) {
        struct link *link = CONTAINER_OF(at, struct link, by_id);
        if (link->id.v == id.v) {
            return link;
        }
    }
    return NULL;
}

static struct session *session_find(const struct node *node, const uint8_t id[ID_SIZE])
{
    struct map_node *at = map_first(&node->sessions.by_id, hash64(id, ID_SIZE, 0));
    for (; at != NULL; at = map_next(at)) {
        struct session *session = CONTAINER_OF(at, struct session, by_id);
        if (memcmp(session->id, id, ID_SIZE) == 0) {
            return session;
        }
    }
    return NULL;
}

void sessions_on_link_up(struct node *node, const struct node_event *event)
{
    struct link_id id = event->link_up.link;
    CHECK(id.v != 0 && link_find(node, id) == NULL);
    struct link *link = pool_take(&node->sessions.link_pool);
    if (link == NULL) {
        MARK(node, "session.links.full");
        effects_push(node, &(struct node_effect){ .kind = NODE_CLOSE, .close = { .link = id } });
        return;
    }
    link->id = id;
    link->purpose = event->link_up.purpose;
    link->outbound = event->link_up.outbound;
    link->trust = event->link_up.peer;
    list_init(&link->of_session);
    map_insert(&node->sessions.links, &link->by_id, hash64_mix(id.v, 1));
    if (link->outbound) {
        peers_on_link_up(node, link, event->link_up.node);
    }
}

static struct session *session_new(struct node *node, const struct message_hello *hello)
{
    struct session *session = pool_take(&node->sessions.pool);
    if (session == NULL) {
        return NULL;
    }
    memcpy(session->id, hello->session, ID_SIZE);
    session->role = (enum wire_role)hello->role;
    memcpy(session->node.b, hello->node, ID_SIZE);
    session->incarnation = hello->incarnation;
    size_t size = hello->name.size < sizeof session->name ? hello->name.size : 0;
    if (size > 0) {
        memcpy(session->name, hello->name.data, size);
    }
    session->pending.kind = TIMER_PENDING;
    list_init(&session->links);
    list_init(&session->asks);
    list_init(&session->queue);
    list_init(&session->ready);
    list_init(&session->turn);
    list_init(&session->sends);
    list_init(&session->watch);
    map_insert(&node->sessions.by_id, &session->by_id, hash64(session->id, ID_SIZE, 0));
    return session;
}

static void session_free(struct node *node, struct session *session)
{
    CHECK(list_is_empty(&session->asks) && list_is_empty(&session->queue));
    CHECK(list_is_empty(&session->ready));
    sends_forget_session(node, session);
    rings_forget_session(node, session);
    list_remove(&session->turn);
    timers_cancel(&node->timers, &session->pending);
    map_remove(&node->sessions.by_id, &session->by_id);
    if (session->grants != NULL) {
        pool_give(&node->sessions.grants, session->grants);
    }
    pool_give(&node->sessions.pool, session);
}

/* Everything but telling the shell. */
static void link_end(struct node *node, struct link *link)
{
    struct session *session = link->session;
    if (link->outbound) {
        peers_on_link_down(node, link);
    } else if (session != NULL) {
        list_remove(&link->of_session);
        session->closing = list_is_empty(&session->links);
        asks_on_link_down(node, session, link->id);
        if (list_is_empty(&session->links)) {
            session_free(node, session);
        }
    }
    map_remove(&node->sessions.links, &link->by_id);
    pool_give(&node->sessions.link_pool, link);
}

void sessions_on_link_down(struct node *node, struct link_id id)
{
    struct link *link = link_find(node, id);
    if (link != NULL) { /* NULL: we closed it, or had no room for it */
        link_end(node, link);
    }
}

void link_close(struct node *node, struct link *link)
{
    struct link_id id = link->id;
    link_end(node, link);
    effects_push(node, &(struct node_effect){ .kind = NODE_CLOSE, .close = { .link = id } });
}

struct link_id session_control(const struct session *session)
{
    struct link_id found = { 0 };
    for (struct list *item = session->links.next; item != &session->links; item = item->next) {
        const struct link *link = CONTAINER_OF(item, struct link, of_session);
        if (link->purpose == LINK_CONTROL) {
            return link->id;
        }
        found = link->id;
    }
    return found;
}

static bool has_control(const struct session *session)
{
    struct list *first = session->links.next; /* control links stand in front */
    return first != &session->links &&
           CONTAINER_OF(first, struct link, of_session)->purpose == LINK_CONTROL;
}

void session_watch_ask(struct node *node, struct session *session, usec_t due_us)
{
    if (!timer_is_set(&session->pending) || session->pending.at_us > due_us) {
        timers_set(&node->timers, &session->pending, due_us);
    }
}

/* How many of the grants shown hold at this moment; *refused counts the others. With a `dataset`
 * only those that admit it, and *expires_s is the latest end of theirs. */
struct grants_found {
    uint32_t hold;
    uint32_t refused;
    uint64_t expires_s;
};

static struct grants_found grants_look(const struct node *node, struct span grants,
                                       const uint8_t client_key[32], struct span dataset)
{
    struct grants_found found = { 0 };
    struct span one;
    while (grant_next(&grants, &one)) {
        struct grant grant;
        enum err err = keychain_grant(node, one, client_key, &grant);
        if (err != ERR_OK) {
            found.refused++;
        } else if (dataset.size == 0 || grant_admits(&grant, dataset)) {
            found.hold++;
            if (grant.expires_wall_s > found.expires_s) {
                found.expires_s = grant.expires_wall_s;
            }
        }
    }
    found.refused += grants.size > 0 ? 1 : 0;
    return found;
}

static void refuse(struct node *node, struct link *link, enum err err, const char *text)
{
    node->metrics.sessions_refused++;
    struct message message = { .kind = MESSAGE_REFUSED,
                               .refused = { .err = (uint64_t)err, .text = span_text(text) } };
    node_send(node, link->id, &message, (struct payload){ 0 });
    if (err != ERR_NO_SESSION) { /* that one may ask again */
        link_close(node, link);
    }
}

/* ERR_OK: go on; else *text says why not. */
static enum err hello_check(const struct node *node, const struct message_hello *hello,
                            const char **text)
{
    struct span name = span_text(node->options.cluster);
    if (!span_equal(hello->cluster, name)) {
        MARK(node, "session.refuse.cluster");
        *text = "this node belongs to another cluster";
        return ERR_UNAUTHENTICATED;
    }
    if (hello->lowest_version > WIRE_VERSION_HIGHEST ||
        hello->highest_version < WIRE_VERSION_LOWEST ||
        hello->highest_version < hello->lowest_version) {
        MARK(node, "session.refuse.version");
        *text = "no common version of the protocol: upgrade the older side";
        return ERR_VERSION;
    }
    if (hello->role < WIRE_NODE || hello->role > WIRE_COMMAND) {
        MARK(node, "session.refuse.role");
        *text = "not a role";
        return ERR_INVALID;
    }
    return ERR_OK;
}

static struct proof_terms hello_terms(const struct link *link, const struct message_hello *hello)
{
    struct proof_terms terms = { .side = PROOF_OF_CLIENT };
    memcpy(terms.node.b, hello->node, ID_SIZE);
    memcpy(terms.session, hello->session, ID_SIZE);
    memcpy(terms.client_key, link->trust.client_key, sizeof terms.client_key);
    return terms;
}

struct proof_terms session_terms(const struct session *session)
{
    struct proof_terms terms = { .side = PROOF_OF_CLIENT, .node = session->node };
    memcpy(terms.session, session->id, ID_SIZE);
    memcpy(terms.client_key, session->client_key, sizeof terms.client_key);
    return terms;
}

/* The proof a control link brings: that it has a key of the cluster for nodes, grants for mounts. */
static enum err control_check(const struct node *node, const struct link *link,
                              const struct message_hello *hello, struct key_id *key,
                              const char **text)
{
    if (node->options.insecure) {
        return ERR_OK;
    }
    if (hello->role != WIRE_MOUNT) {
        const struct proof_terms terms = hello_terms(link, hello);
        if (keychain_check(node, &terms, hello->proofs, key)) {
            return ERR_OK;
        }
        MARK(node, "session.refuse.trust");
        *text = "no key of this cluster that is still in use";
        return ERR_UNAUTHENTICATED;
    }
    struct grants_found found =
        grants_look(node, hello->grants, link->trust.client_key, (struct span){ 0 });
    if (found.hold == 0) {
        MARK(node, "session.refuse.grants");
        *text = "no grant that holds: ask for a client file, or a newer one";
        return ERR_DENIED;
    }
    return ERR_OK;
}

/* A second control link of one session must be of the same client. */
static bool same_client(const struct session *session, const struct link *link,
                        const struct message_hello *hello)
{
    return session->role == (enum wire_role)hello->role &&
           memcmp(session->client_key, link->trust.client_key, 32) == 0;
}

static struct session *session_of_control(struct node *node, struct link *link,
                                          const struct message_hello *hello)
{
    struct session *session = session_find(node, hello->session);
    const char *text = NULL;
    struct key_id key = { 0 };
    enum err err = control_check(node, link, hello, &key, &text);
    if (err == ERR_OK && session != NULL && !same_client(session, link, hello)) {
        MARK(node, "session.refuse.stolen");
        err = ERR_UNAUTHENTICATED;
        text = "that session is another client's";
    }
    if (err != ERR_OK) {
        refuse(node, link, err, text);
        return NULL;
    }
    if (session != NULL) {
        MARK(node, "session.control.again");
        session->key = key;
        return session;
    }
    session = session_new(node, hello);
    if (session == NULL) {
        MARK(node, "session.full");
        refuse(node, link, ERR_BUSY, "too many clients on this node");
        return NULL;
    }
    session->key = key;
    memcpy(session->client_key, link->trust.client_key, 32);
    if (!node->options.insecure && hello->role == WIRE_MOUNT) {
        session->grants = pool_take(&node->sessions.grants);
        CHECK(session->grants != NULL && hello->grants.size <= SESSION_GRANTS_MAX);
        memcpy(session->grants, hello->grants.data, hello->grants.size);
        session->grants_size = (uint32_t)hello->grants.size;
    }
    return session;
}

/* A data link proves nothing: it joins a session that a control link has begun. */
static struct session *session_of_data(struct node *node, struct link *link,
                                       const struct message_hello *hello)
{
    struct session *session = session_find(node, hello->session);
    if (session == NULL || !has_control(session) || session->role != (enum wire_role)hello->role) {
        MARK(node, "session.refuse.no_session");
        refuse(node, link, ERR_NO_SESSION, "open the control link first");
        return NULL;
    }
    return session;
}

/* hello_check has seen that there is one. */
static uint32_t common_version(const struct message_hello *hello)
{
    const uint64_t highest = WIRE_VERSION_HIGHEST;
    return (uint32_t)(hello->highest_version < highest ? hello->highest_version : highest);
}

void sessions_on_hello(struct node *node, struct link *link, const struct message_hello *hello)
{
    const char *text = NULL;
    if (link->state == LINK_OPEN || hello->purpose != (uint64_t)link->purpose) {
        MARK(node, "session.hello.odd");
        node->metrics.malformed++;
        link_close(node, link);
        return;
    }
    enum err err = hello_check(node, hello, &text);
    if (err != ERR_OK) {
        refuse(node, link, err, text);
        return;
    }
    struct session *session = link->purpose == LINK_CONTROL ? session_of_control(node, link, hello)
                                                            : session_of_data(node, link, hello);
    if (session == NULL) {
        return;
    }
    link->session = session;
    link->state = LINK_OPEN;
    link->version = common_version(hello);
    if (link->purpose == LINK_CONTROL) {
        list_push_front(&session->links, &link->of_session);
    } else {
        list_push_back(&session->links, &link->of_session);
    }
    uint64_t refused = 0;
    if (session->grants != NULL) {
        struct span grants = span_of(session->grants, session->grants_size);
        refused = grants_look(node, grants, session->client_key, (struct span){ 0 }).refused;
    }
    struct message welcome = {
        .kind = MESSAGE_WELCOME,
        .welcome = { .version = link->version,
                     .incarnation = node->options.incarnation,
                     .slots_log2 = node->options.slots_log2,
                     .refused_grants = refused < 64 ? refused : 64,
                     .name = span_text(node->options.name) },
    };
    memcpy(welcome.welcome.node, node->options.id.b, ID_SIZE);
    if (link->purpose == LINK_CONTROL && session->role == WIRE_NODE) {
        struct proof_terms terms = session_terms(session);
        terms.side = PROOF_OF_SERVER;
        terms.node = node->options.id;
        welcome.welcome.proofs = keychain_prove(node, &terms);
    }
    node_send(node, link->id, &welcome, (struct payload){ 0 });
}

enum err session_admits(struct node *node, const struct session *session,
                        const struct access *access)
{
    const struct dataset *dataset = catalog_find(node, access->dataset);
    if (dataset == NULL && catalog_item(node, access->dataset) == NULL) {
        MARK(node, "session.dataset.unknown"); /* others may know it: that is no answer */
        return ERR_NO_DATASET;
    }
    if (dataset == NULL) {
        MARK(node, "session.dataset.deleted");
        return ERR_DATASET_DELETED;
    }
    if (!dataset_shows(dataset, access->source, access->key)) {
        MARK(node, "session.source.not_shown");
        return ERR_DENIED;
    }
    if (node->options.insecure || session->role != WIRE_MOUNT) {
        return ERR_OK;
    }
    enum err err = keychain_capability(node, access->capability,
                                       &(struct capability_use){ .dataset = access->dataset,
                                                                 .source = access->source,
                                                                 .key = access->key,
                                                                 .wall_us = node->now.wall_us });
    if (err == ERR_OTHER_KEY || err == ERR_EXPIRED) {
        /* We may be behind with keys or with the time, or whoever made it. */
        MARK(node, "session.capability.other_key");
        return err;
    }
    if (err != ERR_OK) {
        MARK(node, "session.capability.refused");
        return ERR_DENIED;
    }
    return ERR_OK;
}

/* The capability of a mount whose grants admit the dataset; ERR_DENIED. */
static enum err make_capability(struct node *node, const struct session *session,
                                const struct dataset *dataset, struct message_dataset *answer)
{
    struct grants_found found = grants_look(node, span_of(session->grants, session->grants_size),
                                            session->client_key, span_text(dataset->name));
    usec_t left_us = (usec_t)found.expires_s * SEC(1) - node->now.wall_us;
    if (found.hold == 0 || left_us <= 0) {
        MARK(node, "session.dataset.denied");
        return ERR_DENIED;
    }
    struct capability_terms terms = { .dataset = dataset_id_make(span_text(dataset->name)),
                                      .wall_us = node->now.wall_us,
                                      .life_us = usec_min(left_us, CAPABILITY_LIFE_US_MAX),
                                      .source_count = dataset->row_count };
    memcpy(terms.client_key, session->client_key, sizeof terms.client_key);
    CHECK(dataset->row_count <= CAPABILITY_SOURCES_MAX);
    for (uint32_t i = 0; i < dataset->row_count; i++) {
        terms.sources[i].source = dataset->rows[i].source;
        terms.sources[i].prefix = span_text(dataset->rows[i].prefix);
    }
    uint8_t *capability = scratch_take(node, CAPABILITY_SIZE_MAX);
    size_t size = capability_make(keyring_present(&node->keychain.ring), &terms, capability);
    answer->capability = span_of(capability, size);
    answer->capability_us = (uint64_t)terms.life_us;
    return ERR_OK;
}

void sessions_on_dataset_get(struct node *node, struct link *link,
                             const struct message_dataset_get *get)
{
    const struct session *session = link->session;
    struct message message = { .kind = MESSAGE_DATASET, .dataset = { .request = get->request } };
    struct message_dataset *answer = &message.dataset;
    const struct dataset *dataset = catalog_find_name(node, get->name);
    enum err err = dataset == NULL ? ERR_NOT_FOUND : ERR_OK;
    if (err == ERR_OK && !node->options.insecure && session->role == WIRE_MOUNT) {
        err = make_capability(node, session, dataset, answer);
    }
    if (err != ERR_OK) {
        answer->err = (uint64_t)err;
        answer->text = span_text(err_text(err));
    } else {
        answer->record = catalog_record(node, dataset);
        catalog_numbers(node, dataset, &answer->files, &answer->bytes);
    }
    node_send(node, link->id, &message, (struct payload){ 0 });
}
