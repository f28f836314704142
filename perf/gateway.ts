/**
 * The gateway against HAProxy in TCP mode (splice on). The kernel's clients and servers are at both
 * ends, one proxy is between them. HAProxy runs in another network namespace across a veth, ours on
 * the TAP, without a backup and with one in both commit modes. In turn, medians of the rounds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { median } from '../failover/demo/arrivals.js';
import { CLIENT_ADDRESS, STACK_ADDRESS, TAP, VETH_CLIENT, VETH_SERVER } from '../failover/lab/network.js';
import { ReplicaProcess } from '../failover/lab/replica-process.js';
import { missingTools } from '../failover/lab/required-tools.js';
import { type Row, row } from './goals.js';
import { type Figures, output, type Plan } from './measure.js';
import { kernelServer, PORTS, runClient } from './traffic-client.js';

/** nginx's port, and that of each service of the proxies. */
const PAGES_PORT = 8080;
const SERVICES = [PORTS.source, PORTS.sink, PORTS.echo, PAGES_PORT];
const PROXIES = ['haproxy', 'alone', 'written', 'acked'] as const;
type Proxy = (typeof PROXIES)[number];
/** Services of a proxy listen this far above the servers. */
const SHIFT = 1000;
const START_TRIES = 200;
const PAGE_BYTES = 10_240;

interface Running {
  address: string;
  close: () => Promise<void>;
}

/** The rows of the gateway; none where nginx or HAProxy are not installed. */
export async function measureGateway(
  directory: string,
  client: string,
  holder: ChildProcess,
  plan: Plan,
): Promise<Row[]> {
  const missing = missingTools(['nginx', 'haproxy']);
  if (missing.length > 0) {
    process.stderr.write(`the gateway is not measured: ${missing.join(', ')} not installed\n`);
    return [];
  }
  const streams = await kernelServer(client, process.pid);
  const pages = startNginx(directory);
  const figures = new Map<Proxy, Figures[]>();
  try {
    for (let round = 1; round <= plan.rounds; round++) {
      for (const proxy of PROXIES) {
        const running =
          proxy === 'haproxy' ? await startHaproxy(directory, holder) : await startGateway(directory, proxy);
        try {
          figures.set(proxy, [...(figures.get(proxy) ?? []), await measureOne(running.address, client, plan)]);
        } finally {
          await running.close();
        }
      }
      process.stderr.write(`gateway: round ${round} of ${plan.rounds}\n`);
    }
  } finally {
    await Promise.all([streams, pages].map(ended));
  }
  return compare(figures);
}

async function measureOne(address: string, client: string, { seconds, requests }: Plan): Promise<Figures> {
  const figures: Figures = {};
  for (const [way, port] of [
    ['out', PORTS.source],
    ['in', PORTS.sink],
  ] as const) {
    const direction = way === 'out' ? 'in' : 'out';
    // First the programs are compiled, then they are measured.
    await runClient(client, direction, address, port + SHIFT, 1, seconds / 2);
    for (const streams of [1, 10])
      [figures[`bulk ${way}, ${streams}`]] = (await runClient(
        ...([client, direction, address, port + SHIFT, streams, seconds] as const),
      )) as [number];
  }
  const [p50, p99] = await runClient(client, 'ping', address, PORTS.echo + SHIFT, 64, seconds);
  Object.assign(figures, { 'echo p50': p50, 'echo p99': p99 });
  const words = ['-q', '-n', String(requests), '-c', '100', `http://${address}:${PAGES_PORT + SHIFT}/page`];
  await output('ab', words);
  figures['pages'] = Number(/Requests per second:\s+([\d.]+)/.exec(await output('ab', words))?.[1]);
  return figures;
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}

