#include <expat.h>

#include "node/origin/listing.h"

/* Collects the text of Code and Message, whatever is around them. */
struct reader {
    struct store_error error;
    char *target;
    size_t room, used;
};

static void XMLCALL on_start(void *self, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = self;
    (void)attributes;
    r->target = NULL;
    if (strcmp(name, "Code") == 0) {
        r->target = r->error.code;
        r->room = sizeof r->error.code;
    } else if (strcmp(name, "Message") == 0) {
        r->target = r->error.message;
        r->room = sizeof r->error.message;
    }
    r->used = 0;
}

static void XMLCALL on_text(void *self, const XML_Char *text, int size)
{
    struct reader *r = self;
    for (int i = 0; i < size && r->target != NULL && r->used + 1 < r->room; i++) {
        /* A log line and a terminal see this: control characters become spaces. */
        r->target[r->used++] = (unsigned char)text[i] < 0x20 ? ' ' : text[i];
        r->target[r->used] = '\0';
    }
}

static void XMLCALL on_end(void *self, const XML_Char *name)
{
    struct reader *r = self;
    (void)name;
    r->target = NULL;
}

void store_error_parse(struct span body, struct store_error *out)
{
    struct reader r;
    XML_Parser parser;
    memset(&r, 0, sizeof r);
    memset(out, 0, sizeof *out);
    if (body.size == 0 || body.size > 65536) {
        return;
    }
    parser = XML_ParserCreate(NULL);
    if (parser == NULL) {
        return;
    }
    XML_SetUserData(parser, &r);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    /* What came before a fault in the document still helps a person. */
    (void)XML_Parse(parser, (const char *)body.data, (int)body.size, 1);
    XML_ParserFree(parser);
    *out = r.error;
}
