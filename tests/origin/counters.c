#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/counters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

enum { STATUS_MAX = 600 };

struct count {
    uint64_t requests;
    uint64_t bytes;
    uint64_t received;
    uint64_t cut;
};

struct entry {
    struct entry *next;
    uint64_t hash;
    struct count counts[KIND_COUNT];
    char name[];
};

struct counters {
    pthread_mutex_t mutex; /* of what follows */
    uint64_t era;
    struct entry **slots; /* keys by hash */
    size_t room;
    size_t count;
    struct count totals[KIND_COUNT];
    uint64_t statuses[STATUS_MAX];
    uint64_t in_flight;
    uint64_t in_flight_most;
};

static const char *const kind_names[KIND_COUNT] = {
    "GET", "HEAD", "PUT", "DELETE", "LIST", "MULTIPART", "BUCKET",
};

const char *counters_kind_name(enum kind kind)
{
    return kind_names[kind];
}

enum kind counters_kind_parse(const char *name)
{
    enum kind kind = KIND_GET;
    while (kind < KIND_COUNT && strcmp(kind_names[kind], name) != 0) {
        kind++;
    }
    return kind;
}

struct counters *counters_new(void)
{
    struct counters *counters = text_alloc(sizeof *counters);
    pthread_mutex_init(&counters->mutex, NULL);
    return counters;
}

