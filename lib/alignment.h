/* SPDX-License-Identifier: MIT */
/*
 * alignment.h - what the file demands of direct I/O.
 */
#ifndef AIOFILE_LIB_ALIGNMENT_H
#define AIOFILE_LIB_ALIGNMENT_H

#include <stdint.h>
#include <sys/stat.h>

/* All in bytes, powers of two. */
struct alignment {
    uint32_t memory;    /* of buffers */
    uint32_t required;  /* of offset and length: what the kernel takes at all */
    uint32_t preferred; /* of offset and length: the physical sector; less is read, changed and
                           written back by the device */
};

/* For a file without O_DIRECT: anything goes. */
#define ALIGNMENT_NONE ((struct alignment){1, 1, 1})

/* Finds the alignments of an open file. Returns 0, or -EINVAL when the kernel says that the file
 * takes no direct I/O whatever open(2) said. */
int alignment_of_file(int fd, const struct stat *status, struct alignment *result);

#endif
