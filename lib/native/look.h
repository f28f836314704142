/*
 * Looking for a moment before going to sleep.
 *
 * Who sleeps is dear to wake: the waker interrupts a halted CPU (5 to 20 us of its own time in a virtual machine), and
 * the sleeper comes back a moment later. Where answers come within microseconds, as in a ping-pong, both pay for each of
 * them. So the loop and the sender look for a moment before they sleep, as the kernel's busy polling (net.core.busy_poll)
 * and its haltpoll governor do. A look in vain makes them sleep at once the next times, twice as many after each one, up
 * to a bound: where little happens, nothing is given for it. Nor do they look while others wait for a CPU, who could use
 * this one.
 */
#ifndef FTTCP_LOOK_H
#define FTTCP_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#define FT_LONGEST_LOOK_US 10000

/* Who waits for a CPU on this machine. */
typedef struct {
  int load_fd;
  long cpus;
} ft_crowd;

void ft_crowd_open(ft_crowd *crowd);
void ft_crowd_close(ft_crowd *crowd);
/* Whether more than one wait: one does for a moment wherever somebody is being answered. Costs 2 us. */
bool ft_crowd_here(const ft_crowd *crowd);

typedef struct {
  ft_crowd crowd;
  /* How long a look is, nanoseconds; 0: there is none. */
  uint64_t ns;
  /* Times to sleep at once, and how many they are after the next look in vain. */
  uint32_t skips, penalty;
  /* Looks until the crowd is asked about again. */
  uint32_t unasked;
  uint64_t looks, found, crowds;
} ft_look;

/* Sets how long a look is; `look` is zeroed memory or was set before. */
void ft_look_set(ft_look *look, uint32_t us);
void ft_look_close(ft_look *look);
/* Looks until `seen` is true or the time is over, if it is time for a look. */
void ft_look_for(ft_look *look, bool (*seen)(void *), void *arg);

#endif
