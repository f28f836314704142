// The C code's part of `npm run lint`: every warning is an error, and the format is clang-format's.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeDirectory } from './build-native.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'lib/native');
const files = readdirSync(directory)
  .filter((file) => /\.[ch]$/.test(file))
  .map((file) => join(directory, file));
const WARNINGS = ['-Wall', '-Wextra', '-Wconversion', '-Wshadow', '-Wstrict-prototypes', '-Wvla', '-Werror'];
const DEFINES = ['-std=gnu11', '-O2', '-DNAPI_VERSION=8', '-D_GNU_SOURCE'];

const headers = nodeDirectory();
if (headers === undefined) {
  console.error("lint: Node's headers (include/node/node_api.h) are not beside this Node; set npm_config_nodedir");
  process.exit(2);
}
let failed = false;
const run = (command, args) => {
  const result = spawnSync(command, args, { stdio: 'inherit' });
  if (result.error !== undefined) console.error(`lint: ${command}: ${result.error.message}`);
  failed ||= result.status !== 0;
};
for (const file of files.filter((name) => name.endsWith('.c')))
  run(process.env.CC ?? 'cc', [...DEFINES, ...WARNINGS, `-I${join(headers, 'include/node')}`, '-fsyntax-only', file]);
run(join(root, 'node_modules/.bin/clang-format'), ['--dry-run', '-Werror', ...files]);
process.exit(failed ? 1 : 0);
