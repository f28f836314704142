/*
 * The benchmarks' other end, in C so that it costs little and is the same for everybody:
 *
 *   peer serve SOURCE SINK ECHO            three ports of the kernel's TCP: sends for ever, reads for ever, says everything back
 *   peer in  HOST PORT STREAMS SECONDS     reads from a source; prints bytes per second
 *   peer out HOST PORT STREAMS SECONDS     writes to a sink; prints bytes per second
 *   peer ping HOST PORT BYTES SECONDS      one message at a time; prints p50, p99, p99.9 in microseconds, and the count
 *   peer idle HOST PORT COUNT SOURCES      holds connections open, from SOURCES addresses; prints "ready";
 *                                          then for each line on standard input sends one byte on
 *                                          each and prints when the last came back (us)
 *   peer churn HOST PORT PARALLEL SECONDS  connects, says one byte, hears it back, closes; prints connections per second
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#define BUFFER (256 * 1024)
static char buffer[BUFFER];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static struct sockaddr_in address(const char *host, const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
    fprintf(stderr, "%s is no IPv4 address\n", host);
    exit(2);
  }
  return a;
}

static int dial(struct sockaddr_in to) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
  return fd;
}

static void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static int watch(int epoll, int fd, unsigned events, int op) {
  struct epoll_event e = {.events = events, .data = {.fd = fd}};
  return epoll_ctl(epoll, op, fd, &e);
}

static int bulk(int reading, struct sockaddr_in to, int streams, double seconds) {
  int epoll = epoll_create1(0);
  /*
   * What is left unsent goes: as orphans a hundred streams would hold a gigabyte for minutes, and
   * the next measurement with it.
   */
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  for (int i = 0; i < streams; i++) {
    int fd = dial(to);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    nonblock(fd);
    if (watch(epoll, fd, reading ? EPOLLIN : EPOLLOUT, EPOLL_CTL_ADD) != 0) die("epoll_ctl");
  }
  struct epoll_event events[256];
  double bytes = 0, began = now_us(), from = began + seconds * 2e5, until = from + seconds * 1e6, counted = 0;
  for (;;) {
    double now = now_us();
    if (counted == 0 && now >= from) {
      counted = now;
      bytes = 0;
    }
    if (now >= until) break;
    int n = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < n; i++) {
      ssize_t part = reading ? read(events[i].data.fd, buffer, BUFFER) : write(events[i].data.fd, buffer, BUFFER);
      if (part > 0) bytes += part;
      else if (part == 0 || (errno != EAGAIN && errno != EINTR)) die("the connection ended");
    }
  }
  printf("%.0f\n", bytes / ((now_us() - counted) / 1e6));
  return 0;
}

static int compare(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static int ping(struct sockaddr_in to, int size, double seconds) {
  int fd = dial(to), on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  size_t room = 1 << 20, count = 0;
  double *times = malloc(room * sizeof *times);
  double warm = now_us() + seconds * 2e5, until = warm + seconds * 1e6;
  for (;;) {
    double sent = now_us();
    if (sent >= until || count == room) break;
    if (write(fd, buffer, (size_t)size) != size) die("write");
    for (int got = 0; got < size;) {
      ssize_t part = read(fd, buffer, (size_t)(size - got));
      if (part <= 0) die("read");
      got += part;
    }
    if (sent >= warm) times[count++] = now_us() - sent;
  }
  qsort(times, count, sizeof *times, compare);
  printf("%.1f %.1f %.1f %zu\n", times[count / 2], times[count * 99 / 100], times[count * 999 / 1000], count);
  return 0;
}

static int idle(struct sockaddr_in to, int count, int sources) {
  struct rlimit limit = {.rlim_cur = (rlim_t)count + 100, .rlim_max = (rlim_t)count + 100};
  setrlimit(RLIMIT_NOFILE, &limit);
  int *fds = malloc((size_t)count * sizeof *fds), on = 1;
  int epoll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    int fd = fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    if (sources > 1) {
      /* 10.77.1.1, 10.77.1.2, ...: more ports than one address has */
      struct sockaddr_in from = {.sin_family = AF_INET};
      from.sin_addr.s_addr = htonl(0x0a4d0101 + (unsigned)(i % sources));
      setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof on);
      if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* As above: who serves them may be gone before us. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    nonblock(fd);
    watch(epoll, fd, EPOLLIN, EPOLL_CTL_ADD);
  }
  puts("ready");
  fflush(stdout);
  char line[64];
  struct epoll_event events[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    double began = now_us();
    for (int i = 0; i < count; i++)
      if (write(fds[i], "x", 1) != 1) die("write");
    for (int back = 0; back < count;) {
      int n = epoll_wait(epoll, events, 256, 20000);
      if (n <= 0) {
        printf("-1\n");
        break;
      }
      for (int i = 0; i < n; i++) {
        ssize_t part = read(events[i].data.fd, buffer, BUFFER);
        if (part <= 0) die("read");
        back += (int)part;
      }
    }
    printf("%.0f\n", now_us() - began);
    fflush(stdout);
  }
  return 0;
}

