#include "look.h"

#include <sched.h>
#include <time.h>

/* So many sleeps at once at most follow a look in vain. */
#define LONGEST_PENALTY 63

void ft_look_set(ft_look *look, uint32_t us, uint32_t worked_us) {
  look->ns = (uint64_t)us * 1000;
  look->worked_ns = (uint64_t)worked_us * 1000;
  look->skips = look->penalty = 0;
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool look_for(uint64_t ns, bool (*seen)(void *), void *arg) {
  uint64_t end = now_ns(CLOCK_MONOTONIC) + ns;
  do {
    if (seen(arg)) return true;
    /* Whoever is to give us something to see may be waiting for this very CPU. */
    sched_yield();
  } while (now_ns(CLOCK_MONOTONIC) < end);
  return false;
}

void ft_look_for(ft_look *look, bool (*seen)(void *), void *arg) {
  if (look->ns == 0) return;
  uint64_t now = now_ns(CLOCK_THREAD_CPUTIME_ID), worked = now - look->slept_at;
  look->slept_at = now;
  if (worked > look->worked_ns) return;
  if (look->skips > 0) {
    look->skips--;
    return;
  }
  look->looks++;
  if (look_for(look->ns, seen, arg)) {
    look->found++;
    look->penalty = 0;
  } else {
    look->penalty = look->penalty * 2 + 1;
    if (look->penalty > LONGEST_PENALTY) look->penalty = LONGEST_PENALTY;
    look->skips = look->penalty;
  }
  look->slept_at = now_ns(CLOCK_THREAD_CPUTIME_ID);
}
