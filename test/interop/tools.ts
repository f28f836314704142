/**
 * Outside tools against `ft-tcp serve` on a TAP and on a TUN device. A tool that the machine lacks
 * is told, not failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { chargenText } from '../../failover/cli/services.js';
import { ip } from '../../failover/lab/network.js';
import { findTool } from '../../failover/lab/required-tools.js';
import { ADDRESSES, makeDevice, PORT, removeDevice, TAP } from './network.js';
import { StackProcess } from './stack-process.js';

export interface Outcome {
  outcome: 'passed' | 'failed' | 'known' | 'absent';
  text: string;
}

export interface Check {
  name: string;
  run(): Promise<Outcome>;
}

const BIN = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
const NAMES = { tap: 'svtap', tun: 'svtun' } as const;
type Mode = keyof typeof NAMES;
const OURS = { 4: '10.80.0.1', 6: 'fd80::1' } as const;
const STACK = { 4: '10.80.0.2', 6: 'fd80::2' } as const;
type Family = keyof typeof STACK;
const TIMEOUT_MS = 60_000;

interface Ran {
  status: number | null;
  out: string;
  sha256: string;
  bytes: number;
  /** The last of the output. */
  end: string;
}

function run(command: string, args: string[]): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const hash = createHash('sha256');
    let bytes = 0;
    let out = '';
    let end = '';
    child.stdout.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
      if (out.length < 20_000) out += chunk.toString('latin1');
      end = (end + chunk.toString('latin1')).slice(-20_000);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (out.length < 20_000) out += chunk.toString('latin1');
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    child.once('close', (status) => {
      clearTimeout(timer);
      done({ status, out, end, bytes, sha256: hash.digest('hex') });
    });
  });
}

async function serving<T>(mode: Mode, body: () => Promise<T>): Promise<T> {
  const name = NAMES[mode];
  ip(`tuntap add dev ${name} mode ${mode} vnet_hdr`);
  ip(`addr add ${OURS[4]}/24 dev ${name}`);
  ip(`-6 addr add ${OURS[6]}/64 dev ${name} nodad`);
  ip(`link set ${name} up`);
  const words = [BIN, 'serve', `--${mode}`, name, '--ip', `${STACK[4]}/24`, '--ip', `${STACK[6]}/64`];
  const server: ChildProcess = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await new Promise<void>((ready, fail) => {
      server.stdout!.once('data', () => ready());
      server.once('exit', (code) => fail(new Error(`ft-tcp serve ended with ${code}`)));
    });
    return await body();
  } finally {
    const ended = new Promise<void>((done) => server.once('exit', () => done()));
    server.kill('SIGTERM');
    await ended;
    ip(`link del ${name}`);
  }
}

/** The first `length` bytes of the web server's answer, as its pattern says. */
function expectedHash(length: number): string {
  const cycle = chargenText(95);
  const hash = createHash('sha256');
  for (let left = length; left > 0; left -= cycle.length) hash.update(cycle.subarray(0, Math.min(left, cycle.length)));
  return hash.digest('hex');
}

function url(family: Family, path: string): string {
  return family === 4 ? `http://${STACK[4]}${path}` : `http://[${STACK[6]}]${path}`;
}

const BYTES = 20_000_000;

/** Each: a tool, its words, and what its output has to look like. */
function toolRuns(family: Family): { name: string; tool: string; args: string[]; good: (ran: Ran) => boolean }[] {
  const to = STACK[family];
  const dash = `-${family}`;
  const text = (pattern: RegExp) => (ran: Ran) => ran.status === 0 && pattern.test(ran.out);
  return [
    { name: 'ping', tool: 'ping', args: [dash, '-c', '3', '-i', '0.05', to], good: text(/ 0% packet loss/) },
    {
      name: 'ping-fragments',
      tool: 'ping',
      args: [dash, '-c', '3', '-i', '0.05', '-s', '8000', to],
      good: text(/ 0% packet loss/),
    },
    {
      name: 'curl',
      tool: 'curl',
      args: ['-sS', '--max-time', '50', url(family, `/bytes/${BYTES}`)],
      good: (ran) => ran.status === 0 && ran.bytes === BYTES && ran.sha256 === expectedHash(BYTES),
    },
    {
      name: 'curl-upload',
      tool: 'curl',
      args: [
        '-sS',
        '--max-time',
        '50',
        '--data-binary',
        `@${process.execPath}`,
        '-o',
        '/dev/null',
        '-w',
        '%{size_upload} %{size_download}',
        url(family, '/'),
      ],
      good: (ran) => ran.status === 0 && /^(\d{7,}) \1$/.test(ran.out),
    },
    {
      name: 'wget',
      tool: 'wget',
      args: ['-q', '-O', '-', '--timeout=50', url(family, `/bytes/${BYTES}`)],
      good: (ran) => ran.status === 0 && ran.sha256 === expectedHash(BYTES),
    },
    {
      name: 'nmap-sT',
      tool: 'nmap',
      args: ['-n', '-Pn', '-sT', ...(family === 6 ? ['-6'] : []), '-p', '1-100', to],
      good: (ran) =>
        text(/7\/tcp +open/)(ran) &&
        /13\/tcp +open/.test(ran.out) &&
        /80\/tcp +open/.test(ran.out) &&
        /closed/.test(ran.out),
    },
    {
      name: 'nmap-sU',
      tool: 'nmap',
      args: ['-n', '-Pn', '-sU', ...(family === 6 ? ['-6'] : []), '-p', '7,13,99', '--max-retries', '2', to],
      good: (ran) => text(/13\/udp +open/)(ran) && /99\/udp +closed/.test(ran.out),
    },
    {
      name: 'tracepath',
      tool: 'tracepath',
      args: [dash, '-n', '-m', '3', to],
      good: (ran) => text(/pmtu 1500/)(ran) && /reached/.test(ran.out),
    },
  ];
}

