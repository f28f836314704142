/**
 * One HTTP request for the metrics and its answer, on a socket of Node's own. Node's http module is
 * not used: its servers share a clock and timers with those of the program.
 */
import type { Socket } from 'node:net';
import { METRICS_TYPE } from './metrics.js';

/** A longer head of a request is refused. */
const MAX_HEAD_BYTES = 8192;

/** Whether what has come begins as a request of HTTP does. */
export function isHttp(received: string): boolean {
  return /^(?:GET|HEAD|POST|PUT|OPTIONS) \//.test(received);
}

function answer(status: string, type: string, body: string, withBody = true): string {
  const head = [
    `HTTP/1.1 ${status}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${withBody ? body : ''}`;
}

const TEXT = 'text/plain; charset=utf-8';

/**
 * The answer to a request; null while its head is not complete. Never rejects.
 * @param read the text of the metrics
 */
export function scrapeAnswer(received: string, read: () => Promise<string>): Promise<string> | null {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0 && received.length <= MAX_HEAD_BYTES) return null;
  if (end < 0) return Promise.resolve(answer('431 Request Header Fields Too Large', TEXT, 'The head is too long.\n'));
  const [method = '', target = ''] = received.slice(0, received.indexOf('\r\n')).split(' ');
  const isHead = method === 'HEAD';
  if (method !== 'GET' && !isHead) return Promise.resolve(answer('405 Method Not Allowed', TEXT, 'Use GET.\n'));
  if (target.split('?')[0] !== '/metrics')
    return Promise.resolve(answer('404 Not Found', TEXT, 'The metrics are at /metrics.\n', !isHead));
  return read().then(
    (text) => answer('200 OK', METRICS_TYPE, text, !isHead),
    (error: unknown) => answer('500 Internal Server Error', TEXT, `${String(error)}\n`, !isHead),
  );
}

/** Answers the request once its head is complete, and ends the connection. */
export function answerScrape(socket: Socket, received: string, read: () => Promise<string>): void {
  const ready = scrapeAnswer(received, read);
  if (ready === null) return;
  socket.removeAllListeners('data');
  socket.resume();
  void ready.then((text) => socket.end(text));
}
