/**
 * Loaded into the replicas of the lab by NODE_OPTIONS: on SIGUSR2 the process comes to grief in the
 * way that a file says. It happens outside of the program's world, so that the backup does not
 * repeat it.
 */
import { readFileSync } from 'node:fs';

const WAYS: Record<string, () => void> = {
  abort: () => process.abort(),
  throw: () => {
    throw new Error('thrown in the lab');
  },
  exit: () => process.exit(3),
  busy: () => {
    for (;;);
  },
  oom: () => {
    const kept: number[][] = [];
    for (;;) kept.push(new Array<number>(1_000_000).fill(kept.length));
  },
};

const file = process.env['FT_TCP_LAB_FAULT'];
if (file !== undefined) process.on('SIGUSR2', () => WAYS[readFileSync(file, 'utf8')]?.());
