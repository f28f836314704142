/**
 * The stack's counters under the names of the standard MIBs: TCP (RFC 4022), UDP (RFC 4113), IP and
 * ICMP (RFC 4293).
 */
import type { Stack } from './stack.js';
import { TcpState } from './tcp/state.js';

/**
 * Numbers by name; what no MIB has keeps our own name, with its place in front
 * ("tcp.challengeAcks").
 */
export function mib(stack: Stack): Record<string, number> {
  const { tcp, udp, icmp, icmp6, ipv4, ipv6 } = stack;
  let established = 0;
  tcp.table.forEach((conn) => {
    if (conn.state === TcpState.Established || conn.state === TcpState.CloseWait) established++;
  });
  let inErrors = 0;
  for (const net of stack.interfaces) for (const count of net.drops) inErrors += count;
  const out: Record<string, number> = {
    tcpActiveOpens: tcp.counters.activeOpens,
    tcpPassiveOpens: tcp.counters.passiveOpens,
    tcpAttemptFails: tcp.counters.attemptFails,
    tcpEstabResets: tcp.counters.estabResets,
    tcpCurrEstab: established,
    tcpInSegs: tcp.counters.inSegs,
    tcpOutSegs: tcp.counters.outSegs - tcp.counters.retransSegs,
    tcpRetransSegs: tcp.counters.retransSegs,
    tcpInErrs: stack.counters.badChecksum,
    tcpOutRsts: tcp.counters.outRsts,
    udpInDatagrams: udp.counters.inDatagrams,
    udpNoPorts: udp.counters.noPorts,
    udpInErrors: udp.counters.inErrors,
    udpOutDatagrams: udp.counters.outDatagrams,
    ipSystemStatsInReceives: stack.counters.inPackets,
    ipSystemStatsInHdrErrors: inErrors,
    ipSystemStatsInNoRoutes: stack.counters.noRoute,
    ipSystemStatsInForwDatagrams: ipv4.counters.forwarded + ipv6.counters.forwarded,
    ipSystemStatsReasmReqds: ipv4.fragments.counters.received + ipv6.fragments.counters.received,
    ipSystemStatsReasmOKs: ipv4.fragments.counters.reassembled + ipv6.fragments.counters.reassembled,
    ipSystemStatsReasmFails:
      ipv4.fragments.counters.timeouts +
      ipv6.fragments.counters.timeouts +
      ipv4.fragments.counters.overlaps +
      ipv6.fragments.counters.overlaps,
    ipSystemStatsOutFragCreates: ipv4.counters.fragmentsSent + ipv6.counters.fragmentsSent,
    icmpStatsInMsgs: icmp.counters.inEchos + icmp.counters.inErrors + icmp6.counters.inEchos + icmp6.counters.inErrors,
    icmpStatsOutMsgs:
      icmp.counters.outEchoReps + icmp.counters.outErrors + icmp6.counters.outEchoReps + icmp6.counters.outErrors,
    connections: tcp.table.size,
    timeWaits: tcp.timeWaits.size,
    timers: stack.wheel.size,
    notForUs: stack.counters.notForUs,
    addresses: stack.book.size,
    pathMtus: stack.paths.size,
  };
  for (const [name, value] of Object.entries(tcp.counters)) if (typeof value === 'number') out[`tcp.${name}`] = value;
  for (const [name, value] of Object.entries(icmp.counters)) out[`icmp.${name}`] = value;
  for (const [name, value] of Object.entries(icmp6.counters)) out[`icmp6.${name}`] = value;
  return out;
}
