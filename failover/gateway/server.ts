/** The servers of a service: their state, and which of them gets a new connection. */
import { type Balance, hostPortText, type ServerSettings } from './settings.js';

/** One server. */
export class Server {
  /** Its address and port as text. */
  readonly name: string;
  /** It can be reached, as far as is known. */
  up = true;
  /** Connections to it, also those that are being opened. */
  active = 0;
  /** Checks or connections that succeeded, or failed, in a row. */
  successes = 0;
  failures = 0;
  /** Smooth weighted round robin: grows by the weight in each round. */
  currentWeight = 0;
  readonly counters = { connections: 0, connectFailures: 0, healthFailures: 0 };

  constructor(public settings: ServerSettings) {
    this.name = hostPortText(settings);
  }

  /** Whether it takes a new connection. */
  get available(): boolean {
    return this.up && this.settings.weight > 0 && !this.full;
  }

  /** It has as many connections as it may have. */
  get full(): boolean {
    return this.settings.maxConnections > 0 && this.active >= this.settings.maxConnections;
  }
}

/**
 * Chooses the server of a new connection; backup servers only where no other one is up.
 * @param tried servers that this connection could not reach
 * @param source the client's address, as text
 */
export function chooseServer(
  servers: readonly Server[],
  balance: Balance,
  tried: ReadonlySet<Server>,
  source: string,
): Server | null {
  const usable = (backup: boolean): Server[] =>
    servers.filter((server) => server.settings.backup === backup && server.available && !tried.has(server));
  let candidates = usable(false);
  // A server that is only full is waited for.
  const waits = servers.some(({ settings, up, full }) => !settings.backup && up && settings.weight > 0 && full);
  if (candidates.length === 0 && !waits) candidates = usable(true);
  if (candidates.length === 0) return null;
  if (balance === 'leastconn') return leastConnections(candidates);
  return balance === 'source' ? bySource(candidates, source) : roundRobin(candidates);
}

/** Smooth weighted round robin, as nginx has it: heavy servers do not get their turns in a row. */
function roundRobin(candidates: readonly Server[]): Server {
  let total = 0;
  let best = candidates[0];
  for (const server of candidates) {
    server.currentWeight += server.settings.weight;
    total += server.settings.weight;
    if (server.currentWeight > best.currentWeight) best = server;
  }
  best.currentWeight -= total;
  return best;
}

/** Fewest connections for its weight; among equals, round robin. */
function leastConnections(candidates: readonly Server[]): Server {
  const load = ({ active, settings }: Server): number => active / settings.weight;
  let least = Number.POSITIVE_INFINITY;
  for (const server of candidates) least = Math.min(least, load(server));
  return roundRobin(candidates.filter((server) => load(server) === least));
}

/**
 * Rendezvous hashing with weights: a client keeps its server, and when a server goes, only its own
 * clients move.
 */
function bySource(candidates: readonly Server[], source: string): Server {
  let best = candidates[0];
  let most = Number.NEGATIVE_INFINITY;
  for (const server of candidates) {
    const uniform = (hash(`${source} ${server.name}`) + 0.5) / 2 ** 32;
    const score = -server.settings.weight / Math.log(uniform);
    if (score > most) {
      most = score;
      best = server;
    }
  }
  return best;
}

/** FNV-1a of a text, and the finalizer of MurmurHash3: 32 bits, the same on all replicas. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
