/* SPDX-License-Identifier: MIT */
/*
 * aiofile/version.h - which libaiofile this is.
 */
#ifndef AIOFILE_VERSION_H
#define AIOFILE_VERSION_H

/* The version of the headers a program is compiled against. */
#define AIOFILE_VERSION_MAJOR 0
#define AIOFILE_VERSION_MINOR 1
#define AIOFILE_VERSION_PATCH 0
#define AIOFILE_VERSION "0.1.0"

/* Marks what the shared library exports; everything else in it is hidden. */
#if defined(__GNUC__)
#define AIO_API __attribute__((visibility("default")))
#else
#define AIO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Gives the version of the library that the program runs with, "major.minor.patch". It differs
 * from AIOFILE_VERSION when the shared library was replaced after the program was compiled.
 *
 * The string is static. Any thread, never blocks, cannot fail.
 */
AIO_API const char *aio_file_version(void);

#ifdef __cplusplus
}
#endif

#endif
