/* node/io/log.c: builds a line on the stack and writes it by one system call.
 * Shares: the level and the counters of the rate limit, under a mutex. */
#include "node/io/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"
#include "node/io/clock.h"
#include "node/io/system_log.h"

#define LINE_MAX_BYTES 4096
#define LINES_PER_SECOND 20 /* of one msg: a storm must not fill a disk */
#define SLOTS 64

static const char *const names[] = { "error", "warn", "info", "debug" };

static struct {
    pthread_mutex_t mutex;
    enum log_level level;
    struct {
        uint64_t hash; /* of the msg */
        int64_t second;
        uint32_t lines;
        uint64_t left_out;
    } slot[SLOTS];
} state = { .mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO };

void log_level_set(enum log_level level)
{
    pthread_mutex_lock(&state.mutex);
    state.level = level;
    pthread_mutex_unlock(&state.mutex);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* May this line be written? *left_out tells how many of its kind were not since the last one. */
static bool admit(enum log_level level, struct span msg, uint64_t *left_out)
{
    const uint64_t hash = hash64(msg.data, msg.size, 0);
    const uint32_t i = (uint32_t)(hash % SLOTS);
    const int64_t second = clock_mono_us() / 1000000;
    bool admitted = false;
    *left_out = 0;
    pthread_mutex_lock(&state.mutex);
    if (level <= state.level) {
        if (state.slot[i].hash != hash || state.slot[i].second != second) {
            *left_out = state.slot[i].hash == hash ? state.slot[i].left_out : 0;
            state.slot[i].hash = hash;
            state.slot[i].second = second;
            state.slot[i].lines = 0;
            state.slot[i].left_out = 0;
        }
        admitted = state.slot[i].lines < LINES_PER_SECOND;
        if (admitted) {
            state.slot[i].lines++;
        } else {
            state.slot[i].left_out++;
        }
    }
    pthread_mutex_unlock(&state.mutex);
    return admitted;
}

static void put_time(struct text *line)
{
    char seconds[32];
    struct tm tm;
    const usec_t wall_us = clock_wall_us();
    const time_t at = (time_t)(wall_us / 1000000);
    gmtime_r(&at, &tm);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    text_str(line, "ts=");
    text_str(line, seconds);
    text_char(line, '.');
    for (usec_t digit = 100000; digit > 0; digit /= 10) {
        text_char(line, (char)('0' + wall_us / digit % 10));
    }
    text_char(line, 'Z');
}

/* As it is when no reader of logfmt could misread it, else as a JSON string. */
static void put_value(struct text *line, const char *value)
{
    bool plain = value[0] != 0;
    for (const char *c = value; *c != 0; c++) {
        plain = plain && *c > ' ' && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\';
    }
    if (plain) {
        text_str(line, value);
    } else {
        text_json(line, span_text(value));
    }
}

static void begin(struct text *line, enum log_level level, struct span msg, uint64_t left_out)
{
    put_time(line);
    text_str(line, " level=");
    text_str(line, names[level]);
    text_str(line, " msg=");
    text_span(line, msg);
    if (left_out > 0) {
        text_str(line, " left_out=");
        text_u64(line, left_out);
    }
}

static void finish(enum log_level level, struct text *line)
{
    size_t size = line->used;
    if (line->overflow) {
        memcpy(line->data + size - 3, "...", 3);
    }
    if (system_log_is_open()) {
        system_log_send((int)level, line->data);
        return;
    }
    line->data[size++] = '\n'; /* over the zero that ends every text */
    const char *at = line->data;
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, at, size);
        if (written <= 0) {
            return; /* nobody listens; nowhere to say so */
        }
        at += written;
        size -= (size_t)written;
    }
}

void log_event(enum log_level level, const struct log_field *fields)
{
    const char *msg = fields[0].text;
    char room[LINE_MAX_BYTES];
    struct text line;
    uint64_t left_out;
    if (!admit(level, span_text(msg), &left_out)) {
        return;
    }
    text_init(&line, room, sizeof room);
    begin(&line, level, span_text(msg), left_out);
    for (const struct log_field *field = fields + 1; field->key != NULL; field++) {
        text_char(&line, ' ');
        text_str(&line, field->key);
        text_char(&line, '=');
        if (field->text != NULL) {
            put_value(&line, field->text);
        } else {
            text_u64(&line, field->number);
        }
    }
    finish(level, &line);
}

void log_text(enum log_level level, struct span text)
{
    char room[LINE_MAX_BYTES];
    struct text line;
    uint64_t left_out;
    const uint8_t *blank = memchr(text.data, ' ', text.size);
    const size_t msg_size = blank == NULL ? text.size : (size_t)(blank - text.data);
    if (!admit(level, span_of(text.data, msg_size), &left_out)) {
        return;
    }
    text_init(&line, room, sizeof room);
    begin(&line, level, span_of(text.data, msg_size), left_out);
    for (size_t i = msg_size; i < text.size; i++) {
        text_char(&line, text.data[i] < ' ' ? ' ' : (char)text.data[i]);
    }
    finish(level, &line);
}
