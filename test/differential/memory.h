/* SPDX-License-Identifier: MIT */
/*
 * memory.h - memory of a transfer at any address, in one piece or in vectors, with guards around
 * each piece.
 */
#ifndef AIOFILE_TEST_DIFFERENTIAL_MEMORY_H
#define AIOFILE_TEST_DIFFERENTIAL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* More than one system call takes (IOV_MAX). */
#define PIECES_MAX 2500u

struct memory {
    unsigned char *arena;
    uint64_t room; /* bytes of the arena */
    uint64_t used; /* bytes of it that count: pieces, and guards in between */
    struct iovec *pieces;
    unsigned count;
    uint64_t length; /* bytes of all pieces */
};

/* How a transfer is cut. */
enum memory_shape {
    MEMORY_ONE,     /* one piece */
    MEMORY_VECTORS, /* 0 to 40 */
    MEMORY_CROWD,   /* more than IOV_MAX */
};

/* Lays out memory for length bytes, of which unit is the alignment of offset and length in the
 * file, and fills it all with guards. The old contents are gone. */
void memory_lay(struct memory *memory, uint64_t *random, enum memory_shape shape, uint64_t length,
                uint64_t unit);
void memory_free(struct memory *memory);

/* Puts bytes into the pieces. */
void memory_put(struct memory *memory, const unsigned char *bytes);

/* Sees that the pieces begin with count bytes, and that the guards are whole. */
void memory_check(const struct memory *memory, const char *what, const unsigned char *bytes,
                  uint64_t count, uint64_t offset);

/* The same, of which nothing is known: gives them. */
void memory_get(const struct memory *memory, const char *what, unsigned char *bytes,
                uint64_t count);

/* The only piece, or NULL where there is none. */
void *memory_one(const struct memory *memory);

#endif
