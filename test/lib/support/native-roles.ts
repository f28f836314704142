/** Child processes of the addon's tests, by role: `node native-roles.js ROLE ARGUMENTS`. */
import { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId } from 'node:async_hooks';
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { native } from '../../../lib/native/native.js';

const self = fileURLToPath(import.meta.url);
const addon = native();

/** Prints without the buffering that a killed process would lose. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

const roles: Record<string, (...args: string[]) => void> = {
  /** Answers each doorbell: word 1 becomes word 0 + 1000, then rings back. */
  echo(path: string, bell: string, back: string) {
    const words = new Int32Array(addon.shmMap(path, 4096, false));
    const answer = addon.fifoOpen(back);
    addon.watchOpen(addon.fifoOpen(bell), true, () => {
      const asked = addon.loadAcquire(words, 0);
      addon.storeRelease(words, 1, asked + 1000 + (words[2] ?? 0));
      addon.fifoRing(answer);
      if (asked < 0) process.exit();
    });
    say('ready');
  },
  lock(path: string) {
    say(String(addon.lockFile(path) >= 0));
    // A child of ours that lives on must not keep the lock.
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    say(String(child.pid));
    setInterval(() => {}, 1000);
  },
  idle() {
    say('ready');
    setInterval(() => {}, 1000);
  },
  /** Its loop and its sender say that they are alive; the number is its ballast. */
  threads(path: string, device: string, megabytes: string) {
    const threads = addon.threadsCreate(path);
    const sender = addon.senderOpen(addon.fifoOpen(device), 0, new Int32Array(3), threads, 0);
    addon.senderSend(sender, new Uint8Array(8), 0, 8, [], new Int32Array(0), 0);
    const ballast = Buffer.alloc(Number(megabytes) * 2 ** 20, 1);
    say('ready');
    setInterval(() => ballast[0]++, 1000);
  },
  /** Ends as soon as it has a sender; the page stays behind. */
  passing(path: string, device: string) {
    const threads = addon.threadsCreate(path);
    const sender = addon.senderOpen(addon.fifoOpen(device), 0, new Int32Array(3), threads, 0);
    addon.senderSend(sender, new Uint8Array(8), 0, 8, [], new Int32Array(0), 0);
    addon.senderClose(sender);
    say('ready');
  },
  parent() {
    const child = spawn(process.execPath, [self, 'orphan'], { stdio: ['ignore', 'inherit', 'inherit'] });
    child.unref();
    setInterval(() => {}, 1000);
  },
  orphan() {
    addon.dieWithParent();
    say(String(process.pid));
    setInterval(() => {}, 1000);
  },
  random(keyByte: string) {
    const state = Uint32Array.of(0, 7, 9, 0);
    addon.randInstall(new Uint8Array(32).fill(Number(keyByte)), state);
    const free = randomBytes(16).toString('hex');
    state[0] = 1;
    const drawn = [randomBytes(1), randomBytes(63), randomBytes(1), randomBytes(500)];
    const uuid = randomUUID({ disableEntropyCache: true });
    const count = state[3];
    // The threadpool is not ours.
    randomBytes(32, (_error, other) => {
      say(
        JSON.stringify({
          free,
          drawn: Buffer.concat(drawn).toString('hex'),
          uuid,
          count,
          other: other.toString('hex'),
          after: state[3],
        }),
      );
    });
  },
  unreferenced() {
    addon.loopTimer(
      addon.loopHook(() => false, 8),
      60_000,
    );
    addon.watchRef(
      addon.watchOpen(addon.fifoOpen(process.argv[3]), true, () => {}),
      false,
    );
  },
  referenced() {
    let turns = 0;
    const hook = addon.loopHook(() => {
      if (++turns === 3) {
        say('3 turns');
        addon.loopClose(hook);
      } else {
        addon.loopTimer(hook, 5);
      }
      return false;
    }, 8);
    addon.loopRef(hook, true);
  },
  throwing() {
    const seen: string[] = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    let turns = 0;
    const hook = addon.loopHook(() => {
      turns++;
      if (turns === 2) throw new Error('from turn');
      return turns < 4;
    }, 8);
    const bell = addon.fifoOpen(process.argv[3]);
    const watch = addon.watchOpen(bell, true, () => {
      setTimeout(() => {
        say(JSON.stringify({ seen, turns: turns >= 4 }));
        addon.watchClose(watch, true);
        addon.loopClose(hook);
      }, 5);
      throw new Error('from watch');
    });
    addon.fifoRing(bell);
  },
  interrupted(hooks: string) {
    const storage = new AsyncLocalStorage<string>();
    if (hooks !== '') createHook({ before: () => undefined, after: () => undefined }).enable();
    const seen: string[] = [];
    process.on('uncaughtException', (error: NodeJS.ErrnoException) => seen.push(error.code ?? error.message));
    const { _tickCallback: drainTicks } = process as unknown as { _tickCallback(): void };
    const endless = (): void => {
      for (;;);
    };
    // In a resource of its own, as all that the program does.
    const enter = (): void => new AsyncResource('EVENT').runInAsyncScope(() => storage.run('entered', endless));
    const ticks = (): void => {
      process.nextTick(() => {
        throw new Error('in a tick');
      });
      drainTicks();
    };
    const left: unknown[] = [];
    const script = new Script('interruptible()');
    const hook = addon.loopHook(() => {
      const event = [enter, ticks, undefined][seen.length];
      if (seen.length > 0) left.push(executionAsyncId(), storage.getStore() ?? null);
      if (event === undefined) {
        say(JSON.stringify({ seen, left }));
        addon.loopClose(hook);
        return false;
      }
      Object.assign(globalThis, { interruptible: event });
      try {
        script.runInThisContext({ timeout: 50 });
      } catch (error) {
        addon.loopUncaught(error);
      }
      return true;
    }, 8);
    addon.loopKick(hook);
    addon.loopRef(hook, true);
  },
  uncaught() {
    addon.loopHook(() => {
      throw new Error('nobody catches this');
    }, 8);
    setTimeout(() => say('still here'), 50);
  },
};

roles[process.argv[2]](...process.argv.slice(3));
