/* cli/client.c: libcurl, one request. */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MAX (4u << 20)
#define TIMEOUT_SECONDS 120L /* creating a dataset asks its source, with retries */
#define QUESTION_SECONDS 15L /* a node that gathers from others answers after 2 s */

struct received {
    char *data;
    size_t size;
};

static size_t on_data(char *data, size_t one, size_t size, void *self)
{
    struct received *received = self;
    (void)one;
    if (received->size + size > ANSWER_MAX) {
        return 0;
    }
    char *more = realloc(received->data, received->size + size + 1);
    if (more == NULL) {
        return 0;
    }
    memcpy(more + received->size, data, size);
    received->data = more;
    received->size += size;
    received->data[received->size] = 0;
    return size;
}

static const char *admin_of(const struct options *options)
{
    return options_string(options, "admin");
}

/* "10.0.0.1:7780" is an address, too. */
static char *make_url(const char *admin, const char *path)
{
    char *url = NULL;
    size_t size = strlen(admin);
    while (size > 0 && admin[size - 1] == '/') {
        size--;
    }
    const char *scheme = strstr(admin, "://") == NULL ? "http://" : "";
    return asprintf(&url, "%s%.*s%s", scheme, (int)size, admin, path) < 0 ? NULL : url;
}

/* "Authorization: Bearer …", from a file: a token never stands on a command line. */
static enum err add_token(const char *file, struct curl_slist **headers)
{
    char header[600] = "Authorization: Bearer ";
    const size_t start = strlen(header);
    struct stat stat;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : read(fd, header + start, sizeof header - start - 1);
    const bool open_to_all = fd >= 0 && fstat(fd, &stat) == 0 && (stat.st_mode & 077) != 0;
    if (fd >= 0) {
        close(fd);
    }
    if (size <= 0 || open_to_all) {
        fprintf(stderr, "atoll: %s: %s\n", file,
                open_to_all ? "holds a secret and others can read it: chmod 600 it"
                            : strerror(errno));
        return ERR_INVALID;
    }
    header[start + (size_t)size] = 0;
    header[start + strcspn(header + start, " \r\n\t")] = 0;
    *headers = curl_slist_append(*headers, header);
    return ERR_OK;
}

static enum err err_of_name(const char *name)
{
    for (uint64_t i = 0; name != NULL && i < 256; i++) {
        const enum err err = err_from_wire(i);
        if (strcmp(err_name(err), name) == 0) {
            return err;
        }
    }
    return ERR_SYSTEM;
}

static void tell(const json_t *json, enum err err)
{
    const char *error = json_string_value(json_object_get(json, "error"));
    const char *advice = json_string_value(json_object_get(json, "what_to_do"));
    fprintf(stderr, "atoll: %s\n", error != NULL ? error : err_text(err));
    if (advice != NULL && advice[0] != 0) {
        fprintf(stderr, "  %s\n", advice);
    }
}

static struct client_answer read_answer(const struct received *received, long status)
{
    struct client_answer answer = { .err = ERR_OK };
    answer.json = received->size > 0
                      ? json_loadb(received->data, received->size, JSON_DECODE_ANY, NULL)
                      : NULL;
    if (status >= 200 && status < 300 && answer.json != NULL) {
        return answer;
    }
    answer.err = answer.json == NULL
                     ? ERR_MALFORMED
                     : err_of_name(json_string_value(json_object_get(answer.json, "code")));
    tell(answer.json, answer.err);
    return answer;
}

static void set_request(CURL *curl, const char *method, const char *body,
                        struct curl_slist **headers)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (body != NULL) {
        *headers = curl_slist_append(*headers, "Content-Type: application/json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*"); /* http_proxy is for the world outside */
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                     strcmp(method, "GET") == 0 ? QUESTION_SECONDS : TIMEOUT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
}

static struct client_answer perform(CURL *curl, const char *url)
{
    struct received received = { NULL, 0 };
    struct client_answer answer = { .err = ERR_UNREACHABLE };
    long status = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        answer = read_answer(&received, status);
    } else {
        fprintf(stderr,
                "atoll: %s: %s\n  is a node running there? name one with --admin URL or "
                "ATOLL_ADMIN\n",
                url, curl_easy_strerror(code));
        answer.err = code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNREACHABLE;
    }
    free(received.data);
    return answer;
}

struct client_answer client_ask(const struct options *options, const char *method, const char *path,
                                json_t *body)
{
    struct client_answer answer = { .err = ERR_NOMEM };
    struct curl_slist *headers = NULL;
    const char *token = options_string(options, "admin-token-file");
    char *text = body != NULL ? json_dumps(body, 0) : NULL;
    char *url = make_url(admin_of(options), path);
    CURL *curl = curl_easy_init();
    json_decref(body);
    enum err err = token != NULL ? add_token(token, &headers) : ERR_OK;
    if (err != ERR_OK) {
        answer.err = err;
    } else if (curl != NULL && url != NULL) {
        set_request(curl, method, text, &headers);
        answer = perform(curl, url);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(url);
    free(text);
    return answer;
}

char *client_escape(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = malloc(3 * strlen(text) + 1);
    char *to = out;
    for (; out != NULL && *text != 0; text++) {
        const unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/", c) != NULL) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    if (out != NULL) {
        *to = 0;
    }
    return out;
}

struct options *client_options(const struct options_table *table, int argc, char **argv,
                               int *status)
{
    char room[1024];
    struct text why;
    struct options *options = NULL;
    bool help = false;
    text_init(&why, room, sizeof room);
    enum err err = options_parse(table, argc, argv, &options, &why);
    help = err == ERR_OK && options_wants_help(options);
    *status = 0;
    if (err != ERR_OK) {
        fprintf(stderr, "atoll %s: %s\n", table->command, room);
        *status = err_exit_code(err);
        return NULL;
    }
    if (help) {
        options_help(table, stdout);
        options_free(&options);
        return NULL;
    }
    return options;
}

const char *client_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

void client_print(const struct options *options, const struct client_answer *answer,
                  client_show *show)
{
    if (answer->err == ERR_OK && options_flag(options, "json")) {
        json_dumpf(answer->json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else if (answer->err == ERR_OK) {
        show(answer->json);
    }
}

int client_run(struct options *options, const char *path, client_show *show)
{
    struct client_answer answer = client_ask(options, "GET", path, NULL);
    client_print(options, &answer, show);
    /* A verdict is for scripts, too. */
    const char *verdict = json_string_value(json_object_get(answer.json, "verdict"));
    const int status =
        verdict != NULL && strcmp(verdict, "OK") != 0 ? EXIT_FAILURE : err_exit_code(answer.err);
    json_decref(answer.json);
    options_free(&options);
    return status;
}
