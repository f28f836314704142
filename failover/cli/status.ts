/** `ft-tcp status`: who is primary, who protects what, how far behind. */

import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { defaultDirectory, Group } from '../group.js';
import { askStatus, type ReplicaStatus } from '../status.js';

/** @returns 0 when a primary answers, 1 when none does. */
export async function statusCommand(argv: string[]): Promise<number> {
  let values: { group: string; dir?: string | undefined; json?: boolean | undefined };
  try {
    values = parseArgs({
      args: argv,
      options: {
        group: { type: 'string', default: 'default' },
        dir: { type: 'string' },
        json: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new FtError(
      'ERR_FT_USAGE',
      error instanceof Error ? error.message : String(error),
      'See ft-tcp status --help',
    );
  }
  const group = new Group(native(), values.dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0), values.group);
  const replicas: ReplicaStatus[] = [];
  for (const path of group.sockets()) {
    const status = await askStatus(path);
    if (status !== null) replicas.push(status);
    // A socket that refuses was left by a process that was killed.
    else rmSync(path, { force: true });
  }
  replicas.sort((a, b) => (a.role === b.role ? a.pid - b.pid : a.role === 'primary' ? -1 : 1));
  if (values.json === true) process.stdout.write(`${JSON.stringify({ group: values.group, replicas })}\n`);
  else print(values.group, replicas);
  return replicas.some((replica) => replica.role === 'primary') ? 0 : 1;
}

function print(group: string, replicas: ReplicaStatus[]): void {
  if (replicas.length === 0) {
    process.stdout.write(`group ${group}: no replica runs\n`);
    return;
  }
  for (const r of replicas) {
    const { total, protected: safe } = r.connections;
    process.stdout.write(
      `${r.role} ${r.pid}  peer ${r.peer || 'none'}  ${r.protected ? 'protected' : 'NOT PROTECTED'}  ` +
        `connections ${total} (${safe} protected)  lag ${r.lagBytes} B  epoch ${r.epoch}\n`,
    );
    for (const [name, counters] of Object.entries(r.counters)) {
      const shown = Object.entries(counters).filter(([, value]) => value !== 0);
      if (shown.length > 0)
        process.stdout.write(`  ${name}: ${shown.map(([key, value]) => `${key} ${value}`).join(', ')}\n`);
    }
  }
}
