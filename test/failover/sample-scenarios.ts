/** Programs that read values, and change files, at once. */
import childProcess from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import perfHooks from 'node:perf_hooks';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import v8 from 'node:v8';
import type { Program } from './runtime-harness.js';

/** Values that differ between any two processes, each read in events of its own. */
const samples: Program = ({ trace, done, directory }) => {
  const file = `${directory}/small.txt`;
  const delay = perfHooks.monitorEventLoopDelay();
  delay.enable();
  const reads: (() => unknown)[] = [
    () => process.memoryUsage(),
    () => process.memoryUsage.rss(),
    () => process.cpuUsage(process.cpuUsage()),
    () => process.resourceUsage(),
    () => [process.constrainedMemory?.(), process.availableMemory?.(), process.getActiveResourcesInfo()],
    () => [process.getuid?.(), process.getgid?.(), process.getgroups?.()],
    () => [os.loadavg(), os.freemem(), os.totalmem(), os.uptime(), os.availableParallelism()],
    () => [os.cpus(), os.networkInterfaces(), os.userInfo(), os.homedir(), os.tmpdir(), os.release()],
    () => [v8.getHeapStatistics(), v8.getHeapSpaceStatistics(), v8.getHeapCodeStatistics()],
    () => [performance.eventLoopUtilization(), perfHooks.performance.nodeTiming, performance.toJSON()],
    () => [performance.mark('one').startTime, performance.measure('two', 'one').duration],
    () => [delay.min, delay.max, delay.mean, delay.stddev, delay.percentile(99), [...delay.percentiles], delay.count],
    () => fs.readFileSync('/proc/self/status', 'utf8'),
    () => [fs.readFileSync(file, 'utf8'), fs.readFileSync(file).length, fs.existsSync(file), fs.existsSync(`${file}x`)],
    () => [fs.statSync(file), fs.statSync(file, { bigint: true }).mtimeNs.toString(), fs.lstatSync(file).isFile()],
    () => [fs.readdirSync(directory), fs.readdirSync('/proc/self/fd').length, fs.realpathSync(file)],
    () => fs.readdirSync('/proc/self/fd', { withFileTypes: true }).map(({ name }) => name),
    () => [fs.statSync(`${file}x`, { throwIfNoEntry: false }) === undefined, fs.statfsSync(directory).bfree],
    () => {
      const dir = fs.opendirSync('/proc/self/fd');
      const names: string[] = [];
      for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) names.push(entry.name);
      dir.closeSync();
      return [names, dir instanceof fs.Dir];
    },
    () => childProcess.execSync('echo $$ $RANDOM; date +%N').toString(),
    () => childProcess.spawnSync('sh', ['-c', 'echo $$ >&2; exit 3'], { encoding: 'utf8' }),
    () => childProcess.execFileSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }),
  ];
  const next = (): void => {
    const read = reads.shift();
    if (read === undefined) {
      done();
      return;
    }
    trace(read());
    setImmediate(next);
  };
  setImmediate(next);
};

/** Errors of synchronous calls: what they say, and where they come from. */
const syncErrors: Program = ({ trace, done, directory }) => {
  const file = `${directory}/lock`;
  const attempts: (() => unknown)[] = [
    () => fs.readFileSync(`${directory}/none`),
    () => fs.openSync(`${directory}/none`, 'r'),
    () => fs.closeSync(fs.openSync(file, 'wx')),
    () => fs.openSync(file, 'wx'),
    () => fs.mkdirSync(`${directory}/made`),
    () => fs.mkdirSync(`${directory}/made`),
    () => fs.rmdirSync(`${directory}/none`),
    () => fs.unlinkSync(file),
    () => fs.unlinkSync(file),
    () => fs.readdirSync(file),
    () => fs.statSync(5 as never),
    () => fs.accessSync(file),
    () => childProcess.execSync('echo out; echo wrong >&2; exit 4', { stdio: 'pipe' }),
  ];
  const next = (): void => {
    const attempt = attempts.shift();
    if (attempt === undefined) {
      done();
      return;
    }
    try {
      trace('ok', attempt());
    } catch (error) {
      const { name, message, stack, ...more } = error as NodeJS.ErrnoException;
      trace(name, message, error instanceof TypeError, stack, more);
    }
    setImmediate(next);
  };
  setImmediate(next);
};

