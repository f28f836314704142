/**
 * STATUS of a connection (RFC 9293 section 3.10.6): the fields of Linux's struct tcp_info that
 * apply here.
 */
import type { TcpConnection } from './connection.js';
import { Timer } from './connection.js';
import { TcpState } from './state.js';

const LINUX_STATE: Record<TcpState, number> = {
  [TcpState.Closed]: 7,
  [TcpState.Listen]: 10,
  [TcpState.SynSent]: 2,
  [TcpState.SynRcvd]: 3,
  [TcpState.Established]: 1,
  [TcpState.CloseWait]: 8,
  [TcpState.FinWait1]: 4,
  [TcpState.FinWait2]: 5,
  [TcpState.Closing]: 11,
  [TcpState.LastAck]: 9,
  [TcpState.TimeWait]: 6,
};

/** `tcpi_state` of a listening socket, which has no connection. */
export const LINUX_LISTEN = 10;
const INFINITE = 0x7fffffff;

/** Status in Linux's names and units: times are microseconds or milliseconds, as in Linux. */
export function tcpInfo(conn: TcpConnection): Record<string, number> {
  const { scoreboard, recovery, rtt, cc, tcp } = conn;
  const now = tcp.now;
  const segments = (bytes: number): number => Math.ceil(bytes / conn.sndMss);
  let caState = 0;
  if (recovery.afterTimeout) caState = 4;
  else if (recovery.active) caState = 3;
  else if (conn.sndUna < recovery.ecnPoint) caState = 2;
  else if (scoreboard.sacked > 0 || recovery.dupAcks > 0) caState = 1;
  const ms = (us: number): number => Math.max(0, Math.floor((now - us) / 1000));
  return {
    tcpi_state: LINUX_STATE[conn.state],
    tcpi_ca_state: caState,
    tcpi_retransmits: conn.flightSize > 0 ? rtt.backoff : 0,
    tcpi_probes: conn.deadlines[Timer.Persist] !== Number.POSITIVE_INFINITY ? rtt.backoff : conn.keepAliveProbes,
    tcpi_backoff: rtt.backoff,
    // Timestamps 1, SACK 2, window scale 4, ECN 8.
    tcpi_options:
      (conn.tsOk ? 1 : 0) +
      (conn.sackOk ? 2 : 0) +
      (conn.sndScale > 0 || conn.rcvScale > 0 ? 4 : 0) +
      (conn.ecnOk ? 8 : 0),
    tcpi_snd_wscale: conn.sndScale,
    tcpi_rcv_wscale: conn.rcvScale,
    tcpi_rto: Math.round(rtt.rtoUs()),
    tcpi_ato: 40_000,
    tcpi_snd_mss: conn.sndMss,
    tcpi_rcv_mss: conn.rcvMss,
    tcpi_unacked: segments(conn.flightSize),
    tcpi_sacked: segments(scoreboard.sacked),
    tcpi_lost: segments(scoreboard.lost),
    tcpi_retrans: scoreboard.retransmittedCount(conn.sndMss),
    tcpi_last_data_sent: conn.lastSendUs > 0 ? ms(conn.lastSendUs) : 0,
    tcpi_last_data_recv: conn.lastDataReceivedUs > 0 ? ms(conn.lastDataReceivedUs) : 0,
    tcpi_last_ack_recv: ms(conn.lastReceiveUs),
    tcpi_pmtu: conn.route.mtu,
    tcpi_rtt: Math.round(rtt.srttUs),
    tcpi_rttvar: Math.round(rtt.rttvarUs),
    tcpi_snd_ssthresh: cc.ssthresh === Number.POSITIVE_INFINITY ? INFINITE : Math.floor(cc.ssthresh / conn.sndMss),
    tcpi_snd_cwnd: Math.floor(cc.cwnd / conn.sndMss),
    tcpi_advmss: conn.rcvMss,
    tcpi_rcv_space: conn.receiveLimit,
    tcpi_total_retrans: conn.retransmissions,
    tcpi_bytes_acked: conn.bytesAcked,
    tcpi_bytes_received: Math.max(0, conn.rcvNxt - 1 - (conn.peerFin ? 1 : 0)),
    tcpi_segs_out: conn.segsOut,
    tcpi_segs_in: conn.segsIn,
    tcpi_notsent_bytes: Math.max(0, conn.sndEnd - Math.max(1, conn.sndNxt)),
    tcpi_min_rtt: rtt.minUs === Number.POSITIVE_INFINITY ? 0 : Math.round(rtt.minUs),
    tcpi_data_segs_in: conn.dataSegsIn,
    tcpi_data_segs_out: conn.dataSegsOut,
    tcpi_bytes_sent: conn.bytesSent,
    tcpi_bytes_retrans: conn.bytesRetransmitted,
    tcpi_dsack_dups: conn.dsackDups,
    tcpi_reord_seen: recovery.reorderingSeen ? 1 : 0,
    tcpi_delivered_ce: conn.ceReported,
    tcpi_received_ce: conn.ceReceived,
    tcpi_rcv_ooopack: conn.outOfOrder,
    tcpi_snd_wnd: conn.sndWnd,
    tcpi_rcv_wnd: Math.max(0, conn.rcvAdv - conn.rcvNxt),
  };
}
