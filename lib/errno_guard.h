/* SPDX-License-Identifier: MIT */
/*
 * errno_guard.h - the promise that no call of the library changes errno.
 */
#ifndef AIOFILE_LIB_ERRNO_GUARD_H
#define AIOFILE_LIB_ERRNO_GUARD_H

#include <errno.h>

static inline void errno_guard_restore(const int *saved)
{
    errno = *saved;
}

/* First line of a public call: gives errno back as it was, on every way out. */
#define ERRNO_GUARD int errno_at_entry __attribute__((unused, cleanup(errno_guard_restore))) = errno

#endif
