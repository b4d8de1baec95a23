#include "node/io/http_fields.h"

#include <ctype.h>
#include <string.h>

#include <jansson.h>

#include "ring/view.h"

bool http_fields_is_escaped(const char *url)
{
    for (const char *at = strchr(url, '%'); at != NULL; at = strchr(at + 1, '%')) {
        if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]) ||
            (at[1] == '0' && at[2] == '0')) {
            return false;
        }
    }
    return true;
}

static enum err refuse(struct text *why, const char *reason)
{
    text_str(why, reason);
    return ERR_INVALID;
}

static enum err take_weight(json_t *root, struct text *out, struct text *why)
{
    const json_t *weight = json_object_get(root, "weight");
    const json_int_t number = json_integer_value(weight);
    const char *word = json_string_value(weight);
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "weight") != 0) {
            text_json(why, span_text(key));
            return refuse(why, ": no such field; there is weight");
        }
    }
    if (word != NULL && strcmp(word, "auto") == 0) {
        text_str(out, word);
        return ERR_OK;
    }
    if (!json_is_integer(weight) || number < 0 || number > UINT16_MAX) {
        return refuse(why, "weight: must be a number from 0 to 65535, not in quotes, or \"auto\"");
    }
    text_u64(out, (uint64_t)number);
    return ERR_OK;
}

enum err http_fields_weight(const char *body, size_t size, struct text *out, struct text *why)
{
    json_error_t error = { .text = "" };
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES, &error);
    enum err err = ERR_INVALID;
    if (root == NULL && json_error_code(&error) == json_error_duplicate_key) {
        text_str(why, "a field is given twice");
    } else if (!json_is_object(root)) {
        text_str(why, "the body must be {\"weight\": NUMBER} or {\"weight\": \"auto\"}");
    } else {
        err = take_weight(root, out, why);
    }
    json_decref(root);
    return err;
}

const char *http_fields_added_fault(struct span added)
{
    _Static_assert(MEMBER_NAME_MAX == 32 && MEMBER_ZONE_MAX == 32, "HTTP_FIELDS_NAME says so");
    const uint8_t *comma = added.size > 0 ? memchr(added.data, ',', added.size) : NULL;
    const size_t before = comma != NULL ? (size_t)(comma - added.data) + 1 : added.size;
    const struct span zone = span_of(added.data + before, added.size - before);
    /* An empty zone is none, as that of --zone is. */
    return zone.size == 0 || span_is_name(zone, MEMBER_ZONE_MAX) ? NULL
                                                                 : "a zone has " HTTP_FIELDS_NAME;
}
