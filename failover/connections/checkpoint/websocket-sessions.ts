/**
 * WebSockets in state mode, for programs that do nothing for it. What is saved of one is the
 * request that opened it, the answer to it, and the bytes of a message that is not complete. After
 * a takeover the new program's server gets the same request. Its answer goes nowhere, as the client
 * has one already; from there on the connection is the client's WebSocket.
 *
 * A WebSocket is reset if the new answer is another one, if messages are compressed (each may need
 * the ones before), if it was closing, or if a message of the program was written in part.
 */
import type http from 'node:http';
import type { FtSocket } from '../../../stack/sockets/socket.js';
import { WebSocketFrames } from './websocket-frames.js';

/** Bytes of an incomplete message that are kept. */
const MAX_MESSAGE_BYTES = 32 * 1024;
const MAX_ANSWER_BYTES = 8192;
const HEAD_END = '\r\n\r\n';
const SWITCHING = /^HTTP\/1\.1 101 /;

/** The saved context of a WebSocket. */
export interface SavedWebSocket {
  webSocket: 1;
  /** The request that opened it. */
  request: Uint8Array;
  /** The head of the answer. */
  answer: string;
  /** Received bytes of a message that is not complete. */
  pending: Uint8Array;
}

/** Whether a saved context is one of a WebSocket. */
export function isSavedWebSocket(value: unknown): value is SavedWebSocket {
  return typeof value === 'object' && value !== null && 'webSocket' in value && value.webSocket === 1;
}

/** Whether a request opens a WebSocket. */
export function opensWebSocket({ method, headers }: http.IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';
}

/** The header fields of an answer that both ends go by, sorted. */
function termsOf(answer: string): string {
  const lines = answer.split('\r\n').filter((line) => /^sec-websocket-/i.test(line));
  return lines
    .map((line) => line.toLowerCase().replace(/\s/g, ''))
    .sort()
    .join('\n');
}

type Write = (chunk: unknown, ...rest: unknown[]) => boolean;

/** What a {@link WebSocketSession} is made of. */
export interface WebSocketSessionOptions {
  readonly socket: FtSocket;
  readonly request: Buffer;
  /** What followed the request. */
  readonly first: Buffer;
  /** What another program has saved of it; null: it is opened now. */
  readonly saved: SavedWebSocket | null;
  /** The new program has answered as the old one had, or not. */
  readonly restored: (isSame: boolean) => void;
}

/** One WebSocket, followed from message to message. */
export class WebSocketSession {
  readonly #options: WebSocketSessionOptions;
  readonly #frames = new WebSocketFrames(MAX_MESSAGE_BYTES);
  readonly #write: Write;
  /** The head of the answer, as far as it has been written; it is complete once `#isOpen`. */
  #answer = '';
  #isOpen = false;
  #isSaved = false;
  #isChecking = false;

  constructor(options: WebSocketSessionOptions) {
    this.#options = options;
    const { socket, saved } = options;
    this.#write = socket.write.bind(socket) as Write;
    socket.write = ((chunk: unknown, ...rest: unknown[]) => this.#onWrite(chunk, rest)) as typeof socket.write;
    // The client has its answer already.
    if (saved !== null) this.#save();
  }

  #onWrite(chunk: unknown, rest: unknown[]): boolean {
    if (this.#isOpen) {
      this.#checkLater();
      return this.#write(chunk, ...rest);
    }
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('latin1');
    const end = (this.#answer + text).indexOf(HEAD_END);
    const isWhole = end >= 0;
    const headBytes = isWhole ? end + HEAD_END.length - this.#answer.length : text.length;
    this.#answer += text.slice(0, headBytes);
    if (isWhole) this.#opened();
    else if (this.#answer.length > MAX_ANSWER_BYTES) this.#options.socket.destroy();
    if (this.#options.saved === null) return this.#write(chunk, ...rest);
    const callback = rest.find((one) => typeof one === 'function') as (() => void) | undefined;
    if (headBytes < text.length) return this.#write(Buffer.from(text.slice(headBytes), 'latin1'), ...rest);
    if (callback !== undefined) process.nextTick(callback);
    return true;
  }

  /** The program has answered the request. */
  #opened(): void {
    const { socket, saved, restored } = this.#options;
    this.#isOpen = true;
    this.#follow();
    if (saved === null) {
      this.#save();
      return;
    }
    const isSame = SWITCHING.test(this.#answer) && termsOf(this.#answer) === termsOf(saved.answer);
    restored(isSame);
    if (isSame) return;
    socket.on('error', () => undefined);
    socket.resetAndDestroy();
  }

  /**
   * Follows what the client sends from here on. The listener comes before the program's, which may
   * change the bytes in their place; and prepending it does not let them flow.
   */
  #follow(): void {
    const { socket, first } = this.#options;
    socket.prependListener('data', (part: Buffer) => {
      if (this.#frames.add(part)) this.#save();
    });
    socket.on('drain', () => this.#save());
    if (first.length === 0) return;
    // Most libraries give it back to the socket, which then emits it as data.
    let isGivenBack = false;
    const { unshift } = socket;
    socket.unshift = (...args) => {
      isGivenBack = true;
      unshift.apply(socket, args);
    };
    process.nextTick(() => {
      socket.unshift = unshift;
      if (!isGivenBack && this.#frames.add(first)) this.#save();
    });
  }

  /** Once in an event: whether all that the program has written is on its way. */
  #checkLater(): void {
    if (this.#isChecking) return;
    this.#isChecking = true;
    process.nextTick(() => {
      this.#isChecking = false;
      if (this.#isWhole !== this.#isSaved) this.#save();
    });
  }

  /** The connection could be given to another program as it is. */
  get #isWhole(): boolean {
    const { socket } = this.#options;
    return !this.#frames.isClosing && this.#frames.pending !== null && socket.bytesWritten === socket._bytesDispatched;
  }

  #save(): void {
    const { socket, request, first, saved } = this.#options;
    const answer = saved?.answer ?? this.#answer;
    if (socket.destroyed || (saved === null && !this.#isOpen)) return;
    const pending = this.#isOpen ? this.#frames.pending : first;
    this.#isSaved = this.#isWhole && SWITCHING.test(answer) && !/^sec-websocket-extensions:/im.test(answer);
    if (!this.#isSaved || pending === null) socket._unsaved();
    else socket.checkpoint({ webSocket: 1, request, answer, pending } satisfies SavedWebSocket);
  }
}
