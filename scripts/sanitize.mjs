// `npm run sanitize [-- address|thread]`: the addon's tests with the addon built under
// AddressSanitizer and UBSan, and under ThreadSanitizer. Node itself is not instrumented, so the
// sanitizer's library is preloaded, and leaks of Node's own are not looked for. A report ends the
// process that caused it with exit code 66, and is printed. The last line is "N passed, N failed":
// one per test file and sanitizer.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeDirectory } from './build-native.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const CC = process.env.CC ?? 'gcc';
const TIMEOUT_MS = 300_000;
const EXIT_CODE = 66;
const COMMON = [
  '-std=gnu11',
  '-g',
  '-O1',
  '-fno-omit-frame-pointer',
  '-DNAPI_VERSION=8',
  '-D_GNU_SOURCE',
  '-fPIC',
  '-shared',
  '-pthread',
];
/** Files of test/lib that run the addon, and those in which its threads do. */
const ADDON = /^(native|sender|threads|direct|tap|rx-slab|split|checksum|crc32c)[\w-]*\.test\.js$/;
const THREADS = /^(native|sender|threads|direct)[\w-]*\.test\.js$/;
const SANITIZERS = {
  address: {
    flags: ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
    library: 'libasan.so',
    tests: ADDON,
    env: {
      ASAN_OPTIONS: `detect_leaks=0:exitcode=${EXIT_CODE}`,
      UBSAN_OPTIONS: `print_stacktrace=1:exitcode=${EXIT_CODE}`,
    },
  },
  thread: {
    flags: ['-fsanitize=thread'],
    library: 'libtsan.so',
    tests: THREADS,
    env: { TSAN_OPTIONS: `ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=${EXIT_CODE}` },
  },
};

let passed = 0;
let failed = 0;

function build(name, { flags }) {
  const home = join(root, 'build', name);
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, 'build/Release'), { recursive: true });
  // The code finds the addon beside its own dist/.
  cpSync(join(root, 'dist'), join(home, 'dist'), { recursive: true });
  cpSync(join(root, 'package.json'), join(home, 'package.json'));
  const sources = readdirSync(join(root, 'lib/native'))
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(root, 'lib/native', file));
  const args = [
    ...COMMON,
    ...flags,
    `-I${join(nodeDirectory(), 'include/node')}`,
    '-o',
    join(home, 'build/Release/fttcp.node'),
    ...sources,
  ];
  const built = spawnSync(CC, args, { stdio: 'inherit' });
  if (built.status !== 0) {
    console.log(`not ok - ${name}: the addon does not build with ${flags.join(' ')}`);
    return undefined;
  }
  return home;
}

/** Reports go to files, as tests may take their children's stderr for themselves. */
function run(name, home, file, { library, env }) {
  const preload = spawnSync(CC, [`-print-file-name=${library}`], { encoding: 'utf8' }).stdout.trim();
  const reports = mkdtempSync(join(tmpdir(), 'ft-tcp-sanitize-'));
  const variables = Object.fromEntries(
    Object.entries(env).map(([key, value]) => [key, `${value}:log_path=${join(reports, 'report')}`]),
  );
  // ThreadSanitizer needs its usual addresses, which a kernel that randomizes more of them takes
  // away.
  const result = spawnSync('setarch', ['-R', process.execPath, join(home, 'dist/test/lib', file)], {
    cwd: root,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    env: { ...process.env, ...variables, LD_PRELOAD: preload, FT_TCP_SANITIZER: name },
  });
  const found = readdirSync(reports).map((report) => readFileSync(join(reports, report), 'utf8'));
  rmSync(reports, { recursive: true, force: true });
  if (result.status === 0 && found.length === 0) {
    passed++;
    console.log(`ok - ${name}: ${file}`);
    return;
  }
  failed++;
  console.log(
    `not ok - ${name}: ${file}: ${result.error?.message ?? `exit code ${result.status}`}, ${found.length} reports`,
  );
  const notOk = (result.stdout ?? '').split('\n').filter((line) => /^\s*not ok/.test(line));
  console.log(
    [...notOk.slice(0, 20), ...found.map((text) => text.slice(0, 4000)), (result.stderr ?? '').slice(0, 2000)].join(
      '\n',
    ),
  );
}

const only = process.argv.slice(2);
for (const name of only) {
  if (name in SANITIZERS) continue;
  console.error(`sanitize: ${name}: no such sanitizer; expected ${Object.keys(SANITIZERS).join(' or ')}`);
  process.exit(2);
}
if (!existsSync(join(root, 'dist/test/lib'))) {
  console.error('sanitize: dist/ is missing; run npm run build first');
  process.exit(2);
}
for (const [name, sanitizer] of Object.entries(SANITIZERS)) {
  if (only.length > 0 && !only.includes(name)) continue;
  const home = build(name, sanitizer);
  if (home === undefined) {
    failed++;
    continue;
  }
  const files = readdirSync(join(home, 'dist/test/lib')).filter((file) => sanitizer.tests.test(file));
  for (const file of files.sort()) run(name, home, file, sanitizer);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
