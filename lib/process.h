/* SPDX-License-Identifier: MIT */
/*
 * process.h - which process this is, cheaply.
 */
#ifndef AIOFILE_LIB_PROCESS_H
#define AIOFILE_LIB_PROCESS_H

#include <stdint.h>

/* Makes process_epoch() usable; needed once before it, harmless again. Returns 0 or -ENOMEM. */
int process_init(void);

/* A number that is another one in every forked child: objects keep the one they were made in. One
 * load and a compare where no fork happened. Never 0. */
uint64_t process_epoch(void);

#endif
