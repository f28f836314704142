/*
 * A page in shared memory that says whether the threads of a process that can send are alive.
 *
 * Each of them holds a robust mutex in the page. When a thread ends, however it does, the kernel
 * marks the mutexes that it holds (FUTEX_OWNER_DIED), and wakes a waiter. It does so at the start
 * of the thread's exit: after the thread's last system call, and before the process's memory is
 * torn down and its files are closed. A pidfd becomes readable only after that, 70 ms later per GB
 * of memory.
 */
#ifndef FTTCP_THREADS_H
#define FTTCP_THREADS_H

#include "common.h"

typedef struct ft_thread_page ft_thread_page;

/*
 * The page of this process behind a value, or NULL with an exception pending. It stays mapped until
 * the process ends: the kernel looks at it when a thread exits.
 */
ft_thread_page *ft_threads_own(napi_env env, napi_value value);
/*
 * Takes a place for a thread that is about to start. From here on a watcher waits for its end. -1:
 * none is free.
 */
int ft_thread_reserve(ft_thread_page *page);
/*
 * The calling thread holds its place until it ends, or releases it. @returns 0 or an errno; the
 * place stays taken.
 */
int ft_thread_hold(ft_thread_page *page, int place);
/* The calling thread, which held its place, sends nothing any more. */
void ft_thread_release(ft_thread_page *page, int place);
/* Gives a place back whose thread was not started. */
void ft_thread_cancel(ft_thread_page *page, int place);

#endif
