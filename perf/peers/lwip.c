/*
 * lwIP as Debian packages it (liblwip-dev), on a TAP without offload, with what peer.c serves: a
 * source, a sink, an echo.
 *
 *   lwip TAP ADDRESS SOURCE SINK ECHO      prints "ready"
 *
 * The raw API, in lwIP's own thread: the fastest that it has. The driver is ours: the one in
 * Debian's library (2.1.3) writes beyond its buffers for frames of more than 592 bytes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <lwip/init.h>
#include <lwip/ip4_addr.h>
#include <lwip/netif.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <netif/etharp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char data[65536];
static struct netif net;
static int ports[3];
static const char *address;

static int tap = -1;

static err_t send_frame(struct netif *netif, struct pbuf *p) {
  static char frame[2048];
  u16_t length = pbuf_copy_partial(p, frame, sizeof frame, 0);
  (void)netif;
  return write(tap, frame, length) == length ? ERR_OK : ERR_IF;
}

static void read_frames(void *arg) {
  char frame[2048];
  (void)arg;
  for (;;) {
    ssize_t length = read(tap, frame, sizeof frame);
    if (length <= 0) exit(1);
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);
    if (p == NULL) continue;
    memcpy(p->payload, frame, (size_t)length);
    if (net.input(p, &net) != ERR_OK) pbuf_free(p);
  }
}

static err_t open_device(struct netif *netif) {
  netif->name[0] = 't';
  netif->name[1] = 'p';
  netif->output = etharp_output;
  netif->linkoutput = send_frame;
  netif->mtu = 1500;
  netif->hwaddr_len = 6;
  memcpy(netif->hwaddr, "\x02\x00\x00\x00\x81\x02", 6);
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
  sys_thread_new("device", read_frames, NULL, DEFAULT_THREAD_STACKSIZE, DEFAULT_THREAD_PRIO);
  return ERR_OK;
}

static err_t fill(void *arg, struct tcp_pcb *pcb, u16_t length) {
  (void)arg;
  (void)length;
  for (;;) {
    u32_t room = tcp_sndbuf(pcb);
    if (room == 0) break;
    if (room > 32768) room = 32768;
    if (tcp_write(pcb, data, (u16_t)room, 0) != ERR_OK) break;
  }
  tcp_output(pcb);
  return ERR_OK;
}

static err_t discard(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
  (void)arg;
  (void)err;
  if (p == NULL) return tcp_close(pcb);
  tcp_recved(pcb, p->tot_len);
  pbuf_free(p);
  return ERR_OK;
}

static err_t repeat(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
  (void)arg;
  (void)err;
  if (p == NULL) return tcp_close(pcb);
  for (struct pbuf *part = p; part != NULL; part = part->next) tcp_write(pcb, part->payload, part->len, TCP_WRITE_FLAG_COPY);
  tcp_recved(pcb, p->tot_len);
  pbuf_free(p);
  tcp_output(pcb);
  return ERR_OK;
}

static err_t take_source(void *arg, struct tcp_pcb *pcb, err_t err) {
  (void)err;
  tcp_sent(pcb, fill);
  tcp_recv(pcb, discard);
  return fill(arg, pcb, 0);
}

static err_t take_sink(void *arg, struct tcp_pcb *pcb, err_t err) {
  (void)arg;
  (void)err;
  tcp_recv(pcb, discard);
  return ERR_OK;
}

static err_t take_echo(void *arg, struct tcp_pcb *pcb, err_t err) {
  (void)arg;
  (void)err;
  tcp_nagle_disable(pcb);
  tcp_recv(pcb, repeat);
  return ERR_OK;
}

static void serve(int port, tcp_accept_fn take) {
  struct tcp_pcb *pcb = tcp_new();
  if (pcb == NULL || tcp_bind(pcb, IP_ADDR_ANY, (u16_t)port) != ERR_OK) exit(1);
  pcb = tcp_listen_with_backlog(pcb, 200);
  tcp_accept(pcb, take);
}

static void start(void *arg) {
  ip4_addr_t ip, mask, gateway;
  ip4addr_aton(address, &ip);
  IP4_ADDR(&mask, 255, 255, 255, 0);
  IP4_ADDR(&gateway, 0, 0, 0, 0);
  netif_add(&net, &ip, &mask, &gateway, NULL, open_device, tcpip_input);
  netif_set_default(&net);
  netif_set_up(&net);
  netif_set_link_up(&net);
  serve(ports[0], take_source);
  serve(ports[1], take_sink);
  serve(ports[2], take_echo);
  sys_sem_signal((sys_sem_t *)arg);
}

int main(int argc, char **argv) {
  sys_sem_t done;
  struct ifreq request = {0};
  if (argc != 6) return 2;
  address = argv[2];
  for (int i = 0; i < 3; i++) ports[i] = atoi(argv[i + 3]);
  tap = open("/dev/net/tun", O_RDWR);
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0) {
    perror("TAP");
    return 1;
  }
  sys_sem_new(&done, 0);
  tcpip_init(start, &done);
  sys_sem_wait(&done);
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
