/* SPDX-License-Identifier: MIT */
/*
 * sanitizer.h - what happens before a submit happens before the reap of its event: the kernel
 * orders them, but ThreadSanitizer cannot see through it and is told. Nothing in other builds.
 */
#ifndef AIOFILE_LIB_SANITIZER_H
#define AIOFILE_LIB_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AIOFILE_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define AIOFILE_THREAD_SANITIZER
#endif

#ifdef AIOFILE_THREAD_SANITIZER
void __tsan_acquire(void *at);
void __tsan_release(void *at);
#define SANITIZER_ORDER_SUBMIT(at) __tsan_release(at)
#define SANITIZER_ORDER_REAP(at) __tsan_acquire(at)
#else
#define SANITIZER_ORDER_SUBMIT(at) ((void)(at))
#define SANITIZER_ORDER_REAP(at) ((void)(at))
#endif

#endif