function only4(): { name: string; tool: string; args: string[]; good: (ran: Ran) => boolean }[] {
  const to = STACK[4];
  return [
    {
      name: 'nmap-O',
      tool: 'nmap',
      args: ['-n', '-Pn', '-O', '-p', '7,80,99', to],
      good: (ran) => ran.status === 0 && /80\/tcp +open/.test(ran.out),
    },
    {
      name: 'hping3-syn',
      tool: 'hping3',
      args: ['-S', '-p', '80', '-c', '5', '-i', 'u20000', to],
      good: (ran) => / 0% packet loss/.test(ran.out) && /flags=SA/.test(ran.out),
    },
    {
      name: 'hping3-udp',
      tool: 'hping3',
      args: ['--udp', '-p', '7', '-c', '3', '-i', 'u20000', '-d', '20', to],
      good: (ran) => / 0% packet loss/.test(ran.out),
    },
  ];
}

const IPERF_PORT = 5201;

/**
 * iperf3 speaks to a server of its own behind the stack: what the stack receives goes on over the
 * loopback, and back.
 */
async function iperf(family: Family, reverse: boolean): Promise<Outcome> {
  const path = findTool('iperf3');
  if (path === null) return { outcome: 'absent', text: 'iperf3 is not installed' };
  const { stack: address, bits } = ADDRESSES[family];
  makeDevice(1500, true);
  const stack = new StackProcess();
  const server = spawn(path, ['-s', '-1', '--forceflush', '-p', String(IPERF_PORT)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await once(server.stdout, 'data');
    await stack.run({
      op: 'start',
      tap: TAP,
      addresses: [`${address}/${bits}`],
      offload: true,
      impairment: {},
      seed: 'iperf3',
      port: PORT,
      ecn: 'accept',
    });
    await stack.run({ op: 'relay', port: IPERF_PORT });
    const ran = await run(path, [
      `-${family}`,
      '-c',
      address,
      '-p',
      String(IPERF_PORT),
      ...(reverse ? ['-R'] : []),
      '-P',
      '4',
      '-n',
      '100M',
      '-J',
    ]);
    const sum = (name: string): number =>
      Number(new RegExp(`"${name}":\\s*\\{[^}]*"bytes":\\s*(\\d+)`).exec(ran.end)?.[1]);
    // The receiver stops counting when the sender is done, whatever is still in the relay.
    if (ran.status === 0 && sum('sum_sent') >= 100_000_000 && sum('sum_received') > 50_000_000)
      return { outcome: 'passed', text: '' };
    return { outcome: 'failed', text: `exit ${ran.status}: ${ran.end.slice(-400)}` };
  } finally {
    server.kill('SIGKILL');
    await stack.kill();
    removeDevice();
  }
}

export function toolChecks(): Check[] {
  const checks: Check[] = [];
  for (const family of [4, 6] as const) {
    for (const reverse of [false, true]) {
      const name = `tool.tap.v${family}.iperf3${reverse ? '-R' : ''}`;
      checks.push({ name, run: () => iperf(family, reverse) });
    }
  }
  for (const mode of ['tap', 'tun'] as const) {
    for (const family of [4, 6] as const) {
      const runs = [...toolRuns(family), ...(family === 4 && mode === 'tap' ? only4() : [])];
      for (const { name, tool, args, good } of runs) {
        checks.push({
          name: `tool.${mode}.v${family}.${name}`,
          run: async () => {
            const path = findTool(tool);
            if (path === null) return { outcome: 'absent', text: `${tool} is not installed` };
            const ran = await serving(mode, () => run(path, args));
            if (good(ran)) return { outcome: 'passed', text: '' };
            return { outcome: 'failed', text: `exit ${ran.status}, ${ran.bytes} bytes: ${ran.out.slice(0, 400)}` };
          },
        });
      }
    }
  }
  return checks;
}
