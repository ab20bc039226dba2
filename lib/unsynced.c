/* SPDX-License-Identifier: MIT */
/*
 * unsynced.c - which parts of a file were written through the page cache since the last sync.
 */
#include "unsynced.h"

#include <string.h>

/* The kernel's grain: what is written back is pages. */
#define UNSYNCED_PAGE 4096

void unsynced_init(struct unsynced *unsynced)
{
    memset(unsynced, 0, sizeof(*unsynced));
    atomic_init(&unsynced->any, false);
    thread_mutex_init(&unsynced->lock);
}

void unsynced_destroy(struct unsynced *unsynced)
{
    thread_mutex_destroy(&unsynced->lock);
}

/* Makes one of two neighbours, at index and the next. */
static void join(struct unsynced_set *set, unsigned index)
{
    struct unsynced_range *left = &set->ranges[index];

    if (left[1].end > left->end)
        left->end = left[1].end;
    memmove(left + 1, left + 2, (set->count - index - 2) * sizeof(*left));
    set->count--;
}

/* Of too many, those two become one that have the least between them. */
static void join_nearest(struct unsynced_set *set)
{
    unsigned nearest = 0;

    for (unsigned index = 1; index + 1 < set->count; index++)
        if (set->ranges[index + 1].start - set->ranges[index].end <
            set->ranges[nearest + 1].start - set->ranges[nearest].end)
            nearest = index;
    join(set, nearest);
}

static void add(struct unsynced_set *set, struct unsynced_range range)
{
    unsigned index = set->count;

    /* A log writes to one page again and again. */
    while (index > 0 && set->ranges[index - 1].start > range.start)
        index--;
    if (index > 0 && set->ranges[index - 1].end >= range.end)
        return;
    memmove(&set->ranges[index + 1], &set->ranges[index],
            (set->count - index) * sizeof(set->ranges[0]));
    set->ranges[index] = range;
    set->count++;
    if (index > 0 && set->ranges[index - 1].end >= range.start)
        join(set, --index);
    while (index + 1 < set->count && set->ranges[index].end >= set->ranges[index + 1].start)
        join(set, index);
    if (set->count > UNSYNCED_RANGES)
        join_nearest(set);
}

static bool meets(const struct unsynced_set *set, int64_t start, int64_t end)
{
    for (unsigned index = 0; index < set->count; index++)
        if (set->ranges[index].start < end && start < set->ranges[index].end)
            return true;
    return false;
}

void unsynced_begin_write(struct unsynced *unsynced, int64_t offset, uint64_t length)
{
    int64_t end = offset + (int64_t)length;
    int64_t page_end = end > INT64_MAX - UNSYNCED_PAGE
                           ? INT64_MAX
                           : (end + UNSYNCED_PAGE - 1) & -(int64_t)UNSYNCED_PAGE;

    thread_mutex_lock(&unsynced->lock);
    add(&unsynced->newer, (struct unsynced_range){offset & -(int64_t)UNSYNCED_PAGE, page_end});
    atomic_fetch_add_explicit(&unsynced->writing, 1, memory_order_relaxed);
    atomic_store_explicit(&unsynced->any, true, memory_order_relaxed);
    thread_mutex_unlock(&unsynced->lock);
}

void unsynced_end_write(struct unsynced *unsynced)
{
    atomic_fetch_sub_explicit(&unsynced->writing, 1, memory_order_release);
}

bool unsynced_meets(struct unsynced *unsynced, int64_t offset, uint64_t length)
{
    bool found;

    if (!atomic_load_explicit(&unsynced->any, memory_order_relaxed))
        return false;
    thread_mutex_lock(&unsynced->lock);
    found = meets(&unsynced->newer, offset, offset + (int64_t)length) ||
            meets(&unsynced->older, offset, offset + (int64_t)length);
    thread_mutex_unlock(&unsynced->lock);
    return found;
}

bool unsynced_begin_sync(struct unsynced *unsynced)
{
    bool counts;

    thread_mutex_lock(&unsynced->lock);
    counts =
        !unsynced->syncing && atomic_load_explicit(&unsynced->writing, memory_order_acquire) == 0;
    if (counts) {
        for (unsigned index = 0; index < unsynced->newer.count; index++)
            add(&unsynced->older, unsynced->newer.ranges[index]);
        unsynced->newer.count = 0;
        unsynced->syncing = true;
    }
    thread_mutex_unlock(&unsynced->lock);
    return counts;
}

void unsynced_end_sync(struct unsynced *unsynced, bool succeeded)
{
    thread_mutex_lock(&unsynced->lock);
    if (succeeded)
        unsynced->older.count = 0;
    unsynced->syncing = false;
    atomic_store_explicit(&unsynced->any, unsynced->older.count + unsynced->newer.count > 0,
                          memory_order_relaxed);
    thread_mutex_unlock(&unsynced->lock);
}
