/**
 * The scenarios: a program, its clients, the path between them, and what the clients have to see.
 */
import type { StackHost } from '../../stack/stack-host.js';
import type { Client } from './clients.js';
import { Adder, adding } from './datagrams.js';
import { ledger, Scribe } from './disk.js';
import { GATEWAY_SCENARIOS } from './gateway-scenarios.js';
import { GaugeReader, gauge } from './gauge.js';
import { Downloader, download, Echoer, echo, PORT, ResetClient, resetter, Sleeper, SlowReader } from './programs.js';
import { INNER_PORT, innerServer, proxy } from './proxy-programs.js';
import { Asker, delayed, HalfCloser, halfClosed, Requester, Uploader, upload } from './request-programs.js';
import { at, DOWN, LOSSY, many, type Scenario } from './scenario.js';
import { bothModes, stateDownload, stateEcho, stateProxy } from './state-programs.js';
import { Asking, tally } from './tally.js';

export { type Scenario, survives } from './scenario.js';

function tallying(host: StackHost, address: string, questions: number): Client[] {
  const given = new Set<number>();
  return many(3, 4, () => new Asking(host, questions, 3 * questions, given), at(address));
}

const LAGGARD = { turns: 1, restUs: 1500 };

export const SCENARIOS: Scenario[] = [
  {
    name: 'download',
    program: download(DOWN),
    clients: (host, address) => many(1, 0, () => new Downloader(host, DOWN), at(address)),
  },
  {
    name: 'download-loss',
    program: download(DOWN),
    link: LOSSY,
    clients: (host, address) => many(1, 0, () => new Downloader(host, DOWN), at(address)),
  },
  {
    name: 'download-6',
    program: download(40_000),
    family: 6,
    clients: (host, address) => many(2, 9, () => new Downloader(host, 40_000), at(address)),
  },
  {
    name: 'zero-window',
    program: download(1_200_000),
    clients: (host, address) => many(1, 0, () => new SlowReader(host, 1_200_000), at(address)),
  },
  {
    name: 'upload',
    program: upload,
    clients: (host, address) => many(2, 20, (n) => new Uploader(host, n, 60_000), at(address)),
  },
  {
    name: 'upload-loss',
    program: upload,
    link: LOSSY,
    clients: (host, address) => many(1, 0, (n) => new Uploader(host, n, 120_000), at(address)),
  },
  {
    // The device has always more at hand: acknowledgements wait.
    name: 'upload-batches',
    program: upload,
    batch: 2,
    sparse: 12,
    clients: (host, address) => many(4, 1, (n) => new Uploader(host, n, 150_000, 1 << 17), at(address)),
  },
  {
    // Long enough for the receive window to grow.
    name: 'upload-long',
    program: upload,
    link: { delayUs: 15_000 },
    sparse: 10,
    logBytes: 8 << 20,
    clients: (host, address) => many(1, 0, (n) => new Uploader(host, n, 2_500_000, 1 << 20), at(address)),
  },
  {
    name: 'echo',
    program: (replica) => echo(replica),
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 12, 3), at(address)),
  },
  {
    name: 'echo-sender',
    program: (replica) => echo(replica),
    sender: true,
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 12, 3), at(address)),
  },
  {
    name: 'download-sender',
    program: download(DOWN),
    sender: true,
    sparse: 2,
    clients: (host, address) => many(1, 0, () => new Downloader(host, DOWN), at(address)),
  },
  {
    name: 'datagrams',
    program: adding,
    clients: (host, address) => many(3, 4, (n) => new Adder(host, n, 12), at(address)),
  },
  {
    // A disk that is slow, and full in the end.
    name: 'disk',
    program: ledger,
    diskRoom: 20 * 64,
    clients: (host, address, disk) => many(3, 3, (n) => new Scribe(host, n, 12, disk), at(address)),
  },
  {
    name: 'disk-acked-loss',
    program: ledger,
    commit: 'acked',
    link: LOSSY,
    clients: (host, address, disk) => many(3, 3, (n) => new Scribe(host, n, 10, disk), at(address)),
  },
  {
    name: 'gauge',
    program: gauge,
    clients: (host, address, disk) => many(2, 3, (n) => new GaugeReader(host, n, 9, disk), at(address)),
  },
  {
    name: 'gauge-acked-loss',
    program: gauge,
    commit: 'acked',
    link: LOSSY,
    clients: (host, address, disk) => many(2, 3, (n) => new GaugeReader(host, n, 7, disk), at(address)),
  },
  {
    name: 'datagrams-acked',
    program: adding,
    commit: 'acked',
    clients: (host, address) => many(2, 4, (n) => new Adder(host, n, 9), at(address)),
  },
  {
    name: 'echo-acked',
    program: (replica) => echo(replica),
    commit: 'acked',
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 8, 3), at(address)),
  },
  {
    name: 'upload-acked-loss',
    program: upload,
    commit: 'acked',
    link: LOSSY,
    clients: (host, address) => many(2, 10, (n) => new Uploader(host, n, 50_000), at(address)),
  },
  {
    // Nobody listens before the program has been started: a SYN of that time waits for its own
    // timer.
    name: 'state-echo',
    patienceUs: 1_300_000,
    program: (replica) => stateEcho(replica),
    mode: 'state',
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 10, 3), at(address)),
  },
  {
    // The next program listens before it is needed: no SYN has to wait.
    name: 'state-echo-warm',
    program: (replica) => stateEcho(replica),
    mode: 'state',
    warm: true,
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 10, 3), at(address)),
  },
  {
    name: 'state-tally-warm',
    program: tally,
    mode: 'state',
    warm: true,
    sparse: 2,
    clients: (host, address) => tallying(host, address, 10),
  },
  {
    // One listener in state mode beside one that is replayed: who takes over has its program at
    // hand.
    name: 'mixed',
    program: bothModes,
    clients: (host, address) => [
      ...many(2, 4, (n) => new Echoer(host, n, 8, 3), at(address)),
      ...many(2, 5, (n) => new Echoer(host, n, 8, 2), at(address, PORT + 1)),
    ],
  },
  {
    name: 'upgrade',
    program: (replica) => echo(replica),
    upgrade: true,
    sparse: 2,
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 8, 3), at(address)),
  },
  {
    name: 'upgrade-streams',
    program: download(DOWN),
    upgrade: true,
    link: LOSSY,
    sparse: 2,
    clients: (host, address) => many(2, 3, () => new Downloader(host, DOWN), at(address)),
  },
  {
    // The log is never stable to its end.
    name: 'echo-acked-busy',
    program: (replica) => echo(replica),
    commit: 'acked',
    laggard: { turns: 1, restUs: 400 },
    sparse: 2,
    clients: (host, address) => many(8, 1, (n) => new Echoer(host, n, 8, 1), at(address)),
  },
  {
    name: 'download-acked-busy',
    program: download(60_000),
    commit: 'acked',
    laggard: LAGGARD,
    sparse: 2,
    link: { loss: 0.01 },
    clients: (host, address) => many(8, 1, () => new Downloader(host, 60_000), at(address)),
  },
  {
    name: 'upload-acked-busy',
    program: upload,
    commit: 'acked',
    laggard: LAGGARD,
    sparse: 2,
    link: { loss: 0.01, reorder: 0.02, reorderUs: 2000 },
    clients: (host, address) => many(6, 1, (n) => new Uploader(host, n, 60_000), at(address)),
  },
  {
    name: 'short-acked-busy',
    program: download(3000),
    commit: 'acked',
    laggard: LAGGARD,
    clients: (host, address) => many(12, 1, () => new Downloader(host, 3000), at(address)),
  },
  {
    name: 'reset-acked-busy',
    program: resetter,
    resets: [PORT],
    commit: 'acked',
    laggard: LAGGARD,
    clients: (host, address) => many(6, 1, () => new ResetClient(host), at(address)),
  },
  {
    name: 'outgoing-acked-busy',
    program: (replica) => proxy(replica),
    commit: 'acked',
    laggard: LAGGARD,
    sparse: 2,
    clients: (host, address) => {
      innerServer(host);
      return many(5, 1, (n) => new Echoer(host, n, 4, 2), at(address));
    },
  },
  {
    name: 'state-acked-busy',
    patienceUs: 1_300_000,
    program: (replica) => {
      stateEcho(replica);
      stateDownload(20_000, PORT + 1)(replica);
    },
    mode: 'state',
    commit: 'acked',
    laggard: LAGGARD,
    sparse: 2,
    clients: (host, address) => [
      ...many(4, 1, (n) => new Echoer(host, n, 6, 2), at(address)),
      ...many(4, 1, () => new Downloader(host, 20_000), at(address, PORT + 1)),
    ],
  },
  {
    name: 'mixed-acked-loss',
    program: bothModes,
    commit: 'acked',
    link: LOSSY,
    clients: (host, address) => [
      ...many(2, 4, (n) => new Echoer(host, n, 6, 3), at(address)),
      ...many(2, 5, (n) => new Echoer(host, n, 6, 2), at(address, PORT + 1)),
    ],
  },
  {
    // A replica that joins when the log has lost its beginning is given what the program has saved
    // of older connections.
    name: 'rejoin',
    program: (replica) => stateEcho(replica),
    logBytes: 1 << 16,
    forgets: true,
    sparse: 2,
    clients: (host, address) => many(3, 4, (n) => new Echoer(host, n, 30, 2), at(address)),
  },
  {
    // It repeats what each connection has been told, at the numbers and times of then; the stamps
    // in what is said show it.
    name: 'independent',
    program: (replica) => {
      echo(replica, 511, { independent: true });
      delayed(replica, { port: PORT + 1, independent: true });
      download(DOWN, { port: PORT + 2, independent: true })(replica);
    },
    logBytes: 1 << 17,
    forgets: true,
    sparse: 4,
    clients: (host, address) => [
      ...many(3, 4, (n) => new Echoer(host, n, 24, 2), at(address)),
      ...many(3, 5, (n) => new Requester(host, n * 20, 12), at(address, PORT + 1)),
      ...many(2, 9, () => new Downloader(host, DOWN), at(address, PORT + 2)),
    ],
  },
  {
    name: 'rejoin-tally',
    program: tally,
    logBytes: 1 << 16,
    forgets: true,
    sparse: 2,
    clients: (host, address) => tallying(host, address, 30),
  },
  {
    name: 'state-tally',
    patienceUs: 1_300_000,
    program: tally,
    mode: 'state',
    sparse: 2,
    clients: (host, address) => tallying(host, address, 10),
  },
  {
    name: 'rejoin-outgoing',
    program: (replica) => stateProxy(replica),
    logBytes: 1 << 17,
    forgets: true,
    sparse: 4,
    resets: [INNER_PORT],
    clients: (host, address) => {
      innerServer(host);
      return [
        ...many(3, 7, (n) => new Echoer(host, n, 20, 2), at(address)),
        ...many(3, 25, (n) => new Echoer(host, n, 5, 2), at(address)),
      ];
    },
  },
  {
    name: 'rejoin-streams',
    program: (replica) => {
      stateEcho(replica);
      stateDownload(1_200_000, PORT + 1)(replica);
    },
    logBytes: 1 << 18,
    forgets: true,
    sparse: 20,
    clients: (host, address) => [
      ...many(3, 4, (n) => new Echoer(host, n, 60, 2), at(address)),
      ...many(2, 30, () => new SlowReader(host, 1_200_000), at(address, PORT + 1)),
    ],
  },
  {
    name: 'state-echo-acked-loss',
    program: (replica) => stateEcho(replica),
    mode: 'state',
    commit: 'acked',
    link: LOSSY,
    clients: (host, address) => many(2, 4, (n) => new Echoer(host, n, 8, 2), at(address)),
  },
  {
    name: 'state-download',
    patienceUs: 1_300_000,
    program: stateDownload(DOWN),
    mode: 'state',
    clients: (host, address) => many(2, 5, () => new Downloader(host, DOWN), at(address)),
  },
  {
    name: 'half-closed',
    program: halfClosed,
    clients: (host, address) => {
      const asker = new Asker(host, 24_000);
      return [...many(1, 0, (n) => new HalfCloser(host, n, asker, address), at(address)), asker];
    },
  },
  {
    name: 'timers',
    program: (replica) => delayed(replica),
    clients: (host, address) => many(4, 3, (n) => new Requester(host, n * 10, 5), at(address)),
  },
  {
    name: 'outgoing',
    program: (replica) => proxy(replica),
    clients: (host, address) => {
      innerServer(host);
      return many(2, 15, (n) => new Echoer(host, n, 6, 2), at(address));
    },
  },
  {
    name: 'state-outgoing',
    patienceUs: 1_300_000,
    program: (replica) => stateProxy(replica),
    mode: 'state',
    // One that was being opened is nobody's after a takeover.
    resets: [INNER_PORT],
    clients: (host, address) => {
      innerServer(host);
      return many(3, 7, (n) => new Echoer(host, n, 8, 2), at(address));
    },
  },
  {
    // What a server in state mode has opened, in a group that is replayed.
    name: 'mixed-outgoing',
    program: (replica) => {
      stateProxy(replica, { replication: 'state' });
      echo(replica, 511, { port: PORT + 1 });
    },
    resets: [INNER_PORT],
    sparse: 2,
    clients: (host, address) => {
      innerServer(host);
      return [
        ...many(2, 7, (n) => new Echoer(host, n, 8, 2), at(address)),
        ...many(2, 9, (n) => new Echoer(host, n, 8, 3), at(address, PORT + 1)),
      ];
    },
  },
  {
    name: 'reset',
    program: resetter,
    resets: [PORT],
    clients: (host, address) => many(2, 8, () => new ResetClient(host), at(address)),
  },
  {
    name: 'short',
    program: download(300),
    clients: (host, address) => many(15, 2, () => new Downloader(host, 300), at(address)),
  },
  {
    // More at once than the backlog holds: SYN cookies. Nothing is logged of them, so that one
    // whose SYN was in the hands of a process that dies waits for its own timer.
    name: 'cookies',
    patienceUs: 1_300_000,
    program: (replica) => echo(replica, 2),
    clients: (host, address) => many(8, 0, (n) => new Echoer(host, n, 3, 2), at(address)),
  },
  {
    name: 'idle',
    program: (replica) => echo(replica),
    clients: (host, address) => many(5, 1, (n) => new Sleeper(host, n, 2, 0), at(address)),
  },
  ...GATEWAY_SCENARIOS,
];
