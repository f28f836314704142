/** Programs that use everything that the runtime makes repeatable; they trace what they see. */
import { AsyncLocalStorage } from 'node:async_hooks';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import v8 from 'node:v8';
import zlib from 'node:zlib';
import { cryptoScenarios } from './crypto-scenarios.js';
import type { Program } from './runtime-harness.js';
import { sampleScenarios } from './sample-scenarios.js';

const timers: Program = ({ trace, done }) => {
  const start = Date.now();
  setTimeout(() => trace('t5', Date.now() - start >= 5), 5);
  setTimeout(() => trace('t1a'), 1);
  setTimeout(() => trace('t1b'), 1);
  const cleared = setTimeout(() => trace('never'), 2);
  clearTimeout(Number(cleared));
  const text = setTimeout(() => trace('never either'), 2);
  clearTimeout(String(Number(text)) as unknown as NodeJS.Timeout);
  setImmediate(() => {
    trace('i1');
    setImmediate(() => trace('i3'));
    process.nextTick(() => trace('tick in i1'));
    Promise.resolve().then(() => trace('microtask in i1'));
  });
  setImmediate((a: unknown, b: unknown) => trace('i2', a, b), 'x', 7);
  clearImmediate(setImmediate(() => trace('never')));
  const refreshed = setTimeout(() => trace('refreshed', Date.now() - start >= 13), 10);
  setTimeout(() => refreshed.refresh(), 4);
  let count = 0;
  const interval = setInterval(
    (tag: string) => {
      trace(
        tag,
        ++count,
        Math.random(),
        Date.now() - start,
        performance.now(),
        process.hrtime(),
        String(process.hrtime.bigint()),
      );
      if (count === 4) {
        clearInterval(interval);
        trace(interval.hasRef(), interval.unref() === interval, interval.hasRef());
        setTimeout(done, 10);
      }
    },
    3,
    'interval',
  );
  trace('ids', Number(cleared), Number(refreshed), Number(interval));
};

const promises: Program = async ({ trace, done }) => {
  trace(await promisify(setTimeout)(3, 'promisified'));
  trace(await timersPromises.setTimeout(2, 'value'));
  trace(await timersPromises.setImmediate('now'));
  trace(await timersPromises.scheduler.wait(2));
  await timersPromises.scheduler.yield();
  let n = 0;
  for await (const value of timersPromises.setInterval(2, 'tock')) {
    trace(value, n, Date.now());
    if (++n === 3) break;
  }
  const controller = new AbortController();
  const aborted = timersPromises
    .setTimeout(1000, null, { signal: controller.signal })
    .catch((error: NodeJS.ErrnoException) => {
      trace(error.name, error.code, error.message);
    });
  setTimeout(() => controller.abort(), 1);
  await aborted;
  const signal = AbortSignal.timeout(3);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  trace((signal.reason as DOMException).name);
  const storage = new AsyncLocalStorage<string>();
  await new Promise<void>((resolve) => {
    storage.run('kept', () => setTimeout(() => setImmediate(() => resolve(trace(storage.getStore()))), 1));
  });
  try {
    (setTimeout as unknown as (x: unknown) => void)('no function');
  } catch (error) {
    trace((error as NodeJS.ErrnoException).code);
  }
  done();
};

const time: Program = ({ trace, done }) => {
  const until = Date.now() + 3;
  let reads = 0;
  while (Date.now() < until) reads++;
  trace('loop ended', reads);
  class Mine extends Date {
    plus(): number {
      return this.getTime() + 1;
    }
  }
  const mine = new Mine();
  trace(mine instanceof Mine, mine instanceof Date, mine.plus() > until, new Mine(5).plus());
  trace(new Date() instanceof Date, new Date().constructor === Date, typeof Date(), Date.length, Date.name);
  trace(new Date(2020, 1, 3).getTime(), Date.UTC(2000, 1), Date.parse('2000-01-01'), new Date(0).toISOString());
  trace(Date(), new Date().toISOString(), new Intl.DateTimeFormat('en', { timeStyle: 'long' }).format());
  trace(performance.now(), performance.timeOrigin, process.uptime(), process.hrtime(process.hrtime()));
  trace(Math.random(), Math.random());
  let before = performance.now();
  let backwards = 0;
  let events = 0;
  const next = (): void => {
    const now = performance.now();
    if (now <= before) backwards++;
    before = now;
    for (let i = 0; i < 2000; i++) before = performance.now();
    if (++events < 20) setImmediate(next);
    else {
      trace('backwards', backwards, Date.now(), Math.random());
      done();
    }
  };
  setImmediate(next);
};

