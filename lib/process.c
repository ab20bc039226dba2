/* SPDX-License-Identifier: MIT */
/*
 * process.c - recognising a forked child.
 *
 * One page is mapped with MADV_WIPEONFORK: the kernel hands a forked child zeros there, whatever
 * way it was forked, with no handler to run and no process id to ask for. The counter beside it is
 * ordinary memory, so a child goes on from its parent's number and each generation differs.
 */
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

/* Written once under init_once before any object exists; a pointer to the wiped page. */
static _Atomic(uint64_t) *epoch_page;

/* Partner: itself. Only uniqueness is needed, so relaxed. */
static atomic_uint_fast64_t forks_seen = 1;

static void map_epoch_page(void)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, page_size, MADV_WIPEONFORK) != 0) {
        munmap(page, page_size);
        return;
    }
    epoch_page = page;
    atomic_store_explicit(epoch_page, forks_seen, memory_order_relaxed);
}

int process_init(void)
{
    pthread_once(&init_once, map_epoch_page);
    return epoch_page != NULL ? 0 : -ENOMEM;
}

static uint64_t process_epoch_renew(void)
{
    uint64_t wiped = 0;
    uint64_t fresh = atomic_fetch_add_explicit(&forks_seen, 1, memory_order_relaxed) + 1;

    /* Two threads of the child may come here at once: the first one's number counts. */
    if (atomic_compare_exchange_strong_explicit(epoch_page, &wiped, fresh, memory_order_relaxed,
                                                memory_order_relaxed))
        return fresh;
    return wiped;
}

uint64_t process_epoch(void)
{
    uint64_t epoch = atomic_load_explicit(epoch_page, memory_order_relaxed);

    return epoch != 0 ? epoch : process_epoch_renew();
}
