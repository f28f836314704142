/*
 * Looking for a moment before going to sleep.
 *
 * Who sleeps is dear to wake: the waker interrupts a halted CPU (5 to 20 us of its own time in a virtual machine), and
 * the sleeper comes back a moment later. Where answers come within microseconds, as in a ping-pong, both pay for each
 * of them. So the loop and the sender look for a moment before they sleep, as the kernel's busy polling
 * (net.core.busy_poll) and its haltpoll governor do; unless they have worked for long before, as with bulk data, where
 * one waking is little. A look in vain makes them sleep at once the next times, twice as many after each one, up to a
 * bound: where little happens, nothing is given for it. Between two glances the CPU is offered to whoever wants it.
 */
#ifndef FTTCP_LOOK_H
#define FTTCP_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#define FT_LONGEST_LOOK_US 10000

typedef struct {
  /* How long a look is, nanoseconds; 0: there is none. */
  uint64_t ns;
  /* Who has worked for longer does not look, nanoseconds. */
  uint64_t worked_ns;
  /* Times to sleep at once, and how many they are after the next look in vain. */
  uint32_t skips, penalty;
  /* CPU time of this thread when it last went to sleep. */
  uint64_t slept_at;
  uint64_t looks, found;
} ft_look;

/* Sets how long a look is; `look` is zeroed memory or was set before. */
void ft_look_set(ft_look *look, uint32_t us, uint32_t worked_us);
/* Looks until `seen` is true or the time is over, if it is time for a look. */
void ft_look_for(ft_look *look, bool (*seen)(void *), void *arg);

#endif