function startNginx(directory: string): ChildProcess {
  const root = `${directory}/nginx`;
  mkdirSync(root);
  writeFileSync(`${root}/page`, Buffer.alloc(PAGE_BYTES, 'x'));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${root}/${one};`);
  writeFileSync(
    `${root}/nginx.conf`,
    `daemon off; master_process off; pid ${root}/pid; error_log stderr;
events { worker_connections 4096; }
http { access_log off; sendfile on; ${paths.join(' ')}
  server { listen 0.0.0.0:${PAGES_PORT} backlog=4096; root ${root}; } }
`,
  );
  return spawn('nginx', ['-p', root, '-c', `${root}/nginx.conf`, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function startHaproxy(directory: string, holder: ChildProcess): Promise<Running> {
  const services = SERVICES.map(
    (port) => `listen s${port}\n  bind ${VETH_SERVER}:${port + SHIFT}\n  server one ${VETH_CLIENT}:${port}\n`,
  );
  writeFileSync(
    `${directory}/haproxy.cfg`,
    `global\n  maxconn 4000\ndefaults\n  mode tcp\n  option splice-auto\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n${services.join('')}`,
  );
  const words = ['-t', String(holder.pid), '-n', 'haproxy', '-db', '-f', `${directory}/haproxy.cfg`];
  const child = spawn('nsenter', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  await listening(VETH_SERVER, PORTS.echo + SHIFT);
  return { address: VETH_SERVER, close: () => ended(child) };
}

/** Waits until something listens. */
async function listening(address: string, port: number): Promise<void> {
  for (let tries = 0; tries < START_TRIES; tries++) {
    const open = await new Promise<boolean>((done) => {
      const socket = net.connect(port, address);
      socket.once('connect', () => done(true));
      socket.once('error', () => done(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`nothing listens at ${address}:${port}`);
}

let group = 0;

async function startGateway(directory: string, proxy: Exclude<Proxy, 'haproxy'>): Promise<Running> {
  const services = SERVICES.map((port) => ({
    name: `s${port}`,
    listen: `${STACK_ADDRESS}:${port + SHIFT}`,
    servers: [`${CLIENT_ADDRESS}:${port}`],
  }));
  writeFileSync(`${directory}/gateway.json`, JSON.stringify({ services }));
  const words = ['--group', `gateway${group++}`, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
  const more = proxy === 'alone' ? ['--solo'] : ['--commit', proxy];
  const all: ReplicaProcess[] = [];
  for (let n = 0; n < (proxy === 'alone' ? 1 : 2); n++) {
    const replica = new ReplicaProcess(
      [...words, ...more, '--config', `${directory}/gateway.json`],
      undefined,
      'gateway',
    );
    all.push(replica);
    await replica.event('ready', 20_000);
  }
  return { address: STACK_ADDRESS, close: async () => void (await Promise.all(all.map((one) => one.close()))) };
}

const WHAT = { alone: 'without a backup', written: 'with a backup, written', acked: 'with a backup, acked' } as const;

function compare(figures: Map<Proxy, Figures[]>): Row[] {
  const medianOf = (proxy: Proxy, key: string): number =>
    median((figures.get(proxy) ?? []).map((one) => one[key] ?? 0));
  const rows: Row[] = [];
  const bulk = ['bulk out, 1', 'bulk out, 10', 'bulk in, 1', 'bulk in, 10'];
  for (const proxy of ['alone', 'written', 'acked'] as const)
    for (const key of [...bulk, 'pages', 'echo p50', 'echo p99']) {
      const scale = bulk.includes(key) ? 8 / 1e9 : 1;
      const unit = bulk.includes(key) ? 'Gbit/s' : key === 'pages' ? 'requests/s' : 'us';
      const high = proxy === 'alone' ? '>= 1.0' : '>= 0.7';
      const echo = key === 'echo p50' && proxy === 'alone' ? '<= 0.5' : '';
      rows.push(
        row({
          name: `gateway, ${proxy}: ${key}`,
          what: `through the gateway ${WHAT[proxy]}, against HAProxy in TCP mode`,
          unit,
          ours: scale * medianOf(proxy, key),
          against: 'HAProxy, veth',
          other: scale * medianOf('haproxy', key),
          goal: unit === 'us' ? echo : high,
        }),
      );
    }
  return rows;
}
