/* SPDX-License-Identifier: MIT */
/*
 * aiofile/aiofile.h - all of libaiofile's public interface.
 *
 *   file.h     struct aio_file: a file descriptor's calls over direct I/O
 *   queue.h    struct aio_queue: many operations in flight, of any files
 *   buffer.h   aligned memory for both
 *   version.h  version numbers
 *
 * Every result is >= 0 or a negated errno value; errno itself is never touched. The library never
 * prints, never reads the environment and never ends the process.
 */
#ifndef AIOFILE_AIOFILE_H
#define AIOFILE_AIOFILE_H

#include <aiofile/buffer.h>
#include <aiofile/file.h>
#include <aiofile/queue.h>
#include <aiofile/version.h>

#endif