const randomness: Program = async ({ trace, done }) => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  trace(hex(crypto.randomBytes(8)), crypto.randomUUID(), crypto.randomInt(1000), crypto.randomInt(5, 10));
  trace(hex(crypto.getRandomValues(new Uint8Array(8))), globalThis.crypto.randomUUID());
  trace(hex(globalThis.crypto.getRandomValues(new Uint8Array(4))));
  // They end in any order, and all before the program does.
  let open = 4;
  const ended = (...values: unknown[]): void => {
    trace(...values);
    open--;
  };
  crypto.randomBytes(8, (_error, bytes) => ended('async', hex(bytes)));
  crypto.randomInt(1 << 30, (_error, n) => ended('int', n));
  crypto.randomFill(Buffer.alloc(4), (_error, bytes) => ended('fill', hex(bytes)));
  trace(hex(await promisify(crypto.randomBytes)(4)));
  const key = await promisify(crypto.scrypt)('secret', crypto.randomBytes(8), 16);
  trace(hex(key as Buffer));
  crypto.pbkdf2('a', 'b', 10, 16, 'sha256', (_error, derived) => ended('pbkdf2', hex(derived)));
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  trace(hex(crypto.sign('sha256', Buffer.from('x'), privateKey)));
  try {
    crypto.randomInt(0);
  } catch (error) {
    trace((error as NodeJS.ErrnoException).code);
  }
  const end = (): void => {
    if (open > 0) {
      setTimeout(end, 3);
      return;
    }
    trace(crypto.randomUUID(), Math.random());
    done();
  };
  setTimeout(end, 3);
};

const reads: Program = async ({ trace, done, directory }) => {
  const file = `${directory}/input.bin`;
  const hash = crypto.createHash('sha256');
  let bytes = 0;
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 50_000 })) {
    bytes += (chunk as Buffer).length;
    hash.update(chunk as Buffer);
  }
  trace('stream', bytes, hash.digest('hex'));
  const all = await Promise.all([
    fs.promises.stat(file),
    fs.promises.readdir(directory),
    fs.promises.readFile(`${directory}/small.txt`, 'utf8'),
  ]);
  trace(all[0].size, all[0].isFile(), all[0].mtime instanceof Date, all[0].mtimeMs, all[1].sort(), all[2]);
  trace((await fs.promises.stat(file, { bigint: true })).mtimeNs.toString());
  const entries = await fs.promises.readdir(directory, { withFileTypes: true });
  trace(entries.map((entry) => `${entry.name} ${entry.isFile()}`).sort());
  await new Promise<void>((resolve) => {
    fs.readFile(`${directory}/none`, (error) => {
      trace(error?.code, error?.syscall, (error as NodeJS.ErrnoException).message.includes('none'));
      resolve();
    });
  });
  const handle = await fs.promises.open(file);
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(10), 0, 10, 5);
  trace(handle.fd, bytesRead, buffer.toString('hex'));
  const first = await handle.read(Buffer.alloc(3));
  const second = await handle.read({ buffer: Buffer.alloc(3) });
  trace(first.buffer.toString('hex'), second.buffer.toString('hex'), (await handle.stat()).size);
  await handle.close();
  const fd = fs.openSync(file, 'r');
  const piece = Buffer.alloc(6);
  trace(
    fd,
    fs.readSync(fd, piece),
    piece.toString('hex'),
    fs.fstatSync(fd).size,
    fs.readFileSync(`${directory}/small.txt`, 'utf8'),
  );
  const vector = [Buffer.alloc(2), Buffer.alloc(3)];
  const count = await new Promise((resolve) => fs.readv(fd, vector, 1, (_error, n) => resolve(n)));
  trace(count, Buffer.concat(vector).toString('hex'));
  fs.closeSync(fd);
  trace(await promisify(fs.exists)(file), await fs.promises.access(`${directory}/none`).catch((error) => error.code));
  trace(await fs.promises.realpath(file).then((path) => path.endsWith('input.bin')));
  const lines: string[] = [];
  const text = await fs.promises.open(`${directory}/small.txt`);
  for await (const line of text.readLines()) lines.push(line);
  trace(lines);
  done();
};

