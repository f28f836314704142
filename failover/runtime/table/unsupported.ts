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
  world: RuntimeContext,
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
          world.undeclared(`${prefix}.${name}`);
          return original.apply(this, args);
        },
    );
  }
}

/** A class whose construction is reported; instances, statics and instanceof stay the same. */
function reportNew(world: RuntimeContext, patcher: Patcher, owner: object, name: string, label: string): void {
  const original = Reflect.get(owner, name) as Constructor | undefined;
  if (original === undefined) return;
  const proxy: Constructor = new Proxy(original, {
    construct(target, args, newTarget): object {
      world.undeclared(label);
      return Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object;
    },
  });
  patcher.value(owner, name, proxy);
}

export function installUnsupported(world: RuntimeContext, patcher: Patcher): void {
  const spawners = ['spawn', 'exec', 'execFile', 'fork', 'spawnSync', 'execSync', 'execFileSync'];
  functions(world, patcher, childProcess, 'child_process', spawners);
  functions(world, patcher, cluster, 'cluster', ['fork']);
  functions(world, patcher, dgram, 'dgram', ['createSocket']);
  functions(world, patcher, dns, 'dns', DNS);
  functions(world, patcher, dns.promises, 'dns.promises', DNS);
  functions(world, patcher, os, 'os', ['loadavg', 'freemem', 'uptime', 'cpus', 'networkInterfaces']);
  functions(world, patcher, v8, 'v8', ['getHeapStatistics', 'getHeapSpaceStatistics', 'writeHeapSnapshot']);
  functions(world, patcher, process, 'process', ['memoryUsage', 'cpuUsage', 'resourceUsage', 'send']);
  functions(world, patcher, performance, 'performance', ['mark', 'measure', 'eventLoopUtilization', 'timerify']);
  functions(world, patcher, globalThis, 'globalThis', ['fetch']);
  reportNew(world, patcher, workerThreads, 'Worker', 'worker_threads.Worker');
  for (const name of ['MessageChannel', 'BroadcastChannel', 'FinalizationRegistry']) {
    reportNew(world, patcher, globalThis, name, name);
  }
  for (const name of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener']) {
    patcher.method(
      process,
      name,
      (original) =>
        function (this: unknown, ...args: unknown[]) {
          const [event] = args;
          if (typeof event === 'string' && event.startsWith('SIG')) world.undeclared(`process.on('${event}')`);
          return original.apply(process, args);
        },
    );
  }
}
