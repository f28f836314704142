#include "busy-poll.h"

#include <sched.h>
#include <time.h>

/* The most immediate sleeps after a poll that found nothing. */
#define LONGEST_PENALTY 63

void ft_busy_poll_set(ft_busy_poll *poll, uint32_t us, uint32_t worked_us) {
  poll->ns = (uint64_t)us * 1000;
  poll->worked_ns = (uint64_t)worked_us * 1000;
  poll->skips = poll->penalty = 0;
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool poll_for(uint64_t ns, bool (*seen)(void *), void *arg) {
  uint64_t end = now_ns(CLOCK_MONOTONIC) + ns;
  do {
    if (seen(arg)) return true;
    /* The process that we wait for may need this CPU. */
    sched_yield();
  } while (now_ns(CLOCK_MONOTONIC) < end);
  return false;
}

void ft_busy_poll_until(ft_busy_poll *poll, bool (*seen)(void *), void *arg) {
  if (poll->ns == 0) return;
  uint64_t now = now_ns(CLOCK_THREAD_CPUTIME_ID), worked = now - poll->slept_at;
  poll->slept_at = now;
  if (worked > poll->worked_ns) return;
  if (poll->skips > 0) {
    poll->skips--;
    return;
  }
  poll->polls++;
  if (poll_for(poll->ns, seen, arg)) {
    poll->found++;
    poll->penalty = 0;
  } else {
    poll->penalty = poll->penalty * 2 + 1;
    if (poll->penalty > LONGEST_PENALTY) poll->penalty = LONGEST_PENALTY;
    poll->skips = poll->penalty;
  }
  poll->slept_at = now_ns(CLOCK_THREAD_CPUTIME_ID);
}
