/* SPDX-License-Identifier: MIT */
/*
 * crc32c.h - the Castagnoli checksum (RFC 3720, appendix B.4).
 */
#ifndef AIOFIO_CRC32C_H
#define AIOFIO_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of the bytes, by the processor's instruction where it has one. */
uint32_t crc32c(const void *data, size_t length);

/* The two ways, for the tests. The first may be called only if there is an instruction. */
bool crc32c_has_instruction(void);
uint32_t crc32c_by_instruction(const void *data, size_t length);
uint32_t crc32c_by_table(const void *data, size_t length);

/* To be called once, before other threads start. */
void crc32c_init(void);

#endif
