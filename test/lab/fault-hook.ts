/**
 * Loaded into the replicas of the lab by NODE_OPTIONS: on SIGUSR2 the process comes to grief in the
 * way that a file says. It happens outside of the program's world, so that the backup does not
 * repeat it.
 */
import { readFileSync } from 'node:fs';

/** The program's own are virtual once it runs. */
const later = setTimeout;
/** Filling one does not stop the main loop for long. */
const BALLAST_PART_BYTES = 2 ** 23;
const BALLAST_PAUSE_MS = 5;
const ballast: Buffer[] = [];

/** Makes the process larger by this number of megabytes, which the kernel has to free. */
function grow(megabytes: number): void {
  if (ballast.length * BALLAST_PART_BYTES >= megabytes * 2 ** 20) return;
  ballast.push(Buffer.alloc(BALLAST_PART_BYTES, 1));
  later(() => grow(megabytes), BALLAST_PAUSE_MS);
}

const WAYS: Record<string, (megabytes: number) => void> = {
  ballast: grow,
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
if (file !== undefined) {
  process.on('SIGUSR2', () => {
    const [way, megabytes] = readFileSync(file, 'utf8').split(' ');
    WAYS[way]?.(Number(megabytes));
  });
}