/** A counter in a file: read, and written, at once. */
const counter: Program = ({ trace, done, directory }) => {
  const file = `${directory}/counter.txt`;
  let left = 4;
  const step = (): void => {
    const before = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0;
    fs.writeFileSync(file, String(before + 1));
    const fd = fs.openSync(file, 'r+');
    const bytes = Buffer.alloc(8);
    const count = fs.readSync(fd, bytes);
    fs.writeSync(fd, '.', 0);
    fs.writeSync(fd, String(before + 1), 0);
    fs.closeSync(fd);
    trace(before, bytes.toString('latin1', 0, count), fs.statSync(file).size);
    if (--left > 0) setTimeout(step, 3);
    else setTimeout(done, 3);
  };
  setTimeout(step, 3);
};

/** Children that the program does not wait for. */
const children: Program = async ({ trace, done }) => {
  const cat = childProcess.spawn('cat');
  trace(typeof cat.pid, cat instanceof childProcess.ChildProcess, cat.spawnargs, cat.connected);
  const told: string[] = [];
  for (const event of ['spawn', 'exit', 'close']) cat.on(event, (...args: unknown[]) => told.push(`${event} ${args}`));
  let echo = '';
  cat.stdout.setEncoding('utf8').on('data', (text) => {
    echo += text;
  });
  cat.stdin.write('one ');
  await timersPromises.setTimeout(5);
  cat.stdin.end('two');
  await once(cat, 'close');
  trace(echo, told, cat.exitCode, cat.signalCode);
  const run = promisify(childProcess.exec);
  trace(await run('echo out; echo wrong >&2'));
  const failed = await run('echo out; exit 3').catch((error) => error);
  trace(failed.message, failed.code, failed.killed, failed.signal, failed.cmd, failed.stdout);
  const none = await promisify(childProcess.execFile)('no-such-file', ['x']).catch((error) => error);
  trace(none.code, none.syscall, none.path, none.spawnargs);
  const slow = childProcess.spawn('sleep', ['60']);
  trace(slow.kill('SIGTERM'), slow.killed, await once(slow, 'exit'));
  const late = await run('sleep 60', { timeout: 20 }).catch((error) => error);
  trace(late.killed, late.signal);
  const full = await run('yes', { maxBuffer: 1000 }).catch((error) => error);
  trace(full.code, full.stdout.length);
  const bytes = await new Promise((resolve) =>
    childProcess.execFile('head', ['-c', '300000', '/dev/zero'], { encoding: 'buffer' }, (_error, out) =>
      resolve(out.length),
    ),
  );
  trace(bytes);
  trace('end');
  done();
};

/** A child that lives for longer than its primary. */
const orphan: Program = ({ trace, done, directory }) => {
  const child = childProcess.spawn('sh', ['-c', `echo started; sleep 2; echo late > ${directory}/late`]);
  child.stdout.on('data', (text) => trace(String(text).trim()));
  child.on('exit', (code, signal) => trace('exit', code, signal));
  child.on('close', () => done());
};

/** Native addons that are not there: the runtime refuses some before Node looks for them. */
const addons: Program = ({ trace, done }) => {
  for (const name of ['unknown', 'bufferutil', 'bcrypt']) {
    try {
      process.dlopen({ exports: {} }, `/none/node_modules/${name}/build/Release/addon.node`);
    } catch (error) {
      trace(name, (error as NodeJS.ErrnoException).code, (error as Error).message);
    }
  }
  done();
};

/** The programs by name. */
export const sampleScenarios: Record<string, Program> = {
  samples,
  syncErrors,
  counter,
  children,
  orphan,
  addons,
};
