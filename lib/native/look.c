#include "look.h"

#include <sched.h>
#include <time.h>

/* So many sleeps at once at most follow a look in vain. */
#define LONGEST_PENALTY 63

void ft_look_set(ft_look *look, uint32_t us) {
  look->ns = (uint64_t)us * 1000;
  look->skips = look->penalty = 0;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void ft_look_for(ft_look *look, bool (*seen)(void *), void *arg) {
  if (look->ns == 0) return;
  if (look->skips > 0) {
    look->skips--;
    return;
  }
  look->looks++;
  uint64_t end = now_ns() + look->ns;
  do {
    if (seen(arg)) {
      look->found++;
      look->penalty = 0;
      return;
    }
    /* Whoever is to give us something to see may be waiting for this very CPU. */
    sched_yield();
  } while (now_ns() < end);
  look->penalty = look->penalty * 2 + 1;
  if (look->penalty > LONGEST_PENALTY) look->penalty = LONGEST_PENALTY;
  look->skips = look->penalty;
}
