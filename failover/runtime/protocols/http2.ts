/**
 * node:http2 hands its frames to the socket in native immediates, after the ticks and microtasks of
 * an event. While a program has sessions, each of its events therefore lasts for one more pass of
 * Node's event loop (replica/event-loop.ts). Patches public functions only; the same on Node 20,
 * 22, 24 and 26.
 */
import http2 from 'node:http2';
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

/** Counts a session until it has said its last. */
function track(runtime: RuntimeContext, session: http2.Http2Session): void {
  if (!runtime.active) return;
  runtime.nativeOutputs++;
  // Its last frames follow its end.
  session.once('close', () => runtime.later(() => runtime.nativeOutputs--));
}

/** Makes the events of http2 last until their output is written. */
export function installHttp2(runtime: RuntimeContext, patcher: Patcher): void {
  patcher.method(http2, 'connect', (original) => (...args: unknown[]) => {
    const session = original(...args) as http2.ClientHttp2Session;
    track(runtime, session);
    return session;
  });
  for (const name of ['createServer', 'createSecureServer'])
    patcher.method(http2, name, (original) => (...args: unknown[]) => {
      const server = original(...args) as http2.Http2Server;
      server.on('session', (session) => track(runtime, session));
      return server;
    });
}
