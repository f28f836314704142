/** The FileHandle of fs.promises, over the callback functions of node:fs. */
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { readRegion } from './arguments.js';

type Options = Record<string, unknown>;
type AsyncFunction = (...args: unknown[]) => Promise<unknown>;

/** A function of fs as it is now (patched), as a promise of its first value. */
export function promised(name: string, ...args: unknown[]): Promise<unknown> {
  const fn = (fs as unknown as Record<string, (...args: unknown[]) => void>)[name]!;
  return new Promise((resolve, reject) => {
    fn(...args, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value)));
  });
}

/** Stands in for Node's class, whose instances only Node can make. */
export class FileHandle extends EventEmitter {
  #fd: number;
  #closing: Promise<void> | undefined;

  constructor(fd: number) {
    super();
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  appendFile(data: unknown, options?: unknown): Promise<unknown> {
    return this.writeFile(data, options);
  }

  chmod(mode: unknown): Promise<unknown> {
    return promised('fchmod', this.#fd, mode);
  }

  chown(uid: unknown, gid: unknown): Promise<unknown> {
    return promised('fchown', this.#fd, uid, gid);
  }

  datasync(): Promise<unknown> {
    return promised('fdatasync', this.#fd);
  }

  sync(): Promise<unknown> {
    return promised('fsync', this.#fd);
  }

  async read(...args: unknown[]): Promise<unknown> {
    const region = readRegion(args);
    if (region !== undefined && region.bytes.length === 0) return { bytesRead: 0, buffer: region.buffer };
    return (promisify(fs.read) as unknown as AsyncFunction)(this.#fd, ...args);
  }

  readv(buffers: unknown, position?: unknown): Promise<unknown> {
    return (promisify(fs.readv) as unknown as AsyncFunction)(this.#fd, buffers, position ?? null);
  }

  readFile(options?: unknown): Promise<unknown> {
    return promised('readFile', this.#fd, options);
  }

  readLines(options?: Options) {
    const input = this.createReadStream(options);
    return createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  }

  stat(options?: unknown): Promise<unknown> {
    return promised('fstat', this.#fd, options ?? {});
  }

  truncate(length: unknown = 0): Promise<unknown> {
    return promised('ftruncate', this.#fd, length);
  }

  utimes(atime: unknown, mtime: unknown): Promise<unknown> {
    return promised('futimes', this.#fd, atime, mtime);
  }

  write(...args: unknown[]): Promise<unknown> {
    return (promisify(fs.write) as unknown as AsyncFunction)(this.#fd, ...args);
  }

  writev(buffers: unknown, position?: unknown): Promise<unknown> {
    return (promisify(fs.writev) as unknown as AsyncFunction)(this.#fd, buffers, position ?? null);
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    if (typeof data === 'string' || ArrayBuffer.isView(data)) {
      await promised('writeFile', this.#fd, data, options);
      return;
    }
    for await (const chunk of data as AsyncIterable<unknown>) await promised('writeFile', this.#fd, chunk, options);
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
    this.#closing = promised('close', fd).then(() => {
      this.emit('close');
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
