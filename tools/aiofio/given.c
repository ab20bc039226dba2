/* SPDX-License-Identifier: MIT */
#include "given.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

static struct given *find(const struct given_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

const struct given *given_find(const struct given_list *list, const char *name)
{
    return find(list, name);
}

static void append(struct given_list *list, struct given item)
{
    list->items = must_grow(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = item;
}

void given_set(struct given_list *list, const char *name, const char *value)
{
    char *copy = must_copy(value ? value : "");
    struct given *item = find(list, name);

    if (!item) {
        append(list, (struct given){.name = name, .value = copy});
        return;
    }
    free(item->value);
    item->value = copy;
    item->global = false;
}

void given_inherit(struct given_list *to, const struct given_list *from)
{
    *to = (struct given_list){0};
    for (size_t i = 0; i < from->count; i++)
        append(to, (struct given){.name = from->items[i].name,
                                  .value = must_copy(from->items[i].value),
                                  .global = true});
}

void given_free(struct given_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].value);
    free(list->items);
    *list = (struct given_list){0};
}
