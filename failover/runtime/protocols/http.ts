/**
 * node:http's `Date:` header, which Node caches on an internal timer. Depends on these internals,
 * checked on Node 20, 22, 24 and 26: `OutgoingMessage.prototype._storeHeader` and its `sendDate`.
 * http-checks.ts has the check for slow clients.
 */
import http from 'node:http';
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

interface Message {
  sendDate: boolean;
  hasHeader(name: string): boolean;
}

const DATE_NAME = /^date$/i;

/** Whether the headers handed to _storeHeader (in any of its forms) have a date. */
function hasDate(headers: unknown): boolean {
  if (headers === null || typeof headers !== 'object') return false;
  if (!Array.isArray(headers)) {
    for (const key in headers) if (key.length === 4 && DATE_NAME.test(key)) return true;
    return false;
  }
  const pairs = Array.isArray(headers[0]);
  for (let i = 0; i < headers.length; i += pairs ? 1 : 2) {
    const name: unknown = pairs ? (headers[i] as unknown[])[0] : headers[i];
    if (typeof name === 'string' && name.length === 4 && DATE_NAME.test(name)) return true;
  }
  return false;
}

/** Makes the `Date:` header show logical time. */
export function installHttp(runtime: RuntimeContext, patcher: Patcher): void {
  let second = -1;
  let line = '';
  patcher.method(
    http.OutgoingMessage.prototype,
    '_storeHeader',
    (original) =>
      function _storeHeader(this: Message, firstLine: unknown, headers: unknown) {
        if (!runtime.active || !this.sendDate || hasDate(headers)) return original.call(this, firstLine, headers);
        const wall = runtime.time.peekWall();
        const now = Math.floor(wall / 1000);
        if (now !== second) {
          second = now;
          line = `Date: ${new originals.Date(wall).toUTCString()}\r\n`;
        }
        // Node must not add its own: it would be the real time.
        this.sendDate = false;
        try {
          return original.call(this, (firstLine as string) + line, headers);
        } finally {
          this.sendDate = true;
        }
      },
  );
}
