/**
 * The native addon in the event loop: hook, timer, references, and what happens when a thread or a
 * process ends.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { type NativeHandle, native } from '../../lib/native/native.js';
import { play, scratch } from './support/native-lab.js';

const addon = native();
const at = scratch(t);

/** A measurement that a busy machine can spoil is repeated at most this often. */
const MAX_TRIES = 5;

t.test('between turns of the loop hook, ticks and microtasks drain', async (t) => {
  const log: string[] = [];
  await new Promise<void>((resolve) => {
    let turn = 0;
    const hook = addon.loopHook(() => {
      const n = ++turn;
      log.push(`turn ${n}`);
      process.nextTick(() => log.push(`tick ${n}`));
      Promise.resolve().then(() => log.push(`promise ${n}`));
      if (n < 3) return true;
      addon.loopClose(hook);
      addon.loopClose(hook);
      setImmediate(resolve);
      return true;
    }, 100);
    addon.loopRef(hook, true);
  });
  const want = [1, 2, 3].flatMap((n) => [`turn ${n}`, `tick ${n}`, `promise ${n}`]);
  t.same(log, want);
});

t.test('the hook comes before the loop blocks, after timers and immediates have run', async (t) => {
  const log: string[] = [];
  let asked = 0;
  const hook = addon.loopHook(() => {
    log.push('turn');
    asked++;
    return false;
  }, 8);
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      log.length = 0;
      log.push('timer');
      setImmediate(() => {
        log.push('immediate');
        setTimeout(resolve, 20);
      });
    }, 5);
  });
  t.same(log.slice(0, 4), ['timer', 'turn', 'immediate', 'turn']);
  const before = asked;
  await sleep(50);
  // V8's own tasks wake the loop, too; a busy loop would ask thousands of times.
  t.ok(asked - before < 25, `no busy loop (${asked - before} turns in 50 ms)`);
  addon.loopClose(hook);
});

t.test('a hook with endless work starves nobody', async (t) => {
  let turns = 0;
  let burst = 0;
  let longest = 0;
  const hook = addon.loopHook(() => {
    turns++;
    longest = Math.max(longest, ++burst);
    return true;
  }, 16);
  let immediates = 0;
  const step = (): void => {
    burst = 0;
    immediates++;
    if (running) setImmediate(step);
  };
  let running = true;
  step();
  await sleep(20);
  await sleep(20);
  running = false;
  addon.loopClose(hook);
  t.ok(turns > 100 && immediates > 5, `${turns} turns, ${immediates} immediates`);
  t.ok(longest <= 32, `at most max turns in a row (${longest})`);
});

t.test('a loop that looks before it sleeps finds what is there, and soon looks no more for what is not', async (t) => {
  const bell = addon.fifoOpen(join(t.testdir(), 'bell'));
  let rung = 0;
  const hook = addon.loopHook(() => {
    if (rung < 50) {
      rung++;
      addon.fifoRing(bell);
    }
    return false;
  }, 8);
  const watch = addon.watchOpen(bell, true, () => undefined);
  t.same(addon.loopBusyPolls(hook), [0, 0]);
  addon.loopBusyPoll(hook, 1000, 10_000);
  while (rung < 50) await sleep(1);
  const [polls, found] = addon.loopBusyPolls(hook);
  t.ok(polls > 0, `${polls} polls`);
  // The first sleep may have been before the bell was rung.
  t.ok(polls - found <= 1, `${found} of ${polls} found something`);
  // On a busy machine a timer comes due while the loop polls: found, so that it polls again.
  const more: number[] = [];
  for (let n = 0; n < MAX_TRIES && Math.min(...more) > 9; n++) {
    const [before] = addon.loopBusyPolls(hook);
    for (let i = 0; i < 100; i++) await sleep(1);
    more.push(addon.loopBusyPolls(hook)[0] - before);
  }
  t.ok(Math.min(...more) <= 9, `${more.join()} polls in a hundred sleeps`);
  const after = addon.loopBusyPolls(hook);
  addon.loopBusyPoll(hook, 0, 0);
  await sleep(5);
  t.equal(addon.loopBusyPolls(hook)[0], after[0], 'switched off');
  addon.watchClose(watch, true);
  addon.loopClose(hook);
  t.equal(addon.loopBusyPolls(hook).length, 2, 'and can still be asked');
  t.throws(() => addon.loopBusyPoll(hook, -1, 0));
});

