/* node/origin/store_error.c: the XML that a store sends beside a failure. */
#include "node/origin/listing.h"

#include <expat.h>

/* Collects the text of Code and Message, whatever is around them. */
struct reader {
    struct store_error error;
    char *target;
    size_t room, used;
    XML_Parser parser;
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
        bool control = (unsigned char)text[i] < 0x20 || text[i] == 0x7f;
        r->target[r->used++] = control ? ' ' : text[i];
        r->target[r->used] = '\0';
    }
}

static void XMLCALL on_end(void *self, const XML_Char *name)
{
    struct reader *r = self;
    (void)name;
    r->target = NULL;
}

/* No error has a document type; without one no entity can grow. */
static void XMLCALL on_doctype(void *self, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public_id, int has_subset)
{
    struct reader *r = self;
    (void)name;
    (void)system;
    (void)public_id;
    (void)has_subset;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

void store_error_parse(struct span body, struct store_error *out)
{
    struct reader r;
    memset(&r, 0, sizeof r);
    memset(out, 0, sizeof *out);
    if (body.size == 0 || body.size > 65536) {
        return;
    }
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL) {
        return;
    }
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    /* What came before a fault in the document still helps a person. */
    (void)XML_Parse(r.parser, (const char *)body.data, (int)body.size, 1);
    XML_ParserFree(r.parser);
    *out = r.error;
}