const writes: Program = async ({ trace, done, directory }) => {
  fs.mkdirSync(`${directory}/made`, { recursive: true });
  fs.writeFileSync(`${directory}/made/sync.txt`, 'sync');
  const handle = await fs.promises.open(`${directory}/made/h.txt`, 'w+');
  trace(await handle.write('one '), await handle.write(Buffer.from('two ')));
  await handle.appendFile('three');
  trace((await handle.read(Buffer.alloc(7), 0, 7, 4)).buffer.toString());
  await handle.close();
  trace(await fs.promises.readFile(`${directory}/made/h.txt`, 'utf8'));
  const out = fs.createWriteStream(`${directory}/made/stream.txt`);
  for (let i = 0; i < 5; i++) {
    out.write(`line ${i}\n`);
    await timersPromises.setTimeout(1);
    trace('wrote', i, out.bytesWritten);
  }
  await new Promise<void>((resolve) => out.end(resolve));
  await fs.promises.rename(`${directory}/made/h.txt`, `${directory}/made/renamed.txt`);
  trace(await fs.promises.mkdir(`${directory}/made/dir`).then(() => 'made'));
  trace(await fs.promises.mkdir(`${directory}/made/dir`).catch((error) => error.code));
  await fs.promises.writeFile(`${directory}/made/iterable.txt`, ['a', 'b', 'c']);
  const temporary = await fs.promises.mkdtemp(`${directory}/made/tmp-`);
  trace(temporary.length - directory.length);
  await fs.promises.rm(temporary, { recursive: true });
  const fd = fs.openSync(`${directory}/made/fd.txt`, 'w');
  trace(fs.writeSync(fd, 'abc'), fs.writeSync(fd, 'def'));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  process.stdout.write('to stdout\n');
  console.log('by console');
  trace('end');
  done();
};

/** The callback, promise and synchronous forms of the same functions. */
const faces: Program = async ({ trace, done, directory }) => {
  const small = `${directory}/small.txt`;
  const handle = await fs.promises.open(small);
  const none = await handle.read(Buffer.alloc(4), 0, 0, 0);
  trace('nothing read', none.bytesRead, none.buffer.length);
  const { fd } = handle;
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    fs.read(fd, Buffer.alloc(4), 0, 0, 0, (error, count) => {
      order.push(`callback ${error} ${count}`);
      resolve();
    });
    order.push('returned');
  });
  trace(order, fs.readSync(fd, Buffer.alloc(4), 0, 0, 0));
  const vector = await handle.readv([Buffer.alloc(3), Buffer.alloc(3)], 2);
  trace(vector.bytesRead, Buffer.concat(vector.buffers as Buffer[]).toString());
  trace(await handle.readFile('utf8'), await fs.promises.readFile(handle as never, 'utf8'));
  await handle.close();
  trace(await handle.stat().catch((error: NodeJS.ErrnoException) => `${error.code} ${error.syscall} ${error.message}`));
  trace(await fs.promises.stat(small, undefined).then((stats) => stats.size));
  const patched = fs.readFile;
  (fs as { readFile: unknown }).readFile = () => trace('a patch by the program is not called');
  trace(await fs.promises.readFile(small, 'latin1'));
  fs.readFile = patched;
  const codes = await Promise.all([
    fs.promises.readFile(`${directory}/none`).catch((error) => error.code),
    fs.promises.readFile(small, 'no encoding' as never).catch((error) => error.code),
    fs.promises.open(small, 'no flags').catch((error) => error.code),
    new Promise((resolve) => fs.readFile(`${directory}/none`, (error) => resolve(error?.code))),
    fs.promises.stat(5 as never).catch((error) => error.code),
    fs.promises.rename(small, 5 as never).catch((error) => error.code),
    promisify(fs.fstat)(-1).catch((error) => error.code),
    promisify(fs.read)(2 ** 31, Buffer.alloc(4), 0, 4, 0).catch((error) => error.code),
  ]);
  trace(codes);
  for (const wrong of [() => fs.readFileSync(`${directory}/none`), () => fs.openSync(small, 'no flags')]) {
    try {
      wrong();
    } catch (error) {
      trace((error as NodeJS.ErrnoException).code);
    }
  }
  done();
};

