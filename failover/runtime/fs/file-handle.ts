/** The FileHandle of fs.promises, over the table of calls. */
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { readRegion } from './arguments.js';

type Options = Record<string, unknown>;

/** Runs functions of fs by the names of their callback forms (promised-fs.ts). */
export interface FileCalls {
  /** The values that a callback would get. */
  values(name: string, ...args: unknown[]): Promise<unknown[]>;
}

/**
 * Replaces Node's class, whose instances only Node can make. Its methods are Node's, documented
 * there.
 */
export class FileHandle extends EventEmitter {
  readonly #calls: FileCalls;
  #fd: number;
  #closing: Promise<void> | undefined;

  constructor(calls: FileCalls, fd: number) {
    super();
    this.#calls = calls;
    this.#fd = fd;
  }

  /** As Node: a call on a closed handle is rejected with EBADF. */
  #values(name: string, ...args: unknown[]): Promise<unknown[]> {
    if (this.#fd !== -1) return this.#calls.values(name, this.#fd, ...args);
    return Promise.reject(Object.assign(new Error('file closed'), { code: 'EBADF', syscall: name }));
  }

  async #value(name: string, ...args: unknown[]): Promise<unknown> {
    return (await this.#values(name, ...args))[0];
  }

  get fd(): number {
    return this.#fd;
  }

  appendFile(data: unknown, options?: unknown): Promise<unknown> {
    return this.writeFile(data, options);
  }

  chmod(mode: unknown): Promise<unknown> {
    return this.#value('fchmod', mode);
  }

  chown(uid: unknown, gid: unknown): Promise<unknown> {
    return this.#value('fchown', uid, gid);
  }

  datasync(): Promise<unknown> {
    return this.#value('fdatasync');
  }

  sync(): Promise<unknown> {
    return this.#value('fsync');
  }

  async read(...args: unknown[]): Promise<unknown> {
    const region = readRegion(args);
    if (this.#fd !== -1 && region !== undefined && region.bytes.length === 0)
      return { bytesRead: 0, buffer: region.buffer };
    const [bytesRead, buffer] = await this.#values('read', ...args);
    return { bytesRead, buffer };
  }

  async readv(buffers: unknown, position?: unknown): Promise<unknown> {
    const [bytesRead] = await this.#values('readv', buffers, position ?? null);
    return { bytesRead, buffers };
  }

  readFile(options?: unknown): Promise<unknown> {
    return this.#value('readFile', options);
  }

  readLines(options?: Options) {
    const input = this.createReadStream(options);
    return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  }

  stat(options?: unknown): Promise<unknown> {
    return this.#value('fstat', options ?? {});
  }

  truncate(length: unknown = 0): Promise<unknown> {
    return this.#value('ftruncate', length);
  }

  utimes(atime: unknown, mtime: unknown): Promise<unknown> {
    return this.#value('futimes', atime, mtime);
  }

  async write(...args: unknown[]): Promise<unknown> {
    const [bytesWritten, buffer] = await this.#values('write', ...args);
    return { bytesWritten, buffer };
  }

  async writev(buffers: unknown, position?: unknown): Promise<unknown> {
    const [bytesWritten] = await this.#values('writev', buffers, position ?? null);
    return { bytesWritten, buffers };
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    if (typeof data === 'string' || ArrayBuffer.isView(data)) {
      await this.#value('writeFile', data, options);
      return;
    }
    for await (const chunk of data as AsyncIterable<unknown>) await this.#value('writeFile', chunk, options);
  }

  readableWebStream(): unknown {
    return Readable.toWeb(this.createReadStream({ autoClose: false }));
  }

  #stream<T extends fs.ReadStream | fs.WriteStream>(stream: T, options: Options | undefined): T {
    // A stream closes the descriptor itself.
    if (options?.['autoClose'] !== false) {
      (stream as EventEmitter).once('close', () => {
        this.#fd = -1;
        this.emit('close');
      });
    }
    return stream;
  }

  createReadStream(options?: Options): fs.ReadStream {
    return this.#stream(fs.createReadStream('', { ...options, fd: this.#fd }), options);
  }

  createWriteStream(options?: Options): fs.WriteStream {
    return this.#stream(fs.createWriteStream('', { ...options, fd: this.#fd }), options);
  }

  close(): Promise<void> {
    if (this.#fd === -1) return this.#closing ?? Promise.resolve();
    const fd = this.#fd;
    this.#fd = -1;
    this.#closing = this.#calls.values('close', fd).then(() => {
      this.emit('close');
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
