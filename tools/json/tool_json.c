/* SPDX-License-Identifier: MIT */
/*
 * tool_json.c - the little that the tools share around jansson.
 */
#include "tool_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void must(int result)
{
    if (result == 0)
        return;
    fputs("out of memory\n", stderr);
    abort();
}

void json_put(json_t *object, const char *key, json_t *value)
{
    must(json_object_set_new(object, key, value));
}

void json_put_text(json_t *object, const char *key, const char *text)
{
    json_put(object, key, json_any_text(text));
}

void json_put_count(json_t *object, const char *key, uint64_t count)
{
    json_put(object, key, json_integer((json_int_t)count));
}

void json_put_real(json_t *object, const char *key, double number)
{
    json_put(object, key, isfinite(number) ? json_real(number) : json_null());
}

void json_add(json_t *array, json_t *value)
{
    must(json_array_append_new(array, value));
}

json_t *json_any_text(const char *text)
{
    json_t *value = json_string(text);
    char *wide;
    size_t length = 0;

    if (value)
        return value;
    wide = malloc(2 * strlen(text) + 1);
    must(wide ? 0 : -1);
    for (const unsigned char *byte = (const unsigned char *)text; *byte; byte++) {
        if (*byte >= 0x80)
            wide[length++] = (char)(0xc0 | *byte >> 6);
        wide[length++] = (char)(*byte >= 0x80 ? 0x80 | (*byte & 0x3f) : *byte);
    }
    value = json_stringn(wide, length);
    free(wide);
    return value;
}

json_t *json_rounded(double number, unsigned decimals)
{
    double scale = pow(10, decimals);

    return isfinite(number) ? json_real(round(number * scale) / scale) : json_null();
}

static int print_array(FILE *out, const json_t *array)
{
    const json_t *element;
    size_t index;
    int result = fputc('[', out) == EOF;

    json_array_foreach(array, index, element)
    {
        result |= fputs(index ? ",\n" : "\n", out) == EOF;
        result |= json_dumpf(element, out, TOOL_JSON_FLAGS | JSON_ENCODE_ANY);
    }
    result |= fputs(json_array_size(array) ? "\n]" : "]", out) == EOF;
    return result;
}

int json_print_lines(FILE *out, json_t *object)
{
    const char *separator = "";
    const char *key;
    json_t *value;
    int result = fputc('{', out) == EOF;

    json_object_foreach(object, key, value)
    {
        result |= fprintf(out, "%s\"%s\": ", separator, key) < 0;
        if (json_is_array(value))
            result |= print_array(out, value);
        else
            result |= json_dumpf(value, out, TOOL_JSON_FLAGS | JSON_ENCODE_ANY);
        separator = ", ";
    }
    result |= fputs("}\n", out) == EOF;
    json_decref(object);
    return result ? -1 : 0;
}
