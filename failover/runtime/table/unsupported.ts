/** Things that replay cannot repeat. They go on working, unprotected, and are reported once each. */
import childProcess from 'node:child_process';
import cluster from 'node:cluster';
import dgram from 'node:dgram';
import dns from 'node:dns';
import os from 'node:os';
import v8 from 'node:v8';
import workerThreads from 'node:worker_threads';
import type { RuntimeContext } from '../core/context.js';
import type { Patcher } from '../core/patcher.js';

type Constructor = new (...args: unknown[]) => object;

const DNS = [
  'lookup',
  'lookupService',
  'resolve',
  'resolve4',
  'resolve6',
  'resolveAny',
  'resolveCname',
  'resolveMx',
  'resolveNs',
  'resolvePtr',
  'resolveSrv',
  'resolveTxt',
  'reverse',
];

function functions(
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

export function installUnsupported(runtime: RuntimeContext, patcher: Patcher): void {
  const spawners = ['spawn', 'exec', 'execFile', 'fork', 'spawnSync', 'execSync', 'execFileSync'];
  functions(runtime, patcher, childProcess, 'child_process', spawners);
  functions(runtime, patcher, cluster, 'cluster', ['fork']);
  functions(runtime, patcher, dgram, 'dgram', ['createSocket']);
  functions(runtime, patcher, dns, 'dns', DNS);
  functions(runtime, patcher, dns.promises, 'dns.promises', DNS);
  functions(runtime, patcher, os, 'os', ['loadavg', 'freemem', 'uptime', 'cpus', 'networkInterfaces']);
  functions(runtime, patcher, v8, 'v8', ['getHeapStatistics', 'getHeapSpaceStatistics', 'writeHeapSnapshot']);
  functions(runtime, patcher, process, 'process', ['memoryUsage', 'cpuUsage', 'resourceUsage', 'send']);
  functions(runtime, patcher, performance, 'performance', ['mark', 'measure', 'eventLoopUtilization', 'timerify']);
  functions(runtime, patcher, globalThis, 'globalThis', ['fetch']);
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
