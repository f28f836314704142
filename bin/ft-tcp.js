#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/failover/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  console.error('ft-tcp: not built yet. Run: npm install (or npm run build) in the directory of ft-tcp');
  process.exit(3);
}
const { main: run } = await import(main.href);
// A lab watches its standard input, which would keep the process alive.
process.exit(await run(process.argv.slice(2)));
