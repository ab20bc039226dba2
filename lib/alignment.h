/* SPDX-License-Identifier: MIT */
/*
 * alignment.h - what the file demands of direct I/O.
 */
#ifndef AIOFILE_LIB_ALIGNMENT_H
#define AIOFILE_LIB_ALIGNMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* In bytes. The first four are powers of two. */
struct alignment {
    uint32_t memory;          /* of buffers */
    uint32_t required;        /* of offset and length of writes: what the kernel takes at all */
    uint32_t read;            /* the same of reads; at most required */
    uint32_t preferred;       /* of offset and length: the physical sector; less is read, changed
                                 and written back by the device. At least required. */
    uint32_t atomic_min;      /* least and largest write that can be untorn; 0: none known */
    uint32_t atomic_max;      /* */
    uint32_t atomic_segments; /* vectors of such a write */
    bool told;                /* the kernel said what is required; otherwise it is the safe guess */
    bool emulated;            /* the file system copies, or does not say that it does not */
};

/* For a file without O_DIRECT: anything goes. */
#define ALIGNMENT_NONE ((struct alignment){.memory = 1, .required = 1, .read = 1, .preferred = 1})

/* Finds the alignments of an open file. Returns 0, or -EINVAL when the kernel says that the file
 * takes no direct I/O whatever open(2) said. */
int alignment_of_file(int fd, const struct stat *status, struct alignment *result);

#endif
