/**
 * Ports of the host that lead to a group, as `--publish` has them:
 * `[ADDRESS:]PORT[:PORT][/tcp]`, the host's port first.
 */
import { parseIPv4 } from '../../../lib/ipv4-address.js';
import { parseIPv6 } from '../../../lib/ipv6-address.js';

/** One port of the host. */
export interface PublishedPort {
  /** The host's address; null: all of its addresses. */
  readonly address: string | null;
  readonly port: number;
  /** The port of the stack. */
  readonly to: number;
}

/** Ports of one group, at most. */
export const MAX_PUBLISHED = 64;

const FORM = /^(?:(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+)):)?(\d{1,5})(?::(\d{1,5}))?(?:\/tcp)?$/;

/** Reads a text; undefined when it is none. */
export function parsePublished(text: string): PublishedPort | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [, v6, v4, first = '', second = first] = match;
  const [port, to] = [Number(first), Number(second)];
  if (![port, to].every((one) => one >= 1 && one <= 65_535)) return undefined;
  if (v4 !== undefined && parseIPv4(v4) === undefined) return undefined;
  if (v6 !== undefined && parseIPv6(v6) === undefined) return undefined;
  return { address: v4 ?? v6 ?? null, port, to };
}

/** The text of a port, which {@link parsePublished} reads. */
export function publishedText({ address, port, to }: PublishedPort): string {
  const ports = port === to ? `${port}` : `${port}:${to}`;
  if (address === null) return ports;
  return `${address.includes(':') ? `[${address}]` : address}:${ports}`;
}

/** Whether a connection could mean both: the same port, at one address or at all. */
export function overlap(one: PublishedPort, other: PublishedPort): boolean {
  if (one.port !== other.port) return false;
  return one.address === null || other.address === null || isSameAddress(one.address, other.address);
}

/** Whether two texts are the same address. */
export function isSameAddress(one: string, other: string): boolean {
  const four = parseIPv4(one);
  if (four !== undefined) return four === parseIPv4(other);
  const [a, b] = [parseIPv6(one), parseIPv6(other)];
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}
