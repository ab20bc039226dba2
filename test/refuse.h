/* SPDX-License-Identifier: MIT */
/*
 * refuse.h - a sandbox as tests need it: system calls that fail from now on.
 */
#ifndef AIOFILE_TEST_REFUSE_H
#define AIOFILE_TEST_REFUSE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define REFUSE_MAX 8u

/* From now on these system calls (SYS_*) fail with an errno, in this process and all that it will
 * start. Returns 0 or a negated errno. */
static inline int refuse_calls(const int *calls, unsigned count, int error)
{
    struct sock_filter filter[REFUSE_MAX + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    struct sock_fprog program = {(unsigned short)(count + 3), filter};

    if (count > REFUSE_MAX)
        return -EINVAL;
    /* The last statement refuses, the one before it allows. */
    for (unsigned index = 0; index < count; index++)
        filter[1 + index] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[index],
                                                         (uint8_t)(count - index), 0);
    filter[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[count + 2] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return -errno;
    return 0;
}

#endif
