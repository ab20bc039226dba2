/* SPDX-License-Identifier: MIT */
#include "crc32c.h"

#include <string.h>

/* x^32 + x^28 + x^27 + ... + 1 with the bits reversed, as the checksum shifts to the right. */
#define POLYNOMIAL 0x82f63b78u

/* table[k][b]: what byte b does to the checksum from k bytes before the end of a group of 8. */
static uint32_t table[8][256];
static bool use_instruction;

static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned byte = 0; byte < 256; byte++)
            table[k][byte] = (table[k - 1][byte] >> 8) ^ table[0][table[k - 1][byte] & 0xff];
}

void crc32c_init(void)
{
    fill_table();
    use_instruction = crc32c_has_instruction();
}

uint32_t crc32c_by_table(const void *data, size_t length)
{
    const unsigned char *at = data;
    uint32_t crc = UINT32_MAX;

    for (; length >= 8; length -= 8, at += 8) {
        uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                              (uint32_t)at[3] << 24);

        crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
              table[4][low >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
              table[0][at[7]];
    }
    for (; length > 0; length--, at++)
        crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

bool crc32c_has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(const void *data, size_t length)
{
    const unsigned char *at = data;
    uint64_t crc = UINT32_MAX;

    for (; length >= 8; length -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; length > 0; length--, at++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *at);
    return ~(uint32_t)crc;
}

#else

bool crc32c_has_instruction(void)
{
    return false;
}

uint32_t crc32c_by_instruction(const void *data, size_t length)
{
    return crc32c_by_table(data, length);
}

#endif

uint32_t crc32c(const void *data, size_t length)
{
    return use_instruction ? crc32c_by_instruction(data, length) : crc32c_by_table(data, length);
}
