/**
 * Packet scripts: a conversation with the stack, line by line, over the control server's session
 * (test/dut) in virtual time. What each kind of line means is in docs/internals/packet-scripts.md.
 */
import { sum16, TcpView, writeIpv4, writeTcpHeader } from '../../lib/index.js';
import { Session } from '../dut/session.js';
import { RelaySession } from './relay-session.js';
import { fields, ip, micros, normal, ScriptError } from './syntax.js';

const LOCAL = '10.0.0.1';
const PEER = '10.0.0.2';
const FLAGS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128, N: 256 };
/**
 * Times are good to that: the stack's timers have a millisecond's grain, and some follow each
 * other.
 */
const TIME_TOLERANCE_US = 5000;

export class Script {
  readonly #session: Session | RelaySession;
  readonly #answers = new Map<string, string>();
  readonly #names = new Map<string, string>();
  readonly #labels = new Map<string, string>();
  #id = 0;
  /** Initial sequence numbers: ours is learnt, the peer's is chosen. */
  #iss = -1;
  #irs = 1000;
  #local = 80;
  #peer = 5000;
  /** Scripts about a relay go back to connections that they know: the initial number of each. */
  readonly #isses = new Map<string, number>();
  #ipId = 1;
  /** How long the peer takes to answer in `open`. */
  #rtt = '0';
  /** The stack's timestamp in what it sent last. */
  #lastTs = 0;
  /** The last Fast Open cookie that the stack has sent. */
  #lastCookie = '';
  #queue: { atUs: number; packet: Buffer }[] = [];
  readonly #view = new TcpView();

  /**
   * @param takeovers after every line the primary vanishes and its backup goes on.
   * @param relay the stack has a relay, and packets of its two connections are looked at by port.
   */
  constructor(
    readonly takeovers = false,
    readonly relay = false,
  ) {
    const answer = (line: string): void => {
      const [id, ...rest] = line.split(' ');
      this.#answers.set(id, rest.join(' '));
    };
    this.#session = relay ? new RelaySession(answer) : new Session(answer);
    this.#expectOk('config', `ip ${LOCAL}/24`);
    if (takeovers) this.#expectOk('config', 'backup 1');
  }