static void clear_table(struct counters *counters)
{
    for (size_t i = 0; i < counters->room; i++) {
        for (struct entry *entry = counters->slots[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(counters->slots);
    counters->slots = NULL;
    counters->room = 0;
    counters->count = 0;
}

void counters_free(struct counters **counters)
{
    clear_table(*counters);
    pthread_mutex_destroy(&(*counters)->mutex);
    free(*counters);
    *counters = NULL;
}

static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
    }
    return hash;
}

static void grow(struct counters *counters)
{
    size_t room = counters->room == 0 ? 1024 : counters->room * 2;
    struct entry **slots = text_alloc(room * sizeof *slots);
    for (size_t i = 0; i < counters->room; i++) {
        for (struct entry *entry = counters->slots[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            struct entry **slot = &slots[entry->hash % room];
            entry->next = *slot;
            *slot = entry;
        }
    }
    free(counters->slots);
    counters->slots = slots;
    counters->room = room;
}

/* The mutex is held. */
static struct entry *find_or_add(struct counters *counters, const char *name)
{
    if (counters->count >= counters->room) {
        grow(counters);
    }
    uint64_t hash = hash_name(name);
    struct entry **slot = &counters->slots[hash % counters->room];
    for (struct entry *entry = *slot; entry != NULL; entry = entry->next) {
        if (entry->hash == hash && strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    struct entry *entry = text_alloc(sizeof *entry + strlen(name) + 1);
    memcpy(entry->name, name, strlen(name));
    entry->hash = hash;
    entry->next = *slot;
    *slot = entry;
    counters->count++;
    return entry;
}

static void add_count(struct count *to, const struct count *more)
{
    to->requests += more->requests;
    to->bytes += more->bytes;
    to->received += more->received;
    to->cut += more->cut;
}

/* The mutex is held. Unsigned numbers wrap, so `more` may also take away. */
static void add_to_both(struct counters *counters, const char *name, enum kind kind,
                        const struct count *more)
{
    add_count(&find_or_add(counters, name)->counts[kind], more);
    add_count(&counters->totals[kind], more);
}

uint64_t counters_start(struct counters *counters, enum kind kind, const char *name)
{
    const struct count more = { .requests = 1 };
    pthread_mutex_lock(&counters->mutex);
    add_to_both(counters, name, kind, &more);
    counters->in_flight++;
    if (counters->in_flight > counters->in_flight_most) {
        counters->in_flight_most = counters->in_flight;
    }
    uint64_t era = counters->era;
    pthread_mutex_unlock(&counters->mutex);
    return era;
}

void counters_answer(struct counters *counters, const struct counters_note *note)
{
    const struct count more = { .bytes = note->sent, .received = note->received };
    pthread_mutex_lock(&counters->mutex);
    if (note->era == counters->era) {
        add_to_both(counters, note->name, note->kind, &more);
        counters->statuses[note->status % STATUS_MAX]++;
    }
    pthread_mutex_unlock(&counters->mutex);
}

void counters_finish(struct counters *counters, const struct counters_note *note, uint64_t counted,
                     bool cut)
{
    const struct count more = { .bytes = note->sent - counted, .cut = 1 };
    pthread_mutex_lock(&counters->mutex);
    counters->in_flight--;
    if (cut && note->era == counters->era) {
        add_to_both(counters, note->name, note->kind, &more);
        counters->statuses[0] += note->status == 0;
    }
    pthread_mutex_unlock(&counters->mutex);
}

void counters_reset(struct counters *counters)
{
    pthread_mutex_lock(&counters->mutex);
    counters->era++;
    clear_table(counters);
    memset(counters->totals, 0, sizeof counters->totals);
    memset(counters->statuses, 0, sizeof counters->statuses);
    counters->in_flight_most = counters->in_flight;
    pthread_mutex_unlock(&counters->mutex);
}

static json_t *report_count(const struct count *count)
{
    json_t *report = json_object();
    json_object_set_new(report, "requests", json_integer((json_int_t)count->requests));
    json_object_set_new(report, "bytes", json_integer((json_int_t)count->bytes));
    if (count->received > 0) {
        json_object_set_new(report, "received", json_integer((json_int_t)count->received));
    }
    if (count->cut > 0) {
        json_object_set_new(report, "cut", json_integer((json_int_t)count->cut));
    }
    return report;
}

static json_t *report_kinds(const struct count counts[KIND_COUNT])
{
    json_t *report = json_object();
    for (enum kind kind = KIND_GET; kind < KIND_COUNT; kind++) {
        if (counts[kind].requests > 0 || counts[kind].bytes > 0) {
            json_object_set_new(report, kind_names[kind], report_count(&counts[kind]));
        }
    }
    return report;
}

/* The mutex is held. */
static json_t *report_totals(const struct counters *counters)
{
    json_t *report = json_object();
    json_t *statuses = json_object();
    struct count sum = { 0 };
    for (enum kind kind = KIND_GET; kind < KIND_COUNT; kind++) {
        add_count(&sum, &counters->totals[kind]);
    }
    for (int status = 0; status < STATUS_MAX; status++) {
        char name[16];
        snprintf(name, sizeof name, "%d", status);
        if (counters->statuses[status] > 0) {
            json_object_set_new(statuses, name,
                                json_integer((json_int_t)counters->statuses[status]));
        }
    }
    json_object_update_new(report, report_count(&sum));
    json_object_set_new(report, "kinds", report_kinds(counters->totals));
    json_object_set_new(report, "statuses", statuses);
    json_object_set_new(report, "in_flight", json_integer((json_int_t)counters->in_flight));
    json_object_set_new(report, "in_flight_most",
                        json_integer((json_int_t)counters->in_flight_most));
    return report;
}

static void report_entry(json_t *report, const struct entry *entry)
{
    json_t *counts = report_kinds(entry->counts);
    if (json_object_size(counts) == 0 || json_object_set(report, entry->name, counts) == 0) {
        json_decref(counts);
    } else { /* not UTF-8 */
        struct text name = { 0 };
        text_uri(&name, entry->name, strlen(entry->name), URI_PATH);
        json_object_set_new(report, name.bytes, counts);
        text_fini(&name);
    }
}

/* The mutex is held. */
static json_t *report_keys(const struct counters *counters, const char *prefix)
{
    json_t *report = json_object();
    for (size_t slot = 0; slot < counters->room; slot++) {
        for (struct entry *entry = counters->slots[slot]; entry != NULL; entry = entry->next) {
            if (text_starts(entry->name, prefix)) {
                report_entry(report, entry);
            }
        }
    }
    return report;
}

json_t *counters_report(struct counters *counters, bool keys, const char *prefix)
{
    json_t *report = json_object();
    pthread_mutex_lock(&counters->mutex);
    json_object_set_new(report, "totals", report_totals(counters));
    if (keys) {
        json_object_set_new(report, "keys", report_keys(counters, prefix));
    }
    pthread_mutex_unlock(&counters->mutex);
    return report;
}
