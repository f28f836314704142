/* Other processes by descriptor, the parent-death signal, the service manager, malloc's limits. */
#include "common.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Older headers lack these numbers; they are the same on every architecture. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static napi_value pidfd_open_(napi_env env, napi_callback_info info) {
  napi_value value;
  int32_t pid;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &pid)) return NULL;
  /* The kernel opens pidfds close-on-exec. */
  long fd = syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? ft_throw_errno(env, errno, "pidfd_open") : ft_i32(env, (int32_t)fd);
}

static napi_value pidfd_signal(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd, number;
  if (!ft_args(env, info, 2, args) || !ft_arg_i32(env, args[0], &fd) || !ft_arg_i32(env, args[1], &number)) return NULL;
  long result = syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
  return ft_i32(env, result < 0 ? -errno : 0);
}

static napi_value pidfd_wait(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd;
  double ms;
  if (!ft_args(env, info, 2, args) || !ft_arg_i32(env, args[0], &fd) || !ft_arg_double(env, args[1], &ms)) return NULL;
  if (!(ms >= 0)) ms = 0;
  if (ms > 86400000) ms = 86400000;
  uint64_t end = uv_hrtime() + (uint64_t)(ms * 1e6);
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  for (;;) {
    uint64_t now = uv_hrtime();
    int left = now >= end ? 0 : (int)((end - now + 999999) / 1000000);
    int ready = poll(&entry, 1, left);
    if (ready < 0 && errno != EINTR) return ft_throw_errno(env, errno, "poll");
    if (ready > 0 && (entry.revents & POLLNVAL)) return ft_throw_errno(env, EBADF, "poll");
    if (ready > 0) return ft_bool(env, true);
    if (ready == 0 && left == 0) return ft_bool(env, false);
  }
}

static napi_value pidfd_getfd_(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t pidfd, fd;
  if (!ft_args(env, info, 2, args) || !ft_arg_i32(env, args[0], &pidfd) || !ft_arg_i32(env, args[1], &fd)) return NULL;
  /* The kernel makes the copy close-on-exec. */
  long copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
  return ft_i32(env, copy < 0 ? -errno : (int32_t)copy);
}

static napi_value let_copy(napi_env env, napi_callback_info info) {
  napi_value value;
  int32_t pid;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &pid)) return NULL;
  /* Fails without Yama, where processes of the same user may copy anyway. */
  prctl(PR_SET_PTRACER, (unsigned long)pid, 0, 0, 0);
  return NULL;
}

static napi_value peer_uid(napi_env env, napi_callback_info info) {
  napi_value value;
  int32_t fd;
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &fd)) return NULL;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return ft_throw_errno(env, errno, "getsockopt");
  /* Of a socket that is no Unix socket the kernel knows no peer. */
  if (length != sizeof peer || peer.pid == 0) return ft_throw_errno(env, ENOTCONN, "getsockopt");
  return ft_u32(env, peer.uid);
}

static napi_value die_with_parent(napi_env env, napi_callback_info info) {
  (void)info;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) ft_throw_errno(env, errno, "prctl");
  return NULL;
}

/* The longest message to a service manager. */
#define NOTIFY_BYTES 1024

static napi_value notify(napi_env env, napi_callback_info info) {
  napi_value args[2];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[NOTIFY_BYTES];
  if (!ft_args(env, info, 2, args) || !ft_arg_text(env, args[0], address.sun_path, sizeof address.sun_path) ||
      !ft_arg_text(env, args[1], text, sizeof text))
    return NULL;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path));
  /* A name of the network namespace is written with an @ in front, and has a 0 there. */
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ft_throw_errno(env, errno, "socket");
  ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, length);
  int error = errno;
  close(fd);
  return sent < 0 ? ft_throw_errno(env, error, "sendto") : NULL;
}

static napi_value keep_memory(napi_env env, napi_callback_info info) {
  napi_value args[2];
  uint32_t kept, mapped;
  if (!ft_args(env, info, 2, args) || !ft_arg_u32(env, args[0], &kept) || !ft_arg_u32(env, args[1], &mapped))
    return NULL;
  if (kept > INT32_MAX || mapped > INT32_MAX) return ft_throw_range(env, "at most 2 GiB");
#ifdef __GLIBC__
  /* Other C libraries keep their own settings. */
  mallopt(M_TRIM_THRESHOLD, (int)kept);
  mallopt(M_MMAP_THRESHOLD, (int)mapped);
#endif
  return NULL;
}

void ft_proc_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"pidfdOpen", pidfd_open_},   {"pidfdSignal", pidfd_signal}, {"pidfdWait", pidfd_wait},
      {"pidfdGetfd", pidfd_getfd_}, {"letCopy", let_copy},         {"dieWithParent", die_with_parent},
      {"keepMemory", keep_memory},  {"peerUid", peer_uid},         {"notify", notify},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
