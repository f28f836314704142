#include "look.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* So many sleeps at once at most follow a look in vain. */
#define LONGEST_PENALTY 63
/* How many wait for a CPU is asked before every so many looks, and so many sleeps follow when it is a crowd. */
#define LOOKS_PER_QUESTION 16
#define CROWD_PENALTY 7

void ft_crowd_open(ft_crowd *crowd) {
  crowd->load_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  crowd->cpus = sysconf(_SC_NPROCESSORS_ONLN);
}

void ft_crowd_close(ft_crowd *crowd) {
  if (crowd->load_fd >= 0) close(crowd->load_fd);
  crowd->load_fd = -1;
}

bool ft_crowd_here(const ft_crowd *crowd) {
  char text[64];
  ssize_t got = crowd->load_fd < 0 ? -1 : pread(crowd->load_fd, text, sizeof text - 1, 0);
  if (got <= 0) return false;
  text[got] = 0;
  int running;
  return sscanf(text, "%*s %*s %*s %d", &running) == 1 && running > crowd->cpus + 1;
}

void ft_look_set(ft_look *look, uint32_t us) {
  if (us > 0 && look->crowd.cpus == 0) ft_crowd_open(&look->crowd);
  look->ns = (uint64_t)us * 1000;
  look->skips = look->penalty = look->unasked = 0;
}

void ft_look_close(ft_look *look) {
  if (look->crowd.cpus != 0) ft_crowd_close(&look->crowd);
  look->ns = 0;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void in_vain(ft_look *look, uint32_t penalty) {
  look->penalty = penalty > LONGEST_PENALTY ? LONGEST_PENALTY : penalty;
  look->skips = look->penalty;
  look->unasked = 0;
}

void ft_look_for(ft_look *look, bool (*seen)(void *), void *arg) {
  if (look->ns == 0) return;
  if (look->skips > 0) {
    look->skips--;
    return;
  }
  if (look->unasked-- == 0) {
    if (ft_crowd_here(&look->crowd)) {
      look->crowds++;
      in_vain(look, CROWD_PENALTY);
      return;
    }
    look->unasked = LOOKS_PER_QUESTION - 1;
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
  in_vain(look, look->penalty * 2 + 1);
}
