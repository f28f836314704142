/**
 * The synchronous functions of node:fs. Queries run on every replica; effects do not run on a backup, where they return
 * what success returns.
 */
import fs from 'node:fs';
import { type AnyFunction, originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { fileData, isTarget, readRegion, vectorRegion, withoutEncoding, writeRegion } from './arguments.js';
import { EFFECTS } from './callbacks.js';
import { absolute, parseFlags } from './descriptors.js';
import type { VirtualFs } from './virtual-fs.js';

/** Takes over a call; undefined: the original function is to have it. */
type Handler = (args: unknown[]) => { value: unknown } | undefined;

/** Writes pieces one behind the other. */
function put(state: VirtualFs, fd: unknown, pieces: Uint8Array[], position: number | null): { value: number } {
  const { runtime, fds } = state;
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const at = state.advance(fd, position, length);
  const run = (): number => originals.fs.writevSync(fds.toReal(fd) as number, pieces, at ?? undefined);
  if (!runtime.live) {
    // The program may go on to change its buffers.
    const copies = pieces.map((piece) => Uint8Array.from(piece));
    const file = fds.find(fd);
    // By then the program may have closed it.
    state.suppress(() => {
      originals.fs.writevSync(file === undefined ? (fd as number) : fds.opened(file), copies, at ?? undefined);
    });
    return { value: length };
  }
  const count = run();
  const file = fds.find(fd);
  if (at !== null && count < length && file?.position === at + length) file.position = at + count;
  return { value: count };
}

function get(state: VirtualFs, fd: unknown, pieces: Uint8Array[], position: number | bigint | null): { value: number } {
  const file = state.fds.find(fd);
  const at = position ?? file?.position ?? null;
  const count = state.readNow(fd as number, pieces, at);
  if (position === null && file !== undefined && file.position !== null) file.position += count;
  return { value: count };
}

function handlers(state: VirtualFs): Record<string, Handler> {
  const { runtime, fds } = state;
  const effect =
    (name: string, dirty: readonly number[]): Handler =>
    (args) => {
      if (!isTarget(args[0])) return undefined;
      for (const at of dirty) if (typeof args[at] !== 'number' && isTarget(args[at])) fds.markDirty(absolute(args[at]));
      const file = fds.find(args[0]);
      const run = (): unknown => {
        return state.call(`${name}Sync`, [file === undefined ? args[0] : fds.opened(file), ...args.slice(1)]);
      };
      if (runtime.live) return { value: run() };
      state.suppress(run);
      return { value: undefined };
    };
  const whole =
    (name: 'writeFile' | 'appendFile'): Handler =>
    ([target, data, options]) => {
      const bytes = fileData(data, options);
      if (bytes === undefined || !isTarget(target)) return undefined;
      if (typeof target === 'number') {
        for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(put(state, target, [rest], null).value);
        return { value: undefined };
      }
      fds.markDirty(absolute(target));
      const run = (content: Uint8Array) => () => state.call(`${name}Sync`, [target, content, withoutEncoding(options)]);
      if (runtime.live) run(bytes)();
      else state.suppress(run(Uint8Array.from(bytes)));
      return { value: undefined };
    };
  const own: Record<string, Handler> = {
    open: ([target, flags, mode]) => {
      const numeric = parseFlags(flags);
      const bits = typeof mode === 'string' ? Number.parseInt(mode, 8) : (mode ?? 0o666);
      if (!isTarget(target) || typeof target === 'number' || numeric === undefined) return undefined;
      if (typeof bits !== 'number' || Number.isNaN(bits)) return undefined;
      return { value: state.openNow(target, numeric, bits) };
    },
    close: ([fd]) => {
      const file = fds.find(fd);
      if (file === undefined) return undefined;
      fds.remove(file.vfd);
      if (file.fd >= 0) originals.fs.closeSync(file.fd);
      // What is written before it may have to be written again: only then is it closed.
      else if (!runtime.live) {
        state.suppress(() => {
          if (file.fd >= 0) originals.fs.closeSync(file.fd);
          file.fd = -1;
        });
      }
      return { value: undefined };
    },
    read: ([fd, ...rest]) => {
      const region = readRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return undefined;
      return get(state, fd, [region.bytes], region.position);
    },
    readv: ([fd, ...rest]) => {
      const region = vectorRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return undefined;
      return get(state, fd, region.pieces, region.position);
    },
    write: ([fd, ...rest]) => {
      const region = writeRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return undefined;
      return put(state, fd, [region.bytes], region.position as number | null);
    },
    writev: ([fd, ...rest]) => {
      const region = vectorRegion(rest);
      if (typeof fd !== 'number' || region === undefined) return undefined;
      return put(state, fd, region.pieces, region.position);
    },
    writeFile: whole('writeFile'),
    appendFile: whole('appendFile'),
    // The name is random: drawn from the event's generator instead of libuv's.
    mkdtemp: ([prefix]) => {
      if (typeof prefix !== 'string') return undefined;
      const name = prefix + Math.random().toString(36).slice(2, 8).padEnd(6, 'x');
      const run = (): unknown => originals.fs.mkdirSync(name, 0o700);
      fds.markDirty(absolute(name));
      if (runtime.live) run();
      else state.suppress(run);
      return { value: name };
    },
  };
  for (const [name, dirty] of Object.entries(EFFECTS)) own[name] ??= effect(name, dirty);
  return own;
}

export function installFsSync(state: VirtualFs, patcher: Patcher): void {
  for (const [name, handler] of Object.entries(handlers(state))) {
    patcher.method(fs, `${name}Sync`, (original) => (...args: unknown[]) => {
      if (!state.runtime.active) return original(...args);
      const handled = handler(args);
      return handled === undefined ? state.runtime.outside(() => original(...args)) : handled.value;
    });
  }
  for (const name of ['fstatSync', 'readFileSync']) {
    patcher.method(fs, name, (original: AnyFunction) => (...args: unknown[]) => {
      if (!state.runtime.active) return original(...args);
      // Node's readFileSync opens by the public function, which gives out virtual descriptors.
      return state.runtime.outside(() => original(state.fds.toReal(args[0]), ...args.slice(1)));
    });
  }
}
