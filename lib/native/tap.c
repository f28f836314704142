/* Opening TAP and TUN devices, and sending frames on them. */
#include "common.h"
#include "frame.h"
#include "split.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define VNET_HEADER_BYTES 10

static bool property(napi_env env, napi_value object, const char *name, napi_value *out) {
  if (napi_get_named_property(env, object, name, out) == napi_ok) return true;
  ft_throw_type(env, "expected an object");
  return false;
}

static bool flag(napi_env env, napi_value object, const char *name, bool *out) {
  napi_value value;
  return property(env, object, name, &value) && ft_arg_bool(env, value, out);
}

static napi_value fail_closing(napi_env env, int fd, const char *syscall) {
  int error = errno;
  close(fd);
  return ft_throw_errno(env, error, syscall);
}

static napi_value tap_open(napi_env env, napi_callback_info info) {
  napi_value request, value, result;
  struct ifreq interface = {0};
  char mode[8];
  bool multi_queue, offload, detached;
  if (!ft_args(env, info, 1, &request)) return NULL;
  if (!property(env, request, "name", &value) || !ft_arg_text(env, value, interface.ifr_name, IFNAMSIZ)) return NULL;
  if (!property(env, request, "mode", &value) || !ft_arg_text(env, value, mode, sizeof mode)) return NULL;
  if (!flag(env, request, "multiQueue", &multi_queue) || !flag(env, request, "offload", &offload)) return NULL;
  if (!flag(env, request, "detached", &detached)) return NULL;
  bool tap = strcmp(mode, "tap") == 0;
  if (!tap && strcmp(mode, "tun") != 0) return ft_throw_range(env, "mode must be 'tap' or 'tun'");
  if (detached && !multi_queue) return ft_throw_range(env, "only a queue of a multi-queue device can be detached");

  /*
   * Close-on-exec: a child with the descriptor would keep the device busy after this process has
   * ended.
   */
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return ft_throw_errno(env, errno, "open /dev/net/tun");
  unsigned int features = 0;
  if (ioctl(fd, TUNGETFEATURES, &features) < 0) return fail_closing(env, fd, "ioctl TUNGETFEATURES");
  bool vnet = offload && (features & IFF_VNET_HDR) != 0;
  int flags = (tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI | (multi_queue ? IFF_MULTI_QUEUE : 0) | (vnet ? IFF_VNET_HDR : 0);
  interface.ifr_flags = (short)flags;
  if (ioctl(fd, TUNSETIFF, &interface) < 0) return fail_closing(env, fd, "ioctl TUNSETIFF");

  bool csum = false, tso4 = false, tso6 = false;
  if (vnet) {
    int bytes = VNET_HEADER_BYTES;
    if (ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0) return fail_closing(env, fd, "ioctl TUNSETVNETHDRSZ");
    static const unsigned long wishes[] = {TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, TUN_F_CSUM | TUN_F_TSO4, TUN_F_CSUM};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes && !csum; i++) {
      if (ioctl(fd, TUNSETOFFLOAD, wishes[i]) == 0) {
        csum = true;
        tso4 = (wishes[i] & TUN_F_TSO4) != 0;
        tso6 = (wishes[i] & TUN_F_TSO6) != 0;
      }
    }
  }
  if (detached) {
    /* The kernel drops the frames that were steered to the queue in between. */
    struct ifreq queue = {0};
    queue.ifr_flags = IFF_DETACH_QUEUE;
    if (ioctl(fd, TUNSETQUEUE, &queue) < 0) return fail_closing(env, fd, "ioctl TUNSETQUEUE");
  }

  interface.ifr_name[IFNAMSIZ - 1] = 0;
  napi_value name;
  napi_create_object(env, &result);
  napi_create_string_utf8(env, interface.ifr_name, NAPI_AUTO_LENGTH, &name);
  napi_set_named_property(env, result, "fd", ft_i32(env, fd));
  napi_set_named_property(env, result, "name", name);
  napi_set_named_property(env, result, "vnetHdr", ft_bool(env, vnet));
  napi_set_named_property(env, result, "csum", ft_bool(env, csum));
  napi_set_named_property(env, result, "tso4", ft_bool(env, tso4));
  napi_set_named_property(env, result, "tso6", ft_bool(env, tso6));
  napi_set_named_property(env, result, "split", ft_bool(env, !vnet));
  return result;
}

