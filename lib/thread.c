/* SPDX-License-Identifier: MIT */
/*
 * thread.c - starting a thread of the library's own.
 */
#include "thread.h"

#include <signal.h>

#include "errno_guard.h"

#ifndef AIOFILE_MODEL

int thread_start(struct thread_handle *handle, const char *name, void *(*body)(void *),
                 void *argument)
{
    ERRNO_GUARD;
    sigset_t all;
    sigset_t before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&handle->thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_setname_np(handle->thread, name);
    return -error;
}

#endif
