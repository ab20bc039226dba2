/* SPDX-License-Identifier: MIT */
/*
 * trace.h - static trace points (sys/sdt.h), for perf, bpftrace and gdb on a running program.
 *
 * Each is one nop instruction until somebody attaches; without sys/sdt.h at build time it is none.
 * The provider is aiofile. Names and arguments, which doc/trace.md explains:
 *
 *   submit    queue, id, opcode, file, offset, bytes     an operation was taken
 *   begin     queue, index, opcode, offset               the engine or a worker gets a step of it
 *   event     queue, index, result                       the engine says how the step ended
 *   done      queue, id, result, error                   the operation has its result
 *   notice    queue, id                                  its deadline is over
 */
#ifndef AIOFILE_LIB_TRACE_H
#define AIOFILE_LIB_TRACE_H

#ifdef AIOFILE_SDT
#include <sys/sdt.h>
#define TRACE2(name, a, b) DTRACE_PROBE2(aiofile, name, a, b)
#define TRACE3(name, a, b, c) DTRACE_PROBE3(aiofile, name, a, b, c)
#define TRACE4(name, a, b, c, d) DTRACE_PROBE4(aiofile, name, a, b, c, d)
#define TRACE6(name, a, b, c, d, e, f) DTRACE_PROBE6(aiofile, name, a, b, c, d, e, f)
#else
#define TRACE2(name, a, b) ((void)0)
#define TRACE3(name, a, b, c) ((void)0)
#define TRACE4(name, a, b, c, d) ((void)0)
#define TRACE6(name, a, b, c, d, e, f) ((void)0)
#endif

#endif
