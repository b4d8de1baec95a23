/* cli/render.h: JSON of a node as text for people: an object as lines "key  value", a list of objects
 * as a table. Names carry units (operators.md): _bytes, _us and _ratio are written for eyes. */
#pragma once
#include <jansson.h>

void render(const json_t *value);
