#include "cli/admin.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define ANSWER_MAX (8u << 20)

struct answer {
    char *data;
    size_t size;
};

static size_t on_data(char *data, size_t one, size_t size, void *self)
{
    struct answer *answer = self;
    (void)one;
    if (answer->size + size > ANSWER_MAX) {
        return 0;
    }
    char *grown = realloc(answer->data, answer->size + size + 1);
    if (grown == NULL) {
        return 0;
    }
    memcpy(grown + answer->size, data, size);
    answer->data = grown;
    answer->size += size;
    grown[answer->size] = '\0';
    return size;
}

void admin_encode(struct text *out, const char *raw)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const char *c = raw; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;
        if (plain) {
            text_char(out, (char)byte);
        } else {
            text_char(out, '%');
            text_char(out, digits[byte >> 4]);
            text_char(out, digits[byte & 15]);
        }
    }
}

static bool read_token(const char *path, char *token, size_t room)
{
    FILE *file = fopen(path, "re");
    bool fine = file != NULL && fgets(token, (int)room, file) != NULL;
    if (fine) {
        token[strcspn(token, "\r\n")] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    return fine && token[0] != '\0';
}

/* The header with the token; *list may stay NULL. */
static enum err add_token(const struct options *options, struct curl_slist **list, struct text *why)
{
    char token[256], line[320];
    const char *path = options_string(options, "admin-token-file");
    if (path == NULL) {
        return ERR_OK;
    }
    if (!read_token(path, token, sizeof token)) {
        text_str(why, "the token cannot be read from ");
        text_str(why, path);
        return ERR_INVALID;
    }
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    *list = curl_slist_append(*list, line);
    return ERR_OK;
}

/* Errors come as {"code": NAME, "error": line, "what_to_do": line}. */
static enum err of_json(const json_t *said, long status, struct text *why)
{
    const char *error = json_string_value(json_object_get(said, "error"));
    const char *advice = json_string_value(json_object_get(said, "what_to_do"));
    const char *code = json_string_value(json_object_get(said, "code"));
    text_str(why, error == NULL ? "the node answered by an HTTP error" : error);
    if (error == NULL) {
        text_char(why, ' ');
        text_u64(why, (uint64_t)status);
    }
    if (advice != NULL && advice[0] != '\0') {
        text_str(why, "; ");
        text_str(why, advice);
    }
    for (uint64_t number = 1; code != NULL && number < 256; number++) {
        enum err err = err_from_wire(number);
        if (err != ERR_MALFORMED && strcasecmp(err_name(err), code) == 0) {
            return err;
        }
    }
    return status == 404                    ? ERR_NOT_FOUND
           : status == 401 || status == 403 ? ERR_DENIED
                                            : ERR_INVALID;
}

static enum err perform(CURL *curl, const char *url, struct answer *answer, struct text *why)
{
    CURLcode code;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        return ERR_OK;
    }
    text_str(why, url);
    text_str(why, " cannot be asked: ");
    text_str(why, curl_easy_strerror(code));
    text_str(why, "; is a node running, and is --admin its address?");
    return ERR_UNREACHABLE;
}

static enum err read_answer(CURL *curl, const struct answer *answer, json_t **out, struct text *why)
{
    long status = 0;
    json_t *said =
        answer->data == NULL ? NULL : json_loadb(answer->data, answer->size, JSON_DECODE_ANY, NULL);
    enum err err = ERR_OK;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        err = of_json(said, status, why);
    } else if (said == NULL && answer->size > 0) {
        text_str(why, "what answered is no node of Atoll: no JSON");
        err = ERR_MALFORMED;
    }
    if (err != ERR_OK) {
        json_decref(said);
        return err;
    }
    *out = said == NULL ? json_object() : said;
    return ERR_OK;
}

enum err admin_ask(const struct options *options, const struct admin_question *question,
                   json_t **out, struct text *why)
{
    char url[4096];
    struct text text;
    struct answer answer = { NULL, 0 };
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    char *body = question->body == NULL ? NULL : json_dumps(question->body, JSON_COMPACT);
    enum err err = curl == NULL ? ERR_NOMEM : add_token(options, &headers, why);
    text_init(&text, url, sizeof url);
    text_str(&text, options_string(options, "admin"));
    text_str(&text, question->path);
    if (err == ERR_OK && text.overflow) {
        err = ERR_TOO_LARGE;
    }
    if (err == ERR_OK) {
        if (body != NULL) {
            headers = curl_slist_append(headers, "Content-Type: application/json");
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        } else if (strcmp(question->method, "POST") == 0) {
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        }
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, question->method);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        err = perform(curl, url, &answer, why);
    }
    if (err == ERR_OK) {
        err = read_answer(curl, &answer, out, why);
    }
    free(answer.data);
    free(body);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return err;
}

int admin_complain(const char *word, enum err err, const struct text *why)
{
    fprintf(stderr, "atoll %s: %s\n", word, why->used > 0 ? why->data : err_text(err));
    return err_exit_code(err);
}

static enum err ask_and_print(const struct admin_command *command, const struct options *options,
                              struct text *why)
{
    char path[3072];
    struct text text;
    struct admin_question question = { "GET", path, NULL };
    json_t *answer = NULL;
    text_init(&text, path, sizeof path);
    enum err err = command->make(options, &question, &text, why);
    if (err == ERR_OK) {
        err = admin_ask(options, &question, &answer, why);
    }
    json_decref(question.body);
    if (err != ERR_OK) {
        return err;
    }
    if (options_flag(options, "json")) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        command->print(answer);
    }
    json_decref(answer);
    return ERR_OK;
}

int admin_run(const struct admin_command *command, int argc, char **argv)
{
    char line[2048];
    struct text why;
    struct options *options = NULL;
    bool help = false;
    text_init(&why, line, sizeof line);
    enum err err = options_parse(command->table, argc, argv, &options, &help, &why);
    if (err == ERR_OK && help) {
        options_help(command->table, stdout);
    } else if (err == ERR_OK) {
        err = ask_and_print(command, options, &why);
    }
    int code = err == ERR_OK ? 0 : admin_complain(command->table->command, err, &why);
    options_free(&options);
    return code;
}
