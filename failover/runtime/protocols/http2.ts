/**
 * node:http2 hands its frames to the socket in native immediates, after the ticks and microtasks of
 * an event. While a program has sessions, each of its events therefore lasts until their output is
 * written (replica/event-loop.ts). Answers have the time of the event in `date`, and pings that
 * have no payload one that all replicas share: Node takes both from the machine's clocks. The same
 * on Node 20, 22, 24 and 26.
 */
import crypto from 'node:crypto';
import http2 from 'node:http2';
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

const PING_BYTES = 8;
/** Methods of a server's stream that answer, and where their headers and options are. */
const RESPOND = [
  ['respond', 0],
  ['respondWithFD', 1],
  ['respondWithFile', 1],
] as const;

type Headers = Record<string, unknown> | unknown[] | null | undefined;

function isDate(name: unknown): boolean {
  return typeof name === 'string' && name.toLowerCase() === 'date';
}

/** Headers with the time of the event, unless they have a date. */
function withDate(headers: Headers, wallMs: number): Headers {
  const date = new originals.Date(wallMs).toUTCString();
  if (Array.isArray(headers))
    return headers.some((name, i) => i % 2 === 0 && isDate(name)) ? headers : [...headers, 'date', date];
  return Object.keys(headers ?? {}).some(isDate) ? headers : { ...headers, date };
}

/** Answers of a server's streams: their class is not exported, so its first stream shows it. */
function patchStream(runtime: RuntimeContext, patcher: Patcher, stream: object): void {
  const prototype = Object.getPrototypeOf(stream) as object;
  for (const [name, at] of RESPOND)
    patcher.method(
      prototype,
      name,
      (original) =>
        function respond(this: object, ...args: unknown[]) {
          const options = args[at + 1] as { sendDate?: boolean | null } | null | undefined;
          if (runtime.active && (options?.sendDate ?? true)) {
            while (args.length < at) args.push(undefined);
            args[at] = withDate(args[at] as Headers, runtime.time.peekWall());
          }
          return original.apply(this, args);
        },
    );
}

/** Pings of a session: its class is not exported either. */
function patchSession(runtime: RuntimeContext, patcher: Patcher, session: object): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(session)) as object;
  patcher.method(
    prototype,
    'ping',
    (original) =>
      function ping(this: object, ...args: unknown[]) {
        const hasPayload = args[0] !== undefined && typeof args[0] !== 'function';
        if (!runtime.active || hasPayload) return original.apply(this, args);
        const callback = typeof args[0] === 'function' ? args[0] : args[1];
        return original.call(this, crypto.randomBytes(PING_BYTES), callback);
      },
  );
}

/** Counts a session until it has said its last. */
function track(runtime: RuntimeContext, session: http2.Http2Session): void {
  if (!runtime.active) return;
  runtime.nativeOutputs++;
  // Its last frames follow its end.
  session.once('close', () => runtime.later(() => runtime.nativeOutputs--));
}

/** Makes the output of http2 belong to its event, and depend on nothing but the log. */
export function installHttp2(runtime: RuntimeContext, patcher: Patcher): void {
  let hasSession = false;
  let hasStream = false;
  const follow = (session: http2.Http2Session): void => {
    track(runtime, session);
    if (!hasSession) patchSession(runtime, patcher, session);
    hasSession = true;
  };
  const onStream = (stream: object): void => {
    if (!hasStream) patchStream(runtime, patcher, stream);
    hasStream = true;
  };
  patcher.method(http2, 'connect', (original) => (...args: unknown[]) => {
    const session = original(...args) as http2.ClientHttp2Session;
    follow(session);
    return session;
  });
  for (const name of ['createServer', 'createSecureServer'])
    patcher.method(http2, name, (original) => (...args: unknown[]) => {
      const server = original(...args) as http2.Http2Server;
      server.on('session', (session) => {
        follow(session);
        // Before the listener by which Node hands the stream to the program.
        session.prependListener('stream', onStream);
      });
      return server;
    });
}
