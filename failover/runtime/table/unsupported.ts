/**
 * The table of APIs that replay cannot repeat. They work, but without protection, and the first use
 * of each in an event is reported by name.
 *
 *   API                                   kind               not logged
 *   cluster.fork                          source             connections of a worker
 *   worker_threads.Worker, channels       source             the order of messages
 *   v8.getHeapSnapshot                    sample             the value
 *   performance.timerify                  virtual            it reads the real clock
 *   FinalizationRegistry                  source             the garbage collector's choice
 *   process.on('SIG...'), process.send    source, effect     signals and messages
 *
 * The kinds are those of runtime.ts.
 * Others are reported where they are patched: long results of crypto.subtle (operations/subtle.ts),
 * fs.watch (fs/faces.ts), zlib and tls on a Node whose internals differ.
 */
import cluster from 'node:cluster';
import v8 from 'node:v8';
import workerThreads from 'node:worker_threads';
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

type Constructor = new (...args: unknown[]) => object;

function reportCalls(
  runtime: RuntimeContext,
  patcher: Patcher,
  owner: object,
  prefix: string,
  names: readonly string[],
): void {
  for (const name of names) {
    patcher.method(
      owner,
      name,
      (original) =>
        function (this: unknown, ...args: unknown[]) {
          runtime.reportNondeterministic(`${prefix}.${name}`);
          return original.apply(this, args);
        },
    );
  }
}

/** A class whose construction is reported; instances, statics and instanceof stay the same. */
function reportNew(runtime: RuntimeContext, patcher: Patcher, owner: object, name: string, label: string): void {
  const original = Reflect.get(owner, name) as Constructor | undefined;
  if (original === undefined) return;
  const proxy: Constructor = new Proxy(original, {
    construct(target, args, newTarget): object {
      runtime.reportNondeterministic(label);
      return Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object;
    },
  });
  patcher.value(owner, name, proxy);
}

/** Reports the first use of each API of the table. */
export function installUnsupported(runtime: RuntimeContext, patcher: Patcher): void {
  reportCalls(runtime, patcher, cluster, 'cluster', ['fork']);
  reportCalls(runtime, patcher, v8, 'v8', ['getHeapSnapshot', 'setFlagsFromString', 'takeCoverage', 'stopCoverage']);
  reportCalls(runtime, patcher, process, 'process', ['send']);
  reportCalls(runtime, patcher, performance, 'performance', ['timerify']);
  reportNew(runtime, patcher, workerThreads, 'Worker', 'worker_threads.Worker');
  for (const name of ['MessageChannel', 'BroadcastChannel', 'FinalizationRegistry']) {
    reportNew(runtime, patcher, globalThis, name, name);
  }
  for (const name of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener']) {
    patcher.method(
      process,
      name,
      (original) =>
        function (this: unknown, ...args: unknown[]) {
          const [event] = args;
          if (typeof event === 'string' && event.startsWith('SIG'))
            runtime.reportNondeterministic(`process.on('${event}')`);
          return original.apply(process, args);
        },
    );
  }
}
