#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/origin/faults.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/origin/text.h"

enum { FAULTS_MAX = 64 };

struct fault {
    enum fault_action action;
    enum kind kind; /* KIND_COUNT: any */
    char *bucket;   /* NULL: any */
    char *prefix;
    double probability;
    uint64_t count; /* fire this often, then no more; UINT64_MAX: always */
    uint64_t skip;  /* let the first ones pass */
    uint64_t seed;
    uint64_t ms;
    uint64_t jitter_ms;
    uint64_t bytes;
    int status;
    char *code;
    uint64_t matched;
    uint64_t fired;
};

/* A bucket of tokens: `rate` a second, at most `burst` saved up. */
struct tokens {
    uint64_t rate; /* 0: no limit */
    double saved;
    double burst;
    int64_t at_ns;
};

struct faults {
    pthread_mutex_t mutex; /* of everything */
    struct fault faults[FAULTS_MAX];
    size_t count;
    struct tokens bytes;
    struct tokens requests;
    uint64_t refused;
    /* Read without the lock on each request. */
    _Atomic uint64_t connection_bandwidth;
    _Atomic uint64_t bandwidth;
};

static const char *const action_names[FAULT_ACTION_COUNT] = {
#define X(name, action, help) name,
    FAULT_ACTIONS(X)
#undef X
};

struct faults *faults_new(void)
{
    struct faults *faults = text_alloc(sizeof *faults);
    pthread_mutex_init(&faults->mutex, NULL);
    return faults;
}

static void fault_fini(struct fault *fault)
{
    free(fault->bucket);
    free(fault->prefix);
    free(fault->code);
}

void faults_free(struct faults **faults)
{
    for (size_t i = 0; i < (*faults)->count; i++) {
        fault_fini(&(*faults)->faults[i]);
    }
    pthread_mutex_destroy(&(*faults)->mutex);
    free(*faults);
    *faults = NULL;
}

static bool complain(char **why, const char *what, const char *name)
{
    struct text text = { 0 };
    text_printf(&text, "%s: %s", what, name);
    *why = text.bytes;
    return false;
}

/* A number, or text that is a number or a size: the command line has no other types. */
static bool take_number(const json_t *value, uint64_t *out)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    return json_is_string(value) && text_size(json_string_value(value), out);
}

static bool take_share(const json_t *value, double *out)
{
    if (json_is_string(value)) {
        char *end = NULL;
        *out = strtod(json_string_value(value), &end);
        return *end == '\0' && *out >= 0 && *out <= 1;
    }
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0 && *out <= 1;
}

static bool take_text(const json_t *value, char **out)
{
    if (!json_is_string(value)) {
        return false;
    }
    free(*out);
    *out = text_dup(json_string_value(value), strlen(json_string_value(value)));
    return true;
}

static bool take_kind(const json_t *value, enum kind *out)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    *out = counters_kind_parse(name);
    return *out != KIND_COUNT || strcmp(name, "any") == 0;
}

static bool take_action(const json_t *value, enum fault_action *out)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    enum fault_action action = FAULT_LATENCY;
    while (action < FAULT_ACTION_COUNT && strcmp(action_names[action], name) != 0) {
        action++;
    }
    *out = action;
    return action != FAULT_ACTION_COUNT;
}

static bool take_status(const json_t *value, int *out)
{
    uint64_t status = 0;
    bool good = take_number(value, &status) && status >= 300 && status < 600;
    *out = (int)status;
    return good;
}

static bool parse_member(const char *name, const json_t *value, struct fault *fault)
{
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        { "count", &fault->count }, { "skip", &fault->skip },           { "seed", &fault->seed },
        { "ms", &fault->ms },       { "jitter_ms", &fault->jitter_ms }, { "bytes", &fault->bytes },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return take_number(value, numbers[i].number);
        }
    }
    if (strcmp(name, "action") == 0) {
        return take_action(value, &fault->action);
    }
    if (strcmp(name, "kind") == 0) {
        return take_kind(value, &fault->kind);
    }
    if (strcmp(name, "bucket") == 0) {
        return take_text(value, &fault->bucket);
    }
    if (strcmp(name, "prefix") == 0) {
        return take_text(value, &fault->prefix);
    }
    if (strcmp(name, "probability") == 0) {
        return take_share(value, &fault->probability);
    }
    if (strcmp(name, "status") == 0) {
        return take_status(value, &fault->status);
    }
    if (strcmp(name, "code") == 0) {
        return take_text(value, &fault->code);
    }
    /* What faults_report adds, so that a report can be sent back. */
    return strcmp(name, "matched") == 0 || strcmp(name, "fired") == 0;
}

static bool parse_fault(const json_t *setting, struct fault *out, char **why)
{
    struct fault fault = { .action = FAULT_ACTION_COUNT,
                           .kind = KIND_COUNT,
                           .probability = 1,
                           .count = UINT64_MAX,
                           .status = 503 };
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)setting, name, value)
    {
        if (!parse_member(name, value, &fault)) {
            fault_fini(&fault);
            return complain(why, "bad or unknown member of a fault", name);
        }
    }
    if (fault.action == FAULT_ACTION_COUNT) {
        fault_fini(&fault);
        return complain(why, "missing", "action");
    }
    *out = fault;
    return true;
}

