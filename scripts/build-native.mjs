// Builds the native addon (build/Release/fttcp.node); run by `npm install`. Does nothing when it is
// up to date.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const addon = join(root, 'build', 'Release', 'fttcp.node');

function upToDate() {
  if (!existsSync(addon)) return false;
  const sources = readdirSync(join(root, 'lib/native')).filter((name) => /\.[ch]$/.test(name));
  const inputs = [join(root, 'binding.gyp'), ...sources.map((name) => join(root, 'lib/native', name))];
  const built = statSync(addon).mtimeMs;
  if (inputs.some((path) => statSync(path).mtimeMs > built)) return false;
  try {
    // Also false when it was built for another machine.
    createRequire(import.meta.url)(addon);
    return true;
  } catch {
    return false;
  }
}

function runs(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

function missingTools() {
  const compiler = process.env.CC ? process.env.CC.split(' ')[0] : 'cc';
  const python = process.env.npm_config_python || process.env.PYTHON || 'python3';
  return [compiler, 'make', python].filter((tool) => !runs(tool));
}

/** A directory with include/node/node_api.h, so that nothing has to be downloaded. */
export function nodeDirectory() {
  const candidates = [
    process.env.npm_config_nodedir,
    resolve(dirname(process.execPath), '..'),
    resolve(dirname(realpathSync(process.execPath)), '..'),
    '/usr',
    '/usr/local',
  ];
  return candidates.find((path) => path && existsSync(join(path, 'include/node/node_api.h')));
}

/**
 * The command line of node-gyp: the one npm names, the one inside npm, or whatever `npm exec`
 * finds.
 */
function nodeGyp() {
  const prefixes = [dirname(process.execPath), dirname(realpathSync(process.execPath))];
  const npms = prefixes.flatMap((bin) => [
    join(bin, '../lib/node_modules/npm'),
    join(bin, '../share/nodejs/npm'),
    join(bin, 'node_modules/npm'),
  ]);
  if (process.env.npm_execpath) npms.unshift(resolve(dirname(process.env.npm_execpath), '..'));
  const scripts = [
    process.env.npm_config_node_gyp,
    ...npms.map((npm) => join(npm, 'node_modules/node-gyp/bin/node-gyp.js')),
    '/usr/share/nodejs/node-gyp/bin/node-gyp.js',
  ];
  const script = scripts.find((path) => path && existsSync(path));
  return script ? [process.execPath, script] : ['npm', 'exec', '--yes', '--', 'node-gyp'];
}

function build() {
  const missing = missingTools();
  if (missing.length > 0) {
    console.error(`ft-tcp: the native addon needs ${missing.join(', ')}, which cannot be run here.`);
    console.error(
      'Install a C compiler, make and python3 (Debian: apt-get install build-essential python3), then: npm rebuild',
    );
    return 1;
  }
  const [command, ...first] = nodeGyp();
  const headers = nodeDirectory();
  const args = [...first, 'configure', 'build', '--loglevel=error', ...(headers ? [`--nodedir=${headers}`] : [])];
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (result.status !== 0 || !existsSync(addon)) {
    console.error(result.stdout ?? '', result.stderr ?? '', result.error?.message ?? '');
    console.error(`ft-tcp: building the native addon failed (${command} ${args.join(' ')}).`);
    return 1;
  }
  const warnings = `${result.stdout}${result.stderr}`.split('\n').filter((line) => line.includes('warning:'));
  if (warnings.length > 0) console.error(warnings.join('\n'));
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !upToDate()) process.exitCode = build();