static napi_value set_queue(napi_env env, napi_callback_info info, short flags) {
  napi_value value;
  int32_t fd;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &fd)) return NULL;
  struct ifreq queue = {0};
  queue.ifr_flags = flags;
  if (ioctl(fd, TUNSETQUEUE, &queue) < 0) ft_throw_errno(env, errno, "ioctl TUNSETQUEUE");
  return NULL;
}

static napi_value tap_attach(napi_env env, napi_callback_info info) {
  return set_queue(env, info, IFF_ATTACH_QUEUE);
}

static napi_value tap_detach(napi_env env, napi_callback_info info) {
  return set_queue(env, info, IFF_DETACH_QUEUE);
}

static napi_value if_mtu(napi_env env, napi_callback_info info) {
  napi_value value;
  struct ifreq interface = {0};
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, interface.ifr_name, IFNAMSIZ)) return NULL;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ft_throw_errno(env, errno, "socket");
  if (ioctl(fd, SIOCGIFMTU, &interface) < 0) return fail_closing(env, fd, "ioctl SIOCGIFMTU");
  close(fd);
  return ft_i32(env, interface.ifr_mtu);
}

static napi_value if_describe(napi_env env, napi_callback_info info) {
  napi_value value, result, kind;
  struct ifreq interface = {0};
  struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, interface.ifr_name, IFNAMSIZ)) return NULL;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ft_throw_errno(env, errno, "socket");
  if (ioctl(fd, SIOCGIFFLAGS, &interface) < 0) return fail_closing(env, fd, "ioctl SIOCGIFFLAGS");
  int flags = interface.ifr_flags & 0xffff;
  if (ioctl(fd, SIOCGIFINDEX, &interface) < 0) return fail_closing(env, fd, "ioctl SIOCGIFINDEX");
  int index = interface.ifr_ifindex;
  interface.ifr_data = (char *)&driver;
  /* The driver of TAP and TUN devices names their kind where others name their bus. */
  bool tun = ioctl(fd, SIOCETHTOOL, &interface) == 0 && strcmp(driver.driver, "tun") == 0;
  close(fd);
  napi_create_object(env, &result);
  napi_create_string_utf8(env, tun ? driver.bus_info : "", NAPI_AUTO_LENGTH, &kind);
  napi_set_named_property(env, result, "flags", ft_i32(env, flags));
  napi_set_named_property(env, result, "index", ft_i32(env, index));
  napi_set_named_property(env, result, "kind", kind);
  return result;
}

/* "NAME ADDRESS/PREFIX", empty for an address of another family. */
static void format_address(const struct ifaddrs *entry, char *text, size_t size) {
  char address[INET6_ADDRSTRLEN];
  const void *bytes, *mask;
  size_t length;
  text[0] = 0;
  if (entry->ifa_addr == NULL || entry->ifa_netmask == NULL) return;
  int family = entry->ifa_addr->sa_family;
  if (family == AF_INET) {
    bytes = &((const struct sockaddr_in *)(const void *)entry->ifa_addr)->sin_addr;
    mask = &((const struct sockaddr_in *)(const void *)entry->ifa_netmask)->sin_addr;
    length = 4;
  } else if (family == AF_INET6) {
    bytes = &((const struct sockaddr_in6 *)(const void *)entry->ifa_addr)->sin6_addr;
    mask = &((const struct sockaddr_in6 *)(const void *)entry->ifa_netmask)->sin6_addr;
    length = 16;
  } else {
    return;
  }
  int prefix = 0;
  for (size_t i = 0; i < length; i++) prefix += __builtin_popcount(((const uint8_t *)mask)[i]);
  if (inet_ntop(family, bytes, address, sizeof address) == NULL) return;
  snprintf(text, size, "%s %s/%d", entry->ifa_name, address, prefix);
}

static napi_value if_addresses(napi_env env, napi_callback_info info) {
  (void)info;
  struct ifaddrs *list;
  napi_value result, value;
  char text[IFNAMSIZ + INET6_ADDRSTRLEN + 8];
  uint32_t count = 0;
  if (getifaddrs(&list) < 0) return ft_throw_errno(env, errno, "getifaddrs");
  napi_create_array(env, &result);
  for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
    format_address(entry, text, sizeof text);
    if (text[0] == 0) continue;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    napi_set_element(env, result, count++, value);
  }
  freeifaddrs(list);
  return result;
}

static napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value value;
  int32_t fd;
  if (!ft_args(env, info, 1, &value) || !ft_arg_i32(env, value, &fd)) return NULL;
  /* Linux frees the descriptor even when close is interrupted. */
  if (close(fd) < 0 && errno != EINTR) ft_throw_errno(env, errno, "close");
  return NULL;
}

bool ft_frame_parts(napi_env env, napi_value *args, struct iovec *parts, int *out_count) {
  int32_t offset, length, count;
  void *header, *spans_data;
  size_t header_size, spans_size;
  if (!ft_arg_typed(env, args[1], napi_uint8_array, &header, &header_size)) return false;
  if (!ft_arg_i32(env, args[2], &offset) || !ft_arg_i32(env, args[3], &length)) return false;
  if (!ft_arg_i32(env, args[6], &count)) return false;
  if (offset < 0 || length < 0 || (size_t)offset + (size_t)length > header_size || count < 0 || count > FT_MAX_PIECES) {
    ft_throw_range(env, "header or pieces out of bounds");
    return false;
  }
  parts[0].iov_base = (uint8_t *)header + offset;
  parts[0].iov_len = (size_t)length;
  if (count > 0) {
    if (!ft_arg_typed(env, args[5], napi_int32_array, &spans_data, &spans_size)) return false;
    if (spans_size < 2 * (size_t)count) {
      ft_throw_range(env, "too few spans");
      return false;
    }
    const int32_t *spans = spans_data;
    for (int32_t i = 0; i < count; i++) {
      napi_value piece;
      void *bytes;
      size_t size;
      if (napi_get_element(env, args[4], (uint32_t)i, &piece) != napi_ok) {
        ft_throw_type(env, "expected an array");
        return false;
      }
      if (!ft_arg_typed(env, piece, napi_uint8_array, &bytes, &size)) return false;
      int32_t from = spans[2 * i], span = spans[2 * i + 1];
      if (from < 0 || span < 0 || (size_t)from + (size_t)span > size) {
        ft_throw_range(env, "piece out of bounds");
        return false;
      }
      parts[i + 1].iov_base = (uint8_t *)bytes + from;
      parts[i + 1].iov_len = (size_t)span;
    }
  }
  *out_count = count + 1;
  return true;
}

static napi_value send_frame(napi_env env, napi_callback_info info) {
  napi_value args[7];
  struct iovec parts[FT_MAX_PIECES + 1];
  int fd, count;
  if (!ft_args(env, info, 7, args) || !ft_arg_i32(env, args[0], &fd)) return NULL;
  if (!ft_frame_parts(env, args, parts, &count)) return NULL;
  ssize_t written;
  do {
    written = writev(fd, parts, count);
  } while (written < 0 && errno == EINTR);
  return ft_i32(env, written < 0 ? -errno : (int32_t)written);
}

static napi_value send_split(napi_env env, napi_callback_info info) {
  napi_value args[12];
  struct iovec parts[FT_MAX_PIECES + 1];
  int fd, count;
  ft_offload want;
  if (!ft_args(env, info, 12, args) || !ft_arg_i32(env, args[0], &fd)) return NULL;
  if (!ft_frame_parts(env, args, parts, &count)) return NULL;
  if (!ft_arg_i32(env, args[7], &want.csum_start) || !ft_arg_i32(env, args[8], &want.csum_offset)) return NULL;
  if (!ft_arg_i32(env, args[9], &want.version) || !ft_arg_i32(env, args[10], &want.size)) return NULL;
  if (!ft_arg_bool(env, args[11], &want.ethernet)) return NULL;
  if (want.csum_start < 0 || want.csum_offset < 0 || (want.version != 0 && want.version != 4 && want.version != 6)) {
    return ft_throw_range(env, "no such offload");
  }
  ssize_t written = ft_write_split(fd, parts, count, &want);
  return ft_i32(env, written < 0 ? -errno : (int32_t)written);
}

void ft_tap_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"tapOpen", tap_open},     {"tapAttach", tap_attach},   {"tapDetach", tap_detach},
      {"ifMtu", if_mtu},         {"closeFd", close_fd},       {"send", send_frame},
      {"sendSplit", send_split}, {"ifDescribe", if_describe}, {"ifAddresses", if_addresses},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