t.test('kick and timer wake the loop', async (t) => {
  let turns = 0;
  let noticed = (): void => {};
  const hook = addon.loopHook(() => {
    turns++;
    noticed();
    return false;
  }, 8);
  // It keeps the process alive; only our timer can end the wait sooner.
  const alive = setTimeout(() => {}, 10_000);
  // The second time after a long turn: the loop's own time stands still in it.
  for (const [ms, busyMs] of [
    [0, 0],
    [19.2, 0],
    [40, 30],
    [40, 0],
  ] as const) {
    const tookMs: number[] = [];
    // A busy machine may stand still for a second, but hardly each time.
    for (let i = 0; i < MAX_TRIES && Math.min(...tookMs) >= ms + 1000; i++) {
      const until = performance.now() + busyMs;
      while (performance.now() < until);
      const begun = performance.now();
      addon.loopTimer(hook, ms);
      await new Promise<void>((resolve) => {
        noticed = () => {
          if (performance.now() - begun >= ms - 1) resolve();
        };
      });
      tookMs.push(performance.now() - begun);
    }
    t.ok(Math.min(...tookMs) < ms + 1000, `woken after ${ms} ms: ${tookMs.join()}`);
  }
  noticed = () => {};
  clearTimeout(alive);
  const countKicks = async (kick: boolean): Promise<number> => {
    await sleep(1);
    const before = turns;
    for (let i = 0; i < 20; i++) if (kick) addon.loopKick(hook);
    await sleep(30);
    return turns - before;
  };
  const still = await countKicks(false);
  const kicked = await countKicks(true);
  // Not one round per kick; others wake the loop, too.
  t.ok(kicked > 0 && kicked < still + 10, `kicks in a row bring one more round (${still}, ${kicked})`);
  const pending: boolean[] = [];
  noticed = () => pending.push(addon.loopPending(hook));
  addon.loopKick(hook);
  await sleep(30);
  t.ok(pending.includes(false), 'a kick of the hook itself does not count');
  pending.length = 0;
  noticed = () => {
    if (pending.length === 0) setImmediate(() => undefined);
    pending.push(addon.loopPending(hook));
  };
  addon.loopKick(hook);
  await sleep(30);
  t.equal(pending[0], true, 'an immediate is due');
  noticed = () => {};
  addon.loopTimer(hook, 5.5);
  addon.loopTimer(hook, -1);
  addon.loopClose(hook);
  t.equal(addon.loopPending(hook), false);
  addon.loopKick(hook);
  addon.loopTimer(hook, 1);
  addon.loopRef(hook, true);
  t.pass('a closed hook may still be called');
});

t.test('what is referenced keeps the process alive, and only that', async (t) => {
  const free = play('unreferenced', at('unref'));
  t.same(await once(free.child, 'exit'), [0, null]);
  const held = play('referenced');
  t.equal(await held.line(), '3 turns');
  t.same(await once(held.child, 'exit'), [0, null]);
});

t.test('exceptions in callbacks are uncaught exceptions', async (t) => {
  const caught = play('throwing', at('throw'));
  const report = JSON.parse(await caught.line()) as { seen: string[]; turns: boolean };
  t.same(report.seen.sort(), ['from turn', 'from watch'], 'each reported once');
  t.ok(report.turns, 'and the hook went on');
  const fatal = play('uncaught');
  t.equal(await fatal.line(), '(ended)');
  t.equal(fatal.child.exitCode ?? (await once(fatal.child, 'exit'))[0], 1);
});

t.test('an event that is interrupted leaves its asynchronous contexts', async (t) => {
  for (const hooks of ['', 'hooks']) {
    const { line, child } = play('interrupted', hooks);
    t.same(JSON.parse(await line()), { seen: ['ERR_SCRIPT_EXECUTION_TIMEOUT', 'in a tick'], left: [0, null, 0, null] });
    t.same(child.exitCode ?? (await once(child, 'exit'))[0], 0);
  }
});

t.test('an open handle survives garbage collection', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let turns = 0;
  let rings = 0;
  const bell = addon.fifoOpen(at('gc'));
  const open = (): [WeakRef<NativeHandle>, WeakRef<NativeHandle>] => [
    new WeakRef(
      addon.loopHook(() => {
        turns++;
        return false;
      }, 8),
    ),
    new WeakRef(addon.watchOpen(bell, true, () => rings++)),
  ];
  const [hook, watch] = open();
  for (let i = 0; i < 3; i++) {
    await sleep(2);
    collect();
  }
  const before = turns;
  addon.fifoRing(bell);
  await sleep(10);
  t.ok(turns > before && rings === 1);
  addon.loopClose(hook.deref()!);
  addon.watchClose(watch.deref()!, true);
  for (let i = 0; i < 10 && (hook.deref() || watch.deref()); i++) {
    await sleep(2);
    collect();
  }
  t.equal(hook.deref(), undefined, 'and is collected once closed');
  let map: ArrayBuffer | undefined = addon.shmMap(at('gc-map'), 65_536, true);
  new Uint8Array(map).fill(1);
  map = undefined;
  collect();
  await sleep(5);
  t.equal(new Uint8Array(addon.shmMap(at('gc-map'), 65_536, false))[65_535], 1);
});

t.test('handles left open in a worker thread end with it', async (t) => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    const hook = addon.loopHook(() => false, 8);
    addon.loopRef(hook, true);
    const watch = addon.watchOpen(addon.fifoOpen(workerData.fifo), true, () => {});
    const closed = addon.loopHook(() => false, 8);
    addon.loopClose(closed);
    addon.shmMap(workerData.map, 4096, true);
    parentPort.postMessage('ready');`;
  const path = fileURLToPath(new URL('../../../build/Release/fttcp.node', import.meta.url));
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(source, {
      eval: true,
      workerData: { addon: path, fifo: at('worker'), map: at('worker-map') },
    });
    await once(worker, 'message');
    await worker.terminate();
  }
  t.pass('no crash');
});
