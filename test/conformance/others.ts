/** RFCs beside 9293, by section. */
import { done, not, type Row } from './row.js';

function rfc(number: string): { yes: ReturnType<typeof done>; no: ReturnType<typeof not> } {
  return { yes: done(number), no: not(number) };
}

const r1122 = rfc('1122');
const r1191 = rfc('1191');
const r1337 = rfc('1337');
const r2018 = rfc('2018');
const r2883 = rfc('2883');
const r3042 = rfc('3042');
const r3168 = rfc('3168');
const r9768 = rfc('9768');
const r3522 = rfc('3522');
const r3708 = rfc('3708');
const r4821 = rfc('4821');
const r4987 = rfc('4987');
const r5482 = rfc('5482');
const r5681 = rfc('5681');
const r5682 = rfc('5682');
const r5927 = rfc('5927');
const r5961 = rfc('5961');
const r6191 = rfc('6191');
const r6298 = rfc('6298');
const r6528 = rfc('6528');
const r6582 = rfc('6582');
const r6675 = rfc('6675');
const r6928 = rfc('6928');
const r6937 = rfc('6937');
const r7323 = rfc('7323');
const r8985 = rfc('8985');
const r9438 = rfc('9438');
const REASSEMBLY = 'stack/ip: fragments: overlap spoils the datagram, a duplicate does not, time ends it';
const NETSIM = 'netsim/netsim: two flows share a bottleneck';

