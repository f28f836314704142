/* Shared by processes of one host: mapped files, doorbells and locks. */
#include "common.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void unmap(napi_env env, void *data, void *hint) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)hint);
}

/*
 * Opens a file of this user's, which is no symbolic link; -1 with errno, EPERM for another user's.
 */
static int open_own(const char *path, int flags) {
  struct stat found;
  int fd = open(path, flags | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  int error = fstat(fd, &found) < 0 ? errno : found.st_uid != geteuid() ? EPERM : 0;
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

static napi_value fail_closing(napi_env env, int fd, int error, const char *syscall) {
  close(fd);
  return ft_throw_errno(env, error, syscall);
}

static napi_value shm_map(napi_env env, napi_callback_info info) {
  napi_value args[3], buffer;
  char path[PATH_MAX];
  size_t size;
  bool create;
  struct stat found;
  if (!ft_args(env, info, 3, args) || !ft_arg_text(env, args[0], path, sizeof path)) return NULL;
  if (!ft_arg_size(env, args[1], &size) || !ft_arg_bool(env, args[2], &create)) return NULL;
  if (size == 0) return ft_throw_range(env, "a mapping has at least one byte");
  int fd = open_own(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0));
  if (fd < 0) return ft_throw_errno(env, errno, "open");
  if (create) {
    if (ftruncate(fd, (off_t)size) < 0) return fail_closing(env, fd, errno, "ftruncate");
    /* Takes the memory now: a full file system is an error here and would be a SIGBUS later. */
    if (fallocate(fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP) return fail_closing(env, fd, errno, "fallocate");
  }
  if (fstat(fd, &found) < 0) return fail_closing(env, fd, errno, "fstat");
  if ((size_t)found.st_size < size) return fail_closing(env, fd, EINVAL, "mmap (the file is smaller)");
  void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  int error = errno;
  close(fd);
  if (data == MAP_FAILED) return ft_throw_errno(env, error, "mmap");
  /* The log has keys and what clients sent: not for core dumps. An old kernel may refuse. */
  (void)madvise(data, size, MADV_DONTDUMP);
  if (napi_create_external_arraybuffer(env, data, size, unmap, (void *)(uintptr_t)size, &buffer) != napi_ok) {
    munmap(data, size);
    return ft_throw_errno(env, ENOMEM, "napi_create_external_arraybuffer");
  }
  return buffer;
}

static napi_value fifo_open(napi_env env, napi_callback_info info) {
  napi_value value;
  char path[PATH_MAX];
  struct stat found;
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, path, sizeof path)) return NULL;
  if (mkfifo(path, 0600) < 0 && errno != EEXIST) return ft_throw_errno(env, errno, "mkfifo");
  /* Read-write: Linux then neither waits for the other end nor reports that it has gone. */
  int fd = open_own(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return ft_throw_errno(env, errno, "open");
  if (fstat(fd, &found) < 0) return fail_closing(env, fd, errno, "fstat");
  if (!S_ISFIFO(found.st_mode)) return fail_closing(env, fd, EEXIST, "mkfifo");
  return ft_i32(env, fd);
}

static napi_value fifo_ring(napi_env env, napi_callback_info info) {
  napi_value value;
  int32_t fd;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &fd)) return NULL;
  ssize_t written;
  do {
    written = write(fd, "", 1);
  } while (written < 0 && errno == EINTR);
  if (written < 0 && errno != EAGAIN) ft_throw_errno(env, errno, "write");
  return NULL;
}

static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value value;
  char path[PATH_MAX];
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, path, sizeof path)) return NULL;
  /*
   * Close-on-exec: a child with the same open file would keep the lock after this process has
   * ended.
   */
  int fd = open_own(path, O_RDWR | O_CREAT | O_CLOEXEC);
  if (fd < 0) return ft_throw_errno(env, errno, "open");
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return ft_i32(env, fd);
  int error = errno;
  if (error != EWOULDBLOCK) return fail_closing(env, fd, error, "flock");
  close(fd);
  return ft_i32(env, -1);
}

static napi_value lock_again(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd;
  char path[PATH_MAX];
  struct stat held, named;
  if (!ft_args(env, info, 2, args) || !ft_arg_i32(env, args[0], &fd)) return NULL;
  if (!ft_arg_text(env, args[1], path, sizeof path)) return NULL;
  if (fstat(fd, &held) < 0 || lstat(path, &named) < 0) return ft_bool(env, false);
  if (held.st_dev != named.st_dev || held.st_ino != named.st_ino) return ft_bool(env, false);
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result < 0 && errno == EINTR);
  return ft_bool(env, result == 0);
}

static napi_value lock_name(napi_env env, napi_callback_info info) {
  napi_value value;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* The first byte stays 0: a name of the network namespace, not of a file. */
  char *name = address.sun_path + 1;
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, name, sizeof address.sun_path - 1)) return NULL;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ft_throw_errno(env, errno, "socket");
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  if (bind(fd, (struct sockaddr *)&address, length) == 0) return ft_i32(env, fd);
  int error = errno;
  if (error != EADDRINUSE) return fail_closing(env, fd, error, "bind");
  close(fd);
  return ft_i32(env, -1);
}

void ft_shm_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"shmMap", shm_map},     {"fifoOpen", fifo_open},   {"fifoRing", fifo_ring},
      {"lockFile", lock_file}, {"lockAgain", lock_again}, {"lockName", lock_name},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
