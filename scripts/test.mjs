// Builds, and runs every compiled test file by itself; the last line is "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: 'inherit', timeout: 600_000 }).status === 0;
if (!run('npx', ['tsc', '-p', '.'])) console.log('type check failed');
const files = readdirSync(join(root, 'dist/test'), { recursive: true }).filter((name) => name.endsWith('.test.js'));
let passed = 0;
let failed = 0;
for (const file of files.sort()) {
  if (run(process.execPath, [join(root, 'dist/test', file)])) passed++;
  else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
