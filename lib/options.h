/* SPDX-License-Identifier: MIT */
/*
 * options.h - structs that carry their own size.
 */
#ifndef AIOFILE_LIB_OPTIONS_H
#define AIOFILE_LIB_OPTIONS_H

#include <stddef.h>

/*
 * Copies a caller's option struct, whose first member is its size, into one of this version's
 * size that holds the defaults. A shorter struct (older program) leaves the rest at the defaults; a
 * longer one (newer program) must be zero beyond what this version knows.
 * Returns 0, -EINVAL (size below minimum), -E2BIG (a non-zero tail).
 */
int options_read(void *options, size_t known_size, size_t minimum_size, const void *given);

/*
 * Copies a result struct, whose first member is its size, out to a caller who may know a shorter
 * one. Returns 0 or -EINVAL (size below minimum). The caller's size member says how much is valid.
 */
int options_write(void *result, size_t minimum_size, const void *known, size_t known_size);

#endif