  /** Runs a script. @throws ScriptError with the line's number. */
  run(source: string): void {
    source.split('\n').forEach((line, index) => {
      const text = line.replace(/(^|\s)#.*$/, '').trim();
      if (text === '') return;
      try {
        this.#line(text);
        if (this.takeovers && !/^(config|isn|rtt|ports) /.test(text)) this.#expectOk('takeover');
      } catch (error) {
        throw new ScriptError(
          `line ${index + 1}: ${text}\n  ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    });
  }

  /**
   * Closes every socket with a reset and lets all that lasts pass: nothing may be held then.
   * @throws ScriptError saying what is
   */
  finish(): void {
    for (let fd = 3; fd < 40; fd++) {
      this.#call('setopt', `${fd} SO_LINGER 1 0`);
      this.#call('close', `${fd}`);
    }
    this.#expectOk('advance', String(micros('400s')));
    const stats = this.#expectOk('stats');
    for (const name of ['connections', 'timeWaits', 'timers']) this.#range(stats, name, '0');
  }

  // --- The session ---

  #start(verb: string, args: string): string {
    const id = String(++this.#id);
    const known = args.replace(/\$(\w+)/g, (whole, name: string) => this.#names.get(name) ?? whole);
    this.#session.line(`${id} ${verb}${known === '' ? '' : ` ${known}`}`);
    return id;
  }

  #call(verb: string, args = ''): string {
    return this.#answers.get(this.#start(verb, args)) ?? 'blocked';
  }

  #expectOk(verb: string, args = ''): string {
    const answer = this.#call(verb, args);
    if (answer !== 'ok' && !answer.startsWith('ok ')) throw new ScriptError(`answered "${answer}"`);
    return answer.slice(3);
  }

  /** Packets that the stack has sent and no line has looked at. */
  #collect(): void {
    for (;;) {
      const id = this.#emitId;
      const answer = this.#answers.get(id);
      if (answer === undefined) return;
      const [, atUs, hex] = answer.split(' ');
      this.#queue.push({ atUs: Number(atUs), packet: Buffer.from(hex ?? '', 'hex') });
      this.#emitId = this.#start('emit', '');
    }
  }

  #emitId = '';

  // --- Lines ---

  #line(text: string): void {
    const [first, ...words] = text.split(/\s+/);
    const rest = text.slice(first.length).trim();
    switch (first) {
      case 'config':
      case 'isn':
      case 'rtt':
      case 'ports':
        this.#setting(first, rest, words);
        return;
      case '<':
        this.#inject(rest);
        return;
      case '>':
        this.#expect(rest);
        return;
      case 'icmp':
        this.#icmp(words);
        return;
      case 'open':
        this.#open(words[0], rest.slice(words[0].length).trim());
        return;
      case 'dial':
        this.#dial(words[0], rest.slice(words[0].length).trim());
        return;
      case 'start':
        this.#labels.set(words[0], this.#start(words[1], this.#expand(words.slice(2).join(' '))));
        return;
      case 'done':
        this.#compare(
          this.#answers.get(this.#labels.get(words[0]) ?? '') ?? 'blocked',
          rest.replace(/^\S+\s*(=>)?\s*/, ''),
        );
        return;
      case 'info':
        this.#info(words);
        return;
      case 'stat':
        this.#stat(words);
        return;
      default:
        if (first.startsWith('+')) {
          this.#expectOk('advance', String(micros(first.slice(1))));
          return;
        }
        this.#verb(text);
    }
  }

  #setting(kind: string, rest: string, words: string[]): void {
    if (kind === 'config') this.#expectOk('config', rest);
    else if (kind === 'isn') this.#irs = Number(words[0]);
    else if (kind === 'rtt') this.#rtt = words[0];
    else {
      this.#local = Number(words[0]);
      this.#peer = Number(words[1]);
      // Another connection has another initial sequence number.
      this.#iss = (this.relay ? this.#isses.get(`${this.#local} ${this.#peer}`) : undefined) ?? -1;
    }
  }

  /**
   * "open c mss 1000 wscale 2": the peer connects, with these options in its SYN, and is accepted
   * as `c`.
   */
  #open(name: string, options: string): void {
    if (!this.#names.has(`s${this.#local}`)) {
      const listener = `s${this.#local}`;
      this.#names.set(listener, this.#expectOk('socket', 'tcp 4'));
      this.#expectOk('bind', `$${listener} ${LOCAL} ${this.#local}`);
      this.#expectOk('listen', `$${listener} 16`);
    }
    this.#inject(`S seq 0 win 65535 ${options}`);
    this.#expect('SA seq 0 ack 1');
    this.#expectOk('advance', String(micros(this.#rtt)));
    const ts = /\bts (\d+) /.exec(options);
    this.#inject(`A seq 1 ack 1 ${ts === null ? '' : `ts ${ts[1]} last`}`);
    this.#names.set(name, this.#expectOk('accept', `$s${this.#local}`).split(' ')[0]);
  }

  /**
   * "dial c mss 1000": the stack connects to the peer as `c`; the options are those of the peer's
   * answer.
   */
  #dial(name: string, options: string): void {
    this.#names.set(name, this.#expectOk('socket', 'tcp 4'));
    this.#expectOk('bind', `$${name} ${LOCAL} ${this.#local}`);
    const call = this.#start('connect', `$${name} ${PEER} ${this.#peer}`);
    this.#expect('S seq 0');
    const ts = /\bts (\d+) /.exec(options);
    this.#inject(
      `SA seq 0 ack 1 win 65535 ${ts === null ? options : options.replace(ts[0], `ts ${ts[1]} last `).replace(/last +\S+/, 'last')}`,
    );
    this.#expect('A seq 1 ack 1');
    if (this.#answers.get(call) !== 'ok') throw new ScriptError(`connect answered ${this.#answers.get(call)}`);
  }

  /** "c = accept $s", "send $c 0102 => ok 2", "connect $c 10.0.0.2 80 => err EINPROGRESS". */
  #verb(text: string): void {
    const [left, expected] = text.split(/\s*=>\s*/);
    const match = /^(?:(\w+)\s*=\s*)?(\w+)\s*(.*)$/.exec(left);
    if (match === null) throw new ScriptError('not understood');
    const [, name, verb, args] = match;
    const answer = this.#call(verb, this.#expand(args));
    if (expected !== undefined) {
      this.#compare(answer, expected);
    } else if (answer !== 'ok' && !answer.startsWith('ok ')) throw new ScriptError(`answered "${answer}"`);
    if (name !== undefined) this.#names.set(name, answer.split(' ')[1] ?? '');
  }

  /** "bytes:100" is 100 bytes of a pattern. */
  #expand(args: string): string {
    return args.replace(/bytes:(\d+)(?:@(\d+))?/g, (_all, n: string, from: string | undefined) =>
      pattern(Number(from ?? 0), Number(n)).toString('hex'),
    );
  }

  #compare(answer: string, expected: string): void {
    const want = this.#expand(expected);
    if (answer !== want) throw new ScriptError(`answered "${answer}", expected "${want}"`);
  }

