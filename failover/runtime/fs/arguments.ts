/** The many forms of the arguments of fs.read and fs.write, brought into one. */

type Bag = Record<string, unknown>;

const MAX_DESCRIPTOR = 2 ** 31 - 1;

/** A view of any ArrayBufferView as bytes. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A part of a buffer, and where in the file it belongs. */
export interface Region {
  /** What the program gave, and gets back. */
  buffer: ArrayBufferView;
  /** The part of it to read into or to write. */
  bytes: Uint8Array;
  /** Null: the file's own position. */
  position: number | bigint | null;
}

function validRange(offset: unknown, length: unknown, size: number): boolean {
  return (
    Number.isInteger(offset) &&
    Number.isInteger(length) &&
    (offset as number) >= 0 &&
    (length as number) >= 0 &&
    (offset as number) + (length as number) <= size
  );
}

function region(buffer: unknown, offset: unknown, length: unknown, position: unknown): Region | undefined {
  if (!ArrayBuffer.isView(buffer)) return undefined;
  const from = offset ?? 0;
  const count = typeof length === 'number' ? length : buffer.byteLength - (from as number);
  if (!validRange(from, count, buffer.byteLength)) return undefined;
  const bytes = bytesOf(buffer).subarray(from as number, (from as number) + count);
  const legal = typeof position === 'bigint' || (typeof position === 'number' && position >= 0);
  return { buffer, bytes, position: legal ? (position as number | bigint) : null };
}

/** Arguments of a read behind the descriptor; undefined: Node has to complain about them. */
export function readRegion(args: readonly unknown[]): Region | undefined {
  let [buffer, offset, length, position] = args;
  let options: Bag | undefined;
  if (!ArrayBuffer.isView(buffer)) {
    if (args.length > 1 || (buffer != null && typeof buffer !== 'object')) return undefined;
    options = (buffer as Bag | null | undefined) ?? {};
    buffer = options['buffer'] ?? Buffer.alloc(16384);
  } else if (args.length <= 2 && typeof offset !== 'number') options = (offset as Bag | null | undefined) ?? {};
  if (options !== undefined) ({ offset, length, position } = options);
  return region(buffer, offset, length, position);
}

/** Arguments of a write behind the descriptor; undefined: Node has to complain about them. */
export function writeRegion(args: readonly unknown[]): Region | undefined {
  let [buffer, offset, length, position] = args;
  if (typeof buffer === 'string') {
    const bytes = Buffer.from(buffer, (typeof length === 'string' ? length : 'utf8') as BufferEncoding);
    return region(bytes, 0, bytes.length, offset);
  }
  if (typeof offset === 'object' && offset !== null) ({ offset, length, position } = offset as Bag);
  return region(buffer, offset, length, typeof position === 'number' ? position : null);
}

/** Arguments of readv and writev behind the descriptor. */
export function vectorRegion(args: readonly unknown[]): { pieces: Uint8Array[]; position: number | null } | undefined {
  const [buffers, position] = args;
  if (!Array.isArray(buffers) || !buffers.every((buffer) => ArrayBuffer.isView(buffer))) return undefined;
  return {
    pieces: (buffers as ArrayBufferView[]).map(bytesOf),
    position: typeof position === 'number' ? position : null,
  };
}

/** The encoding in the options of readFile and its like. */
export function encodingOf(options: unknown): BufferEncoding | undefined {
  const encoding = typeof options === 'string' ? options : (options as Bag | null | undefined)?.['encoding'];
  return typeof encoding === 'string' && encoding !== 'buffer' ? (encoding as BufferEncoding) : undefined;
}

/** Options without their encoding. */
export function withoutEncoding(options: unknown): object {
  if (options === null || typeof options !== 'object') return {};
  return { ...options, encoding: null };
}

/** Data of writeFile as bytes; undefined: not something that can be written. */
export function fileData(data: unknown, options: unknown): Uint8Array | undefined {
  if (typeof data === 'string') return Buffer.from(data, encodingOf(options) ?? 'utf8');
  return ArrayBuffer.isView(data) ? bytesOf(data) : undefined;
}

/** Whether Node would take this as a file descriptor. */
export function isDescriptor(fd: unknown): fd is number {
  return Number.isInteger(fd) && (fd as number) >= 0 && (fd as number) <= MAX_DESCRIPTOR;
}

/** Whether Node would take this as a path. */
export function isPath(target: unknown): target is string | Uint8Array | URL {
  if (typeof target === 'string') return !target.includes('\0');
  return target instanceof Uint8Array || target instanceof URL;
}

/** Whether Node would take this as a path or descriptor. */
export function isTarget(target: unknown): target is string | Uint8Array | URL | number {
  return isDescriptor(target) || isPath(target);
}