/* The lock is held, or nobody else knows `faults` yet. */
static void apply_limits(struct faults *faults, uint64_t bandwidth, uint64_t connection_bandwidth,
                         uint64_t requests_per_second)
{
    /* A burst of 50 ms, and of one second for requests: small enough not to blur a rate. */
    faults->bytes =
        (struct tokens){ .rate = bandwidth,
                         .burst = bandwidth < 1u << 20 ? 32768 : (double)bandwidth / 20 };
    faults->requests = (struct tokens){ .rate = requests_per_second,
                                        .saved = (double)requests_per_second,
                                        .burst = (double)requests_per_second };
    atomic_store(&faults->bandwidth, bandwidth);
    atomic_store(&faults->connection_bandwidth, connection_bandwidth);
}

void faults_set_limits(struct faults *faults, uint64_t bandwidth, uint64_t connection_bandwidth,
                       uint64_t requests_per_second)
{
    pthread_mutex_lock(&faults->mutex);
    apply_limits(faults, bandwidth, connection_bandwidth, requests_per_second);
    pthread_mutex_unlock(&faults->mutex);
}

static bool parse_limits(const json_t *setting, uint64_t limits[3], char **why)
{
    static const char *const names[3] = { "bandwidth", "connection_bandwidth",
                                          "requests_per_second" };
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_object_get(setting, names[i]);
        if (value != NULL && !take_number(value, &limits[i])) {
            return complain(why, "not a number", names[i]);
        }
    }
    return true;
}

bool faults_set(struct faults *faults, const json_t *setting, char **why)
{
    static const char *const known[] = { "faults", "bandwidth", "connection_bandwidth",
                                         "requests_per_second", "refused" };
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)setting, name, value)
    {
        bool good = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            good = good || strcmp(name, known[i]) == 0;
        }
        if (!good) {
            return complain(why, "unknown member", name);
        }
    }
    const json_t *list = json_object_get(setting, "faults");
    uint64_t limits[3] = { 0, 0, 0 };
    if (!json_is_object(setting) || (list != NULL && !json_is_array(list)) ||
        json_array_size(list) > FAULTS_MAX) {
        return complain(why, "not an object with a list of at most 64", "faults");
    }
    if (!parse_limits(setting, limits, why)) {
        return false;
    }
    struct fault *parsed = text_alloc(FAULTS_MAX * sizeof *parsed);
    size_t count = 0;
    bool good = true;
    while (good && count < json_array_size(list)) {
        good = parse_fault(json_array_get(list, count), &parsed[count], why);
        count += good;
    }
    pthread_mutex_lock(&faults->mutex);
    if (good) {
        for (size_t i = 0; i < FAULTS_MAX; i++) {
            struct fault old = faults->faults[i];
            faults->faults[i] = parsed[i];
            parsed[i] = old;
        }
        size_t old_count = faults->count;
        faults->count = count;
        count = old_count;
        faults->refused = 0;
        apply_limits(faults, limits[0], limits[1], limits[2]);
    }
    pthread_mutex_unlock(&faults->mutex);
    for (size_t i = 0; i < count; i++) {
        fault_fini(&parsed[i]);
    }
    free(parsed);
    return good;
}

