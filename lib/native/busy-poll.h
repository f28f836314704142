/*
 * Busy polling before sleeping.
 *
 * Waking a sleeping thread is expensive: the waker interrupts a halted CPU (5 to 20 us of its own
 * time in a virtual machine), and the sleeper resumes later. In request-response traffic with
 * answers within microseconds, both sides pay this for each message. The loop and the sender
 * therefore poll for a moment before they sleep, as the kernel does with net.core.busy_poll and the
 * haltpoll governor. They do not poll after long work, as with bulk data, where one wakeup costs
 * little. After a poll that found nothing, the next sleeps are immediate; their number doubles up
 * to a bound, so that an idle process does not burn CPU. Between two polls the CPU is yielded.
 */
#ifndef FTTCP_BUSY_POLL_H
#define FTTCP_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

#define FT_LONGEST_LOOK_US 10000

typedef struct {
  /* Duration of a poll, nanoseconds; 0: no polling. */
  uint64_t ns;
  /* No poll after more CPU time than this, nanoseconds. */
  uint64_t worked_ns;
  /* Immediate sleeps that are left, and how many follow the next poll that finds nothing. */
  uint32_t skips, penalty;
  /* CPU time of this thread when it last went to sleep. */
  uint64_t slept_at;
  uint64_t polls, found;
} ft_busy_poll;

/* Sets the duration of a poll; `poll` is zeroed memory or was set before. */
void ft_busy_poll_set(ft_busy_poll *poll, uint32_t us, uint32_t worked_us);
/* Polls until `seen` is true or the time is over, unless the next sleep is immediate. */
void ft_busy_poll_until(ft_busy_poll *poll, bool (*seen)(void *), void *arg);

#endif
