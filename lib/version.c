/* SPDX-License-Identifier: MIT */
/*
 * version.c - which libaiofile this is.
 */
#include <aiofile/version.h>

const char *aio_file_version(void)
{
    return AIOFILE_VERSION;
}