export const OTHERS: Row[] = [
  r1122.yes(
    '2.3.2',
    'ARP: ask, answer, hold, age, refresh; bounded',
    'core/neighbours.ts',
    'stack/stack: ARP: entries age, are asked again while in use, and follow a new address',
  ),
  r1122.yes(
    '3.2.2',
    'ICMP: echo, errors out with a limit, never about errors and broadcasts',
    'ip/icmp4.ts',
    'stack/stack: UDP, and errors about it with a rate limit',
    'stack/stack: ICMP echo',
  ),
  r1122.yes('3.3.2', 'reassembly', 'ip/reassembly.ts', REASSEMBLY),
  r1122.yes(
    '4.1',
    'UDP: ports, errors in, checksums, broadcast',
    'udp.ts',
    'stack/dgram: groups, broadcast and hop limits',
  ),
  r1191.yes('6', 'path MTU discovery, verified and remembered', 'stack.ts core/path-mtu.ts'),
  r1191.yes('5', 'a router that does not tell its MTU', 'core/path-mtu.ts'),
  r1337.yes('3', 'RST does not end TIME-WAIT, unless it answers our answer to a SYN', 'tcp/receive/unmatched.ts'),
  r2018.yes('2', 'SACK permitted, when both say so', 'tcp/handshake/syn-options.ts'),
  r2018.yes('3', 'the option, beside timestamps', 'tcp/send/segment.ts'),
  r2018.yes('4', 'what the receiver reports', 'tcp/tcb/reassembly.ts'),
  r2018.yes('5', 'what the sender does of it', 'tcp/loss/recovery.ts'),
  r2018.yes('8', 'a receiver that takes back what it reported', 'tcp/loss/recovery.ts'),
  r2883.yes('4', 'DSACK sent, of whole and of partial duplicates', 'tcp/send/segment.ts tcp/receive/text.ts'),
  r2883.yes('5', 'DSACK used', 'tcp/loss/recovery.ts'),
  r3042.yes('2', 'limited transmit', 'tcp/loss/recovery.ts'),
  r3168.yes('6.1.1', 'ECN negotiated', 'tcp/loss/ecn.ts'),
  r3168.yes('6.1.2', 'the sender slows down once per round trip', 'tcp/loss/recovery.ts'),
  r3168.yes('6.1.3', 'the receiver echoes marks until CWR', 'tcp/loss/ecn.ts'),
  r3168.yes('6.1.5', 'no mark on retransmissions', 'tcp/send/segment.ts'),
  r3522.yes('3.2', 'Eifel detection by timestamps', 'tcp/loss/recovery.ts'),
  r3708.yes('3', 'undo by DSACK', 'tcp/loss/recovery.ts'),
  r4821.yes('7', 'black holes: smaller segments when full ones go unanswered', 'tcp/send/probes.ts'),
  rfc('1191').yes('6.3', 'the larger size is tried again after ten minutes', 'tcp/loss/mtu-probe.ts'),
  rfc('8899').yes('3', 'the loss of a probe is no sign of congestion', 'tcp/loss/mtu-probe.ts'),
  rfc('8899').yes('5.3.3', 'ten minutes after it shrank, the larger size is tried', 'tcp/loss/mtu-probe.ts'),
  r4987.yes(
    '3.6',
    'SYN cookies, with their options in the timestamp',
    'tcp/handshake/syn-cookie.ts tcp/handshake/cookie-handshake.ts',
  ),
  r4987.yes(
    '3.1',
    'bounded backlogs',
    'tcp/handshake/listener.ts',
    'stack/stack: a flood of SYNs meets the backlog, and goes away by itself',
  ),
  r5482.yes('3', 'user timeout, local', 'tcp/timers.ts'),
  r5482.no('3.1', 'the user timeout option', 'no peer is known to send it'),
  r5681.yes('3.1', 'slow start and congestion avoidance', 'tcp/congestion/new-reno.ts'),
  r5681.yes('3.2', 'fast retransmit and recovery', 'tcp/loss/recovery.ts'),
  r5681.yes('4.1', 'restart after idle', 'tcp/send/output.ts'),
  r5682.yes('2.1', 'F-RTO', 'tcp/loss/recovery.ts'),
  r5927.yes('4.1', 'only errors with SND.UNA =< SEG.SEQ < SND.NXT', 'stack.ts'),
  r5927.yes('7', 'ICMP only about what is in flight', 'stack.ts'),
  r5961.yes('3.2', 'blind RST', 'tcp/receive/input.ts'),
  r5961.yes('4.2', 'blind SYN', 'tcp/receive/input.ts'),
  r5961.yes('5.2', 'blind data', 'tcp/receive/input.ts'),
  r5961.yes('7', 'a limit of challenges, and of answers to pure ACKs', 'tcp/tcp.ts tcp/receive/invalid.ts'),
  r6191.yes('2', 'TIME-WAIT gives way to a newer SYN', 'tcp/receive/unmatched.ts'),
  r6298.yes('2.1', 'RTO of one second at first', 'tcp/tcb/rtt.ts'),
  r6298.yes('2.2', 'the first measurement', 'tcp/tcb/rtt.ts'),
  r6298.yes('3', "Karn's algorithm", 'tcp/receive/acknowledge.ts'),
  r6298.yes('5.1', 'the timer runs while something is in flight', 'tcp/send/output.ts'),
  r6298.yes('5.2', 'and stops when nothing is', 'tcp/receive/acknowledge.ts'),
  r6298.yes('5.3', 'and starts anew with each acknowledgement', 'tcp/receive/acknowledge.ts'),
  r6298.yes('5.5', 'backs off', 'tcp/tcb/rtt.ts'),
  r6298.no('2.4', 'a minimum of one second', '200 ms beyond SRTT, as kernels have; F-RTO and Eifel take mistakes back'),
  r6528.yes('3', 'initial sequence numbers', 'tcp/tcp.ts'),
  r6582.yes('3.2', 'NewReno', 'tcp/loss/recovery.ts'),
  r6675.yes('5', 'recovery by SACK', 'tcp/loss/recovery.ts'),
  r6928.yes('2', 'a window of ten at first', 'tcp/congestion/controller.ts'),
  r6937.yes('3', 'proportional rate reduction', 'tcp/loss/recovery.ts'),
  r7323.yes('2.2', 'window scale offered and agreed', 'tcp/handshake/syn-options.ts'),
  r7323.yes('2.3', 'no more than 14', 'tcp/handshake/syn-options.ts'),
  r7323.yes(
    '3.2',
    'timestamps only when agreed; without them a segment is dropped then',
    'tcp/send/segment.ts tcp/receive/input.ts',
  ),
  r7323.yes('4.3', 'which timestamp is echoed; none of a discarded segment', 'tcp/receive/input.ts'),
  r7323.yes('5.2', 'timestamps wrap', 'tcp/receive/input.ts'),
  r7323.yes('5.3', 'PAWS', 'tcp/receive/input.ts'),
  r7323.yes('5.5', 'not after 24 days of silence', 'tcp/receive/input.ts'),
  rfc('7413').yes('4.1.1', 'the option and its cookie', 'tcp/fast-open-cookies.ts'),
  rfc('7413').yes('4.1.2', 'cookies given and checked', 'tcp/fast-open-cookies.ts'),
  rfc('7413').yes(
    '4.1.3.1',
    'servers and paths that refuse the option are remembered',
    'tcp/fast-open-cookies.ts tcp/handshake/active-open.ts tcp/handshake/syn-sent.ts',
  ),
  rfc('7413').yes('4.2.1', 'the client', 'tcp/handshake/active-open.ts tcp/handshake/syn-sent.ts'),
  rfc('7413').yes('4.2.2', 'the server; not with a backup', 'tcp/handshake/passive-open.ts tcp/send/segment.ts'),
  rfc('7413').yes('5.1', 'a limit of connections before their handshake', 'tcp/handshake/listener.ts'),
  rfc('7661').no('all', 'congestion window validation', 'RFC 5681 restart instead'),
  r8985.yes('6.2', 'RACK, with its reordering window', 'tcp/loss/recovery.ts tcp/tcb/scoreboard.ts'),
  r8985.yes('7.2', 'tail loss probe, not later than the RTO', 'tcp/send/output.ts tcp/timers.ts'),
  r8985.yes('7.3', 'and what it sends', 'tcp/send/probes.ts'),
  r9438.yes('4.2', 'the cubic window', 'tcp/congestion/cubic.ts', NETSIM),
  r9438.yes('4.3', 'not slower than Reno', 'tcp/congestion/cubic.ts', NETSIM),
  r9438.yes('4.6', 'a factor of 0.7', 'tcp/congestion/cubic.ts'),
  r9438.yes('4.7', 'fast convergence', 'tcp/congestion/cubic.ts', NETSIM),
  r9768.yes('3.1.1', 'accurate ECN negotiated, as server and client', 'tcp/loss/ecn.ts'),
  r9768.yes('3.1.2', 'peers that know the classic kind, none, or copy bits', 'tcp/loss/ecn.ts'),
  r9768.yes('3.1.4', 'a SYN that goes unanswered is sent without', 'tcp/loss/ecn.ts'),
  r9768.yes('3.1.5', 'no CWR; marks are answered also without a codepoint; the latest SYN counts', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.1', 'counters begin at five', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.2', 'marked packets are counted in three bits', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.2.1', 'the first acknowledgement has a meaning of its own', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.2.2', 'each change of the count is a mark', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.2.3', 'a path that meddles with codepoints', 'tcp/loss/ecn.ts'),
  r9768.yes('3.2.2.5.1', 'marks are reported at once, then in twos', 'tcp/loss/ecn.ts'),
  r9768.no('3.2.3', 'the AccECN option', 'optional; the response depends on whether there were marks, not on bytes'),
  rfc('pacing').yes(
    'all',
    'sending spread over the round trip, an option',
    'tcp/send/output.ts',
    'netsim/netsim: pacing: a short queue holds what bursts would overflow',
  ),
  rfc('tuning').yes(
    'receive',
    'the receive window grows as path and reader can use it',
    'tcp/receive-window.ts',
    'stack/autotune: the receive window follows the path and the reader',
  ),
  rfc('tuning').yes(
    'send',
    'the send buffer follows the window; a backup is told how far',
    'app-endpoint.ts',
    'stack/autotune: the send buffer follows the window where the path is long',
  ),
  // Below TCP
  rfc('791').yes(
    '3.2',
    'fragments taken and made',
    'ip/ipv4.ts ip/reassembly.ts',
    REASSEMBLY,
    'interop/tools: ping-fragments',
  ),
  rfc('1812').yes(
    '5',
    'forwarding, TTL, errors',
    'ip/ipv4.ts',
    'stack/ip: a router says when there is no way, and when the time to live is over',
  ),
  rfc('2236').yes(
    'all',
    'IGMP version 2',
    'link/igmp.ts',
    'stack/ip: groups: only members hear; IGMP and MLD tell the link',
  ),
  rfc('3810').yes(
    '5',
    'MLD version 2 reports',
    'link/neighbour-discovery.ts',
    'stack/ip: groups: only members hear; IGMP and MLD tell the link',
  ),
  rfc('4443').yes(
    'all',
    'ICMPv6',
    'ip/icmp6.ts',
    'stack/ip: a router says when there is no way, and when the time to live is over',
  ),
  rfc('4861').yes(
    '7',
    'neighbour discovery',
    'link/neighbour-discovery.ts core/neighbours.ts',
    'stack/ip: TCP over IPv6, with loss, with and without offload',
  ),
  rfc('4862').yes(
    '5.4',
    'duplicate address detection',
    'link/neighbour-discovery.ts',
    'stack/ip: duplicate address detection: the second one does not get the address',
  ),
  rfc('4862').yes(
    '5.5',
    'autoconfiguration',
    'link/neighbour-discovery.ts',
    'stack/ip: autoconfiguration: address, default route, MTU and hop limit come and go',
  ),
  rfc('5227').yes(
    '2.3',
    'announcement',
    'link/interface.ts',
    'stack/stack: ARP: a flood of strangers stays bounded, and somebody with our address is counted',
  ),
  rfc('5227').yes(
    '2.4',
    'defence, at most every ten seconds',
    'link/interface.ts',
    'stack/stack: ARP: a flood of strangers stays bounded, and somebody with our address is counted',
  ),
  rfc('5227').yes(
    '2.1',
    'probing of IPv4 addresses, on demand: a replica must take its address over at once',
    'link/address-probe.ts',
    'stack/ip: an IPv4 address that is probed is ours seconds later, unless somebody has it',
  ),
  rfc('5722').yes('4', 'overlapping fragments spoil the datagram', 'ip/reassembly.ts', REASSEMBLY),
  rfc('6724').yes(
    '5',
    'source addresses: scope and prefix',
    'link/interface.ts',
    'stack/ip: link-local addresses reach each other; the interface identifiers are stable and differ',
  ),
  rfc('7217').yes(
    '5',
    'opaque interface identifiers',
    'link/interface.ts',
    'stack/ip: link-local addresses reach each other; the interface identifiers are stable and differ',
  ),
  rfc('8200').yes('4', 'extension headers and fragments', 'lib/packet/ipv6.ts ip/ipv6.ts', REASSEMBLY),
  rfc('8201').yes(
    '4',
    'path MTU discovery',
    'ip/icmp6.ts core/path-mtu.ts',
    'stack/ip: a router between two links; path MTU discovery across it',
  ),
  rfc('802.1Q').yes(
    '9',
    'VLAN tags',
    'lib/device/vlan.ts',
    'stack/vlan: two networks on one wire do not hear each other',
  ),
  rfc('2131').no('all', 'DHCP', 'addresses are configured, or by autoconfiguration'),
];
