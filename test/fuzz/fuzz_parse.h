/* SPDX-License-Identifier: MIT */
/*
 * fuzz_parse.h - the function that libFuzzer calls, under the name that it wants.
 */
#ifndef FUZZ_PARSE_H
#define FUZZ_PARSE_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
