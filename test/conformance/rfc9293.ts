/** The requirements of RFC 9293, in the order of its appendix B. */
import { done, not, type Row } from './row.js';

const yes = done('9293');
const no = not('9293');
const IN = 'tcp/receive/input.ts';
const ACK = 'tcp/receive/acknowledge.ts';
const TEXT = 'tcp/receive/text.ts';
const UNMATCHED = 'tcp/receive/unmatched.ts';
const WINDOW = 'tcp/receive-window.ts';
const OUT = 'tcp/send/output.ts';
const SEGMENT = 'tcp/send/segment.ts';
const PROBES = 'tcp/send/probes.ts';
const CONN = 'tcp/connection.ts';
const CALLS = 'tcp/user-calls.ts';
const TCP = 'tcp/tcp.ts';
const ACTIVE = 'tcp/handshake/active-open.ts';
const LISTENERS = 'tcp/handshake/listener-table.ts';
const SYN_OPTIONS = 'tcp/handshake/syn-options.ts';
const TCP_OPTIONS = 'tcp/options.ts';
const TIMERS = 'tcp/timers.ts';
const OPTIONS = 'lib/packet/tcp.ts';

export const RFC9293: Row[] = [
  // Push
  yes('MAY-16', 'queue data without PSH', OUT),
  yes('SHLD-27', 'one PSH for what is sent together', OUT),
  yes('MAY-15', 'SEND says where to push: each write ends with PSH', `${OUT} ${SEGMENT}`),
  yes('MUST-60', 'never buffer for ever', OUT),
  yes('MUST-61', 'PSH in the last segment', SEGMENT),
  no('MAY-17', 'tell the program of a received PSH', 'data is delivered at once anyhow'),
  yes('SHLD-28', 'full segments when possible', OUT),
  // Window
  yes('MUST-1', 'the window is unsigned', OPTIONS),
  yes('REC-1', 'and kept with 32 bits or more', CONN),
  yes('SHLD-14', 'never take back window', WINDOW),
  yes('SHLD-15', 'no new data when the peer takes back window', OUT),
  yes('SHLD-16', 'but retransmissions within it', OUT),
  yes('SHLD-17', 'and no time-out for what is beyond it', TIMERS),
  yes('MUST-34', 'robust against a shrinking window', OUT),
  yes('MAY-8', 'our own window may stay closed', WINDOW),
  yes('MUST-35', 'probe a closed window', PROBES),
  yes('MUST-36', 'probe a closed window, as a sender', PROBES),
  yes('SHLD-29', 'first probe after an RTO', OUT),
  yes('SHLD-30', 'then ever more rarely', PROBES),
  yes('MUST-37', 'for as long as the peer answers', TIMERS),
  no('MAY-7', 'retransmit beyond SND.UNA + SND.WND', 'nothing beyond the window is sent at all'),
  yes('MUST-66', 'RST and URG count with a closed window', IN),
  // Urgent
  yes('MUST-30', 'the urgent pointer', `${IN} ${SEGMENT}`),
  yes('MUST-62', 'points behind the urgent data', SEGMENT),
  yes('MUST-31', 'urgent data of any length', IN),
  yes(
    'MUST-32',
    'the user is told at once',
    IN,
    'stack/tcp-user: the user hears of urgent data at once, and how much of it there is',
  ),
  yes(
    'MUST-33',
    'and can ask how much',
    CONN,
    'stack/tcp-user: the user hears of urgent data at once, and how much of it there is',
  ),
  yes(
    'SHLD-13',
    'new programs should not use it: neither sockets nor services do',
    'sockets/socket.ts',
    'stack/sockets: getters and methods',
  ),
  // Options
  yes('MUST-4', 'end, no-operation, MSS', OPTIONS),
  yes('MUST-5', 'options in any segment', OPTIONS),
  yes('MUST-6', 'unknown options are passed over', OPTIONS),
  yes('MUST-68', 'every option but two has a length', OPTIONS),
  yes('MUST-7', 'illegal lengths do no harm', OPTIONS, 'stack/fuzz: '),
  yes('MUST-64', 'options need no alignment', OPTIONS),
  yes('MUST-14', 'MSS sent and received', `${SEGMENT} ${SYN_OPTIONS}`),
  yes('SHLD-5', 'MSS sent unless it is the default', SEGMENT),
  yes('MAY-3', 'MSS sent always', SEGMENT),
  yes('MUST-15', '536, or 1220 over IPv6, without it', SYN_OPTIONS),
  yes('MUST-16', 'the effective segment size', `${SYN_OPTIONS} ${SEGMENT}`),
  yes(
    'SHLD-6',
    'the MSS offered knows of the path',
    `${SYN_OPTIONS} core/path-mtu.ts`,
    'stack/ip: a router between two links; path MTU discovery across it',
  ),
  yes('MUST-65', 'MSS on SYN only', SEGMENT),
  yes('MUST-67', 'MSS offered as large as the link allows, whatever the path outwards is', SEGMENT),
  yes('MUST-69', 'padding of zeros', SEGMENT),
  // Checksum
  yes('MUST-2', 'checksums sent', SEGMENT, 'lib/checksum: all lengths and alignments, in JavaScript and native'),
  yes('MUST-3', 'checksums verified', 'stack.ts'),
  // Initial sequence numbers
  yes('MUST-8', 'a clock of 4 us', TCP),
  yes('SHLD-1', 'and a keyed hash', TCP, 'stack/tcp-states: initial sequence numbers (RFC 6528)'),
  yes('MUST-9', 'that nobody else can compute', 'lib/random.ts', 'lib/random: SipHash-2-4: vectors of its authors'),
  // Opening
  yes('MUST-10', 'simultaneous open', `${IN} tcp/handshake/syn-sent.ts`),
  yes('MUST-11', 'SYN-RECEIVED knows where it came from', IN),
  yes('MUST-41', 'a listener does not disturb others', LISTENERS),
  yes('MUST-42', 'several listeners on a port, of different addresses', LISTENERS),
  yes('MUST-44', 'the source address is chosen by IP', 'stack.ts'),
  yes('MUST-45', 'or is the one that was asked for', ACTIVE),
  yes('MUST-46', 'no connection to broadcast or group', ACTIVE),
  yes('MUST-57', 'nothing for TCP that was sent to broadcast or group', 'ip/ipv4.ts ip/ipv6.ts'),
  // Closing
  yes('SHLD-2', 'a RST may carry data', TCP),
  yes('MUST-12', 'the user learns how it ended', CONN),
  yes('MAY-1', 'half-duplex close', CALLS),
  yes(
    'SHLD-3',
    'says with a RST that data was lost',
    CALLS,
    'stack/tcp-states: unread data at close makes it a RST (RFC 2525 section 2.17)',
  ),
  yes('MUST-13', 'TIME-WAIT of twice the MSL (30 s, an option)', 'tcp/time-wait.ts'),
  yes('MAY-2', 'a newer SYN ends it', UNMATCHED),
  yes('SHLD-4', 'a later timestamp too', UNMATCHED),
  // Retransmission
  yes(
    'MUST-19',
    'backoff, slow start, congestion avoidance',
    'tcp/tcb/rtt.ts tcp/congestion/new-reno.ts',
    'stack/tcp-states: retransmission: doubled intervals, then ETIMEDOUT',
  ),
  no('MAY-4', 'retransmit with the same IP identity', 'new numbers do no harm'),
  yes('MUST-18', "Karn's algorithm", ACK),
  // Acknowledgements
  yes('MUST-58', 'acknowledge together what arrives together', OUT),
  yes('SHLD-31', 'keep what comes too early', 'tcp/tcb/reassembly.ts'),
  yes('MUST-59', 'process all that is there before acknowledging', 'stack.ts'),
  yes('MAY-13', 'acknowledge at once what is out of order', TEXT),
  yes('SHLD-18', 'delayed acknowledgements', TEXT),
  yes('MUST-40', 'by less than half a second', TEXT),
  yes(
    'SHLD-19',
    'every second full segment; up to 2 ms later while the device has more at hand',
    `${TEXT} tcp/send/ack-moderation.ts`,
  ),
  yes('MUST-39', 'no silly windows offered', WINDOW),
  // Sending
  yes('MUST-49', 'TTL configurable', 'ip/ipv4-route.ts ip/ipv6-route.ts'),
  yes('MUST-38', 'no silly segments sent', OUT),
  yes('SHLD-7', 'Nagle', OUT),
  yes('MUST-17', 'and a way round it', OUT),
  // Failures
  yes(
    'MUST-20',
    'R1: the next hop is suspected; R2: the end',
    `${PROBES} ${TIMERS}`,
    'stack/stack: ARP: a neighbour that no answer comes from is asked for again',
  ),
  yes('MUST-21', 'R2 is for the user to set', TIMERS),
  yes(
    'SHLD-9',
    'the user hears between R1 and R2',
    PROBES,
    'stack/tcp-user: the user hears of trouble on the path before the connection ends',
  ),
  yes(
    'SHLD-10',
    'R1 of three retransmissions',
    PROBES,
    'stack/tcp-user: the user hears of trouble on the path before the connection ends',
  ),
  yes(
    'SHLD-11',
    'R2 of more than 100 s',
    TCP_OPTIONS,
    'stack/tcp-states: retransmission: doubled intervals, then ETIMEDOUT',
  ),
  yes('MUST-22', 'the same for SYNs', TIMERS),
  yes('MUST-23', 'of at least three minutes', TCP_OPTIONS),
  // Keepalive
  yes('MAY-5', 'keepalive', TIMERS),
  yes('MUST-24', 'when the user asks', TIMERS),
  yes('MUST-25', 'off by default', CONN),
  yes('MUST-26', 'only on idle connections', TIMERS),
  yes('MUST-27', 'interval configurable', CALLS),
  yes('MUST-28', 'two hours by default', CONN),
  yes('MUST-29', 'one lost answer does not end it', TIMERS),
  yes('SHLD-12', 'probes without data', PROBES),
  no('MAY-6', 'probes with a garbage octet', 'peers that need it are gone'),
  // IP options
  yes('MUST-50', 'unknown IP options are ignored', 'ip/ipv4.ts'),
  no('MAY-10', 'timestamp option', 'nobody looks at it'),
  no('MAY-11', 'record route', 'nobody looks at it'),
  yes(
    'MUST-51',
    'the user can set a source route',
    'ip/ipv4-route.ts',
    'stack/source-route: the user chooses hosts to pass',
  ),
  yes(
    'MUST-52',
    'which overrides the one that a SYN came over',
    'tcp/handshake/passive-open.ts',
    'stack/source-route: the source route of a listener overrides the one that a SYN came over',
  ),
  yes(
    'MUST-53',
    'else the answer takes the same way back; such packets are dropped unless asked for (RFC 7126)',
    'ip/ipv4.ts',
    'stack/source-route: the answer to a SYN over a source route returns over the same route, if the stack accepts source routes',
  ),
  no('SHLD-24', 'a later source route overrides', 'the way of a connection does not change while it lives'),
  // ICMP
  yes('MUST-54', 'ICMP reaches TCP', 'stack.ts ip/icmp4.ts'),
  yes('SHLD-25', 'unreachable (0, 1, 5) is told the user', 'stack.ts'),
  yes('MUST-56', 'and does not end the connection; neither do time exceeded and parameter problem', 'stack.ts'),
  no(
    'SHLD-26',
    'unreachable (2 to 4) ends the connection',
    'an attacker could do it from afar (RFC 5461, RFC 5927); it ends attempts only',
  ),
  yes('MUST-55', 'source quench is ignored', 'ip/icmp4.ts'),
  yes('MUST-63', 'no answer to a SYN from an address that is none', 'stack.ts'),
  // Interface to the user
  yes(
    'MUST-47',
    'soft errors are reported',
    CONN,
    'stack/tcp-user: the user hears of trouble on the path before the connection ends',
  ),
  yes(
    'SHLD-20',
    'to those who ask',
    CONN,
    'stack/tcp-user: the user hears of trouble on the path before the connection ends',
  ),
  yes('MUST-48', 'differentiated services are for the user to set', 'ip/ipv4-route.ts ip/ipv6-route.ts'),
  yes('SHLD-22', 'and passed unchanged', 'ip/ipv4-route.ts'),
  yes('SHLD-21', 'also during a connection', 'ip/ipv4-route.ts'),
  yes(
    'SHLD-23',
    'which programs should not: nothing of ours does',
    'sockets/socket.ts',
    'stack/sockets: getters and methods',
  ),
  no('MAY-9', 'received differentiated services are told', 'nobody has asked'),
  no('MAY-14', 'a FLUSH call', 'nobody has one'),
  yes('MUST-43', 'the local address can be given', ACTIVE),
  // The rest
  yes('MAY-12', 'protection against injected data (RFC 5961)', IN),
  yes('SHLD-8', 'ECN', 'tcp/loss/recovery.ts'),
  yes(
    'MAY-18',
    'another congestion control: CUBIC',
    'tcp/congestion/cubic.ts',
    'netsim/netsim: two flows share a bottleneck',
  ),
];
