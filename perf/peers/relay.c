/*
 * relay DEVICE PID DEVICE: hands frames between a TAP of this network namespace and one of a
 * process's, both with offload, so that the kernel's TCP on the far side sits behind a TAP as a
 * userspace stack does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FRAME_BYTES (65563 + 10)
#define FRAMES_AT_A_TIME 64

static int tap(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 ||
      ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) {
    perror(name);
    exit(1);
  }
  return fd;
}

static void hand_over(int from, int to) {
  static char frame[FRAME_BYTES];
  for (int n = 0; n < FRAMES_AT_A_TIME; n++) {
    ssize_t got = read(from, frame, sizeof frame);
    if (got <= 0) return;
    /* What the other side cannot take now is lost, as on any link. */
    if (write(to, frame, (size_t)got) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EIO) {
      perror("write");
      exit(1);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "relay DEVICE PID DEVICE\n");
    return 2;
  }
  int here = tap(argv[1]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", argv[2]);
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0) {
    perror(path);
    return 1;
  }
  int there = tap(argv[3]);
  puts("ready");
  fflush(stdout);
  struct pollfd ends[2] = {{.fd = here, .events = POLLIN}, {.fd = there, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0 && errno != EINTR) return 1;
    if (ends[0].revents & POLLIN) hand_over(here, there);
    if (ends[1].revents & POLLIN) hand_over(there, here);
    if ((ends[0].revents | ends[1].revents) & (POLLERR | POLLHUP)) return 0;
  }
}