bool faults_add_text(struct faults *faults, const char *text, char **why)
{
    json_t *setting = json_object();
    char *copy = text_dup(text, strlen(text));
    char *rest = copy;
    char *action = strsep(&rest, ",");
    bool good = json_object_set_new(setting, "action", json_string(action)) == 0;
    for (char *part = strsep(&rest, ","); good && part != NULL; part = strsep(&rest, ",")) {
        char *value = strchr(part, '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        good = value != NULL && json_object_set_new(setting, part, json_string(value)) == 0;
    }
    if (!good) {
        complain(why, "not ACTION,name=value,…", text);
    }
    pthread_mutex_lock(&faults->mutex);
    if (good && faults->count == FAULTS_MAX) {
        good = complain(why, "more than 64 faults", text);
    }
    if (good && parse_fault(setting, &faults->faults[faults->count], why)) {
        faults->count++;
    } else {
        good = false;
    }
    pthread_mutex_unlock(&faults->mutex);
    free(copy);
    json_decref(setting);
    return good;
}

static void report_number(json_t *report, const char *name, uint64_t value)
{
    json_object_set_new(report, name, json_integer((json_int_t)value));
}

static json_t *report_fault(const struct fault *fault)
{
    json_t *report = json_object();
    json_object_set_new(report, "action", json_string(action_names[fault->action]));
    json_object_set_new(
        report, "kind",
        json_string(fault->kind == KIND_COUNT ? "any" : counters_kind_name(fault->kind)));
    if (fault->bucket != NULL) {
        json_object_set_new(report, "bucket", json_string(fault->bucket));
    }
    if (fault->prefix != NULL) {
        json_object_set_new(report, "prefix", json_string(fault->prefix));
    }
    if (fault->code != NULL) {
        json_object_set_new(report, "code", json_string(fault->code));
    }
    json_object_set_new(report, "probability", json_real(fault->probability));
    if (fault->count != UINT64_MAX) {
        report_number(report, "count", fault->count);
    }
    report_number(report, "skip", fault->skip);
    report_number(report, "seed", fault->seed);
    report_number(report, "ms", fault->ms);
    report_number(report, "jitter_ms", fault->jitter_ms);
    report_number(report, "bytes", fault->bytes);
    report_number(report, "status", (uint64_t)fault->status);
    report_number(report, "matched", fault->matched);
    report_number(report, "fired", fault->fired);
    return report;
}

json_t *faults_report(struct faults *faults)
{
    json_t *report = json_object();
    json_t *list = json_array();
    pthread_mutex_lock(&faults->mutex);
    for (size_t i = 0; i < faults->count; i++) {
        json_array_append_new(list, report_fault(&faults->faults[i]));
    }
    report_number(report, "bandwidth", faults->bytes.rate);
    report_number(report, "connection_bandwidth", atomic_load(&faults->connection_bandwidth));
    report_number(report, "requests_per_second", faults->requests.rate);
    report_number(report, "refused", faults->refused);
    pthread_mutex_unlock(&faults->mutex);
    json_object_set_new(report, "faults", list);
    return report;
}

/* In [0, 1), from the fault's seed and how many requests it has seen. */
static double draw(const struct fault *fault, uint64_t salt)
{
    uint64_t z = fault->seed + salt + (fault->matched + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return (double)(z >> 11) / 9007199254740992.0; /* 2^53 */
}

static bool fires(struct fault *fault, const struct faults_request *request)
{
    if ((fault->kind != KIND_COUNT && fault->kind != request->kind) ||
        (fault->bucket != NULL && strcmp(fault->bucket, request->bucket) != 0) ||
        (fault->prefix != NULL && !text_starts(request->key, fault->prefix))) {
        return false;
    }
    fault->matched++;
    if (fault->matched <= fault->skip || fault->fired >= fault->count ||
        draw(fault, 0) >= fault->probability) {
        return false;
    }
    fault->fired++;
    return true;
}

static void add_to_plan(const struct fault *fault, struct fault_plan *plan)
{
    plan->has[fault->action] = true;
    if (fault->action == FAULT_LATENCY) {
        plan->wait_ms += fault->ms + (uint64_t)(draw(fault, 1) * (double)fault->jitter_ms);
    } else if (fault->action == FAULT_STATUS) {
        plan->status = fault->status;
        snprintf(plan->code, sizeof plan->code, "%s", fault->code == NULL ? "" : fault->code);
    } else if (fault->action == FAULT_CUT) {
        plan->cut_bytes = fault->bytes;
    } else if (fault->action == FAULT_STALL) {
        plan->stall_bytes = fault->bytes;
        plan->stall_ms = fault->ms;
    }
}

static void refill(struct tokens *tokens, int64_t now_ns)
{
    if (now_ns > tokens->at_ns) {
        tokens->saved += (double)(now_ns - tokens->at_ns) * (double)tokens->rate / 1e9;
        tokens->at_ns = now_ns;
    }
    tokens->saved = tokens->saved > tokens->burst ? tokens->burst : tokens->saved;
}

void faults_plan(struct faults *faults, const struct faults_request *request, int64_t now_ns,
                 struct fault_plan *out)
{
    *out = (struct fault_plan){ 0 };
    pthread_mutex_lock(&faults->mutex);
    if (faults->requests.rate > 0) {
        refill(&faults->requests, now_ns);
        bool refused = faults->requests.saved < 1;
        faults->requests.saved -= refused ? 0 : 1;
        faults->refused += refused;
        out->has[FAULT_STATUS] = refused;
        out->status = refused ? 503 : 0;
    }
    for (size_t i = 0; i < faults->count; i++) {
        if (fires(&faults->faults[i], request)) {
            add_to_plan(&faults->faults[i], out);
        }
    }
    pthread_mutex_unlock(&faults->mutex);
}

uint64_t faults_connection_bandwidth(struct faults *faults)
{
    return atomic_load(&faults->connection_bandwidth);
}

bool faults_has_bandwidth(struct faults *faults)
{
    return atomic_load(&faults->bandwidth) > 0;
}

uint64_t faults_take_bytes(struct faults *faults, uint64_t wanted, int64_t now_ns, int64_t *wait_ns)
{
    uint64_t taken = wanted;
    *wait_ns = 0;
    pthread_mutex_lock(&faults->mutex);
    struct tokens *tokens = &faults->bytes;
    if (tokens->rate > 0) {
        refill(tokens, now_ns);
        double least = wanted < 4096 ? (double)wanted : 4096; /* no dribble of single bytes */
        if (tokens->saved >= least) {
            taken = tokens->saved < (double)wanted ? (uint64_t)tokens->saved : wanted;
            tokens->saved -= (double)taken;
        } else {
            taken = 0;
            *wait_ns = (int64_t)((least - tokens->saved) * 1e9 / (double)tokens->rate) + 1000000;
        }
    }
    pthread_mutex_unlock(&faults->mutex);
    return taken;
}