  /** "info $c tcpi_rto 200000..1000000" or a number. */
  #info(words: string[]): void {
    this.#range(this.#expectOk('info', words[0]), words[1], words[2]);
  }

  #stat(words: string[]): void {
    this.#range(this.#expectOk('stats'), words[0], words[1]);
  }

  #range(answer: string, name: string, wanted: string): void {
    const pair = answer.split(' ').find((word) => word.startsWith(`${name}=`));
    if (pair === undefined) throw new ScriptError(`there is no ${name}`);
    const value = Number(pair.slice(name.length + 1));
    const [least, most] = wanted.includes('..') ? wanted.split('..') : [wanted, wanted];
    if (value < Number(least === '' ? '-Infinity' : least) || value > Number(most === '' ? 'Infinity' : most))
      throw new ScriptError(`${name} is ${value}, expected ${wanted}`);
  }

  // --- In ---

  #inject(text: string): void {
    const { flags, values } = fields(text);
    const number = (name: string, otherwise: number): number => Number(values.get(name) ?? otherwise);
    const length = number('len', 0);
    const bits = [...flags].reduce((sum, letter) => {
      const bit = FLAGS[letter];
      if (bit === undefined) throw new ScriptError(`no flag ${letter}`);
      return sum | bit;
    }, 0);
    const options = this.#options(values);
    const header = 20 + options.length;
    const packet = new Uint8Array(20 + header + length);
    const view = new DataView(packet.buffer);
    const seq = (this.#irs + number('seq', 0)) >>> 0;
    const ack = values.has('ackraw')
      ? number('ackraw', 0)
      : (bits & 16) !== 0
        ? (Math.max(0, this.#iss) + number('ack', 0)) >>> 0
        : 0;
    writeTcpHeader(packet, view, 20, {
      srcPort: this.#peer,
      dstPort: this.#local,
      seq,
      ack,
      flags: bits,
      window: number('win', 65_535),
      urgent: number('urp', 0),
      headerLength: header,
    });
    packet.set(options, 40);
    packet.set(pattern(number('data', number('seq', 1) - 1), length), 20 + header);
    const total = packet.length;
    const tos = values.has('ce') ? 3 : values.has('ect') ? 2 : 0;
    const from = ip(values.get('from') ?? PEER);
    const to = ip(values.get('to') ?? LOCAL);
    writeIpv4(packet, view, 0, {
      tos,
      totalLength: total,
      id: this.#ipId++ & 0xffff,
      fragment: 0x4000,
      ttl: 64,
      protocol: 6,
      src: from,
      dst: to,
    });
    const pseudo = sum16(packet, 12, 8, 0) + 6 + total - 20;
    view.setUint16(36, ~sum16(packet, 20, total - 20, pseudo) & 0xffff);
    if (values.has('badsum')) packet[36] ^= 1;
    this.#expectOk('inject', withIpOptions(packet, values.get('ipopt')).toString('hex'));
  }

  #options(values: Map<string, string>): Uint8Array {
    const out: number[] = [];
    const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
    if (values.has('mss')) out.push(2, 4, Number(values.get('mss')) >> 8, Number(values.get('mss')) & 255);
    if (values.has('wscale')) out.push(1, 3, 3, Number(values.get('wscale')));
    if (values.has('sackok')) out.push(1, 1, 4, 2);
    const ts = values.get('ts');
    if (ts !== undefined) {
      const [val, ecr] = ts.split(' ');
      out.push(1, 1, 8, 10, ...u32(Number(val)), ...u32(ecr === 'last' ? this.#lastTs : Number(ecr)));
    }
    const cookie = values.get('tfo');
    if (cookie !== undefined) {
      const bytes = cookie === 'request' ? [] : [...Buffer.from(cookie === 'last' ? this.#lastCookie : cookie, 'hex')];
      out.push(34, 2 + bytes.length, ...bytes);
    }
    const sack = values.get('sack');
    if (sack !== undefined) {
      const edges = sack.split(',').flatMap((range) => range.split('-').map(Number));
      out.push(1, 1, 5, 2 + 4 * edges.length);
      for (const edge of edges) out.push(...u32((this.#iss + edge) >>> 0));
    }
    const raw = values.get('opt');
    if (raw !== undefined) out.push(...Buffer.from(raw, 'hex'));
    while (out.length % 4 !== 0) out.push(1);
    return Uint8Array.from(out);
  }

  /** "icmp TYPE CODE SEQ [mtu N]": an error about a segment of ours with that sequence number. */
  #icmp(words: string[]): void {
    const message = new Uint8Array(36);
    const view = new DataView(message.buffer);
    message[0] = Number(words[0]);
    message[1] = Number(words[1]);
    if (words[3] === 'mtu') view.setUint16(6, Number(words[4]));
    writeIpv4(message, view, 8, {
      tos: 0,
      totalLength: 1500,
      id: 1,
      fragment: 0x4000,
      ttl: 64,
      protocol: 6,
      src: ip(LOCAL),
      dst: ip(PEER),
    });
    view.setUint16(28, this.#local);
    view.setUint16(30, this.#peer);
    view.setUint32(32, (this.#iss + Number(words[2])) >>> 0);
    view.setUint16(2, ~sum16(message, 0, 36, 0) & 0xffff);
    const packet = new Uint8Array(56);
    writeIpv4(packet, new DataView(packet.buffer), 0, {
      tos: 0,
      totalLength: 56,
      id: this.#ipId++ & 0xffff,
      fragment: 0,
      ttl: 64,
      protocol: 1,
      src: ip(PEER),
      dst: ip(LOCAL),
    });
    packet.set(message, 20);
    this.#expectOk('inject', Buffer.from(packet).toString('hex'));
  }

  // --- Out ---

  #expect(text: string): void {
    if (this.#emitId === '') this.#emitId = this.#start('emit', '');
    this.#collect();
    if (text === 'none') {
      const next = this.#queue.find(({ packet }) => this.#isHere(packet));
      if (next !== undefined) throw new ScriptError(`the stack sent ${this.#describe(next.packet)}`);
      return;
    }
    if (text === 'any') {
      this.#queue = [];
      return;
    }
    const next = this.#takeNext();
    if (next === undefined) throw new ScriptError('the stack sent nothing');
    const shown = this.#describe(next.packet);
    const { flags, values } = fields(text);
    const seen = fields(shown);
    const wrong: string[] = [];
    if (flags !== '*' && normal(flags) !== normal(seen.flags)) wrong.push(`flags ${seen.flags}`);
    for (const [name, value] of values) {
      if (name === 'at') {
        if (Math.abs(next.atUs - micros(value)) > TIME_TOLERANCE_US) wrong.push(`at ${next.atUs / 1e6}s`);
      } else if (name === 'nosack' || name === 'nots' || name === 'notfo') {
        if (seen.values.has(name.slice(2))) wrong.push(`${name.slice(2)} ${seen.values.get(name.slice(2))}`);
      } else if (name === 'ts') {
        const [, ecr] = value.split(' ');
        const [, theirs] = (seen.values.get('ts') ?? '').split(' ');
        if (theirs === undefined || (ecr !== '*' && ecr !== theirs)) wrong.push(`ts ${seen.values.get('ts')}`);
      } else if (value.includes('..')) {
        const [least, most] = value.split('..').map(Number);
        const got = Number(seen.values.get(name));
        if (!(got >= least && got <= most)) wrong.push(`${name} ${seen.values.get(name)}`);
      } else if (value === '*') {
        if (!seen.values.has(name)) wrong.push(`no ${name}`);
      } else if (seen.values.get(name) !== value) wrong.push(`${name} ${seen.values.get(name)}`);
    }
    if (wrong.length > 0) throw new ScriptError(`the stack sent ${shown}\n  differs in: ${wrong.join(', ')}`);
  }

  /** Whether a packet is of the connection that the script looks at. */
  #isHere(packet: Buffer): boolean {
    return !this.relay || (packet.readUInt16BE(20) === this.#local && packet.readUInt16BE(22) === this.#peer);
  }

  #takeNext(): { atUs: number; packet: Buffer } | undefined {
    const at = this.#queue.findIndex(({ packet }) => this.#isHere(packet));
    return at < 0 ? undefined : this.#queue.splice(at, 1)[0];
  }

  #describe(packet: Buffer): string {
    const bytes = new Uint8Array(packet);
    const view = new DataView(bytes.buffer);
    if (bytes[9] !== 6) return `protocol-${bytes[9]}`;
    const header = (bytes[0] & 15) * 4;
    // Whatever it says, its checksums are right (RFC 9293 MUST-2).
    const pseudo = sum16(bytes, 12, 8, 0) + 6 + packet.length - header;
    if (sum16(bytes, 0, header, 0) !== 0xffff || sum16(bytes, header, packet.length - header, pseudo) !== 0xffff)
      throw new ScriptError('the stack sent a packet with a wrong checksum');
    const seg = this.#view;
    seg.parse(bytes, view, header, packet.length - header);
    if ((seg.flags & 2) !== 0 && this.#iss < 0) {
      this.#iss = seg.seq;
      this.#isses.set(`${this.#local} ${this.#peer}`, seg.seq);
    }
    const letters = Object.entries(FLAGS).filter(([, bit]) => (seg.flags & bit) !== 0);
    const out = [letters.map(([letter]) => letter).join('') || '.'];
    const signed = (value: number): number => (this.#iss < 0 ? value : (value - this.#iss) | 0);
    out.push(`seq ${signed(seg.seq)}`);
    if ((seg.flags & 16) !== 0) out.push(`ack ${(seg.ack - this.#irs) | 0}`);
    out.push(`len ${seg.payloadLength}`, `win ${seg.window}`, `ttl ${bytes[8]}`, `dscp ${bytes[1] >>> 2}`);
    if ((seg.flags & 32) !== 0) out.push(`urp ${seg.urgent}`);
    if (seg.mss > 0) out.push(`mss ${seg.mss}`);
    if (seg.windowScale >= 0) out.push(`wscale ${seg.windowScale}`);
    if (seg.sackPermitted) out.push('sackok');
    if (seg.tsPresent) {
      this.#lastTs = seg.tsVal;
      out.push(`ts ${seg.tsVal} ${seg.tsEcr}`);
    }
    if (seg.fastOpenLength >= 0) {
      const cookie = packet.subarray(seg.fastOpenAt, seg.fastOpenAt + seg.fastOpenLength).toString('hex');
      if (cookie !== '') this.#lastCookie = cookie;
      out.push(`tfo ${cookie === '' ? 'request' : cookie}`);
    }
    if (seg.sackCount > 0) {
      const ranges: string[] = [];
      for (let i = 0; i < seg.sackCount; i++) {
        ranges.push(`${(seg.sackEdges[2 * i] - this.#irs) | 0}-${(seg.sackEdges[2 * i + 1] - this.#irs) | 0}`);
      }
      out.push(`sack ${ranges.join(',')}`);
    }
    if ((bytes[1] & 3) !== 0) out.push((bytes[1] & 3) === 3 ? 'ce' : 'ect');
    return out.join(' ');
  }
}

/** A packet with IP options (hexadecimal, a multiple of four bytes) put into its header. */
function withIpOptions(packet: Uint8Array, options: string | undefined): Buffer {
  if (options === undefined) return Buffer.from(packet);
  const extra = Buffer.from(options, 'hex');
  const out = Buffer.concat([packet.subarray(0, 20), extra, packet.subarray(20)]);
  out[0] = 0x40 | ((20 + extra.length) / 4);
  out.writeUInt16BE(out.length, 2);
  out.writeUInt16BE(0, 10);
  out.writeUInt16BE(~sum16(out, 0, 20 + extra.length, 0) & 0xffff, 10);
  return out;
}

/** Bytes of a stream from an offset on. */
export function pattern(from: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let i = 0; i < length; i++) out[i] = ((from + i) * 7) & 255;
  return out;
}