static int churn(struct sockaddr_in to, int parallel, double seconds) {
  int epoll = epoll_create1(0);
  double until = now_us() + seconds * 1e6, began = now_us();
  long done = 0;
  int open = 0;
  for (;;) {
    int late = now_us() >= until;
    while (!late && open < parallel) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (fd < 0) die("socket");
      if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) die("connect");
      watch(epoll, fd, EPOLLOUT, EPOLL_CTL_ADD);
      open++;
    }
    if (late && open == 0) break;
    struct epoll_event events[256];
    int n = epoll_wait(epoll, events, 256, 5000);
    if (n <= 0) break;
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (events[i].events & EPOLLOUT) {
        if (write(fd, "x", 1) != 1) die("write");
        watch(epoll, fd, EPOLLIN, EPOLL_CTL_MOD);
      } else {
        if (read(fd, buffer, 1) != 1) die("read");
        close(fd);
        open--;
        done++;
      }
    }
  }
  printf("%.0f\n", done / ((now_us() - began) / 1e6));
  return 0;
}

__attribute__((noreturn)) static void serve(char **ports) {
  int epoll = epoll_create1(0), on = 1, kind[65536] = {0};
  for (int i = 0; i < 3; i++) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(ports[i]))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0) die("listen");
    kind[fd] = 10 + i;
    watch(epoll, fd, EPOLLIN, EPOLL_CTL_ADD);
  }
  puts("ready");
  fflush(stdout);
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (kind[fd] >= 10) {
        int one = accept(fd, NULL, NULL);
        if (one < 0 || one >= 65536) continue;
        nonblock(one);
        setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        kind[one] = kind[fd] - 10;
        watch(epoll, one, kind[one] == 0 ? EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
        continue;
      }
      ssize_t part = kind[fd] == 0 ? write(fd, buffer, BUFFER) : read(fd, buffer, BUFFER);
      if (part > 0 && kind[fd] == 2 && write(fd, buffer, (size_t)part) < 0) part = 0;
      if (part == 0 || (part < 0 && errno != EAGAIN)) close(fd);
    }
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (argc == 5 && strcmp(what, "serve") == 0) serve(argv + 2);
  if (argc != 6) {
    fprintf(stderr, "usage: peer serve|in|out|ping|idle|churn …\n");
    return 2;
  }
  struct sockaddr_in to = address(argv[2], argv[3]);
  int n = atoi(argv[4]);
  if (strcmp(what, "in") == 0) return bulk(1, to, n, atof(argv[5]));
  if (strcmp(what, "out") == 0) return bulk(0, to, n, atof(argv[5]));
  if (strcmp(what, "ping") == 0) return ping(to, n, atof(argv[5]));
  if (strcmp(what, "idle") == 0) return idle(to, n, atoi(argv[5]));
  if (strcmp(what, "churn") == 0) return churn(to, n, atof(argv[5]));
  return 2;
}
