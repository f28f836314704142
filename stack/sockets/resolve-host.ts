import dns from 'node:dns';
import net from 'node:net';
import type { FtConnectOptions } from './connect-arguments.js';
import type { SocketBase } from './socket-base.js';
import { nodeError } from './socket-errors.js';

/** Answer of a lookup: one address, or all of them. */
type Found = string | dns.LookupAddress[] | undefined;

/** Addresses in the order in which they are tried: families alternate, the first one's leads. */
function inOrder(found: dns.LookupAddress[]): string[] {
  const usable = found.filter(({ address, family }) => net.isIP(address) === family);
  const lead = usable[0]?.family;
  const leading = [...new Set(usable.filter(({ family }) => family === lead).map(({ address }) => address))];
  const others = [...new Set(usable.filter(({ family }) => family !== lead).map(({ address }) => address))];
  const out: string[] = [];
  for (let i = 0; i < leading.length || i < others.length; i++)
    out.push(...leading.slice(i, i + 1), ...others.slice(i, i + 1));
  return out;
}

/**
 * Finds the addresses that a socket is to try, with Node's events; `start` is not called once the
 * socket gave up.
 */
export function resolveHost(socket: SocketBase, options: FtConnectOptions, start: (addresses: string[]) => void): void {
  const host = options.host || 'localhost';
  if (net.isIP(host)) {
    process.nextTick(() => {
      if (socket.connecting) start([host]);
    });
    return;
  }
  socket._host = host;
  const lookup = options.lookup ?? (dns.lookup as unknown as net.LookupFunction);
  const family = options.family ?? 0;
  const select = options.autoSelectFamily ?? net.getDefaultAutoSelectFamily();
  const all = select && family !== 4 && family !== 6 && !options.localAddress;
  const fail = (error: Error): void => process.nextTick(() => socket.destroy(error));
  lookup(host, { family, hints: options.hints ?? 0, all }, (error, answer, answeredFamily) => {
    const found = answer as Found;
    const list = Array.isArray(found) ? found : [{ address: found ?? '', family: answeredFamily ?? 0 }];
    if (error || list.length === 0) socket.emit('lookup', error, undefined, undefined, host);
    else for (const each of list) socket.emit('lookup', error, each.address, each.family, host);
    if (!socket.connecting) return;
    const addresses = all ? inOrder(list) : list.slice(0, 1).map(({ address }) => address);
    if (error) fail(error);
    else if (addresses.length === 0 || !net.isIP(addresses[0]))
      fail(nodeError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${list[0]?.address}`, TypeError));
    else {
      socket._unrefTimer();
      start(addresses);
    }
  });
}
