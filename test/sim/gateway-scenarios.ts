/** Scenarios of the gateway: servers that know nothing of it, in the clients' stack. */
import {
  echoServer,
  gateway,
  greetingServer,
  LateSender,
  openGateway,
  Puller,
  resettingServer,
  SECOND_PORT,
  streamServer,
  sumServer,
} from './gateway-programs.js';
import { Echoer, ResetClient } from './programs.js';
import { INNER_PORT, innerServer } from './proxy-programs.js';
import { Uploader } from './request-programs.js';
import { at, DOWN, LOSSY, many, type Scenario } from './scenario.js';

/**
 * A replica with a gateway. A successor resets a connection to a server that has no client yet.
 */
const RELAYED = {
  prepare: gateway(),
  program: openGateway,
  mode: 'state',
  resets: [INNER_PORT, SECOND_PORT],
  patienceUs: 1_300_000,
} satisfies Partial<Scenario>;

/** All of them. */
export const GATEWAY_SCENARIOS: Scenario[] = [
  {
    name: 'gateway',
    ...RELAYED,
    clients: (host, address) => {
      innerServer(host);
      return many(3, 4, (n) => new Echoer(host, n, 10, 3), at(address));
    },
  },
  {
    name: 'gateway-late-acked',
    ...RELAYED,
    prepare: gateway({ connect: 'late' }),
    commit: 'acked',
    clients: (host, address) => {
      innerServer(host);
      return many(3, 4, (n) => new Echoer(host, n, 8, 3), at(address));
    },
  },
  {
    name: 'gateway-download-loss',
    ...RELAYED,
    link: LOSSY,
    clients: (host, address) => {
      streamServer(host, DOWN);
      return many(2, 5, (n) => new Puller(host, DOWN, 400 * n), at(address));
    },
  },
  {
    name: 'gateway-upload',
    ...RELAYED,
    clients: (host, address) => {
      sumServer(host);
      return many(2, 20, (n) => new Uploader(host, n, 60_000), at(address));
    },
  },
  {
    name: 'gateway-half-closed',
    ...RELAYED,
    clients: (host, address) => {
      const senders = many(2, 5, (n) => new LateSender(host, n, 4), at(address));
      greetingServer(host, (sum) => {
        for (const sender of senders) sender.received(sum);
      });
      return senders;
    },
  },
  {
    name: 'gateway-reset',
    ...RELAYED,
    resets: [...RELAYED.resets, 80],
    clients: (host, address) => {
      resettingServer(host);
      return many(2, 8, () => new ResetClient(host), at(address));
    },
  },
  {
    // The first server refuses: another one is tried.
    name: 'gateway-retry',
    ...RELAYED,
    prepare: gateway({
      servers: [
        { address: '10.0.0.2', port: INNER_PORT, weight: 1, backup: false, maxConnections: 0 },
        { address: '10.0.0.2', port: SECOND_PORT, weight: 1, backup: false, maxConnections: 0 },
      ],
    }),
    clients: (host, address) => {
      echoServer(host, SECOND_PORT);
      return many(3, 4, (n) => new Echoer(host, n, 6, 3), at(address));
    },
  },
  {
    // A replica that joins when the log has lost its beginning is told of each relay.
    name: 'gateway-rejoin',
    ...RELAYED,
    logBytes: 1 << 19,
    forgets: true,
    sparse: 10,
    clients: (host, address) => {
      streamServer(host, 600_000);
      return many(3, 30, (n) => new Puller(host, 600_000, 100 * n), at(address));
    },
  },
];