/** Writes by each form of the functions. */
const writeFaces: Program = async ({ trace, done, directory }) => {
  const file = `${directory}/faces.txt`;
  const handle = await fs.promises.open(file, 'w');
  const vector = await handle.writev([Buffer.from('vec'), Buffer.from('tor ')]);
  trace(vector.bytesWritten, vector.buffers.length);
  const { bytesWritten, buffer } = await handle.write('text ');
  trace(bytesWritten, buffer);
  await handle.writeFile('whole ');
  await handle.close();
  const fd = fs.openSync(file, 'a');
  trace(fs.writevSync(fd, [Buffer.from('sync'), Buffer.from('vec ')]));
  await new Promise<void>((resolve) => fs.write(fd, 'callback', () => resolve()));
  await new Promise((resolve) => fs.close(fd, resolve));
  trace(fs.mkdtempSync(`${directory}/faces-`).length - directory.length);
  trace('end');
  done();
};

const appends: Program = ({ trace, done, directory }) => {
  const append = (text: string): void => fs.appendFileSync(`${directory}/log.txt`, text);
  append('one ');
  setTimeout(() => {
    append('two ');
    setTimeout(() => {
      trace('idle');
      setTimeout(() => {
        append('three ');
        setTimeout(() => {
          trace('end');
          done();
        }, 5);
      }, 5);
    }, 5);
  }, 5);
};

const compression: Program = async ({ trace, done }) => {
  const data = Buffer.alloc(300_000, 'some text that can be compressed, ');
  const order: string[] = [];
  const small = promisify(zlib.gzip)('tiny').then((out) => order.push(`small ${out.length}`));
  const large = promisify(zlib.deflate)(data).then((out) => order.push(`large ${out.length}`));
  await Promise.all([small, large]);
  trace(order);
  const packed = await promisify(zlib.brotliCompress)(data);
  trace((await promisify(zlib.brotliDecompress)(packed)).equals(data));
  trace((await promisify(zlib.gunzip)(zlib.gzipSync(data))).equals(data));
  trace(await promisify(zlib.gunzip)(Buffer.from('not gzip at all')).catch((error) => error.code));
  const chunks: Buffer[] = [];
  await pipeline(
    (function* () {
      for (let i = 0; i < 10; i++) yield data.subarray(i * 30_000, (i + 1) * 30_000);
    })(),
    zlib.createGzip(),
    zlib.createGunzip(),
    async (source) => {
      for await (const chunk of source) chunks.push(chunk as Buffer);
    },
  );
  trace(Buffer.concat(chunks).equals(data));
  const gzip = zlib.createGzip();
  gzip.write('part');
  await new Promise<void>((resolve) => gzip.flush(() => resolve()));
  trace('flushed', (gzip.read() as Buffer).length);
  gzip.close();
  done();
};

/** A server that gets its connections by hand. */
const web: Program = ({ trace, done, onInput }) => {
  const server = http.createServer((request, response) => {
    trace(request.method, request.url);
    setTimeout(() => {
      if (request.url === '/own') response.setHeader('Date', 'mine');
      if (request.url === '/array') response.writeHead(200, ['X-A', '1', 'date', 'also mine']);
      response.end(`body of ${request.url}`);
    }, 2);
  });
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, callback) {
      trace(chunk.toString());
      callback();
    },
  });
  server.emit('connection', socket);
  let inputs = 0;
  onInput((data) => {
    socket.push(data);
    if (++inputs === 4) setTimeout(done, 10);
  });
};

const nondeterministic: Program = ({ trace, done }) => {
  process.on('SIGUSR2', () => {});
  v8.getHeapSnapshot().destroy();
  v8.getHeapSnapshot().destroy();
  new MessageChannel().port1.close();
  performance.timerify(() => undefined)();
  trace('used');
  done();
};

/** The programs by name. */
export const scenarios: Record<string, Program> = {
  timers,
  promises,
  time,
  randomness,
  reads,
  writes,
  faces,
  writeFaces,
  appends,
  compression,
  web,
  nondeterministic,
  ...cryptoScenarios,
  ...sampleScenarios,
};
